"""The chat model without an LLM: copies and dates sentences that fit the picked skills."""

from langgraph_memskill.extractive.model import ExtractiveChatModel

__all__ = ["ExtractiveChatModel"]
