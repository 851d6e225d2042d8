"""Evolutions that outlive a process: kept in a checkpointer, decided and gone on with later."""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, cast

from filelock import FileLock, Timeout
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot

from langgraph_memskill.errors import EvolutionError
from langgraph_memskill.evolution.approval import Decision, decide
from langgraph_memskill.evolution.evolving import result_of
from langgraph_memskill.evolution.nodes.check import checked
from langgraph_memskill.evolution.records import EvolutionResult, HardCase, ProposedChange
from langgraph_memskill.evolution.state import EvolutionState, bank_of
from langgraph_memskill.graphs.evolution import EvolutionParts, build_evolution_graph
from langgraph_memskill.state import dump, dump_all, load_all

_BUSY_MS = 60_000
_APPROVE = "approve"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvolution:
    """An evolution that is not at its end."""

    id: str
    started_at: str
    """ISO time."""
    node: str
    """What comes next: "approve" if it waits for a decision; otherwise it was broken off there."""
    designer: str
    """Name of the designer's model."""
    result: EvolutionResult
    """What it has come to so far."""

    @property
    def is_waiting(self) -> bool:
        """Whether a person has to decide; otherwise it only has to go on."""
        return self.node == _APPROVE


class EvolutionRuns:
    """The evolutions of one bank; while one is not at its end no other is started."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Look at a file.

        Args:
            path: The file, made by the first evolution; None keeps them in this process.
        """
        self._path = None if path is None else Path(path)
        self._connection: sqlite3.Connection | None = None
        self._busy = Lock()

    def start(self, parts: EvolutionParts, start: EvolutionState) -> EvolutionResult:
        """Run an evolution until its end, or until a person has to decide.

        Raises:
            EvolutionError: If another one is not at its end.
        """
        with self._working() as saver:
            graph = build_evolution_graph(parts, checkpointer=saver)
            if pending := self._pending(graph, saver):
                raise EvolutionError(_in_the_way(pending[0]))
            graph.invoke(start, _config(start["id"]), durability="sync")
            return self._settle(graph, saver, start["id"])

    def resume(
        self, parts: EvolutionParts, evolution_id: str, decision: Decision | None = None
    ) -> EvolutionResult:
        """Go on with an evolution.

        Args:
            parts: As for the start; where only a decision is missing the designer may be, too.
            evolution_id: Its id, or first characters of it.
            decision: What a person decided, if it waits for that.

        Raises:
            EvolutionError: If there is none of that id, the decision is missing or does not fit, or
                an edited text breaks a rule. Nothing is changed then.
        """
        with self._working() as saver:
            graph = build_evolution_graph(parts, checkpointer=saver)
            known = self._pending(graph, saver)
            pending = _found(known, evolution_id)
            config = _config(pending.id)
            if pending.is_waiting:
                if decision is None:
                    raise EvolutionError(
                        f"evolution {pending.id[:8]} waits for a decision: accept, refuse or edit "
                        "its changes"
                    )
                _check_edits(graph.get_state(config), decision, parts)
                graph.invoke(Command(resume=dump(decision)), config, durability="sync")
            else:
                if decision is not None:
                    raise EvolutionError(
                        f"evolution {pending.id[:8]} was broken off before {pending.node!r} and "
                        "has nothing to decide yet: resume it first"
                    )
                graph.invoke(None, config, durability="sync")
            return self._settle(graph, saver, pending.id)

    def pending(self, parts: EvolutionParts) -> list[PendingEvolution]:
        """The evolutions that wait or were broken off, oldest first."""
        if self._connection is None and (self._path is None or not self._path.exists()):
            return []
        with self._working() as saver:
            return self._pending(build_evolution_graph(parts, checkpointer=saver), saver)

    def discard(self, parts: EvolutionParts, evolution_id: str) -> PendingEvolution:
        """Forget an evolution that is not at its end; the bank stays as it is.

        Raises:
            EvolutionError: If there is none of that id.
        """
        with self._working() as saver:
            graph = build_evolution_graph(parts, checkpointer=saver)
            pending = _found(self._pending(graph, saver), evolution_id)
            self._forget(saver, [pending.id])
            return pending

    def purge(self, is_meant: Callable[[HardCase], bool]) -> int:
        """Forget every evolution that holds a case, and rewrite the file without its texts.

        Returns:
            How many were forgotten.
        """
        if self._connection is None and (self._path is None or not self._path.exists()):
            return 0
        with self._working() as saver:
            gone = [
                thread for thread in _threads(saver) if any(map(is_meant, _cases(saver, thread)))
            ]
            self._forget(saver, gone)
        return len(gone)

    def close(self) -> None:
        """Close the file. Closing twice is no error."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _settle(
        self, graph: CompiledStateGraph[Any, Any, Any, Any], saver: SqliteSaver, thread: str
    ) -> EvolutionResult:
        """The result; what is at its end is forgotten, as the bank's versions tell of it."""
        snapshot = graph.get_state(_config(thread))
        result = result_of(snapshot.values)
        if not snapshot.next:
            self._forget(saver, [thread])
        return result

    def _pending(
        self, graph: CompiledStateGraph[Any, Any, Any, Any], saver: SqliteSaver
    ) -> list[PendingEvolution]:
        found, finished = [], []
        for thread in _threads(saver):
            snapshot = graph.get_state(_config(thread))
            if snapshot.next and "bank" in snapshot.values:
                found.append(_told(thread, snapshot))
            else:
                # Killed before it could be forgotten, or before it had asked or read anything.
                finished.append(thread)
        self._forget(saver, finished)
        return sorted(found, key=lambda pending: (pending.started_at, pending.id))

    def _forget(self, saver: SqliteSaver, threads: Collection[str]) -> None:
        for thread in threads:
            saver.delete_thread(thread)
        if threads and self._connection is not None:
            self._connection.commit()
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _working(self) -> Iterator[SqliteSaver]:
        """The checkpointer, while no other thread or process works with it."""
        if not self._busy.acquire(blocking=False):
            raise EvolutionError("this memory's skills are evolving already: wait for it")
        try:
            if self._path is None:
                yield SqliteSaver(self._opened())
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock", timeout=0):
                yield SqliteSaver(self._opened())
        except Timeout as error:
            raise EvolutionError(
                f"another process is evolving the skills of {str(self._place)!r}: wait for it"
            ) from error
        except (sqlite3.Error, OSError) as error:
            raise EvolutionError(
                f"the evolutions in {str(self._place)!r} cannot be read or written: {error}"
            ) from error
        finally:
            self._busy.release()

    @property
    def _place(self) -> Path:
        return Path("memory") if self._path is None else self._path.parent

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            where = ":memory:" if self._path is None else self._path
            self._connection = sqlite3.connect(where, check_same_thread=False)
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            self._connection.execute("PRAGMA secure_delete = ON")
        return self._connection


