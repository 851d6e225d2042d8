"""Checkpoints of a training run: everything that it needs to go on as if it had never stopped.

```
checkpoints/
  step-00000012/          after 12 updates; the last few are kept, and the best one
    policy.safetensors    the controller's weights
    optimizer.safetensors Adam's moments
    state.json            position, skill bank, random states, counters; checksums of the two above
```

A checkpoint is written into a hidden folder and renamed when all of it is on disk, so a folder with
such a name is whole: a kill or a full disk at any point leaves the earlier ones as they were.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from pydantic import JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import CheckpointError
from langgraph_memskill.records import Usage
from langgraph_memskill.state import dump, load
from langgraph_memskill.trainers.ppo import PPOTrainer

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1

_POLICY = "policy.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_STATE = "state.json"
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainState:
    """Where a run stands, between two updates."""

    step: int = 0
    """Updates that are done; the next one is outer epoch step // inner_epochs."""
    updates_since_change: int | None = None
    """Updates since the skills changed; None if they never did."""
    stage_rewards: tuple[float, ...] = ()
    """Mean final reward of every update of the present stage; updates without an episode left
    out."""
    recent_rewards: tuple[float, ...] = ()
    """The same over the last few updates, whatever their stage."""
    best_reward: float | None = None
    """Highest mean of `recent_rewards` so far."""
    best_step: int | None = None
    episodes: int = 0
    """Played to their end."""
    failed_episodes: int = 0
    usage: Usage = Usage()
    """What all model calls have cost."""
    seconds: float = 0.0
    """Time spent, over all sessions of the run."""
    bank: dict[str, JsonValue] = field(default_factory=dict)
    """`SkillBank.to_json`."""
    new_skills: tuple[str, ...] = ()
    evolution: dict[str, JsonValue] = field(default_factory=dict)
    """What the evolution of the skills wants to keep: pools, stages, snapshots."""
    stopped: bool = False
    """Whether evolution has ended the run before its last stage."""


