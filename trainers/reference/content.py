"""What a checkpoint of the paper's code says, in our terms."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.state import FusionMode
from langgraph_memskill.errors import CheckpointError, SkillError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.reference.pickles import (
    InertArray,
    InertRecord,
    read_torch_file,
)
from langgraph_memskill.trainers.reference.skills import read_bank

NEWEST_VERSION = 4
"""The newest `checkpoint_version` whose content this module knows."""
DEFAULT_INNER_EPOCHS = 100
DEFAULT_OUTER_EPOCHS = 10

_KEPT_AS_JSON = (
    "snapshot_manager",
    "designer_state",
    "stage_rewards",
    "total_steps",
    "new_action_bias_active",
    "new_action_bias_step",
    "wandb_run_id",
    "wandb_run_name",
    "config",
)
_SECRET = re.compile(r"(?i)(api|private|access)_?keys?$|secret|password|credential")
_RECOMPUTED = frozenset({"embedding"})
_MAX_DEPTH = 100


class ResumePoint(NamedTuple):
    """Where a training run stood."""

    completed_outer_epochs: int
    step: int
    """Number of the last inner epoch that was logged, from 0; -1 if there was none."""


class RandomStates(NamedTuple):
    """The generators of the run, as their libraries take them."""

    python: tuple[Any, ...]
    """For `random.setstate`."""
    numpy: tuple[Any, ...]
    """For `numpy.random.set_state`."""
    torch: Tensor
    """For `torch.set_rng_state`; uint8 [n]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerState:
    """Adam's state, by parameter name."""

    slots: Mapping[str, Mapping[str, Tensor]]
    """Parameter name to slot ("exp_avg", "exp_avg_sq", "step") to tensor."""
    settings: Mapping[str, JsonValue]
    """Learning rate, betas and the like."""

    def state_dict(self) -> dict[str, Any]:
        """Write it as torch's optimisers take it, parameters numbered in the policy's order."""
        numbers = range(len(self.slots))
        return {
            "state": {
                number: dict(slots)
                for number, slots in zip(numbers, self.slots.values(), strict=True)
                if slots
            },
            "param_groups": [{**self.settings, "params": list(numbers)}],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCheckpoint:
    """A checkpoint of the paper's code, read as data."""

    policy: SkillPolicy
    """The controller, float32 on the CPU."""
    bank: SkillBank
    """The skills in their order, with statistics; the new ones are marked as new."""
    encoder: str
    """The state encoder, as the paper's configuration names it."""
    skill_encoder: str
    """The encoder of the skills' descriptions."""
    fusion: FusionMode
    tau: float
    k: int
    """Skills a span in training."""
    resume: ResumePoint
    optimizer: OptimizerState | None
    random_states: RandomStates | None
    logs: tuple[dict[str, JsonValue], ...]
    """The numbers of every inner epoch, without its steps."""
    rest: Mapping[str, JsonValue]
    """Configuration, bank snapshots, hard cases and counters, as plain JSON."""
    adaptations: tuple[str, ...]
    """What had to be said differently here, in sentences."""
    left_out: tuple[str, ...]
    """What was not taken over and why, in sentences."""


def read_reference_checkpoint(path: str | Path) -> ReferenceCheckpoint:
    """Read a checkpoint of the paper's code (MemSkill) as data; nothing of it is executed.

    Args:
        path: The `.pt` file.

    Returns:
        Its content.

    Raises:
        CheckpointError: If the file cannot be read safely (see `read_torch_file`), a part is
            missing or of another kind, a tensor has another shape, a skill breaks a rule that
            cannot be met by rewriting, or a newer version of the paper's code wrote it.
    """
    tree = read_torch_file(path)
    try:
        return _read(_fields(tree, "the checkpoint"))
    except (CheckpointError, SkillError) as error:
        raise CheckpointError(f"{path} cannot be imported: {error}") from error


def resume_point(
    checkpoint: Mapping[str, object], *, inner_epochs: int, outer_epochs: int
) -> ResumePoint:
    """Work out where a run stood, from partial or old checkpoints too.

    Args:
        checkpoint: The top level of the file.
        inner_epochs: Inner epochs an outer epoch, where the checkpoint's configuration has none.
        outer_epochs: Outer epochs of a run, likewise.

    Returns:
        Completed outer epochs, and the logging step.
    """
    config = checkpoint.get("config")
    settings: Mapping[str, object] = config if isinstance(config, Mapping) else {}
    inner = _whole(settings.get("inner_epochs"), inner_epochs)
    completed = checkpoint.get("completed_outer_epoch", checkpoint.get("epoch"))
    if isinstance(completed, str) and completed.strip().lower() == "final":
        logs = checkpoint.get("training_logs")
        if isinstance(logs, list) and logs and inner > 0:
            completed = len(logs) // inner
        else:
            completed = _whole(settings.get("outer_epochs"), outer_epochs)
    done = max(0, _whole(completed, 0))
    return ResumePoint(done, _whole(checkpoint.get("wandb_step_cursor"), max(-1, done * inner - 1)))


def plain(value: object, *, depth: int = 0) -> JsonValue:
    """Write what `read_torch_file` returned as JSON; embeddings are left out.

    Args:
        value: Any part of the tree but tensors.
        depth: How deep the value lies.

    Raises:
        CheckpointError: If it holds a tensor, or nests deeper than a hundred levels.
    """
    if depth > _MAX_DEPTH:
        raise CheckpointError(f"its values nest deeper than {_MAX_DEPTH} levels")
    if isinstance(value, InertArray):
        value = value.values.tolist()
    elif isinstance(value, InertRecord):
        value = value.fields
    if isinstance(value, Mapping):
        return {
            str(key): plain(entry, depth=depth + 1)
            for key, entry in value.items()
            if key not in _RECOMPUTED
        }
    if isinstance(value, list | tuple | set):
        return [plain(entry, depth=depth + 1) for entry in value]
    if isinstance(value, float) and not -1e308 <= value <= 1e308:
        return str(value)  # JSON has no infinity
    if value is None or isinstance(value, str | int | float):
        return value
    raise CheckpointError(f"a {type(value).__name__} stands where plain values are expected")


def _read(tree: Mapping[str, object]) -> ReferenceCheckpoint:
    version = tree.get("checkpoint_version", 1)
    if isinstance(version, int) and version > NEWEST_VERSION:
        raise CheckpointError(
            f"its checkpoint_version is {version}; versions up to {NEWEST_VERSION} are known: "
            "upgrade langgraph-memskill"
        )
    config = _fields(tree.get("config", {}), "config")
    policy = SkillPolicy.from_tensors(_tensors(tree))
    reading = read_bank(
        plain(tree.get("operation_bank")), plain(tree.get("operation_bank_new_operation_names", []))
    )
    encoder = str(config.get("state_encoder") or "unknown")
    return ReferenceCheckpoint(
        policy=policy,
        bank=reading.bank,
        encoder=encoder,
        skill_encoder=str(config.get("op_encoder") or encoder),
        fusion=_fusion(config.get("state_fusion", "mean")),
        tau=_number(config.get("state_fusion_tau", 1.0), "config.state_fusion_tau"),
        k=max(1, _whole(config.get("action_top_k"), 3)),
        resume=resume_point(
            tree, inner_epochs=DEFAULT_INNER_EPOCHS, outer_epochs=DEFAULT_OUTER_EPOCHS
        ),
        optimizer=_optimizer(tree.get("optimizer_state_dict"), policy),
        random_states=_random_states(tree.get("rng_state")),
        logs=_logs(tree.get("training_logs", [])),
        rest=_rest(tree),
        adaptations=reading.adaptations,
        left_out=_left_out(tree),
    )


def _fields(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{where} is a {type(value).__name__}, not a dict of fields")
    return {str(key): entry for key, entry in value.items()}


def _tensors(tree: Mapping[str, object]) -> dict[str, Tensor]:
    """The controller's weights; a tensor that claims more numbers than it stores is refused."""
    if "controller_state_dict" not in tree:
        held = ", ".join(sorted(tree)[:8]) or "nothing"
        raise CheckpointError(f"it has no controller_state_dict; it holds: {held}")
    weights = _fields(tree["controller_state_dict"], "controller_state_dict")
    return {name: _stored(entry, name) for name, entry in weights.items()}


def _stored(value: object, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise CheckpointError(f"{name!r} is a {type(value).__name__}, not a tensor")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(
            f"the tensor {name!r} claims the shape {tuple(value.shape)}, but stores fewer numbers"
        )
    return value.detach()


def _optimizer(value: object, policy: SkillPolicy) -> OptimizerState | None:
    """Adam's state; the paper's code gives it the parameters in the policy's own order."""
    if value is None:
        return None
    optimizer = _fields(value, "optimizer_state_dict")
    groups = optimizer.get("param_groups")
    if not isinstance(groups, list) or len(groups) != 1:
        raise CheckpointError("optimizer_state_dict.param_groups is not a list of one group")
    group = _fields(groups[0], "optimizer_state_dict.param_groups[0]")
    parameters = dict(policy.named_parameters())
    numbers = group.get("params")
    if not isinstance(numbers, list) or len(numbers) != len(parameters):
        raise CheckpointError(
            f"the optimiser does not have the controller's {len(parameters)} parameters"
        )
    state = optimizer.get("state")
    entries: Mapping[object, object] = state if isinstance(state, Mapping) else {}
    slots = {
        name: _slots(entries.get(number, {}), name, parameter)
        for number, (name, parameter) in zip(numbers, parameters.items(), strict=True)
    }
    settings = {name: plain(entry) for name, entry in group.items() if name != "params"}
    return OptimizerState(slots=slots, settings=settings)


def _slots(value: object, name: str, parameter: Tensor) -> dict[str, Tensor]:
    found = {
        slot: _stored(torch.as_tensor(entry) if isinstance(entry, int | float) else entry, slot)
        for slot, entry in _fields(value, f"the optimiser's state of {name}").items()
    }
    for slot, tensor in found.items():
        if tensor.numel() != 1 and tensor.shape != parameter.shape:
            raise CheckpointError(
                f"the optimiser's {slot} of {name} has the shape {tuple(tensor.shape)}, not "
                f"{tuple(parameter.shape)}"
            )
    return found


def _random_states(value: object) -> RandomStates | None:
    if value is None:
        return None
    states = _fields(value, "rng_state")
    python, numpy = states.get("python_random_state"), states.get("numpy_random_state")
    torch_state = states.get("torch_rng_state")
    if not isinstance(python, tuple) or not isinstance(numpy, tuple):
        raise CheckpointError("rng_state does not hold the tuples of Python's and NumPy's states")
    keys = tuple(part.values if isinstance(part, InertArray) else part for part in numpy)
    found = RandomStates(python, keys, _stored(torch_state, "torch_rng_state"))
    try:
        random.Random().setstate(found.python)  # only to see that it is one
        np.random.RandomState().set_state(found.numpy)
        torch.Generator().set_state(found.torch)
    except (TypeError, ValueError, RuntimeError, LookupError) as error:
        raise CheckpointError(f"rng_state holds no states of generators: {error}") from error
    return found


def _logs(value: object) -> tuple[dict[str, JsonValue], ...]:
    if not isinstance(value, list):
        raise CheckpointError(f"training_logs is a {type(value).__name__}, not a list")
    return tuple(
        cast("dict[str, JsonValue]", plain({k: v for k, v in entry.items() if k != "steps"}))
        for entry in value
        if isinstance(entry, Mapping)
    )


def _rest(tree: Mapping[str, object]) -> dict[str, JsonValue]:
    kept = {name: plain(tree[name]) for name in _KEPT_AS_JSON if name in tree}
    config = kept.get("config")
    if isinstance(config, dict):
        kept["config"] = {k: v for k, v in config.items() if not _SECRET.search(k)}
    return kept


def _left_out(tree: Mapping[str, object]) -> tuple[str, ...]:
    known = {
        "training_logs": "the single steps of the training log (states, choices, texts): only the "
        "numbers of each inner epoch are kept",
        "args": "the command line of the run (it may name keys and paths)",
        "operation_bank": "stored embeddings of skills: they are computed anew from the texts",
    }
    taken = {
        *_KEPT_AS_JSON,
        *known,
        "checkpoint_version",
        "epoch",
        "completed_outer_epoch",
        "controller_state_dict",
        "optimizer_state_dict",
        "operation_bank_new_operation_names",
        "wandb_step_cursor",
        "rng_state",
    }
    unknown = sorted(tree.keys() - taken)
    return (
        *(reason for name, reason in known.items() if name in tree),
        *(f"{name!r}, which is unknown here" for name in unknown),
    )


def _fusion(value: object) -> FusionMode:
    if value == "mean":
        return "mean"
    if value == "sim_weighted":
        return "sim_weighted"
    raise CheckpointError(f"config.state_fusion is {value!r}; known are 'mean' and 'sim_weighted'")


def _number(value: object, where: str) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise CheckpointError(f"{where} is {value!r}, not a number")


def _whole(value: object, default: int) -> int:
    """A whole number if the value can be read as one, like the paper's code reads it."""
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # any value may come
    except (TypeError, ValueError, OverflowError):
        return default
