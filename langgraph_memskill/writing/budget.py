"""Keeps budgets: counts what a user's spans cost in the store, and says when it is enough."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from langgraph_memskill.namespaces import Namespace, internal_namespace
from langgraph_memskill.records import UNPAID, Usage
from langgraph_memskill.settings import Budget
from langgraph_memskill.state import dump, load
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.locks import NamespaceLocks
from langgraph_memskill.writing.usage import UserUsage, utc_day

_NAMESPACE = internal_namespace("usage")
_KEPT_DAYS = 31
_ONE_CALL = Usage(calls=1)

_Change = Callable[[UserUsage], tuple[UserUsage | None, str | None]]


class BudgetKeeper:
    """Counts model calls against budgets.

    A call is taken before it is made, its tokens are added after it. What a user spends is one
    item of the store, changed under a lock: of the threads, the tasks and, if the change log is a
    file, the processes that share that log. So calls are never more than the limit. (Processes that
    share a store but no log file can lose each other's counts while both write at one moment: each
    of them then makes at most one call a simultaneous write beyond the limit.) Tokens are known
    after a call only: they go beyond by what the calls take that are under way at that moment.
    """

    def __init__(self, budgets: Sequence[Budget], locks: NamespaceLocks | None = None) -> None:
        """Keep some budgets.

        Args:
            budgets: The limits.
            locks: The locks of the store's change log; None takes those of the store object.
        """
        self._of_run = [budget for budget in budgets if budget.per == "run"]
        self._of_user = [budget for budget in budgets if budget.per != "run"]
        self._locks = locks

    @property
    def counts_users(self) -> bool:
        """Whether there is a budget of users, so that what they spend is kept in the store."""
        return bool(self._of_user)

    def calls_left(self, spent: Usage) -> int | None:
        """How many calls a run may still make; None if nothing limits it.

        Args:
            spent: What the run has cost so far.
        """
        if any(b.tokens is not None and spent.tokens >= b.tokens for b in self._of_run):
            return 0
        left = [max(0, b.calls - spent.calls) for b in self._of_run if b.calls is not None]
        return min(left, default=None)

    def run_reason(self, spent: Usage) -> str | None:
        """Why a run may make no more calls; None if it may."""
        return next((r for b in self._of_run if (r := _exhausted(b, spent))), None)

    def reason(self, store: BaseStore, namespace: Namespace) -> str | None:
        """Why a user's spans cannot be read any more; None if they can."""
        if not self._of_user:
            return None
        return self._user_reason(read_usage(store, namespace))

    async def areason(self, store: BaseStore, namespace: Namespace) -> str | None:
        """Like `reason`, without blocking the event loop."""
        if not self._of_user:
            return None
        return self._user_reason(await aread_usage(store, namespace))

    def take(self, store: BaseStore, namespace: Namespace) -> str | None:
        """Count one call that is about to be made.

        Returns:
            Why it must not be made (then it is not counted either); None if it may.
        """
        return self._change(store, namespace, self._take) if self._of_user else None

    async def atake(self, store: BaseStore, namespace: Namespace) -> str | None:
        """Like `take`, without blocking the event loop."""
        return await self._achange(store, namespace, self._take) if self._of_user else None

    def add_tokens(self, store: BaseStore, namespace: Namespace, usage: Usage) -> None:
        """Count what a call took that `take` has counted already."""
        if self._of_user:
            more = replace(usage, calls=0)
            self._change(store, namespace, lambda before: (_more(before, more), None))

    async def aadd_tokens(self, store: BaseStore, namespace: Namespace, usage: Usage) -> None:
        """Like `add_tokens`, without blocking the event loop."""
        if self._of_user:
            more = replace(usage, calls=0)
            await self._achange(store, namespace, lambda before: (_more(before, more), None))

    def _user_reason(self, usage: UserUsage) -> str | None:
        for budget in self._of_user:
            spent = usage.total if budget.per == "user" else usage.on(utc_day())
            if reason := _exhausted(budget, spent):
                return reason
        return None

    def _take(self, usage: UserUsage) -> tuple[UserUsage | None, str | None]:
        reason = self._user_reason(usage)
        return (None, reason) if reason else (_more(usage, _ONE_CALL), None)

    def _locks_of(self, store: BaseStore) -> NamespaceLocks:
        return ChangeLog.beside(store).locks if self._locks is None else self._locks

    def _change(self, store: BaseStore, namespace: Namespace, change: _Change) -> str | None:
        with self._locks_of(store).hold((*_NAMESPACE, *namespace)):
            usage, reason = change(read_usage(store, namespace))
            if usage is not None:
                store.batch([_put(namespace, usage)])
            return reason

    async def _achange(self, store: BaseStore, namespace: Namespace, change: _Change) -> str | None:
        async def work() -> str | None:
            async with self._locks_of(store).ahold((*_NAMESPACE, *namespace)):
                usage, reason = change(await aread_usage(store, namespace))
                if usage is not None:
                    await store.abatch([_put(namespace, usage)])
                return reason

        # A cancelled caller must not give the lock back while the store still writes.
        return await asyncio.shield(asyncio.ensure_future(work()))


def read_usage(store: BaseStore, namespace: Namespace) -> UserUsage:
    """What the spans of a namespace have cost; nothing if no budget had it counted."""
    return _usage(store.batch([GetOp(_NAMESPACE, _key(namespace))])[0])


async def aread_usage(store: BaseStore, namespace: Namespace) -> UserUsage:
    """Like `read_usage`, without blocking the event loop."""
    return _usage((await store.abatch([GetOp(_NAMESPACE, _key(namespace))]))[0])


def _exhausted(budget: Budget, spent: Usage) -> str | None:
    period = {"run": "this run", "day": "this user today (UTC)", "user": "this user"}[budget.per]
    for used, limit, unit in (
        (spent.calls, budget.calls, "calls"),
        (spent.tokens, budget.tokens, "tokens"),
    ):
        if limit is not None and used >= limit:
            return f"{UNPAID}: {used} of {limit} {unit} for {period} are used up"
    return None


def _more(before: UserUsage, usage: Usage) -> UserUsage:
    today = utc_day()
    days = {**before.days, today: before.on(today) + usage}
    kept = sorted(days)[-_KEPT_DAYS:]
    return UserUsage(total=before.total + usage, days={day: days[day] for day in kept})


def _key(namespace: Namespace) -> str:
    return json.dumps(list(namespace))


def _put(namespace: Namespace, usage: UserUsage) -> PutOp:
    return PutOp(_NAMESPACE, _key(namespace), dump(usage), index=False)


def _usage(found: object) -> UserUsage:
    return load(UserUsage, found.value) if isinstance(found, Item) else UserUsage()
