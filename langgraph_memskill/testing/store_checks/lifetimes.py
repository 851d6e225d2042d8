"""Checks of times to live, and of stores that have none."""

from typing import Any

import pytest
from langgraph.store.base import PutOp

from langgraph_memskill.testing.cases import Case, attribute, skip


class LifetimeChecks:
    """Items that expire."""

    def _minutes(self, case: Case) -> float:
        return case.ttl_s / 60

    def _setting(self, case: Case, name: str) -> Any:
        return (case.store.ttl_config or {}).get(name)

    def _needs_expiry(self, case: Case) -> None:
        """Skip where nothing says when an expired item goes."""
        case.needs(case.can.ttl)
        if attribute(case.store, "sweep_ttl") is None and not self._setting(case, "omit_expired"):
            skip("the store has neither sweep_ttl nor omit_expired: it may delete when it likes")

    def test_tt01_ttl_is_refused_without_support(self, case: Case) -> None:
        """A store without support refuses a time to live, and takes ttl=None.

        Where: base, `BaseStore.put`: NotImplementedError "TTL is not supported by".
        """
        if case.can.ttl is None:
            skip("the store supports times to live")
        with pytest.raises(NotImplementedError):
            case.put(case.ns("a"), "k", {"n": 1}, ttl=5)
        assert case.get(case.ns("a"), "k") is None
        case.put(case.ns("a"), "k", {"n": 1}, ttl=None)
        assert case.value(case.ns("a"), "k") == {"n": 1}

    def test_tt02_item_lives_until_then(self, case: Case) -> None:
        """An item with a time to live is there as any other before the time is over.

        Where: base, `PutOp.ttl`: "the item will expire this many minutes after".
        """
        case.needs(case.can.ttl)
        case.put(case.ns("a"), "k", {"n": 1}, ttl=60)
        case.sweep()
        assert case.value(case.ns("a"), "k") == {"n": 1}
        assert case.found(case.ns("a")) == ["k"]
        assert case.listed() == [case.ns("a")]

    def test_tt03_item_expires(self, case: Case) -> None:
        """An expired item is gone from get, search and list, after the sweep at the latest.

        Where: base, `BaseStore.put(ttl=)`: "Time to live in minutes".
        """
        self._needs_expiry(case)
        case.put(case.ns("a"), "k", {"text": "a"}, ttl=self._minutes(case))
        case.put(case.ns("b"), "stays", {"text": "a"})
        case.wait(2 * case.ttl_s)
        case.sweep()
        assert case.get(case.ns("a"), "k") is None
        assert case.found(case.ns()) == ["stays"]
        assert case.found(case.ns(), query="a") == ["stays"]
        assert case.listed() == [case.ns("b")]

    def test_tt04_sweep_counts(self, case: Case) -> None:
        """`sweep_ttl` says how many items it deleted.

        Where: PostgresStore and SqliteStore, `sweep_ttl`: "The number of deleted items".
        """
        self._needs_expiry(case)
        if attribute(case.store, "sweep_ttl") is None:
            skip("the store has no sweep_ttl")
        case.sweep()
        for key in ("k1", "k2", "k3"):
            case.put(case.ns("a"), key, {"n": 1}, ttl=self._minutes(case))
        case.put(case.ns("a"), "later", {"n": 1}, ttl=60 + 2 * self._minutes(case))
        case.wait(2 * case.ttl_s)
        assert case.sweep() == 3
        assert case.sweep() == 0
        assert case.found(case.ns("a")) == ["later"]

    def test_tt05_put_without_ttl_lives_for_ever(self, case: Case) -> None:
        """A put with ttl=None over an item that would expire makes it stay.

        Where: base, `BaseStore.put(ttl=)`: "None means no expiration".
        """
        self._needs_expiry(case)
        case.put(case.ns("a"), "k", {"n": 1}, ttl=self._minutes(case))
        case.put(case.ns("a"), "k", {"n": 2}, ttl=None)
        case.wait(2 * case.ttl_s)
        case.sweep()
        assert case.value(case.ns("a"), "k") == {"n": 2}

    def test_tt06_write_refreshes(self, case: Case) -> None:
        """A put begins the time anew.

        Where: base, `PutOp.ttl`: "refreshes on both read operations ... and write operations".
        """
        self._needs_expiry(case)
        minutes = self._minutes(case)
        case.put(case.ns("a"), "k", {"n": 1}, ttl=minutes)
        case.wait(0.6 * case.ttl_s)
        case.put(case.ns("a"), "k", {"n": 2}, ttl=minutes)
        case.wait(0.6 * case.ttl_s)
        case.sweep()
        assert case.value(case.ns("a"), "k") == {"n": 2}
        case.delete(case.ns("a"), "k")  # so that no later sweep counts it

    @pytest.mark.parametrize("way", ["get", "search"])
    def test_tt07_read_refreshes(self, case: Case, way: str) -> None:
        """A get or search that finds the item begins its time anew, unless the store is set not to.

        Where: base, `TTLConfig.refresh_on_read`: "Defaults to `True` if not configured".
        """
        self._needs_expiry(case)
        if self._setting(case, "refresh_on_read") is False:
            skip("the store is configured with refresh_on_read=False")
        self._read_on_the_way(case, way, None)
        assert case.value(case.ns("a"), "k") == {"n": 1}
        case.delete(case.ns("a"), "k")

    @pytest.mark.parametrize("way", ["get", "search"])
    def test_tt08_refresh_ttl_false(self, case: Case, way: str) -> None:
        """A get or search with refresh_ttl=False does not.

        Where: base, `GetOp.refresh_ttl` and `SearchOp.refresh_ttl`.
        """
        self._needs_expiry(case)
        self._read_on_the_way(case, way, False)
        assert case.get(case.ns("a"), "k", refresh_ttl=False) is None

    @pytest.mark.parametrize("way", ["get", "search"])
    def test_tt09_refresh_ttl_true(self, case: Case, way: str) -> None:
        """A get or search with refresh_ttl=True does, whatever the store is set to.

        Where: base, `TTLConfig.refresh_on_read`: "can be overridden per-operation".
        """
        self._needs_expiry(case)
        self._read_on_the_way(case, way, True)
        assert case.value(case.ns("a"), "k") == {"n": 1}
        case.delete(case.ns("a"), "k")

    def _read_on_the_way(self, case: Case, way: str, refresh_ttl: bool | None) -> None:
        case.put(case.ns("a"), "k", {"n": 1}, ttl=self._minutes(case))
        case.wait(0.6 * case.ttl_s)
        if way == "get":
            assert case.get(case.ns("a"), "k", refresh_ttl=refresh_ttl) is not None
        else:
            assert len(case.search(case.ns("a"), refresh_ttl=refresh_ttl)) == 1
        case.wait(0.6 * case.ttl_s)
        case.sweep()

    def test_tt10_expired_items_are_hidden(self, case: Case) -> None:
        """With "omit_expired", an expired item is not returned or listed even before a sweep.

        Where: base, `TTLConfig.omit_expired`.
        """
        case.needs(case.can.ttl)
        if not self._setting(case, "omit_expired"):
            skip("the store is not configured with omit_expired=True")
        case.put(case.ns("a"), "k", {"text": "a"}, ttl=self._minutes(case))
        case.put(case.ns("b"), "stays", {"text": "a"})
        case.wait(2 * case.ttl_s)
        assert case.get(case.ns("a"), "k") is None
        assert case.found(case.ns()) == ["stays"]
        assert case.found(case.ns(), query="a") == ["stays"]
        assert case.listed() == [case.ns("b")]

    def test_tt11_items_of_a_batch(self, case: Case) -> None:
        """`PutOp.ttl` in a batch counts for its own item.

        Where: base, `PutOp.ttl`.
        """
        self._needs_expiry(case)
        case.batch(
            PutOp(case.ns("a"), "short", {"n": 1}, ttl=self._minutes(case)),
            PutOp(case.ns("a"), "long", {"n": 2}, ttl=60 + 2 * self._minutes(case)),
            PutOp(case.ns("a"), "for ever", {"n": 3}),
        )
        case.wait(2 * case.ttl_s)
        case.sweep()
        assert sorted(case.found(case.ns("a"))) == ["for ever", "long"]
