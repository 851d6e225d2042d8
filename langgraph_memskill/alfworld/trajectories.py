"""Games as text: the objective, the trajectory of a game, and chunks of trajectories.

The rules are those of the parity kit (README section 10).
"""

import re
from collections.abc import Iterable, Sequence

from langgraph_memskill.alfworld.records import GameStep
from langgraph_memskill.tokens import Tokenizer, default_tokenizer

SEPARATOR = "\n\n=== TRAJECTORY ===\n\n"
"""Between two trajectories of a chunk."""

_OBJECTIVE = re.compile(r"your task is to:", re.IGNORECASE)


def read_objective(observation: str) -> str:
    """The task that a first observation names; empty if it names none.

    Args:
        observation: Any text; the task stands behind "Your task is to:", in any case (QUIRK 79).
    """
    found = _OBJECTIVE.search(observation)
    if found is None:
        return ""
    rest = observation[found.end() :].strip()
    return rest.splitlines()[0].strip().rstrip(".").rstrip() if rest else ""


def trajectory_text(steps: Sequence[GameStep]) -> str:
    """Write a game down: first observation, commands with their answers, how it ended.

    Args:
        steps: Of a game, beginning with the first observation.
    """
    is_solved = bool(steps) and steps[-1].reward >= 1.0
    lines = [steps[0].observation.strip() if steps else "", "", ""]
    for step in steps[1:]:
        lines.append(f"ACTION: {step.action}")
        if observation := step.observation.strip():
            lines.append(f"OBSERVATION: {observation}")
    lines += ["", "", f"TRAJECTORY_STATUS: {'SUCCESS' if is_solved else 'FAILED'}"]
    return "\n".join(lines).strip()


def group_trajectories(
    trajectories: Iterable[str], chunk_tokens: int | None, *, tokenizer: Tokenizer | None = None
) -> list[str]:
    """Pack trajectories into chunks, in order, never splitting one.

    A trajectory that is longer than a chunk is a chunk of its own, and the separators do not count
    (QUIRK 79, kept).

    Args:
        trajectories: Texts; blank ones are passed over.
        chunk_tokens: Most tokens of the trajectories of a chunk; None or less than 1 gives every
            trajectory a chunk of its own.
        tokenizer: Counts; None takes the default one.
    """
    texts = [text.strip() for text in trajectories if text.strip()]
    if chunk_tokens is None or chunk_tokens < 1:
        return texts
    counter = default_tokenizer() if tokenizer is None else tokenizer
    chunks: list[list[str]] = []
    used = 0
    for text in texts:
        length = len(counter.split(text))
        if not chunks or used + length > chunk_tokens:
            chunks.append([])
            used = 0
        chunks[-1].append(text)
        used += length
    return [SEPARATOR.join(chunk) for chunk in chunks]
