"""Made-up traces whose numbers are easy to check by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from langgraph_memskill.records import ActionType
from langgraph_memskill.traces.rows import (
    ActionStatus,
    ActionTrace,
    BankTrace,
    BiasTrace,
    EpisodeTrace,
    SkillTrace,
    StepTrace,
)

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def make_step(episode: str = "e1", step: int = 0, **fields: Any) -> StepTrace:
    """A step with three candidates, two of them chosen, and a state of width 4.

    Args:
        episode: Its episode's id; the span's id is made from it.
        step: Its position.
        fields: Values of `StepTrace` that differ.
    """
    values: dict[str, Any] = {
        "run_id": "run",
        "thread_id": "t1",
        "episode_id": episode,
        "span_id": f"{episode}/{step}",
        "step": step,
        "num_steps": 2,
        "span_hash": "0" * 32,
        "bank_version": "bank-1",
        "encoder": "words",
        "selector": "controller",
        "controller_version": "c1",
        "fusion": "mean",
        "tau": 1.0,
        "state": np.array([0.5, 0.25, -1.0, step], np.float32),
        "chosen": (2, 0),
        "log_prob": float(np.log(0.5) + np.log(0.25 / 0.5)),
        "probabilities": np.array([0.25, 0.25, 0.5], np.float32),
        "sampled": True,
        "value": 0.125,
        "bias": BiasTrace(p_min=0.3, delta_max=3.75, scale=0.5, new_skills=(1,)),
        "actions": (
            ActionTrace(
                type=ActionType.INSERT,
                status=ActionStatus.APPLIED,
                memory_id="m1",
                change_id="ch1",
                content_hash="1" * 32,
            ),
            ActionTrace(type=ActionType.DELETE, status=ActionStatus.REJECTED),
        ),
        "calls": 1,
        "input_tokens": 100,
        "output_tokens": 20,
        "chosen_at": START + timedelta(seconds=step),
        "stored_at": START + timedelta(seconds=step, milliseconds=500),
        "extract_s": 0.25,
        "process_reward": 0.05,
    }
    return StepTrace(**values | fields)


def make_episode(episode: str = "e1", **fields: Any) -> EpisodeTrace:
    """The row of an episode of two steps that has ended; `fields` replace its values."""
    values: dict[str, Any] = {
        "episode_id": episode,
        "run_id": "run",
        "at": START + timedelta(minutes=1),
        "num_steps": 2,
    }
    return EpisodeTrace(**values | fields)


def make_bank(version: str = "bank-1", width: int = 2) -> BankTrace:
    """The bank version of those steps: delete, insert and update."""
    kinds = {"delete": ActionType.DELETE, "insert": ActionType.INSERT, "update": ActionType.UPDATE}
    skills = tuple(
        SkillTrace(name=name, description=f"{name} it", instructions="Do.", action_type=kind)
        for name, kind in kinds.items()
    )
    embeddings = np.arange(3 * width, dtype=np.float32).reshape(3, width)
    return BankTrace(version=version, encoder="words", skills=skills, embeddings=embeddings)
