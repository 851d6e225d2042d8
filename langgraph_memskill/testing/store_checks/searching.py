"""Checks of search without a query: what is found, pages, filters."""

from typing import Any

import pytest
from langgraph.store.base import SearchItem

from langgraph_memskill.testing.cases import Case

_NUMBERS: dict[str, dict[str, Any]] = {
    "minus": {"n": -3},
    "zero": {"n": 0},
    "half": {"n": 0.5},
    "two": {"n": 2},
    "nine": {"n": 9},
    "ten": {"n": 10},
    "hundred": {"n": 100},
}


class SearchChecks:
    """Search by prefix, filter, limit and offset."""

    def test_se01_search_items(self, case: Case) -> None:
        """A search without a query gives whole items without scores.

        Where: base, `SearchItem.score`: "if from a ranked operation".
        """
        case.put(case.ns("a", "b"), "k", {"text": "a", "n": 1})
        item = case.only(case.ns("a"))
        assert isinstance(item, SearchItem)
        assert (item.namespace, item.key) == (case.ns("a", "b"), "k")
        assert item.value == {"text": "a", "n": 1}
        assert item.score is None

    def test_se02_default_limit(self, case: Case) -> None:
        """Ten items are found if no limit is given.

        Where: base, `SearchOp.limit`.
        """
        case.put_all(case.ns("a"), {str(number): {"n": number} for number in range(12)})
        assert len(case.found(case.ns("a"))) == 10
        assert len(case.found(case.ns("a"), limit=11)) == 11
        assert len(case.found(case.ns("a"), limit=50)) == 12

    def test_se03_pages(self, case: Case) -> None:
        """Pages by limit and offset give every item once, over several namespaces.

        Where: base, `SearchOp.offset`: "Number of matching items to skip for pagination".
        """
        for number in range(25):
            case.put(case.ns("a", str(number % 3)), f"{number:02}", {"n": number})
        for size in (1, 7, 25):
            keys = case.pages(
                size, 25, lambda limit, offset: case.found(case.ns("a"), limit=limit, offset=offset)
            )
            assert sorted(keys) == [f"{number:02}" for number in range(25)]

    def test_se04_pages_of_a_filter(self, case: Case) -> None:
        """Limit and offset count the items that pass the filter, not those that were looked at.

        Where: base, `SearchOp.offset`: "Number of matching items".
        """
        for number in range(30):
            case.put(case.ns("a"), f"{number:02}", {"kind": "even" if number % 2 == 0 else "odd"})
        keys = case.pages(
            4,
            15,
            lambda limit, offset: case.found(
                case.ns("a"), filter={"kind": "odd"}, limit=limit, offset=offset
            ),
        )
        assert sorted(keys) == [f"{number:02}" for number in range(1, 30, 2)]

    def test_se05_offset_past_the_end(self, case: Case) -> None:
        """Behind the last item there is nothing, and that is no error.

        Where: base, `SearchOp.offset`.
        """
        case.put(case.ns("a"), "k", {"n": 1})
        assert case.found(case.ns("a"), offset=1) == []
        assert case.found(case.ns("a"), offset=1000, limit=1000) == []

    def test_fi01_equality(self, case: Case) -> None:
        """A plain value in a filter must be equal: texts, numbers, truth, null.

        Where: base, `SearchOp.filter`: "exact matches".
        """
        values: dict[str, Any] = {
            "text": "active",
            "other text": "Active",
            "digits": "1",
            "int": 7,
            "float": 2.5,
            "true": True,
            "null": None,
        }
        case.put_all(case.ns("a"), {key: {"x": value} for key, value in values.items()})
        for key, value in values.items():
            assert case.found(case.ns("a"), filter={"x": value}) == [key]
        for other in ("act", "7", "2.5"):
            assert case.found(case.ns("a"), filter={"x": other}) == []
        assert case.found(case.ns("a"), filter={"y": "active"}) == []

    def test_fi02_all_conditions_must_hold(self, case: Case) -> None:
        """Several fields in a filter are joined by "and".

        Where: base, `SearchOp.filter`, "Multiple conditions".
        """
        case.put_all(
            case.ns("a"),
            {"k1": {"x": 1, "y": 1}, "k2": {"x": 1, "y": 2}, "k3": {"x": 2, "y": 2}},
        )
        assert case.found(case.ns("a"), filter={"x": 1, "y": 2}) == ["k2"]
        assert case.found(case.ns("a"), filter={"x": 2, "y": 1}) == []
        assert len(case.found(case.ns("a"), filter={})) == 3

    def test_fi03_nested_values(self, case: Case) -> None:
        """Objects and lists can be compared too, inside and whole.

        Where: base, `SearchOp.filter`: "exact matches"; langgraph/store/memory `_compare_values`.
        """
        case.put_all(
            case.ns("a"),
            {
                "k1": {"meta": {"kind": "a"}, "tags": ["x", "y"]},
                "k2": {"meta": {"kind": "b"}, "tags": ["y", "x"]},
                "k3": {"meta": {"kind": {"kind": "a"}}, "tags": ["x"]},
            },
        )
        assert case.found(case.ns("a"), filter={"meta": {"kind": "a"}}) == ["k1"]
        assert case.found(case.ns("a"), filter={"meta": {"kind": {"kind": "a"}}}) == ["k3"]
        assert case.found(case.ns("a"), filter={"tags": ["y", "x"]}) == ["k2"]

    def test_fi04_equal_and_not_equal(self, case: Case) -> None:
        """`$eq` and `$ne` compare numbers.

        Where: base, `SearchOp.filter`, "Supported Operators".
        """
        case.needs_operators(["$eq", "$ne"])
        case.put_all(case.ns("a"), _NUMBERS)
        assert case.found(case.ns("a"), filter={"n": {"$eq": 9}}) == ["nine"]
        assert case.found(case.ns("a"), filter={"n": {"$eq": 0.5}}) == ["half"]
        assert set(case.found(case.ns("a"), filter={"n": {"$ne": 9}})) == _NUMBERS.keys() - {"nine"}

    def test_fi05_operators_on_texts(self, case: Case) -> None:
        """`$eq` and `$ne` compare texts as a whole.

        Where: base, `SearchOp.filter`: "$eq: Equal to (same as direct value comparison)".
        """
        case.needs_operators(["$eq", "$ne"])
        case.put_all(case.ns("a"), {"k1": {"x": "red"}, "k2": {"x": "reddish"}, "k3": {"x": "1"}})
        assert case.found(case.ns("a"), filter={"x": {"$eq": "red"}}) == ["k1"]
        assert sorted(case.found(case.ns("a"), filter={"x": {"$ne": "red"}})) == ["k2", "k3"]
        assert case.found(case.ns("a"), filter={"x": {"$eq": "1"}}) == ["k3"]

    def test_fi06_several_operators_on_a_field(self, case: Case) -> None:
        """Several operators on one field make a range.

        Where: base, `SearchOp.filter`, "Multiple conditions".
        """
        case.needs_operators(["$gte", "$lt", "$ne"])
        case.put_all(case.ns("a"), _NUMBERS)
        assert sorted(case.found(case.ns("a"), filter={"n": {"$gte": 2, "$lt": 10}})) == [
            "nine",
            "two",
        ]
        found = case.found(case.ns("a"), filter={"n": {"$gte": 2, "$lt": 10, "$ne": 2}})
        assert found == ["nine"]

    def test_fi07_unknown_operator_is_refused(self, case: Case) -> None:
        """An operator that nobody knows is an error, not a filter that lets all or nothing pass.

        Where: langgraph/store/memory, postgres and sqlite: "Unsupported operator".
        """
        case.put(case.ns("a"), "k", {"n": 1})
        with pytest.raises(ValueError, match=r"\$almost"):
            case.search(case.ns("a"), filter={"n": {"$almost": 1}})

    def test_fi08_filters_are_data(self, case: Case) -> None:
        """Quotes and SQL in a filter's value are a part of the value.

        Where: base, `SearchOp.filter`: "exact matches"; CVE-2025-64104 was the contrary.
        """
        evil = "x' OR '1'='1"
        case.put_all(case.ns("a"), {"k1": {"x": "x"}, "k2": {"x": evil}, "k3": {"x": '"; --'}})
        assert case.found(case.ns("a"), filter={"x": evil}) == ["k2"]
        assert case.found(case.ns("a"), filter={"x": '"; --'}) == ["k3"]
        if "$eq" in case.can.operators:
            assert case.found(case.ns("a"), filter={"x": {"$eq": evil}}) == ["k2"]

    def test_fi09_field_names_are_data(self, case: Case) -> None:
        """Quotes and SQL in a filter's field do not widen the filter; refusing them is allowed.

        Where: base, `SearchOp.filter`: keys are those of the value; CVE-2025-64104.
        """
        case.put_all(case.ns("a"), {"k1": {"x": 1}, "k2": {"x": 2}})
        for field in ("x') = 1 OR json_extract(value, '$.x", "x' OR '1'='1", 'x" OR 1=1 --'):
            try:
                found = case.found(case.ns("a"), filter={field: 1})
            except ValueError:
                continue
            assert found == []

    @pytest.mark.parametrize(
        ("operator", "bound", "expected"),
        [
            ("$gt", 9, "ten hundred"),
            ("$gte", 9, "nine ten hundred"),
            ("$lt", 10, "minus zero half two nine"),
            ("$lte", 10, "minus zero half two nine ten"),
        ],
    )
    def test_fi10_comparisons(self, case: Case, operator: str, bound: int, expected: str) -> None:
        """The others compare numbers as numbers (9 < 10), negative ones and fractions too.

        Where: base, `SearchOp.filter`: "Score greater than 4.99".
        """
        case.needs_operators([operator])
        case.put_all(case.ns("a"), _NUMBERS)
        found = case.found(case.ns("a"), filter={"n": {operator: bound}})
        assert sorted(found) == sorted(expected.split())