def _config(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


def _threads(saver: SqliteSaver) -> list[str]:
    configs = (entry.config for entry in saver.list(None))
    return list(dict.fromkeys(str(config["configurable"]["thread_id"]) for config in configs))


def _cases(saver: SqliteSaver, thread: str) -> list[HardCase]:
    return [
        case
        for entry in saver.list(_config(thread))
        for key in ("cases", "chosen")
        for case in load_all(HardCase, entry.checkpoint["channel_values"].get(key) or [])
    ]


def _told(thread: str, snapshot: StateSnapshot) -> PendingEvolution:
    values = snapshot.values
    return PendingEvolution(
        id=thread,
        started_at=values.get("at", ""),
        node=snapshot.next[0],
        designer=values.get("designer", ""),
        result=result_of(values),
    )


def _found(pending: list[PendingEvolution], wanted: str) -> PendingEvolution:
    found = [entry for entry in pending if wanted and entry.id.startswith(wanted)]
    if len(found) != 1:
        known = ", ".join(entry.id[:8] for entry in pending) or "none"
        problem = "more than one evolution" if found else "no evolution"
        raise EvolutionError(f"{problem} has the id {wanted!r}; not at their end: {known}")
    return found[0]


def _in_the_way(pending: PendingEvolution) -> str:
    short = pending.id[:8]
    if pending.is_waiting:
        what = "waits for a decision about its changes: decide about it"
    else:
        what = f"was broken off before {pending.node!r}: resume it"
    return f"evolution {short} {what}, or discard it, before another is started"


def _check_edits(snapshot: StateSnapshot, decision: Decision, parts: EvolutionParts) -> None:
    """Refuse a decision whose texts break a rule, while the person can still mend them."""
    state = cast(EvolutionState, snapshot.values)
    wanted, _ = decide(decision, load_all(ProposedChange, state["proposals"]))
    edited = {edit.number for edit in decision.edits}
    if not edited:
        return
    decided: EvolutionState = {**state, "proposals": dump_all(wanted)}
    refused = checked(decided, bank_of(state["bank"]), parts.encoder).rejected
    if refused:
        told = "; ".join(f"{r.proposal.name!r}: {', '.join(r.reasons)}" for r in refused)
        raise EvolutionError(f"the edited changes cannot be made: {told}")
