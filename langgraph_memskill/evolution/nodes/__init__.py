"""The nodes of the evolution graph, one a file."""
