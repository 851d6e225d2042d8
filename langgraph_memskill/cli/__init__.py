"""The `memskill` command; importing it loads neither torch nor chromadb."""

from langgraph_memskill.cli.app import app, main

__all__ = ["app", "main"]
