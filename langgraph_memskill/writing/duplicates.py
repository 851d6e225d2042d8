"""INSERTs of what a memory says already become touches: that memory gets one more source."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.provenance import attribute
from langgraph_memskill.records import ActionType, Memory, MemoryAction, Source, Span
from langgraph_memskill.stores.items import MemorySearch
from langgraph_memskill.writing.sameness import Statement, is_same_text, says_the_same

_NEIGHBOURS = 5
"""Nearest memories that an INSERT is compared with; what says the same is the nearest of all."""


class DuplicateMerger:
    """Finds what is known already, in the whole namespace and in the actions themselves.

    An INSERT of something known becomes an UPDATE of the memory that says it, with the memory's own
    text: a touch, which adds source and skills. No model is called. The writer asks for it while it
    keeps all other writers out, so nobody can insert the same at the same moment.
    """

    def __init__(self, search: MemorySearch) -> None:
        """Look for duplicates with `search`."""
        self._search = search

    @classmethod
    def of(cls, store: BaseStore, encoder: TextEncoder) -> "DuplicateMerger":
        """Look for duplicates in a store."""
        return cls(MemorySearch(store, encoder))

    def merge(
        self, namespace: Namespace, actions: Sequence[MemoryAction], spans: Mapping[str, Span]
    ) -> list[MemoryAction]:
        """Turn INSERTs of what is known into touches.

        Args:
            namespace: Whose memories.
            actions: Checked actions in the order in which they are applied, INSERTs last.
            spans: The spans that they name, by id.

        Returns:
            The actions to apply instead, in order.
        """
        contents = _inserted(actions)
        found = self._search.search(namespace, contents, _NEIGHBOURS) if contents else []
        return _merge(actions, dict(zip(contents, found, strict=True)), spans)

    async def amerge(
        self, namespace: Namespace, actions: Sequence[MemoryAction], spans: Mapping[str, Span]
    ) -> list[MemoryAction]:
        """Like `merge`, without blocking the event loop."""
        contents = _inserted(actions)
        found = await self._search.asearch(namespace, contents, _NEIGHBOURS) if contents else []
        return _merge(actions, dict(zip(contents, found, strict=True)), spans)


def _merge(
    actions: Sequence[MemoryAction],
    found: Mapping[str, Sequence[Memory]],
    spans: Mapping[str, Span],
) -> list[MemoryAction]:
    changing = {action.memory_id for action in actions if action.type is not ActionType.INSERT}
    kept: list[MemoryAction] = []
    statements: list[Statement] = []
    for action in actions:
        said = _said(action, spans)
        if action.type is ActionType.INSERT:
            twins = [n for n, other in enumerate(statements) if says_the_same(said, other)]
            own = next((n for n in twins if kept[n].span_id == action.span_id), None)
            if own is not None:  # one reply said it twice: one change is enough
                kept[own] = _credited(kept[own], action)
                continue
            if twins:
                twin = kept[twins[0]]
                action = _touch(action, twin.memory_id or twin.change_id, twin.content)
            elif memory := _known(action, said, found[action.content], changing):
                action = _touch(action, memory.id, memory.content)
        kept.append(action)
        statements.append(said)
    return kept


def _known(
    action: MemoryAction, said: Statement, found: Sequence[Memory], changing: set[str | None]
) -> Memory | None:
    """The memory that says what an INSERT says; one that the actions change says it no more."""
    same = [memory for memory in found if says_the_same(said, statement_of(memory))]
    if any(memory.id == action.change_id for memory in same):
        return None  # this INSERT's own memory: the step is being repeated
    return min(
        (memory for memory in same if memory.id not in changing),
        key=lambda m: (not is_same_text(action.content, m.content), m.created_at, m.id),
        default=None,
    )


def _said(action: MemoryAction, spans: Mapping[str, Span]) -> Statement:
    span = spans.get(action.span_id or "")
    return _statement(action.content, [attribute(action.content, span)] if span else [])


def statement_of(memory: Memory) -> Statement:
    """What a memory says, by whom and when as far as its sources tell."""
    return _statement(memory.content, memory.sources)


def _statement(text: str, sources: Sequence[Source]) -> Statement:
    return Statement(
        text=text,
        speakers=frozenset(speaker for source in sources for speaker in source.speakers),
        times=frozenset(source.time for source in sources if source.time),
    )


def _touch(action: MemoryAction, memory_id: str | None, content: str) -> MemoryAction:
    return replace(
        action, type=ActionType.UPDATE, memory_id=memory_id, content=content, previous=content
    )


def _credited(action: MemoryAction, other: MemoryAction) -> MemoryAction:
    return replace(action, skills=tuple(dict.fromkeys([*action.skills, *other.skills])))


def _inserted(actions: Sequence[MemoryAction]) -> list[str]:
    texts = (action.content for action in actions if action.type is ActionType.INSERT)
    return list(dict.fromkeys(texts))
