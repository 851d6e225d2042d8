"""A memory for LangGraph and LangChain agents that learns how to remember (MemSkill)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph_memskill.errors import MemSkillError
    from langgraph_memskill.extractive import ExtractiveChatModel
    from langgraph_memskill.memory import MemSkillMemory
    from langgraph_memskill.middleware import MemSkillMiddleware
    from langgraph_memskill.models.key_pool import KeyPool
    from langgraph_memskill.records import Memory, MemoryAction, Skill
    from langgraph_memskill.skills.bank import SkillBank
    from langgraph_memskill.stores.chroma import ChromaStore

__all__ = [
    "ChromaStore",
    "ExtractiveChatModel",
    "KeyPool",
    "MemSkillError",
    "MemSkillMemory",
    "MemSkillMiddleware",
    "Memory",
    "MemoryAction",
    "Skill",
    "SkillBank",
]

_MODULES = {
    "ChromaStore": "langgraph_memskill.stores.chroma",
    "ExtractiveChatModel": "langgraph_memskill.extractive",
    "KeyPool": "langgraph_memskill.models.key_pool",
    "MemSkillError": "langgraph_memskill.errors",
    "MemSkillMemory": "langgraph_memskill.memory",
    "MemSkillMiddleware": "langgraph_memskill.middleware",
    "Memory": "langgraph_memskill.records",
    "MemoryAction": "langgraph_memskill.records",
    "Skill": "langgraph_memskill.records",
    "SkillBank": "langgraph_memskill.skills.bank",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that importing the package stays light."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
