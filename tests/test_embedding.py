"""What may be passed as an encoder, and the MiniLM that comes as a package."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from langgraph_memskill import sentence_models
from langgraph_memskill.embedding import EmbeddingsEncoder, TextEncoder, load_encoder
from langgraph_memskill.errors import ConfigError, MissingDependencyError, ModelCallError


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


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
