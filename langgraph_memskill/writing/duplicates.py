"""INSERTs of what a memory says already become touches: that memory gets one more source."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langgraph_memskill.actions import in_apply_order
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import ActionType, Memory, MemoryAction
from langgraph_memskill.stores.items import MemorySearch
from langgraph_memskill.writing.sameness import is_same_text, may_say_the_same

Actions = Sequence[MemoryAction]

_NEIGHBOURS = 5
"""Nearest memories that an INSERT is compared with; what says the same is the nearest of all."""
_LEAST_COSINE = 0.85
"""Two texts with the same words must still be this near to each other."""


class DuplicateMerger:
    """Finds what is known already, in the whole namespace, and in the batch itself.

    An INSERT that a memory makes superfluous becomes an UPDATE of that memory with the memory's own
    text; `previous` holds that text too, so that a writer sees that nothing else was meant. Of
    several INSERTs of one thing the first stays, with the skills of all. No model is called.
    """

    def __init__(self, search: MemorySearch, encoder: TextEncoder) -> None:
        """Search with `search`; `encoder` compares texts whose words are the same."""
        self._search = search
        self._encoder = encoder

    def merge(
        self, namespace: Namespace, batch: Sequence[Actions]
    ) -> list[tuple[MemoryAction, ...]]:
        """Merge the duplicates of a batch.

        Args:
            namespace: Whose memories; searched once for all INSERTs.
            batch: The checked actions of each span, to be applied together.

        Returns:
            The actions to apply instead, for each span.
        """
        contents = _inserted(batch)
        if not contents:
            return [tuple(actions) for actions in batch]
        found = self._search.search(namespace, contents, _NEIGHBOURS)
        return self._merge(batch, dict(zip(contents, found, strict=True)))

    async def amerge(
        self, namespace: Namespace, batch: Sequence[Actions]
    ) -> list[tuple[MemoryAction, ...]]:
        """Like `merge`, without blocking the event loop."""
        contents = _inserted(batch)
        if not contents:
            return [tuple(actions) for actions in batch]
        found = await self._search.asearch(namespace, contents, _NEIGHBOURS)
        known = dict(zip(contents, found, strict=True))
        return await asyncio.to_thread(self._merge, batch, known)

    def _merge(
        self, batch: Sequence[Actions], found: Mapping[str, Sequence[Memory]]
    ) -> list[tuple[MemoryAction, ...]]:
        changing = {a.memory_id for a in _all(batch) if a.type is not ActionType.INSERT}
        rows = [list(actions) for actions in batch]
        written = [
            (row, place)
            for row, actions in enumerate(rows)
            for place, action in enumerate(actions)
            if action.type is ActionType.UPDATE
        ]
        touched: dict[tuple[int, str], tuple[int, int]] = {}
        for row, actions in enumerate(rows):
            for place, action in enumerate(actions):
                if action.type is not ActionType.INSERT:
                    continue
                memory = self._memory(action, found[action.content], changing)
                twin = self._twin(action, rows, written)
                if memory is not None:
                    # One touch a span: each of them is a source of its own.
                    twin = touched.setdefault((row, memory.id), (row, place))
                    actions[place] = _touch(action, memory)
                if twin is None:
                    written.append((row, place))
                elif twin != (row, place):
                    rows[twin[0]][twin[1]] = _credited(rows[twin[0]][twin[1]], action)
                    actions[place] = replace(action, type=ActionType.NOOP)
        return [in_apply_order(actions) for actions in rows]

    def _twin(
        self,
        action: MemoryAction,
        rows: Sequence[Actions],
        written: Sequence[tuple[int, int]],
    ) -> tuple[int, int] | None:
        """Place of an action of the batch that writes the same as an INSERT."""
        for row, place in written:
            if self._is_same(action.content, rows[row][place].content):
                return row, place
        return None

    def _memory(
        self, action: MemoryAction, found: Sequence[Memory], changing: set[str | None]
    ) -> Memory | None:
        """The memory that says what an INSERT says; one that the batch changes says it no more."""
        same = [memory for memory in found if self._is_same(action.content, memory.content)]
        if any(memory.id == action.change_id for memory in same):
            return None  # this INSERT's own memory: the step is being repeated
        standing = [memory for memory in same if memory.id not in changing]
        return min(
            standing,
            key=lambda m: (not is_same_text(action.content, m.content), m.created_at, m.id),
            default=None,
        )

    def _is_same(self, one: str, other: str) -> bool:
        if is_same_text(one, other):
            return True
        if not may_say_the_same(one, other):
            return False
        first, second = self._encoder.encode([one, other])
        return float(first @ second) >= _LEAST_COSINE


def _touch(action: MemoryAction, memory: Memory) -> MemoryAction:
    return replace(
        action,
        type=ActionType.UPDATE,
        memory_id=memory.id,
        content=memory.content,
        previous=memory.content,
    )


def _credited(action: MemoryAction, other: MemoryAction) -> MemoryAction:
    return replace(action, skills=tuple(dict.fromkeys([*action.skills, *other.skills])))


def _all(batch: Sequence[Actions]) -> list[MemoryAction]:
    return [action for actions in batch for action in actions]


def _inserted(batch: Sequence[Actions]) -> list[str]:
    texts = (action.content for action in _all(batch) if action.type is ActionType.INSERT)
    return list(dict.fromkeys(texts))
