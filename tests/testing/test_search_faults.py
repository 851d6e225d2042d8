"""Faults in search, filters and vectors, each caught by the check that names it."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import Item, Op, PutOp, SearchItem, SearchOp

from langgraph_memskill.testing.store_checks.searching import SearchChecks
from langgraph_memskill.testing.store_checks.vectors import VectorChecks
from langgraph_memskill.testing.store_suite import check_id

COMPARED = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def fault(name: str, check: str, **methods: Any) -> Any:
    return pytest.param(check, methods, id=name)


def passes_also(is_let_pass: Callable[[Any, str, Any], bool]) -> Callable[..., bool]:
    """A store whose filter lets more pass."""
    return lambda store, value, field, wanted: (
        is_let_pass(value, field, wanted) or store.right.passes(value, field, wanted)
    )


def old_vectors(store: Any, op: Any) -> list[list[float]]:
    vectors: list[list[float]] = store.vectors.get((op.namespace, op.key), [])
    return vectors


def post_filtered(store: Any, op: SearchOp) -> list[SearchItem]:
    """Takes the nearest of all first and filters afterwards."""
    found = store.right.read_search(SearchOp((), None, 20, 0, op.query))
    fitting = [
        item
        for item in found
        if store.is_under(item.namespace, op.namespace_prefix)
        and all(store.passes(item.value, *one) for one in (op.filter or {}).items())
    ]
    return fitting[op.offset : op.offset + op.limit]


def paged_first(store: Any, op: SearchOp) -> list[SearchItem]:
    page = store.right.read_search(op._replace(filter=None))
    wanted = (op.filter or {}).items()
    return [item for item in page if all(store.passes(item.value, *one) for one in wanted)]


def any_filter(store: Any, op: SearchOp) -> list[SearchItem]:
    filters = [dict([one]) for one in (op.filter or {}).items()] or [{}]
    found = [i for one in filters for i in store.right.read_search(op._replace(filter=one))]
    return list({item.key: item for item in found}.values())


def each_vector_counts(store: Any, found: list[Item], query: str | None) -> Any:
    times = [item for item in found for _ in store.vectors[item.namespace, item.key] or [0]]
    return store.right.ranked(times, query)


def embeds_a_text_once(store: Any, ops: list[Op]) -> Any:
    texts = [text for op in ops if isinstance(op, PutOp) for text in store.texts(op)]
    return store.right.embed(ops) if len(set(texts)) == len(texts) else store.refuse()


def first_query_for_all(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    queries = [op.query for op in ops if isinstance(op, SearchOp) and op.query]
    asked = [
        op._replace(query=queries[0]) if isinstance(op, SearchOp) and op.query else op for op in ops
    ]
    return store.right.carry_out(asked, vectors)


FAULTS = [
    fault(
        "what was not ranked has a score",
        "se01",
        ranked=lambda s, found, query: [
            (item, score or 0.0) for item, score in s.right.ranked(found, query)
        ],
    ),
    fault("limits are ignored", "se02", page=lambda s, found, op: found[op.offset :]),
    fault(
        "offset counts pages",
        "se03",
        page=lambda s, found, op: found[op.offset * op.limit :][: op.limit],
    ),
    fault("pages are filtered", "se04", read_search=paged_first),
    fault(
        "an offset past the end is refused",
        "se05",
        page=lambda s, found, op: (
            s.right.page(found, op) if op.offset < max(1, len(found)) else s.refuse()
        ),
    ),
    fault(
        "equality is that of texts",
        "fi01",
        passes=lambda s, value, field, wanted: field in value and str(value[field]) == str(wanted),
    ),
    fault("filters are joined by or", "fi02", read_search=any_filter),
    fault(
        "filters do not look inside",
        "fi03",
        passes=passes_also(lambda v, f, w: isinstance(w, dict)),
    ),
    fault("$ne lets everything pass", "fi04", passes=passes_also(lambda v, f, w: "$ne" in w)),
    fault(
        "$eq of a text is a prefix",
        "fi05",
        passes=passes_also(lambda v, f, w: "$eq" in w and str(v[f]).startswith(str(w["$eq"]))),
    ),
    fault(
        "the first operator counts",
        "fi06",
        passes=lambda s, value, field, wanted: s.right.passes(
            value, field, dict([next(iter(wanted.items()))])
        ),
    ),
    fault(
        "unknown operators let everything pass",
        "fi07",
        passes=passes_also(lambda v, f, w: "$almost" in w),
    ),
    fault(
        "a filter's value can close its quotes",
        "fi08",
        passes=passes_also(lambda v, f, w: "' OR '1'='1" in str(w)),
    ),
    fault(
        "a filter's field can close its quotes",
        "fi09",
        passes=passes_also(lambda v, f, w: "' OR " in f),
    ),
    fault(
        "numbers are compared as texts",
        "fi10",
        passes=lambda s, value, field, wanted: all(
            COMPARED[name](str(value[field]), str(bound)) for name, bound in wanted.items()
        ),
    ),
    fault("the worst come first", "ve01", score=lambda s, item, asked: -s.right.score(item, asked)),
    fault("all scores are equal", "ve02", score=lambda s, item, asked: 1.0),
    fault(
        "index=False is ignored",
        "ve03",
        texts=lambda s, op: s.right.texts(op._replace(index=op.index or None)),
    ),
    fault(
        "index=[paths] is ignored",
        "ve04",
        texts=lambda s, op: s.right.texts(op._replace(index=None if op.index else op.index)),
    ),
    fault(
        "of a list, only the first is embedded",
        "ve05",
        text_at=lambda s, value, path: s.right.text_at(value, path)[:1],
    ),
    fault("each vector is a result", "ve06", ranked=each_vector_counts),
    fault(
        "the first vectors stay",
        "ve07",
        write=lambda s, op, vectors: s.right.write(op, old_vectors(s, op) or vectors),
    ),
    fault(
        "old vectors stay beside the new",
        "ve08",
        write=lambda s, op, vectors: s.right.write(op, [*vectors, *old_vectors(s, op)]),
    ),
    fault(
        "index=False keeps the vectors",
        "ve09",
        write=lambda s, op, vectors: s.right.write(op, vectors or old_vectors(s, op)),
    ),
    fault(
        "vectors outlive their item",
        "ve10",
        drop=lambda s, place: s.items.pop(place, None),
        write=lambda s, op, vectors: s.right.write(op, vectors or old_vectors(s, op)),
    ),
    fault("filters come after the limit", "ve11", read_search=post_filtered),
    fault("prefixes come after the limit", "ve12", read_search=post_filtered),
    fault(
        "pages of a query end after twice the limit",
        "ve13",
        page=lambda s, found, op: s.right.page(found[: 2 * op.limit], op),
    ),
    fault("a text can be embedded once a batch", "ve14", embed=embeds_a_text_once),
    fault(
        "what cannot be indexed is refused",
        "ve15",
        texts=lambda s, op: (
            s.right.texts(op) or (s.refuse() if op.value and op.index is None else [])
        ),
    ),
    fault(
        "all fields are embedded", "ve16", texts=lambda s, op: [str(op.value)] if op.value else []
    ),
    fault("a batch has one query", "ve17", carry_out=first_query_for_all),
]


@pytest.mark.parametrize(("check", "methods"), FAULTS)
def test_fault_is_caught(
    check: str, methods: dict[str, Any], misses: Callable[[str, dict[str, Any]], bool]
) -> None:
    assert not misses(check, methods)


def test_each_check_has_a_fault() -> None:
    names = [name for part in (SearchChecks, VectorChecks) for name in dir(part)]
    checks = {check_id(name) for name in names if name.startswith("test_")}
    assert {param.values[0] for param in FAULTS} == checks
