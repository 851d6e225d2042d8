"""Changes the memories of a store, one critical section a namespace, and logs every change."""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from langgraph.store.base import BaseStore

from langgraph_memskill.errors import ConflictError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change, MemoryAction
from langgraph_memskill.stores.change_plans import (
    Applied,
    Cause,
    Plan,
    State,
    reads,
    revisions_of,
    state_of,
)
from langgraph_memskill.stores.changes import ChangeLog, Known
from langgraph_memskill.stores.merging import Merger, as_before
from langgraph_memskill.stores.outdated import target
from langgraph_memskill.stores.recovery import lost_changes, redo_writes
from langgraph_memskill.stores.undoing import undo_order
from langgraph_memskill.stores.write_batches import write_batches

__all__ = ["Applied", "Cause", "MemoryWriter"]

logger = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")
_LEFT = "the next writer brings to an end what could be neither written nor read back"
_ATTEMPTS = 10  # then somebody who writes past this writer wins
_PAUSE_S = 0.1  # a writer who lost waits for at most this long, by chance, or the two meet again
_Make = Callable[[State, Known], Plan]


class MemoryWriter:
    """Writes to the memories of one store, namespace by namespace.

    Reading the present state and writing the next one is one critical section a namespace, for the
    threads, the tasks and (if the log is a file) the processes that use the same log. In it the
    changes go into the log as pending, then into the store, then they are settled; what a crash
    leaves pending is brought to its end by the next writer. A change that was applied before (a
    graph resumed after a crash runs its last node again) is recognised by its id.

    Who writes without this log is noticed where the store can compare and set (Chroma, Postgres):
    the changes are then planned again on what is there now.
    """

    def __init__(self, store: BaseStore, log: ChangeLog | None = None) -> None:
        """Make a writer.

        Args:
            store: Any LangGraph store.
            log: Its change log; None takes the in-memory log of the store object.
        """
        self.store = store
        self.log = ChangeLog.beside(store) if log is None else log

    def apply(
        self,
        namespace: Namespace,
        actions: Sequence[MemoryAction],
        cause: Cause,
        *,
        merger: Merger | None = None,
    ) -> Applied:
        """Apply actions in the given order.

        Args:
            namespace: Whose memories.
            actions: Checked actions; each needs a `change_id`.
            cause: What goes into the log and the history.
            merger: Rewrites the actions first; None applies them as they are.

        Returns:
            What was applied, what was not and why, and the memories as they are now.

        Raises:
            StoreError: If the store or the log cannot be read or written; then log and store say
                the same, or the next writer makes them so.
            ConflictError: If somebody without this log kept writing the same items.
        """
        with self.hold(namespace):
            if merger is not None:
                known = self.log.look(namespace, (), _change_ids(actions))
                actions = merger.merge(namespace, as_before(actions, known), cause.spans)
            ids, make = self._planner(namespace, actions, cause)
            return self._change(namespace, ids, _change_ids(actions), make).result()

    async def aapply(
        self,
        namespace: Namespace,
        actions: Sequence[MemoryAction],
        cause: Cause,
        *,
        merger: Merger | None = None,
    ) -> Applied:
        """Like `apply`, without blocking the event loop.

        If the task is cancelled while it writes, the writing is still brought to its end.
        """

        async def change() -> Applied:
            merged = actions
            if merger is not None:
                look = self.log.look
                known = await asyncio.to_thread(look, namespace, (), _change_ids(actions))
                merged = await merger.amerge(namespace, as_before(actions, known), cause.spans)
            ids, make = self._planner(namespace, merged, cause)
            plan = await self._achange(namespace, ids, _change_ids(merged), make)
            return plan.result()

        return await self.ahold_and(namespace, change)

    @contextmanager
    def hold(self, namespace: Namespace) -> Iterator[None]:
        """Keep all other writers out of a namespace, and its log and store in agreement."""
        with self.log.locks.hold(namespace):
            self._recover(namespace)
            yield

    async def ahold_and(
        self, namespace: Namespace, do: Callable[[], Awaitable[ResultT]]
    ) -> ResultT:
        """Do something while all other writers are kept out of a namespace.

        A cancelled caller does not break it off: other writers must not come in between.
        """
        release = await self.log.locks.aacquire(namespace)

        async def work() -> ResultT:
            await self._arecover(namespace)
            return await do()

        task = asyncio.ensure_future(work())
        task.add_done_callback(lambda _: release())
        return await asyncio.shield(task)

    def recover(self) -> None:
        """Bring what a crash left pending to its end, in all namespaces."""
        for namespace in self.log.namespaces(pending=True):
            with self.hold(namespace):
                pass

    async def arecover(self) -> None:
        """Like `recover`, without blocking the event loop."""
        for namespace in await asyncio.to_thread(lambda: self.log.namespaces(pending=True)):
            await self.ahold_and(namespace, _nothing)

    def reconcile(self, namespace: Namespace, memory_ids: Sequence[str]) -> list[Change]:
        """Tell the log how memories are in the store now.

        What the log does not know is entered with the memory's own history; what somebody else
        changed, or what expired, as one change with the cause "outside" or "ttl".

        Returns:
            The new entries.
        """
        _, make = self._planner(namespace, (), Cause(kind="outside"), memory_ids)
        with self.hold(namespace):
            return self._change(namespace, memory_ids, (), make).settled

    async def areconcile(self, namespace: Namespace, memory_ids: Sequence[str]) -> list[Change]:
        """Like `reconcile`, without blocking the event loop."""
        _, make = self._planner(namespace, (), Cause(kind="outside"), memory_ids)

        async def change() -> list[Change]:
            return (await self._achange(namespace, memory_ids, (), make)).settled

        return await self.ahold_and(namespace, change)

    def carry_out(
        self,
        namespace: Namespace,
        memory_ids: Sequence[str],
        cause: Cause,
        plan_changes: Callable[[Plan], None],
    ) -> None:
        """Make the changes that a function plans, in one critical section.

        Args:
            namespace: Whose memories.
            memory_ids: All memories that the plan may look at or change.
            cause: What goes into the log.
            plan_changes: Looks at the present state and plans; what it raises changes nothing. If
                somebody else writes in between it is called again, with a new plan.
        """

        def make(state: State, known: Known) -> Plan:
            plan = self._plan(namespace, cause, memory_ids, state, known)
            plan_changes(plan)
            return plan

        with self.hold(namespace):
            self._change(namespace, memory_ids, (), make)

    def look(self, namespace: Namespace, memory_ids: Sequence[str], cause: Cause) -> Plan:
        """The plan that `carry_out` would begin with, to be looked at only."""
        state = state_of(memory_ids, self.store.batch(reads(namespace, memory_ids)))
        known = self.log.look(namespace, memory_ids)
        return self._plan(namespace, cause, memory_ids, state, known)

    def undo(
        self,
        namespace: Namespace,
        wanted: Sequence[Change],
        thread: str | None,
        run_id: str | None = None,
    ) -> str:
        """Take changes back, all or none.

        Args:
            namespace: Whose memories.
            wanted: One change, or those of a run.
            thread: The LangGraph thread that it is done from.
            run_id: The run id of the changes that take them back; None makes one.

        Returns:
            That run id.

        Raises:
            UndoError: If a later change is in the way, or there is nothing to take back.
        """
        ids, run_id, make = self._undo_planner(namespace, wanted, thread, run_id)
        with self.hold(namespace):
            self._change(namespace, ids, (), make)
        return run_id

    async def aundo(
        self,
        namespace: Namespace,
        wanted: Sequence[Change],
        thread: str | None,
        run_id: str | None = None,
    ) -> str:
        """Like `undo`, without blocking the event loop."""
        ids, run_id, make = self._undo_planner(namespace, wanted, thread, run_id)

        async def change() -> str:
            await self._achange(namespace, ids, (), make)
            return run_id

        return await self.ahold_and(namespace, change)

    def _planner(
        self,
        namespace: Namespace,
        actions: Sequence[MemoryAction],
        cause: Cause,
        others: Sequence[str] = (),
    ) -> tuple[list[str], _Make]:
        ids = list(dict.fromkeys([*(target(action) for action in actions), *others]))

        def make(state: State, known: Known) -> Plan:
            plan = self._plan(namespace, cause, ids, state, known)
            plan.apply(actions)
            return plan

        return ids, make

    def _undo_planner(
        self,
        namespace: Namespace,
        wanted: Sequence[Change],
        thread: str | None,
        given_run_id: str | None,
    ) -> tuple[list[str], str, _Make]:
        ids = list({change.memory_id: None for change in wanted})
        run_id = given_run_id or uuid.uuid4().hex
        cause = Cause(kind="undo", run_id=run_id, thread_id=thread)

        def make(state: State, known: Known) -> Plan:
            plan = self._plan(namespace, cause, ids, state, known)
            if plan.settled:  # what somebody else did may be in the way, and has to be named
                self.log.append((), plan.settled)
                plan.settled.clear()
            logged = {key: self.log.entries(namespace, memory_id=key) for key in ids}
            for change in undo_order(wanted, logged):
                plan.undo(change, uuid.uuid4().hex)
            return plan

        return ids, run_id, make

    def _plan(
        self,
        namespace: Namespace,
        cause: Cause,
        ids: Sequence[str] | set[str],
        state: State,
        known: Known,
    ) -> Plan:
        has_ttl = getattr(self.store, "ttl_config", None) is not None
        vanished = "ttl" if has_ttl else "outside"
        return Plan(namespace, cause, ids, state, known, vanished)

    def _change(
        self, namespace: Namespace, ids: Sequence[str], change_ids: Sequence[str], make: _Make
    ) -> Plan:
        for attempts_left in reversed(range(_ATTEMPTS)):
            found = self.store.batch(reads(namespace, ids))
            plan = self._begin(make, namespace, ids, found, change_ids)
            try:
                for batch in write_batches(self.store, plan.writes, revisions_of(found)):
                    self.store.batch(batch)
            except Exception as error:
                self._give_up(namespace, plan)
                if not attempts_left or not isinstance(error, ConflictError):
                    raise
                time.sleep(random.uniform(0, _PAUSE_S))
                continue
            if plan.pending:
                self.log.settle(namespace)
            break
        return plan

    async def _achange(
        self, namespace: Namespace, ids: Sequence[str], change_ids: Sequence[str], make: _Make
    ) -> Plan:
        for attempts_left in reversed(range(_ATTEMPTS)):
            found = await self.store.abatch(reads(namespace, ids))
            plan = await asyncio.to_thread(self._begin, make, namespace, ids, found, change_ids)
            try:
                for batch in write_batches(self.store, plan.writes, revisions_of(found)):
                    await self.store.abatch(batch)
            except Exception as error:
                await self._agive_up(namespace, plan)
                if not attempts_left or not isinstance(error, ConflictError):
                    raise
                await asyncio.sleep(random.uniform(0, _PAUSE_S))
                continue
            if plan.pending:
                await asyncio.to_thread(self.log.settle, namespace)
            break
        return plan

    def _begin(
        self,
        make: _Make,
        namespace: Namespace,
        ids: Sequence[str],
        found: Sequence[object],
        change_ids: Sequence[str],
    ) -> Plan:
        plan = make(state_of(ids, found), self.log.look(namespace, ids, change_ids))
        if plan.pending or plan.settled:
            self.log.append(plan.pending, plan.settled)
        return plan

    def _give_up(self, namespace: Namespace, plan: Plan) -> None:
        """Let the log say what the store has of a plan that could not be written.

        If that cannot be read, the changes stay pending and the next writer makes them.
        """
        ids = list(dict.fromkeys(change.memory_id for change in plan.pending))
        try:
            state = state_of(ids, self.store.batch(reads(namespace, ids)))
            self.log.settle(namespace, dropped=lost_changes(plan.pending, state))
        except Exception:  # what broke the writing is the error to be seen
            logger.exception(_LEFT)

    async def _agive_up(self, namespace: Namespace, plan: Plan) -> None:
        ids = list(dict.fromkeys(change.memory_id for change in plan.pending))
        try:
            state = state_of(ids, await self.store.abatch(reads(namespace, ids)))
            lost = lost_changes(plan.pending, state)
            await asyncio.to_thread(lambda: self.log.settle(namespace, dropped=lost))
        except Exception:  # what broke the writing is the error to be seen
            logger.exception(_LEFT)

    def _recover(self, namespace: Namespace) -> None:
        if not self.log.look(namespace, ()).pending:
            return
        for batch in write_batches(self.store, redo_writes(self.log, namespace)):
            self.store.batch(batch)
        self.log.settle(namespace)

    async def _arecover(self, namespace: Namespace) -> None:
        known = await asyncio.to_thread(self.log.look, namespace, ())
        if not known.pending:
            return
        for batch in write_batches(
            self.store, await asyncio.to_thread(redo_writes, self.log, namespace)
        ):
            await self.store.abatch(batch)
        await asyncio.to_thread(self.log.settle, namespace)


async def _nothing() -> None:
    """What `arecover` does once a namespace is recovered."""


def _change_ids(actions: Sequence[MemoryAction]) -> list[str]:
    return [action.change_id for action in actions if action.change_id is not None]
