"""Applies checked actions to the memories of a namespace, as one batch of writes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.provenance import attribute
from langgraph_memskill.records import (
    ActionType,
    Memory,
    MemoryAction,
    MemoryVersion,
    ParsedAction,
    RejectedAction,
    Source,
    Span,
)
from langgraph_memskill.stores.items import TEXT_FIELD, memory_of, put_memory
from langgraph_memskill.stores.locks import NamespaceLocks
from langgraph_memskill.stores.tombstones import deleted_memory, get_tombstone, put_tombstone

EntryT = TypeVar("EntryT")


class Applied(NamedTuple):
    """What came of a list of actions."""

    actions: tuple[MemoryAction, ...]
    """Those that changed something (or had done so before), completed with ids and old contents."""
    rejected: tuple[RejectedAction, ...]
    memories: tuple[Memory, ...]
    """The inserted and updated memories as they are now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why memories change: goes into the version that every change adds."""

    kind: str
    """"span", "tool", "forget" or "import"."""
    model: str | None = None
    spans: Mapping[str, Span] = field(default_factory=dict)
    """The spans that the actions name, by id."""


class MemoryWriter:
    """Writes to the memories of one store, namespace by namespace.

    Reading the present state and writing the next one is one critical section a namespace. A change
    that was applied before (a graph resumed after a crash runs its last node again) is recognised
    by its id and not applied twice.
    """

    def __init__(self, store: BaseStore) -> None:
        self._store = store
        self._locks = NamespaceLocks()

    def apply(self, namespace: Namespace, actions: Sequence[MemoryAction], cause: Cause) -> Applied:
        """Apply actions in the given order.

        Args:
            namespace: Whose memories.
            actions: Checked actions; each needs a `change_id`.
            cause: What goes into the history.

        Returns:
            What was applied, what was not and why, and the memories as they are now.
        """
        with self._locks.hold(namespace):
            found = self._store.batch(_reads(namespace, actions))
            plan = _Plan(namespace, actions, cause, found)
            for batch in _batches(plan.writes):
                self._store.batch(batch)
        return plan.result()

    async def aapply(
        self, namespace: Namespace, actions: Sequence[MemoryAction], cause: Cause
    ) -> Applied:
        """Like `apply`, without blocking the event loop."""
        async with self._locks.ahold(namespace):
            found = await self._store.abatch(_reads(namespace, actions))
            plan = _Plan(namespace, actions, cause, found)
            for batch in _batches(plan.writes):
                await self._store.abatch(batch)
        return plan.result()


def _batches(writes: Sequence[PutOp]) -> list[list[PutOp]]:
    """One batch, or more where two writes have the same text.

    LangGraph's InMemoryStore refuses a batch that embeds one text for two items.
    """
    batches: list[list[PutOp]] = []
    seen: list[set[str]] = []
    for write in writes:
        text = (write.value or {}).get(TEXT_FIELD) if write.index is not False else None
        place = next((i for i, texts in enumerate(seen) if text not in texts), len(batches))
        if place == len(batches):
            batches.append([])
            seen.append(set())
        batches[place].append(write)
        if text is not None:
            seen[place].add(text)
    return batches


def _target(action: MemoryAction) -> str:
    if action.change_id is None:
        raise AssertionError(f"action without change_id: {action!r}")
    return action.memory_id or action.change_id


def _reads(namespace: Namespace, actions: Sequence[MemoryAction]) -> list[Op]:
    keys = [_target(action) for action in actions]
    return [op for key in keys for op in (GetOp(namespace, key), get_tombstone(namespace, key))]


class _Plan:
    """The writes that bring a namespace from its present state to the one after the actions."""

    def __init__(
        self,
        namespace: Namespace,
        actions: Sequence[MemoryAction],
        cause: Cause,
        found: Sequence[object],
    ) -> None:
        self._namespace = namespace
        self._cause = cause
        self._now = datetime.now(UTC)
        self._memories: dict[str, Memory] = {}
        self._deleted: dict[str, Memory] = {}
        for action, live, dead in zip(actions, found[::2], found[1::2], strict=True):
            if isinstance(live, Item):
                self._memories[_target(action)] = memory_of(live)
            if isinstance(dead, Item):
                self._deleted[_target(action)] = deleted_memory(dead)
        self.writes: list[PutOp] = []
        self._applied: list[MemoryAction] = []
        self._rejected: list[RejectedAction] = []
        self._written: dict[str, None] = {}
        for action in actions:
            self._add(action)

    def result(self) -> Applied:
        memories = (self._memories.get(key) for key in self._written)
        return Applied(
            tuple(self._applied), tuple(self._rejected), tuple(m for m in memories if m is not None)
        )

    def _add(self, action: MemoryAction) -> None:
        key = _target(action)
        memory = self._memories.get(key)
        gone = self._deleted.get(key)
        before = memory or gone
        if before is not None and _has(before, action.change_id):
            self._applied.append(replace(action, memory_id=key, previous=_previous(before, action)))
            self._written[key] = None
        elif action.type is ActionType.INSERT:
            self._insert(action, key)
        elif memory is None:
            self._reject(action, f"no memory has the id {key!r} any more")
        elif action.type is ActionType.UPDATE:
            self._update(action, memory)
        elif action.type is ActionType.DELETE:
            self._delete(action, memory)

    def _insert(self, action: MemoryAction, key: str) -> None:
        memory = Memory(
            id=key,
            content=action.content,
            namespace=self._namespace,
            created_at=self._now,
            updated_at=self._now,
            skills=action.skills,
            sources=tuple(self._sources(action)),
            model=self._cause.model,
            history=(self._version(action),),
        )
        self._write(memory, replace(action, memory_id=key))

    def _update(self, action: MemoryAction, memory: Memory) -> None:
        changed = replace(
            memory,
            content=action.content,
            updated_at=self._now,
            skills=_merged(memory.skills, action.skills),
            sources=_merged(memory.sources, self._sources(action)),
            model=self._cause.model,
            history=(*_full_history(memory), self._version(action)),
            score=None,
        )
        self._write(changed, replace(action, previous=memory.content))

    def _delete(self, action: MemoryAction, memory: Memory) -> None:
        last = self._version(replace(action, content=""))
        tombstone = replace(
            memory,
            updated_at=self._now,
            history=(*_full_history(memory), last),
        )
        # The tombstone goes first: whatever happens in between, the text is somewhere.
        self.writes.append(put_tombstone(tombstone))
        self.writes.append(PutOp(self._namespace, memory.id, None))
        del self._memories[memory.id]
        self._applied.append(replace(action, previous=memory.content))

    def _write(self, memory: Memory, action: MemoryAction) -> None:
        self._memories[memory.id] = memory
        self.writes.append(put_memory(memory))
        self._applied.append(action)
        self._written[memory.id] = None

    def _reject(self, action: MemoryAction, reason: str) -> None:
        parsed = ParsedAction(
            type=action.type,
            memory_id=action.memory_id,
            content=action.content,
            reasoning=action.reasoning,
        )
        self._rejected.append(RejectedAction(action=parsed, reason=reason))

    def _sources(self, action: MemoryAction) -> Iterable[Source]:
        span = self._cause.spans.get(action.span_id or "")
        return () if span is None else (attribute(action.content, span),)

    def _version(self, action: MemoryAction) -> MemoryVersion:
        return MemoryVersion(
            content=action.content,
            change_id=action.change_id or "",
            cause=self._cause.kind,
            skills=action.skills,
            model=self._cause.model,
            span_id=action.span_id,
            at=self._now,
        )


def _full_history(memory: Memory) -> tuple[MemoryVersion, ...]:
    """The history; a memory that something else wrote gets its present content as first version."""
    if memory.history:
        return memory.history
    first = MemoryVersion(
        content=memory.content,
        change_id="",
        cause="import",
        skills=(),
        model=None,
        span_id=None,
        at=memory.updated_at,
    )
    return (first,)


def _has(memory: Memory, change_id: str | None) -> bool:
    return any(version.change_id == change_id for version in memory.history)


def _previous(memory: Memory, action: MemoryAction) -> str | None:
    position = [v.change_id for v in memory.history].index(action.change_id or "")
    return memory.history[position - 1].content if position else None


def _merged(old: Sequence[EntryT], new: Iterable[EntryT]) -> tuple[EntryT, ...]:
    return tuple(dict.fromkeys([*old, *new]))
