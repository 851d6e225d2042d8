"""StateGraphs made of the nodes: construction, answering, and a chat agent with memory."""
