"""The folder of a training run: what it was started with, and that only one process works in it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from langgraph_memskill.errors import ConfigError, TrainingError
from langgraph_memskill.state import dump, load
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.stages import EvolutionPlan

FORMAT_VERSION = 1
RUN_FILE = "run.json"

_LOCK_FILE = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """What `run.json` holds: everything that a resumed run must have in common."""

    format_version: int = FORMAT_VERSION
    run_id: str
    task: str
    """The benchmark that it trains on."""
    data: str
    """The data file, or the folder of the games."""
    data_sha256: str
    trace_ids: tuple[str, ...]
    """The conversations or games that it trains on."""
    model: str
    """As `load_model` understands it."""
    judge: str | None = None
    encoder: str | None = None
    packs: tuple[str, ...] = ()
    """Skill packs besides the seeds."""
    bank_version: str
    """Of the skill bank at the start."""
    config: TrainConfig = field(default_factory=TrainConfig)
    evolution: EvolutionPlan | None = None
    """How the skills evolve; None leaves them as they are."""
    package_version: str = ""


def check_unused(folder: Path) -> None:
    """Make sure that a run can be started in a folder.

    Raises:
        ConfigError: If it holds a run already.
    """
    if (folder / RUN_FILE).exists():
        raise ConfigError(
            f"{folder} holds a training run already: go on with --resume {folder}, or name another "
            "folder with --out"
        )


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    """Start a run folder.

    Raises:
        ConfigError: If the folder holds a run already.
        TrainingError: If it cannot be written.
    """
    check_unused(folder)
    path = folder / RUN_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{RUN_FILE}.partial")
        partial.write_text(json.dumps(dump(manifest), indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error}") from error


def read_manifest(folder: Path) -> RunManifest:
    """Read what a run was started with.

    Raises:
        ConfigError: If the folder holds no run, it is damaged, or of a newer version.
    """
    path = folder / RUN_FILE
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        version = document.get("format_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ConfigError(
                f"{path} has format version {version}; this package reads up to {FORMAT_VERSION}: "
                "upgrade langgraph-memskill"
            )
        return load(RunManifest, document)
    except (OSError, ValidationError, json.JSONDecodeError) as error:
        raise ConfigError(f"{folder} holds no training run that can be read: {error}") from error


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run; a kill frees it.

    Raises:
        TrainingError: If another process is working in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrainingError(
            f"another process is training in {folder}: wait for it, or name another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
