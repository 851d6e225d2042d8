"""A toy encoder that knows what it was asked, and a bank of five skills."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from langgraph_memskill.records import ActionType, Skill
from langgraph_memskill.skills.bank import SkillBank


class ToyEncoder(Embeddings):
    """A pseudo-random unit vector for every text; `asked` holds the texts of every call."""

    name = "toy"
    dim = 6

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append(list(texts))
        rows = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            row[:] = np.random.default_rng(seed).normal(size=self.dim)
            row /= np.linalg.norm(row)
        return rows

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.encode(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.encode([text])[0].tolist()


@pytest.fixture
def encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def bank() -> SkillBank:
    return SkillBank(
        Skill(
            name=name,
            description=f"What {name} is for.",
            instructions=f"Use {name} when it fits the span.",
            action_type=action_type,
        )
        for name, action_type in (
            ("update", ActionType.UPDATE),
            ("insert", ActionType.INSERT),
            ("track_dates", ActionType.INSERT),
            ("delete", ActionType.DELETE),
            ("noop", ActionType.NOOP),
        )
    )
