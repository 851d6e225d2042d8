"""LangGraph nodes of the construction step and of answering; one node a file."""
