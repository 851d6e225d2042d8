"""LangChain embeddings as encoders."""

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from langgraph_memskill.embedding import EmbeddingsEncoder, load_encoder
from langgraph_memskill.errors import ModelCallError


class ListEmbeddings(Embeddings):
    """Rows by length; counts its calls and says which way they came."""

    def __init__(self, *, width=2, failure=None):
        self.width, self.failure, self.calls = width, failure, []

    def embed_documents(self, texts):
        self.calls.append(("sync", list(texts)))
        if self.failure:
            raise self.failure
        return [[3.0 * len(text)] + [4.0 * len(text)] * (self.width - 1) for text in texts]

    def embed_query(self, text):
        raise AssertionError("queries go through embed_documents")

    async def aembed_documents(self, texts):
        rows = self.embed_documents(texts)
        self.calls[-1] = ("async", list(texts))
        return rows


def test_any_langchain_embeddings_become_unit_rows():
    encoder = load_encoder(ListEmbeddings())
    assert isinstance(encoder, EmbeddingsEncoder)
    np.testing.assert_allclose(encoder.encode(["a", "bbb"]), [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)
    assert encoder.dim == 2
    assert encoder.name == "ListEmbeddings"
    assert encoder.embed_query("a") == pytest.approx([0.6, 0.8])


def test_embeddings_are_called_in_batches_and_once_a_text():
    inner = ListEmbeddings()
    encoder = EmbeddingsEncoder(inner, batch_size=2)
    encoder.embed_documents(["a", "bb", "ccc", "a"])
    encoder.encode(["ccc"])
    assert inner.calls == [("sync", ["a", "bb"]), ("sync", ["ccc"])]


async def test_async_calls_use_the_embeddings_own_async_method():
    inner = ListEmbeddings()
    encoder = EmbeddingsEncoder(inner, batch_size=2)
    encoder.encode(["a"])
    rows = await encoder.aembed_documents(["a", "bb", "bb", "ccc", "dddd"])
    assert rows == pytest.approx(np.tile([0.6, 0.8], (5, 1)))
    assert await encoder.aembed_query("bb") == rows[1]
    assert inner.calls == [("sync", ["a"]), ("async", ["bb", "ccc"]), ("async", ["dddd"])]


def test_an_empty_text_is_sent_as_a_blank():
    inner = ListEmbeddings()
    EmbeddingsEncoder(inner).encode([""])
    assert inner.calls == [("sync", [" "])]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0]], "one row a text"),
        ([[1.0], [2.0, 3.0]], "failed"),
        ([[1.0, float("nan")], [1.0, 1.0]], "not finite"),
        ([[], []], "one row a text"),
    ],
)
def test_unusable_vectors_are_refused(rows, message, monkeypatch):
    inner = ListEmbeddings()
    monkeypatch.setattr(inner, "embed_documents", lambda texts: rows)
    with pytest.raises(ModelCallError, match=message):
        EmbeddingsEncoder(inner).encode(["a", "b"])


def test_a_change_of_width_is_refused():
    inner = ListEmbeddings(width=3)
    with pytest.raises(ModelCallError, match="width 3, not 2"):
        EmbeddingsEncoder(inner, dim=2).encode(["a"])


async def test_failing_embeddings_are_a_typed_error():
    encoder = EmbeddingsEncoder(ListEmbeddings(failure=ConnectionError("no route")))
    with pytest.raises(ModelCallError, match="no route"):
        encoder.encode(["a"])
    with pytest.raises(ModelCallError, match="no route"):
        await encoder.aembed_query("a")


def test_rows_of_zeros_stay_zeros():
    class Zeros(ListEmbeddings):
        def embed_documents(self, texts):
            return [[0.0, 0.0] for _ in texts]

    assert EmbeddingsEncoder(Zeros()).encode(["a"]).tolist() == [[0.0, 0.0]]


def test_names_come_from_the_embeddings_own_settings():
    inner = ListEmbeddings()
    inner.model = "text-embedding-3-small"
    assert EmbeddingsEncoder(inner).name == "text-embedding-3-small"
    assert EmbeddingsEncoder(inner, name="mine").name == "mine"
