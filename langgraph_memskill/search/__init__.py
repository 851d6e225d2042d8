"""How memories are found: by meaning and by words, fused, filtered and perhaps reranked."""

from langgraph_memskill.search.settings import SearchMode, SearchSettings

__all__ = ["SearchMode", "SearchSettings"]
