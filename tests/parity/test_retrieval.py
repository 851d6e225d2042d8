"""Parity kit section 7: ranking of memories.

The kit also counts accesses: every returned memory gets `access_count` + 1 and a `last_accessed`.
This project keeps no such statistics, because a read must not be a write (it would need a lock and
a disk write for every recall, and the reference itself loses them in its parallel mode, QUIRKS 35).
So what is compared here is what a retrieval returns - indices, contents, rows and order - over
successive calls too; a call that changed anything would change the later ones.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.retrieval import rank

FILE = "retrieval/cases.json"


def bank_of(case: dict[str, Any], tensors: dict[str, Any]) -> NDArray[np.float32]:
    """The rows that the case ranks; zeros where a memory has no embedding.

    QUIRKS 40: if all are missing, their width is that of the embeddings in use, not a guess.
    """
    kind = "state" if case["use_state_encoder"] else "retriever"
    rows = tensors.get(f"{case['id']}.{kind}_embeddings")
    if rows is None:
        return np.zeros((0, case["dim"]), dtype=np.float32)
    rows = rows.copy()
    rows[case["missing_embeddings_at"]] = 0
    return rows


def query_of(case: dict[str, Any], tensors: dict[str, Any], call: int) -> Any:
    query = tensors[f"{case['id']}.query{call}"]
    if case["query_form"] == "list":
        return query.tolist()
    if case["query_form"] == "float64":
        return query.astype(np.float64)
    return query


def cosines(query: Any, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Plain float64 cosine; 0 for rows of zeros."""
    vector = np.asarray(query, np.float64).reshape(-1)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1) * np.linalg.norm(vector)
    return (rows.astype(np.float64) @ vector) / np.where(norms > 0, norms, 1)


def groups(case: dict[str, Any], expected: dict[str, Any]) -> dict[int, int]:
    """For every tied row the first row of its tie group, for the others themselves."""
    first = {index: index for index in range(case["n_memories"])}
    for tied in expected.get("tie_groups", []):
        first |= dict.fromkeys(tied, tied[0])
    return first


def test_rankings_equal_the_kit(kit):
    tensors = kit.tensors("retrieval/tensors.safetensors")
    problems: list[str] = []
    for case in kit.cases(FILE):
        rows = bank_of(case, tensors)
        before = rows.copy()
        for call, expected in enumerate(case["expected_calls"]):
            where = f"{case['id']} call {call}"
            query = query_of(case, tensors, call)
            problems += [f"{where}: {p}" for p in compare(case, expected, query, rows)]
        if not np.array_equal(rows, before):
            problems.append(f"{case['id']}: a read changed the rows")
    assert problems == []


def compare(
    case: dict[str, Any], expected: dict[str, Any], query: Any, rows: NDArray[np.float32]
) -> list[str]:
    k = case["bank_top_k"] if case["top_k"] is None else case["top_k"]
    if k < 0:
        # QUIRKS 39: a negative k is an error instead of dropping results from the end.
        with pytest.raises(ConfigError, match="at least 0"):
            rank(query, rows, k)
        return []
    if len(rows) and np.size(query) != rows.shape[1]:
        assert expected["status"] == "error"
        with pytest.raises(ConfigError, match="width"):
            rank(query, rows, k)
        return []
    got = rank(query, rows, k)
    problems = [] if len(got.indices) == min(k, len(rows)) else [f"{len(got.indices)} results"]
    missing = set(case["missing_embeddings_at"])
    own = cosines(query, rows)
    # QUIRKS 39: stable order, index as tie-break; rows without an embedding come last.
    stable = sorted(range(len(rows)), key=lambda i: (i in missing, -np.float32(own[i]), i))
    if got.indices.tolist() != stable[:k]:
        problems.append(f"{got.indices.tolist()}, expected {stable[:k]}")
    scores = [-1.0 if i in missing else own[i] for i in got.indices]
    if not np.allclose(got.scores, scores, rtol=0, atol=2e-6):
        problems.append(f"scores {got.scores.tolist()}, expected {scores}")
    return problems + compare_with_kit(case, expected, got.indices.tolist(), rows, own)


def compare_with_kit(
    case: dict[str, Any],
    expected: dict[str, Any],
    indices: list[int],
    rows: NDArray[np.float32],
    own: NDArray[np.float64],
) -> list[str]:
    missing = set(case["missing_embeddings_at"])
    if expected["status"] == "error":
        # QUIRKS 40: the reference guesses a width when every row is missing, and guesses wrong.
        return [] if len(missing) == len(rows) else ["the kit has an error here"]
    is_normalised = case["use_state_encoder"] or case["retriever"] == "dragon"
    lengths = np.linalg.norm(rows, axis=1)
    if not is_normalised and not np.allclose(lengths[lengths > 0], 1, atol=1e-5):
        # QUIRKS 40: always cosine. The kit's plain product of these rows is cosine times length.
        kit_cosines = np.array(expected["similarities"]) / np.where(lengths > 0, lengths, 1)
        return [] if np.allclose(kit_cosines, own, rtol=0, atol=2e-6) else ["other similarities"]
    problems = []
    if len(rows) and not np.allclose(expected["similarities"], own, rtol=0, atol=2e-6):
        problems.append("other similarities than the kit")
    # QUIRKS 39: the kit lets missing rows (similarity 0) beat dissimilar ones; the others' order
    # must be the kit's, where ties may stand in any order.
    first = groups(case, expected)
    kit_order = [first[i] for i in expected["indices"] if i not in missing]
    our_order = [first[i] for i in indices if i not in missing]
    shared = min(len(kit_order), len(our_order))
    if our_order[:shared] != kit_order[:shared] or (not missing and len(kit_order) != shared):
        problems.append(f"order {indices}, kit {expected['indices']}")
    if not missing and not expected.get("tie_groups"):
        contents = [case["contents"][i] for i in indices]
        if contents != expected["contents"]:
            problems.append(f"contents {contents}")
    if expected["embeddings"] is not None:
        returned = rows[indices]
        if list(returned.shape) != expected["embeddings"]["shape"]:
            problems.append(f"rows of shape {returned.shape}")
        if str(returned.dtype) != expected["embeddings"]["dtype"]:
            problems.append(f"rows of type {returned.dtype}")
    return problems
