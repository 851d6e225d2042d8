"""What a training run leaves for use: the best controller and the last one, each with its skills.

```
RUN/
  controller/  skills/             the best: highest mean reward over the last updates before it
  last/controller/  last/skills/   as the run ended
  result.json                      after how many updates each of them was, and with which reward
```
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from langgraph_memskill.controller.files import save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import CheckpointError, ConfigError, TrainingError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import dump
from langgraph_memskill.trainers.checkpoints import Checkpoints, TrainState
from langgraph_memskill.trainers.config import TrainConfig

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"

_CONTROLLER = "controller"
_SKILLS = "skills"
_LAST = "last"


Take: TypeAlias = Literal["best", "last"]
"""Which of a run's controllers."""


class ResultFolders(NamedTuple):
    """Where a controller is."""

    controller: Path
    skills: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedController:
    """One controller of a run."""

    step: int
    """Updates that it has had."""
    reward: float | None
    """Mean final reward of the last updates before; None if no episode came to its end."""
    version: str
    """Of the controller."""
    bank_version: str
    """Of its skills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResults:
    """The content of `result.json`."""

    best: TrainedController
    last: TrainedController
    reason: str
    """How the best one was chosen."""


def result_folders(run: Path, take: Take) -> ResultFolders:
    """Where a run keeps a controller.

    Args:
        run: The run's folder.
        take: Which controller.

    Raises:
        ConfigError: If the run has none yet.
    """
    root = run if take == "best" else run / _LAST
    found = ResultFolders(root / _CONTROLLER, root / _SKILLS)
    if not found.controller.is_dir() or not found.skills.is_dir():
        raise ConfigError(
            f"{root} holds no trained controller: the run has not ended; go on with --resume {run}"
        )
    return found


def write_results(
    run: Path,
    config: TrainConfig,
    checkpoints: Checkpoints,
    state: TrainState,
    policy: SkillPolicy,
    *,
    encoder_name: str,
    run_id: str,
) -> RunResults:
    """Write both controllers with their skills.

    Args:
        run: The run's folder.
        config: Its settings.
        checkpoints: Where the best one is.
        state: At the end.
        policy: At the end.
        encoder_name: Of the encoder that was trained with.
        run_id: For the controllers' notes.

    Returns:
        What was written.

    Raises:
        CheckpointError: If a controller cannot be written.
        TrainingError: If `result.json` cannot be written.
    """

    def write(take: Take, state: TrainState, policy: SkillPolicy) -> TrainedController:
        root = run if take == "best" else run / _LAST
        root.mkdir(exist_ok=True)
        bank = SkillBank.from_json(state.bank)
        bank.save(root / _SKILLS, overwrite=True)
        rewards = state.recent_rewards
        reward = sum(rewards) / len(rewards) if rewards else None
        saved = save_controller(
            root / _CONTROLLER,
            policy,
            encoder_name=encoder_name,
            k=config.skills_per_span,
            notes={
                "trained_by": "memskill train",
                "run": run_id,
                "checkpoint": take,
                "updates": state.step,
                "episodes": state.episodes,
                "seed": config.seed,
                "reward": config.reward,
                "recent_reward": reward,
                "bank_version": bank.version,
            },
        )
        return TrainedController(
            step=state.step, reward=reward, version=saved.version, bank_version=bank.version
        )

    last = write("last", state, policy)
    best_state, best_policy, reason = _best(config, checkpoints, state, policy)
    results = RunResults(best=write("best", best_state, best_policy), last=last, reason=reason)
    path = run / RESULT_FILE
    try:
        partial = path.with_name(f".{RESULT_FILE}.partial")
        partial.write_text(json.dumps(dump(results), indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error}") from error
    return results


def _best(
    config: TrainConfig, checkpoints: Checkpoints, state: TrainState, policy: SkillPolicy
) -> tuple[TrainState, SkillPolicy, str]:
    if state.best_step is None:
        return state, policy, f"the last one: there were fewer than {config.best_updates} updates"
    over = (
        "highest reward of an update"
        if config.best_updates == 1
        else f"highest mean reward of {config.best_updates} updates in a row"
    )
    if state.best_step == state.step:
        return state, policy, f"{over}; it is the last one, too"
    try:
        best = checkpoints.state(state.best_step), checkpoints.policy(state.best_step)
    except CheckpointError as error:
        logger.warning("the best checkpoint cannot be read, so the last one is taken: %s", error)
        return state, policy, f"the last one: the best checkpoint cannot be read ({error})"
    return *best, over