class Checkpoints:
    """The checkpoints in the folder of a run."""

    def __init__(self, folder: str | Path, *, keep: int = 3) -> None:
        """Name the folder.

        Args:
            folder: Made when the first checkpoint is written.
            keep: Checkpoints that are kept besides the best one, >= 1.
        """
        self.folder = Path(folder)
        self._keep = keep

    def steps(self) -> list[int]:
        """Updates after which there is a checkpoint, rising."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))

    def save(self, trainer: PPOTrainer, state: TrainState) -> Path:
        """Write a checkpoint, then remove those that are not kept.

        Args:
            trainer: Policy, optimiser and random state.
            state: Everything else.

        Returns:
            Its folder.

        Raises:
            CheckpointError: If it cannot be written; the earlier ones are untouched.
        """
        target = self._path(state.step)
        partial = self.folder / f".{target.name}.{uuid4().hex}.partial"
        try:
            partial.mkdir(parents=True)
            contents = {
                _POLICY: save_tensors(_on_cpu(trainer.policy.state_dict())),
                _OPTIMIZER: save_tensors(_optimizer_tensors(trainer)),
            }
            contents[_STATE] = _state_text(trainer, state, contents)
            for name, content in contents.items():
                _write(partial / name, content)
            _sync(partial)
            if target.exists():
                # The same update once more, by a run that was resumed from an earlier one.
                shutil.rmtree(target)
            os.rename(partial, target)
            _sync(self.folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(
                f"the checkpoint {target} cannot be written: {error}. The earlier checkpoints are "
                "untouched: free space and resume the run"
            ) from error
        self._prune(state)
        return target

    def load(self, trainer: PPOTrainer, step: int | None = None) -> TrainState:
        """Put a trainer back to where it was.

        Args:
            trainer: Made with the run's config; its policy, optimiser and random state are
                replaced, or left as they are if an error is raised.
            step: Which checkpoint; None takes the last one that is whole.

        Returns:
            Where the run stood.

        Raises:
            CheckpointError: If there is none, it is damaged, of a newer version of this package, or
                of a network of another shape.
        """
        if step is not None:
            return self._load(trainer, self._path(step))
        problems = []
        for number in reversed(self.steps()):
            try:
                return self._load(trainer, self._path(number))
            except _DamagedError as error:
                logger.warning("%s; trying the one before", error)
                problems.append(str(error))
        reason = "; ".join(problems) or "the run was stopped before its first update"
        raise CheckpointError(f"{self.folder} holds no checkpoint to go on from: {reason}")

    def policy(self, step: int) -> SkillPolicy:
        """The controller as it was after so many updates.

        Raises:
            CheckpointError: If there is no such checkpoint, or it is damaged.
        """
        path = self._path(step)
        document = _read_document(path)
        return SkillPolicy.from_tensors(_read_tensors(path / _POLICY, document))

    def state(self, step: int) -> TrainState:
        """Where the run stood after so many updates.

        Raises:
            CheckpointError: If there is no such checkpoint, or it is damaged.
        """
        path = self._path(step)
        try:
            return load(TrainState, _read_document(path)["state"])
        except (KeyError, ValidationError) as error:
            raise _damaged(path, error) from error

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08}"

    def _load(self, trainer: PPOTrainer, path: Path) -> TrainState:
        document = _read_document(path)
        policy = SkillPolicy.from_tensors(_read_tensors(path / _POLICY, document))
        moments = _read_tensors(path / _OPTIMIZER, document)
        try:
            state = load(TrainState, document["state"])
            generator = torch.tensor(list(bytes.fromhex(document["generator"])), dtype=torch.uint8)
            slots = _slots_of(trainer, moments)
            own = trainer.policy
            if [p.shape for p in policy.parameters()] != [p.shape for p in own.parameters()]:
                raise CheckpointError(f"{path} is of a network of another shape")
            torch.Generator().set_state(generator)
        except (KeyError, TypeError, ValueError, RuntimeError, ValidationError) as error:
            raise _damaged(path, error) from error
        trainer.policy.load_state_dict(policy.state_dict())
        trainer.optimizer.load_state_dict(
            {"state": slots, "param_groups": trainer.optimizer.state_dict()["param_groups"]}
        )
        trainer.generator.set_state(generator)
        return state

    def _prune(self, state: TrainState) -> None:
        kept = {*self.steps()[-self._keep :], state.best_step}
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self._path(step), ignore_errors=True)
        for left_over in self.folder.glob(".*.partial"):
            shutil.rmtree(left_over, ignore_errors=True)


class _DamagedError(CheckpointError):
    """A checkpoint that an earlier one can stand in for."""


def _damaged(path: Path, error: object) -> _DamagedError:
    return _DamagedError(f"the checkpoint {path} is damaged: {error}")


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _optimizer_tensors(trainer: PPOTrainer) -> dict[str, Tensor]:
    """Adam's slots as `<parameter>.<slot>`; empty before the first update."""
    named = {id(parameter): name for name, parameter in trainer.policy.named_parameters()}
    return _on_cpu(
        {
            f"{named[id(parameter)]}.{slot}": value
            for parameter, slots in trainer.optimizer.state.items()
            for slot, value in slots.items()
        }
    )


def _slots_of(trainer: PPOTrainer, tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    found: dict[int, dict[str, Tensor]] = {}
    for number, (name, parameter) in enumerate(trainer.policy.named_parameters()):
        slots = {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in tensors.items()
            if key.startswith(f"{name}.")
        }
        if not slots and not tensors:
            continue
        for slot in ("exp_avg", "exp_avg_sq"):
            if slots[slot].shape != parameter.shape:
                raise ValueError(f"{name}.{slot} has the shape {tuple(slots[slot].shape)}")
        found[number] = {"step": slots["step"], **slots}
    return found


def _state_text(trainer: PPOTrainer, state: TrainState, contents: Mapping[str, bytes]) -> bytes:
    document = {
        "format_version": FORMAT_VERSION,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "generator": bytes(trainer.generator.get_state().tolist()).hex(),
        "state": dump(state),
    }
    return json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the folder's entries durable; on Windows folders cannot be opened for that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads((path / _STATE).read_bytes())
        version = document["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CheckpointError(
                f"the checkpoint {path} has format version {version}; this package reads up to "
                f"{FORMAT_VERSION}: upgrade langgraph-memskill"
            )
        if version != FORMAT_VERSION or not isinstance(document["sha256"], dict):
            raise ValueError(f"format version {version!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    found: dict[str, Any] = document
    return found


def _read_tensors(path: Path, document: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != document["sha256"].get(path.name):
            raise ValueError(f"{path.name} is not what was written")
        return load_tensors(content)
    except (OSError, ValueError, SafetensorError) as error:
        raise _damaged(path.parent, error) from error
