"""Selectors that rows compare a controller with."""

import hashlib
from collections.abc import Sequence

import numpy as np

from langgraph_memskill.controller.selectors import RandomSelector, SelectionRequest
from langgraph_memskill.records import Selection
from langgraph_memskill.skills.bank import SkillBank


class AllSkills:
    """Every skill for every span."""

    name = "all"
    version = ""

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills; see `Selector.select`. `k` makes no difference."""
        names = tuple(skill.name for skill in bank.candidates())
        chosen = Selection(
            skills=names,
            candidates=names,
            probabilities=(1 / len(names),) * len(names),
            log_prob=0.0,
            selector=self.name,
        )
        return [chosen] * len(requests)


class ChanceBySpan:
    """K skills by chance, which follow from the seed and the span alone.

    So an interrupted run chooses as an uninterrupted one, whatever runs beside it.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        """Draw with this seed."""
        self._seed = seed
        self.version = f"seed-{seed}"

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills; see `Selector.select`."""
        return [self._drawn(request, bank, k) for request in requests]

    def _drawn(self, request: SelectionRequest, bank: SkillBank, k: int) -> Selection:
        # Rounded, because another machine may compute other last digits.
        vector = np.round(request.span, 3) + 0.0
        digest = hashlib.sha256(f"{self._seed}|".encode() + vector.tobytes()).hexdigest()
        return RandomSelector(int(digest[:15], 16)).select([request], bank, k)[0]
