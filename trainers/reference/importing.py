"""Writes a checkpoint of the paper's code as a folder of ours.

The folder holds controller/ and skills/, as `MemSkillMemory.open` wants them, and training/ with
what else the checkpoint knows of its run: optimizer.safetensors, random.json, logs.jsonl and
progress.json.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from pydantic import JsonValue
from safetensors.torch import save_file

from langgraph_memskill.controller.files import save_controller
from langgraph_memskill.errors import CheckpointError, ConfigError
from langgraph_memskill.memory_folder import MemoryFolder
from langgraph_memskill.sentence_models import model_name
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.trainers.reference.content import (
    ReferenceCheckpoint,
    plain,
    read_reference_checkpoint,
)

TRAINING_FOLDER = "training"
OPTIMIZER_FILE = "optimizer.safetensors"
RANDOM_FILE = "random.json"
LOGS_FILE = "logs.jsonl"
PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did."""

    folder: Path
    controller: str
    """Version of the controller."""
    encoder: str
    """Name of the encoder that the controller needs."""
    skills: tuple[str, ...]
    """Names in bank order."""
    new_skills: tuple[str, ...]
    """Those that the designer had just added or changed, sorted."""
    completed_outer_epochs: int
    step: int
    imported: tuple[str, ...]
    """What was taken over, in sentences."""
    adaptations: tuple[str, ...]
    """What is said differently here than in the checkpoint."""
    left_out: tuple[str, ...]
    """What was not taken over, and why."""


def import_checkpoint(
    path: str | Path, out: str | Path, *, encoder: str | None = None
) -> ImportReport:
    """Import a checkpoint of the paper's code into a new folder; nothing of it is executed.

    Args:
        path: The `.pt` file.
        out: The folder to make; it must not exist, or be empty. It appears as a whole or not at
            all.
        encoder: Name or folder of the state encoder here, if it is another than the checkpoint's
            configuration says (a moved folder, for example).

    Returns:
        What was imported and what was left out.

    Raises:
        CheckpointError: If the file is refused (see `read_reference_checkpoint`), or the folder
            cannot be written.
        ConfigError: If the folder is in use.
    """
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{str(target)!r} exists and is not an empty folder: name a new one")
    checkpoint = read_reference_checkpoint(path)
    name = model_name(encoder or checkpoint.encoder, None)
    partial = target.absolute().with_name(f".{target.name}.{uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        version = _write(checkpoint, partial, Path(path), name)
        os.replace(partial, target)
    except OSError as error:
        raise CheckpointError(f"{str(target)!r} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ImportReport(
        folder=target,
        controller=version,
        encoder=name,
        skills=checkpoint.bank.names,
        new_skills=tuple(sorted(checkpoint.bank.new_names)),
        completed_outer_epochs=checkpoint.resume.completed_outer_epochs,
        step=checkpoint.resume.step,
        imported=_imported(checkpoint),
        adaptations=(*checkpoint.adaptations, *_warnings(checkpoint)),
        left_out=checkpoint.left_out,
    )


def _write(checkpoint: ReferenceCheckpoint, folder: Path, source: Path, encoder: str) -> str:
    """Write everything; return the controller's version."""
    paths = MemoryFolder(folder)
    resume = checkpoint.resume
    notes: dict[str, JsonValue] = {
        "imported_from": source.name,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "completed_outer_epochs": resume.completed_outer_epochs,
        "step": resume.step,
    }
    settings = save_controller(
        paths.controller,
        checkpoint.policy,
        encoder_name=encoder,
        fusion=checkpoint.fusion,
        tau=checkpoint.tau,
        k=checkpoint.k,
        notes=notes,
    )
    note = VersionNote(
        author=VersionAuthor.PERSON, reason="imported checkpoint", source=source.name
    )
    version = paths.skill_versions.record(checkpoint.bank, note)
    paths.skill_versions.activate(version.id, action="import")
    training = folder / TRAINING_FOLDER
    training.mkdir()
    progress: dict[str, JsonValue] = {
        **notes,
        "new_skills": [*sorted(checkpoint.bank.new_names)],
        "optimizer": dict(checkpoint.optimizer.settings) if checkpoint.optimizer else None,
        **checkpoint.rest,
    }
    if checkpoint.optimizer is not None:
        tensors = {
            f"{slot}.{parameter}": tensor.clone()
            for parameter, slots in checkpoint.optimizer.slots.items()
            for slot, tensor in slots.items()
        }
        save_file(tensors, training / OPTIMIZER_FILE)
    if checkpoint.random_states is not None:
        states = checkpoint.random_states
        content = {
            "python": plain(states.python),
            "numpy": [
                part.tolist() if isinstance(part, np.ndarray) else part for part in states.numpy
            ],
            "torch": states.torch.tolist(),
        }
        (training / RANDOM_FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")
    lines = "".join(json.dumps(entry) + "\n" for entry in checkpoint.logs)
    (training / LOGS_FILE).write_text(lines, encoding="utf-8")
    (training / PROGRESS_FILE).write_text(json.dumps(progress, indent=2) + "\n", encoding="utf-8")
    return settings.version


def _imported(checkpoint: ReferenceCheckpoint) -> tuple[str, ...]:
    policy, bank = checkpoint.policy, checkpoint.bank
    snapshots = checkpoint.rest.get("snapshot_manager")
    num_snapshots = len(_list(snapshots, "snapshots"))
    optional = (
        ("the optimiser's state", checkpoint.optimizer is not None),
        ("the random states", checkpoint.random_states is not None),
        (f"{num_snapshots} snapshots of the skill bank (as JSON)", num_snapshots > 0),
        ("the pool of hard cases (as JSON)", "designer_state" in checkpoint.rest),
        (f"the numbers of {len(checkpoint.logs)} inner epochs", bool(checkpoint.logs)),
    )
    return (
        f"the controller: state {policy.state_dim}, skill {policy.skill_dim}, hidden "
        f"{policy.hidden_dim}, K = {checkpoint.k}",
        f"{len(bank)} skill{'s' * (len(bank) != 1)} with statistics",
        *(text for text, is_there in optional if is_there),
    )


def _list(value: JsonValue, name: str) -> list[JsonValue]:
    entry = value.get(name) if isinstance(value, dict) else None
    return entry if isinstance(entry, list) else []


def _warnings(checkpoint: ReferenceCheckpoint) -> tuple[str, ...]:
    """What stands in the way of using the controller."""
    policy = checkpoint.policy
    if policy.state_dim != 2 * policy.skill_dim or checkpoint.skill_encoder != checkpoint.encoder:
        return (
            f"spans were embedded with {checkpoint.encoder!r} and skills with "
            f"{checkpoint.skill_encoder!r}; here one encoder does both, so the controller can be "
            "read but not used as it is",
        )
    return ()
