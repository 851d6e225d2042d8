"""What has to be written, to the log and to the store, to change the memories of a namespace."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from langgraph.store.base import GetOp, Item, Op, PutOp

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.provenance import attribute
from langgraph_memskill.records import (
    ActionType,
    Change,
    ChangeKind,
    Memory,
    MemoryAction,
    MemoryVersion,
    ParsedAction,
    RejectedAction,
    Source,
    Span,
)
from langgraph_memskill.stores.change_history import (
    TICK,
    adopted_changes,
    full_history,
    kind_of,
    outside_change,
    run_of,
    version_of,
)
from langgraph_memskill.stores.change_rows import bare
from langgraph_memskill.stores.changes import Known
from langgraph_memskill.stores.items import memory_of, put_memory
from langgraph_memskill.stores.outdated import OVERTAKEN, find_outdated, part_of, target
from langgraph_memskill.stores.tombstones import (
    deleted_memory,
    get_tombstone,
    put_tombstone,
    remove_tombstone,
)

EntryT = TypeVar("EntryT")


class Applied(NamedTuple):
    """What came of a list of actions."""

    actions: tuple[MemoryAction, ...]
    """Those that changed something (or had done so before), completed with ids and old contents."""
    rejected: tuple[RejectedAction, ...]
    memories: tuple[Memory, ...]
    """The inserted and updated memories as they are now."""
    outdated: frozenset[str] = frozenset()
    """The spans that met a memory which somebody else has changed; nothing of them was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why memories change: goes into every change."""

    kind: str
    """"span", "tool", "forget", "import", "doctor" ..."""
    model: str | None = None
    spans: Mapping[str, Span] = field(default_factory=dict)
    """The spans that the actions name, by id."""
    thread_id: str | None = None
    """The LangGraph thread that the changes come from."""
    run_id: str | None = None
    """The episode; None takes the one in the id of an action's span."""


class State(NamedTuple):
    """Some memories as the store holds them, by memory id."""

    live: dict[str, Memory]
    deleted: dict[str, Memory]


def reads(namespace: Namespace, memory_ids: Iterable[str]) -> list[Op]:
    """The store operations whose results `state_of` understands."""
    return [
        op
        for key in memory_ids
        # Reading for our own purposes is no use of a memory: its time to live goes on.
        for op in (GetOp(namespace, key, refresh_ttl=False), get_tombstone(namespace, key))
    ]


def state_of(memory_ids: Sequence[str], found: Sequence[object]) -> State:
    """Read the results of `reads`."""
    state = State({}, {})
    for key, live, dead in zip(memory_ids, found[::2], found[1::2], strict=True):
        if isinstance(live, Item):
            state.live[key] = memory_of(live)
        if isinstance(dead, Item):
            state.deleted[key] = deleted_memory(dead)
    return state


def revisions_of(found: Iterable[object]) -> dict[tuple[Namespace, str], datetime]:
    """When each of the items that `reads` has found was written, by namespace and key."""
    return {(i.namespace, i.key): i.updated_at for i in found if isinstance(i, Item)}


def put_state(change: Change, memory: Memory) -> list[PutOp]:
    """The store operations that bring a memory into the state after a change.

    Args:
        change: The change.
        memory: The memory with its history; of a deletion, as it was before.
    """
    if change.after is None:
        # The tombstone goes first: whatever happens in between, the text is somewhere.
        return [put_tombstone(memory), PutOp(change.namespace, change.memory_id, None)]
    return [put_memory(memory)]


