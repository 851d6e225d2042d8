"""LangGraph's InMemoryStore with our encoder finds what it finds with lists of numbers."""

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.stores.in_process import in_process_store
from langgraph_memskill.stores.items import TEXT_FIELD
from tests.conftest import WordEncoder

WORDS = st.lists(
    st.sampled_from(["oslo", "rome", "ann", "bob", "walks", "sings"]), min_size=1, max_size=4
)
TEXTS = st.lists(WORDS.map(" ".join), min_size=1, max_size=8)


@given(texts=TEXTS, query=WORDS.map(" ".join))
def test_it_finds_the_same_in_the_same_order(texts, query):
    encoder = WordEncoder()
    plain, rows = InMemoryStore(index=store_index(encoder)), in_process_store(encoder)
    for store in (plain, rows):
        for number, text in enumerate(texts):
            store.put(("n",), str(number), {TEXT_FIELD: text})
    expected = [(item.key, item.score) for item in plain.search(("n",), query=query)]
    assert all(score is not None for _, score in expected)
    assert [(item.key, item.score) for item in rows.search(("n",), query=query)] == expected
    found = asyncio.run(rows.asearch(("n",), query=query))
    assert [(item.key, item.score) for item in found] == expected


def test_other_fields_can_be_embedded():
    store = in_process_store(WordEncoder(), ["inner.text"])
    store.put(("n",), "a", {"inner": {"text": "oslo"}, TEXT_FIELD: "rome"})
    store.put(("n",), "b", {"inner": {"text": "rome"}, TEXT_FIELD: "oslo"})
    assert [item.key for item in store.search(("n",), query="oslo")] == ["a", "b"]


def test_vectors_are_kept_as_arrays():
    store = in_process_store(WordEncoder())
    store.put(("n",), "a", {TEXT_FIELD: "oslo"})
    (vector,) = store._vectors[("n",)]["a"].values()
    assert isinstance(vector, np.ndarray)
    assert vector.dtype == np.float64
