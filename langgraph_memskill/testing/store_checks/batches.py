"""Checks of `batch` and `abatch`."""

from typing import Any

from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from langgraph_memskill.testing.cases import Case, value_of

_MANY = 400


class BatchChecks:
    """Several operations at once."""

    def test_ba01_results_are_in_order(self, case: Case) -> None:
        """Each operation has its result at its own place; puts and deletes give None.

        Where: base, `BaseStore.batch`: "The order of results matches the order of input".
        """
        case.put_all(case.ns("a"), {"k1": {"n": 1}, "k2": {"n": 2}})
        case.put(case.ns("b"), "k3", {"n": 3})
        mine = MatchCondition("prefix", case.ns())
        results: list[Any] = case.batch(
            GetOp(case.ns("b"), "k3"),
            PutOp(case.ns("c"), "k4", {"n": 4}),
            SearchOp(case.ns("b")),
            ListNamespacesOp((mine,)),
            GetOp(case.ns("a"), "none"),
            GetOp(case.ns("a"), "k2"),
            PutOp(case.ns("a"), "k1", None),
            SearchOp(case.ns("a"), filter={"n": 2}),
            GetOp(case.ns("a"), "k1"),
        )
        assert len(results) == 9
        assert value_of(results[0]) == {"n": 3}
        assert results[1] is None
        assert [item.key for item in results[2]] == ["k3"]
        assert sorted(map(tuple, results[3])) == [case.ns("a"), case.ns("b")]
        assert results[4] is None
        assert value_of(results[5]) == {"n": 2}
        assert results[6] is None
        assert [item.key for item in results[7]] == ["k2"]
        assert value_of(results[8]) == {"n": 1}

    def test_ba02_reads_come_before_writes(self, case: Case) -> None:
        """Reads see the state before the writes of their batch, wherever they stand in it.

        Where: not written; so in InMemoryStore, PostgresStore and SqliteStore (`batch`).
        """
        namespace = case.ns("a")
        case.put(namespace, "k", {"n": 1})
        results: list[Any] = case.batch(
            PutOp(namespace, "k", {"n": 2}),
            PutOp(namespace, "new", {"n": 3}),
            GetOp(namespace, "k"),
            GetOp(namespace, "new"),
            SearchOp(namespace),
            PutOp(case.ns("b"), "k", {"n": 4}),
            ListNamespacesOp((MatchCondition("prefix", case.ns()),)),
        )
        assert value_of(results[2]) == {"n": 1}
        assert results[3] is None
        assert [(item.key, item.value) for item in results[4]] == [("k", {"n": 1})]
        assert list(map(tuple, results[6])) == [namespace]
        assert case.value(namespace, "k") == {"n": 2}

    def test_ba03_last_put_of_a_key_wins(self, case: Case) -> None:
        """Of several puts and deletes of a key in a batch, the last one counts.

        Where: langgraph/store/memory `_prepare_ops`; store/sqlite: "Last-write wins".
        """
        namespace = case.ns("a")
        case.put(namespace, "deleted", {"n": 0})
        case.batch(
            PutOp(namespace, "put", {"n": 1}),
            PutOp(namespace, "deleted", {"n": 1}),
            PutOp(namespace, "put", None),
            PutOp(namespace, "put", {"n": 2}),
            PutOp(namespace, "deleted", None),
        )
        assert case.value(namespace, "put") == {"n": 2}
        assert case.value(namespace, "deleted") is None

    def test_ba04_empty_batch(self, case: Case) -> None:
        """A batch of nothing gives nothing.

        Where: base, `BaseStore.batch`: "each result corresponds to an operation in the input".
        """
        assert case.batch() == []

    def test_ba05_any_iterable(self, case: Case) -> None:
        """Operations may come from an iterator.

        Where: base, `BaseStore.batch(ops: Iterable[Op])`.
        """
        case.put(case.ns("a"), "k", {"n": 1})
        ops = (GetOp(case.ns("a"), key) for key in ("k", "none"))
        [item, none] = case.call("batch", ops)
        assert isinstance(item, Item)
        assert none is None

    def test_ba06_same_read_twice(self, case: Case) -> None:
        """The same get or search may stand in a batch more than once.

        Where: base, `BaseStore.batch`: one result an operation.
        """
        case.put(case.ns("a"), "k", {"n": 1})
        results: list[Any] = case.batch(
            *[GetOp(case.ns("a"), "k")] * 3, *[SearchOp(case.ns("a"))] * 2
        )
        assert [value_of(item) for item in results[:3]] == [{"n": 1}] * 3
        assert [[item.key for item in found or ()] for found in results[3:]] == [["k"]] * 2

    def test_ba07_large_batch(self, case: Case) -> None:
        """A batch of 400 puts, then of 400 gets, then of 400 deletes works.

        Where: base, `BaseStore.batch`: no limit is given.
        """
        namespace = case.ns("a")
        keys = [str(number) for number in range(_MANY)]
        case.batch(*(PutOp(namespace, key, {"key": key}, index=False) for key in keys))
        results: list[Any] = case.batch(*(GetOp(namespace, key) for key in keys))
        assert [value_of(item) for item in results] == [{"key": key} for key in keys]
        assert sorted(case.found(namespace, limit=_MANY + 10)) == sorted(keys)
        case.batch(*(PutOp(namespace, key, None) for key in keys))
        assert case.found(namespace, limit=_MANY) == []

    def test_ba08_same_key_in_two_namespaces(self, case: Case) -> None:
        """Operations on one key in several namespaces are kept apart.

        Where: base, `PutOp.key`: unique "within the specific namespace".
        """
        case.batch(PutOp(case.ns("a"), "k", {"n": 1}), PutOp(case.ns("b"), "k", {"n": 2}))
        assert case.value(case.ns("a"), "k") == {"n": 1}
        assert case.value(case.ns("b"), "k") == {"n": 2}
        case.batch(PutOp(case.ns("a"), "k", None), PutOp(case.ns("b"), "k", {"n": 3}))
        results: list[Any] = case.batch(GetOp(case.ns("b"), "k"), GetOp(case.ns("a"), "k"))
        assert value_of(results[0]) == {"n": 3}
        assert results[1] is None
