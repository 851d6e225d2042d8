"""Sentence-transformers models as encoders, with a toy in the model's place and with MiniLM."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import numpy as np
import pytest

from langgraph_memskill import sentence_models
from langgraph_memskill.embedding import SentenceEncoder, load_encoder
from langgraph_memskill.errors import ConfigError, ModelCallError


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


@pytest.fixture
def model(monkeypatch):
    toy = ToyModel()
    monkeypatch.setattr("langgraph_memskill.sentence_encoder.load_model", lambda *_, **__: toy)
    return toy


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
    with caplog.at_level(logging.DEBUG, "langgraph_memskill.sentence_encoder"):
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
        "langgraph_memskill.sentence_encoder.load_model",
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
    monkeypatch.setattr("langgraph_memskill.sentence_encoder.load_model", lambda *_, **__: small)
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
    monkeypatch.setattr("langgraph_memskill.sentence_encoder.load_model", lambda *_, **__: small)
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