class Plan:
    """The changes that lead from the present state of some memories to the next one.

    What the store holds and the log does not know is told to the log first (`settled`).
    """

    def __init__(
        self,
        namespace: Namespace,
        cause: Cause,
        memory_ids: Iterable[str],
        state: State,
        known: Known,
        vanished: str = "outside",
    ) -> None:
        """Compare store and log.

        Args:
            namespace: Whose memories.
            cause: Why they will change.
            memory_ids: The memories that will be changed.
            state: Those as the store holds them.
            known: Those as the log knows them.
            vanished: The cause of what the log has and the store does not.
        """
        self.namespace = namespace
        self.settled: list[Change] = []
        self.pending: list[Change] = []
        self.writes: list[PutOp] = []
        self._cause = cause
        self._live = dict(state.live)
        self._deleted = dict(state.deleted)
        self._applied = known.applied
        self._last = dict(known.last)
        self._vanished = vanished
        for memory_id in dict.fromkeys(memory_ids):
            self._adopt(memory_id)
        newest = max((change.at for change in self._last.values()), default=None)
        now = datetime.now(UTC)
        self._now = now if newest is None else max(now, newest + TICK)
        self._actions: list[MemoryAction] = []
        self._rejected: list[RejectedAction] = []
        self._outdated: frozenset[str] = frozenset()
        self._written: dict[str, None] = {}

    def apply(self, actions: Iterable[MemoryAction]) -> None:
        """Plan actions, in order.

        A span is applied as a whole or, if a memory is no longer what the model saw, not at all.
        """
        wanted = list(actions)
        new = [action for action in wanted if not self._is_applied(action)]
        contents = {key: memory.content for key, memory in self._live.items()}
        self._outdated = find_outdated(new, contents)
        for action in wanted:
            if part_of(action) in self._outdated:
                self._reject(action, OVERTAKEN)
            else:
                self._add(action)

    def result(self) -> Applied:
        """What came of the actions."""
        memories = (self._live.get(key) for key in self._written)
        return Applied(
            tuple(self._actions),
            tuple(self._rejected),
            tuple(m for m in memories if m is not None),
            self._outdated,
        )

    def undo(self, change: Change, change_id: str) -> Change:
        """Plan the way back to what was before a change, and return it."""
        model = change.before.model if change.before else None
        way_back = self._change(
            change.memory_id, change.before, change_id=change_id, model=model, undoes=change.id
        )
        self._write(way_back)
        return way_back

    def live(self, memory_id: str) -> Memory | None:
        """A memory as it is planned to be."""
        return self._live.get(memory_id)

    def last(self, memory_id: str) -> Change | None:
        """The newest change of a memory, planned ones included."""
        return self._last.get(memory_id)

    def put(self, memory_id: str, after: Memory | None, change_id: str) -> None:
        """Plan to have a memory as given (None: deleted); its own history goes on."""
        model = after.model if after else None
        self._write(self._change(memory_id, after, change_id=change_id, model=model))

    def take_in(self, memory: Memory, *, deleted: bool, change_id: str) -> None:
        """Plan a memory (or a deleted one) that nobody here knows, with the life it had elsewhere.

        The log is told its versions, then of its coming: a touch before which there was no memory
        here, so that undoing it takes the memory away again. One without a history begins with its
        coming. The store gets it exactly as given.
        """
        known = adopted_changes(memory, deleted=deleted) if memory.history or deleted else []
        for change in known:
            self._log(change)
        kept = replace(memory, score=None)
        if deleted:
            self._place(known[-1], kept)
            return
        coming = self._change(memory.id, memory, change_id=change_id, model=memory.model)
        coming = replace(coming, after=bare(memory))
        if known:
            coming = replace(coming, kind=ChangeKind.TOUCH)
        else:
            kept = replace(kept, history=(version_of(coming),))
        self._log(coming)
        self._place(coming, kept)

    def _adopt(self, memory_id: str) -> None:
        live, dead = self._live.get(memory_id), self._deleted.get(memory_id)
        last = self._last.get(memory_id)
        changes: list[Change] = []
        if last is None and (memory := live or dead) is not None:
            changes = adopted_changes(memory, deleted=live is None)
        elif last is not None and (last.content) != (live.content if live else None):
            cause = "outside" if live else self._vanished
            at = live.updated_at if live else datetime.now(UTC)
            changes = [outside_change(last, live, at, cause)]
        self.settled += changes
        if changes:
            self._last[memory_id] = changes[-1]

    def _add(self, action: MemoryAction) -> None:
        key = target(action)
        memory = self._live.get(key)
        if self._was_applied(action, key):
            return
        if action.type is ActionType.INSERT:
            self._insert(action, key)
        elif memory is None:
            self._reject(action, f"no memory has the id {key!r} any more")
        elif action.type is ActionType.UPDATE:
            self._update(action, memory)
        elif action.type is ActionType.DELETE:
            self._do(replace(action, previous=memory.content), key, None)

    def _is_applied(self, action: MemoryAction) -> bool:
        key, change_id = target(action), action.change_id or ""
        if (key, change_id) in self._applied:
            return True
        return any(version.change_id == change_id for version in self._history(key))

    def _was_applied(self, action: MemoryAction, key: str) -> bool:
        if not self._is_applied(action):
            return False
        logged = self._applied.get((key, action.change_id or ""))
        if logged is not None:
            previous = logged.previous
        else:
            history = self._history(key)
            position = [version.change_id for version in history].index(action.change_id or "")
            previous = history[position - 1].content if position else None
        self._actions.append(replace(action, memory_id=key, previous=previous))
        self._written[key] = None
        return True

    def _history(self, key: str) -> tuple[MemoryVersion, ...]:
        memory = self._live.get(key) or self._deleted.get(key)
        return memory.history if memory else ()

    def _insert(self, action: MemoryAction, key: str) -> None:
        memory = Memory(
            id=key,
            content=action.content,
            namespace=self.namespace,
            created_at=self._now,
            updated_at=self._now,
            skills=action.skills,
            sources=tuple(self._sources(action)),
            model=self._cause.model,
        )
        self._do(replace(action, memory_id=key), key, memory)

    def _update(self, action: MemoryAction, memory: Memory) -> None:
        is_touch = action.content == memory.content
        changed = replace(
            memory,
            content=action.content,
            updated_at=self._now,
            skills=_merged(memory.skills, action.skills),
            sources=_merged(memory.sources, self._sources(action)),
            model=memory.model if is_touch else self._cause.model,
        )
        self._do(replace(action, previous=memory.content), memory.id, changed)

    def _do(self, action: MemoryAction, memory_id: str, after: Memory | None) -> None:
        change = self._change(
            memory_id,
            after,
            change_id=action.change_id or "",
            model=self._cause.model,
            skills=action.skills,
            span_id=action.span_id,
        )
        self._write(change)
        self._actions.append(action)
        if after is not None:
            self._written[memory_id] = None

    def _change(
        self,
        memory_id: str,
        after: Memory | None,
        *,
        change_id: str,
        model: str | None,
        skills: tuple[str, ...] = (),
        span_id: str | None = None,
        undoes: str | None = None,
    ) -> Change:
        last, before = self._last.get(memory_id), bare(self._live.get(memory_id))
        # Two changes of a memory in one step need two times, or no time lies between them.
        at = self._now if last is None else max(self._now, last.at + TICK)
        return Change(
            id=change_id,
            memory_id=memory_id,
            namespace=self.namespace,
            version=1 if last is None else last.version + 1,
            kind=kind_of(before, after),
            cause=self._cause.kind,
            before=before,
            after=after and replace(after, history=(), score=None, updated_at=at),
            skills=skills,
            model=model,
            span_id=span_id,
            thread_id=self._cause.thread_id,
            run_id=self._cause.run_id or run_of(span_id),
            at=at,
            undoes=undoes,
        )

    def _write(self, change: Change) -> None:
        self._log(change)
        before = self._live.get(change.memory_id) or self._deleted.get(change.memory_id)
        history = full_history(before) if before else ()
        if change.kind is not ChangeKind.TOUCH:
            history = (*history, version_of(change))
        memory = change.after or change.before
        if memory is None:
            raise AssertionError(f"a change from nothing to nothing: {change!r}")
        kept = memory if change.after else replace(memory, updated_at=change.at)
        self._place(change, replace(kept, history=history))

    def _log(self, change: Change) -> None:
        self.pending.append(change)
        self._last[change.memory_id] = change

    def _place(self, change: Change, memory: Memory) -> None:
        self.writes += put_state(change, memory)
        self._live.pop(memory.id, None)
        was_deleted = self._deleted.pop(memory.id, None) is not None
        if change.after is None:
            self._deleted[memory.id] = memory
        else:
            self._live[memory.id] = memory
            if was_deleted:
                self.writes.append(remove_tombstone(self.namespace, memory.id))

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


def _merged(old: Sequence[EntryT], new: Iterable[EntryT]) -> tuple[EntryT, ...]:
    return tuple(dict.fromkeys([*old, *new]))
