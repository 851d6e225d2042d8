"""Checks of put, get and delete."""

import json
import math
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any

from langgraph.store.base import Item

from langgraph_memskill.testing.cases import Case

_ODD_KEYS = (
    "",
    " ",
    "two words",
    'double "quotes"',
    "it's",
    "100%",
    "under_score",
    "dots.and/slashes\\",
    "*",
    "Grüße 🌍 日本",
    "e\u0301",
    "é",
    "Key",
    "key",
    "line\nbreak",
    "k" * 400,
)
_CLOCK_SKEW = timedelta(minutes=5)


class ItemChecks:
    """One item at a time."""

    def test_it01_put_then_get(self, case: Case) -> None:
        """What was put is there: value, key and namespace.

        Where: base, `BaseStore.get` and `Item`.
        """
        namespace = case.ns("a", "b")
        case.put(namespace, "k", {"text": "a", "n": 1})
        item = case.get(namespace, "k")
        assert isinstance(item, Item)
        assert item.value == {"text": "a", "n": 1}
        assert item.key == "k"
        assert item.namespace == namespace
        assert isinstance(item.namespace, tuple)

    def test_it02_missing_is_none(self, case: Case) -> None:
        """A get finds one key in one namespace, neither above nor below; else it gives None.

        Where: base, `BaseStore.get`: "The retrieved item or `None` if not found".
        """
        case.put(case.ns("a"), "k", {"n": 1})
        assert case.get(case.ns("a"), "other") is None
        assert case.get(case.ns("b"), "k") is None
        assert case.get(case.ns(), "k") is None
        assert case.get(case.ns("a", "b"), "k") is None

    def test_it03_put_replaces(self, case: Case) -> None:
        """A second put of a key replaces the value; it does not merge.

        Where: base, `PutOp.key`: "must be unique within the specific namespace".
        """
        case.put(case.ns("a"), "k", {"old": 1, "both": {"x": 1}})
        case.put(case.ns("a"), "k", {"new": 2, "both": {"y": 1}})
        assert case.value(case.ns("a"), "k") == {"new": 2, "both": {"y": 1}}
        assert case.found(case.ns("a")) == ["k"]

    def test_it04_delete(self, case: Case) -> None:
        """A deleted item is gone from get and search, its neighbours are not; again is no error.

        Where: base, `BaseStore.delete` and `PutOp.value`.
        """
        case.put_all(case.ns("a"), {"k1": {"n": 1}, "k2": {"n": 2}})
        case.put(case.ns("a", "b"), "k1", {"n": 3})
        case.delete(case.ns("a"), "k1")
        case.delete(case.ns("a"), "k1")
        case.delete(case.ns("never"), "k1")
        assert case.get(case.ns("a"), "k1") is None
        assert sorted(case.found(case.ns("a"))) == ["k1", "k2"]
        assert case.value(case.ns("a", "b"), "k1") == {"n": 3}

    def test_it05_put_after_delete(self, case: Case) -> None:
        """A deleted key can be used again, and nothing of the old value comes back.

        Where: base, `PutOp.value`.
        """
        case.put(case.ns("a"), "k", {"old": 1})
        case.delete(case.ns("a"), "k")
        case.put(case.ns("a"), "k", {"new": 1})
        assert case.value(case.ns("a"), "k") == {"new": 1}

    def test_it06_json_values(self, case: Case) -> None:
        """Whatever JSON has comes back as it was.

        Where: base, `PutOp.value`: "string keys and JSON-serializable values".
        """
        value: dict[str, Any] = {
            "text": "Grüße 🌍 \u2028 \t \\ \" '",
            "numbers": [0, -1, 2**53 + 1, 2.5, -0.25, 1e-9],
            "truth": [True, False, None],
            "nested": {"list": [{"deep": [[], {}]}], "": "empty key"},
            "key.with $odd %signs_": 1,
        }
        case.put(case.ns("a"), "k", value)
        case.put(case.ns("a"), "empty", {})
        # As JSON, because for Python 1 is True; stores may sort the fields.
        assert json.dumps(case.value(case.ns("a"), "k"), sort_keys=True) == json.dumps(
            value, sort_keys=True
        )
        assert case.value(case.ns("a"), "empty") == {}

    def test_it07_nul_in_values(self, case: Case) -> None:
        """A text in a value may hold a NUL character: JSON can.

        Where: base, `PutOp.value`: "JSON-serializable values".
        """
        case.put(case.ns("a"), "k", {"text": "a\x00b"})
        assert case.value(case.ns("a"), "k") == {"text": "a\x00b"}

    def test_it08_large_integers(self, case: Case) -> None:
        """Integers of any size come back exactly: JSON has no limit.

        Where: base, `PutOp.value`: "JSON-serializable values".
        """
        case.put(case.ns("a"), "k", {"n": [2**64 + 1, -(2**70)]})
        assert case.value(case.ns("a"), "k") == {"n": [2**64 + 1, -(2**70)]}

    def test_it09_values_of_get_are_copies(self, case: Case) -> None:
        """Who changes a value that get gave does not change what is stored.

        Where: not written; so in every store with a database (PostgresStore decodes each answer).
        """
        case.put(case.ns("a"), "k", {"list": [1], "n": 1})
        item = case.get(case.ns("a"), "k")
        assert item is not None
        item.value["list"].append(2)
        item.value["n"] = 2
        assert case.value(case.ns("a"), "k") == {"list": [1], "n": 1}

    def test_it10_put_takes_a_copy(self, case: Case) -> None:
        """Who changes a value after the put does not change what is stored.

        Where: not written; so in every store with a database.
        """
        value: dict[str, Any] = {"list": [1], "n": 1}
        case.put(case.ns("a"), "k", value)
        value["list"].append(2)
        value["n"] = 2
        assert case.value(case.ns("a"), "k") == {"list": [1], "n": 1}

    def test_it11_values_of_search_are_copies(self, case: Case) -> None:
        """Who changes a value that search gave does not change what is stored.

        Where: not written; so in every store with a database.
        """
        case.put(case.ns("a"), "k", {"list": [1]})
        item = case.only(case.ns("a"))
        item.value["list"].append(2)
        assert case.value(case.ns("a"), "k") == {"list": [1]}

    def test_it12_any_text_is_a_key(self, case: Case) -> None:
        """Keys are compared exactly and may hold anything, wildcards and quotes too.

        Where: base, `PutOp.key`: no limit is given.
        """
        namespace = case.ns("a")
        for number, key in enumerate(_ODD_KEYS):
            case.put(namespace, key, {"n": number})
        assert [case.value(namespace, key) for key in _ODD_KEYS] == [
            {"n": number} for number in range(len(_ODD_KEYS))
        ]
        case.delete(namespace, "*")
        case.delete(namespace, "100%")
        assert len(case.found(namespace, limit=100)) == len(_ODD_KEYS) - 2

    def test_it13_large_values(self, case: Case) -> None:
        """A value of 200 kB comes back whole.

        Where: base, `PutOp.value`: no limit is given.
        """
        value = {"text": "abcd" * 50_000}
        case.put(case.ns("a"), "k", value, index=False)
        assert case.value(case.ns("a"), "k") == value

    def test_it14_large_floats(self, case: Case) -> None:
        """The largest and smallest floats come back exactly.

        Where: base, `PutOp.value`: "JSON-serializable values".
        """
        case.put(case.ns("a"), "k", {"n": [1e300, -1.7e308, 5e-324]})
        assert case.value(case.ns("a"), "k") == {"n": [1e300, -1.7e308, 5e-324]}

    def test_tm01_times_of_a_new_item(self, case: Case) -> None:
        """Both times of a new item are about now.

        Where: base, `Item`: "Timestamp of item creation", "Timestamp of last update".
        """
        case.put(case.ns("a"), "k", {"n": 1})
        item = case.get(case.ns("a"), "k")
        assert item is not None
        for moment in (item.created_at, item.updated_at):
            assert isinstance(moment, datetime)
            seen = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            assert abs(seen - datetime.now(UTC)) < _CLOCK_SKEW

    def test_tm02_times_have_a_zone(self, case: Case) -> None:
        """Times are aware of their zone, so that they can be compared with those of other stores.

        Where: langgraph/store/memory: `datetime.now(timezone.utc)`; PostgresStore: TIMESTAMPTZ.
        """
        case.put(case.ns("a"), "k", {"n": 1})
        found = case.only(case.ns("a"))
        item = case.get(case.ns("a"), "k")
        assert item is not None
        for moment in (item.created_at, item.updated_at, found.created_at, found.updated_at):
            assert moment.utcoffset() is not None, f"{moment!r} has no zone"

    def test_tm03_creation_survives_an_overwrite(self, case: Case) -> None:
        """An overwrite moves `updated_at` and keeps `created_at`.

        Where: base, `Item`: "created_at: Timestamp of item creation"; PostgresStore's upsert.
        """
        case.put(case.ns("a"), "k", {"n": 1})
        case.wait(case.clock_step_s)
        before = case.get(case.ns("a"), "k")
        case.put(case.ns("a"), "k", {"n": 2})
        after = case.get(case.ns("a"), "k")
        assert before is not None
        assert after is not None
        assert after.created_at == before.created_at
        assert after.updated_at > before.updated_at

    def test_tm04_updated_at_tells_writes_apart(self, case: Case) -> None:
        """Five writes, 20 ms apart, have five times, in order.

        Where: base, `Item`: "updated_at: Timestamp of last update".
        """
        moments = []
        for number in range(5):
            case.put(case.ns("a"), "k", {"n": number})
            item = case.get(case.ns("a"), "k")
            assert item is not None
            moments.append(item.updated_at)
            sleep(0.02)
        assert moments == sorted(set(moments))

    def test_tm05_a_new_start_is_new(self, case: Case) -> None:
        """An item that was deleted and put again was created then.

        Where: base, `Item`: "created_at: Timestamp of item creation".
        """
        case.put(case.ns("a"), "k", {"n": 1})
        case.wait(case.clock_step_s)
        before = case.get(case.ns("a"), "k")
        case.delete(case.ns("a"), "k")
        case.put(case.ns("a"), "k", {"n": 1})
        after = case.get(case.ns("a"), "k")
        assert before is not None
        assert after is not None
        assert after.created_at > before.created_at

    def test_tm06_get_and_search_tell_the_same(self, case: Case) -> None:
        """Get and search give the same value and times; reading does not move `updated_at`.

        Where: base, `SearchItem` is an `Item`.
        """
        case.put(case.ns("a"), "k", {"n": 1.5})
        first = case.get(case.ns("a"), "k")
        found = case.only(case.ns("a"))
        again = case.get(case.ns("a"), "k")
        assert first is not None
        assert again is not None
        assert found.value == first.value
        assert math.isclose(found.value["n"], 1.5)
        times = [(item.created_at, item.updated_at) for item in (first, found, again)]
        assert times[0] == times[1] == times[2]
