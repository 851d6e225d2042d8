"""Stores: `ChromaStore`, and what a memory keeps in any LangGraph store."""

from langgraph_memskill.stores.chroma import ChromaStore

__all__ = ["ChromaStore"]
