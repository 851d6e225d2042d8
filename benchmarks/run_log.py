"""The result log of a benchmark run: one versioned JSON document with all that a repetition needs.

A run compares rows (systems) on the same items (questions, or games) with the same reader. What is
the same for many items stands once: the spans of a sample in `samples`, the memories that a row has
of a sample in its `builds`; items name them by id. Two runs of the same settings give the same log
but for times (`without_times`).
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_memskill.benchmarks.reading import read_json
from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Usage

FORMAT_VERSION = 2
"""Grows when a field changes its meaning or goes away."""

LOG_FILE = "run.json"
"""Name of the log in the folder of a run."""

OVERALL = "overall"
"""Stands for all categories together."""


class LogModel(BaseModel):
    """Base of everything in the log: frozen, and no field that the format does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SpanLog(LogModel):
    """A span of a sample."""

    id: str
    text: str
    session: str | None = None
    time: str | None = None
    """When it took place, as the source wrote it."""


class SampleLog(LogModel):
    """A conversation, a document collection or a set of trajectories."""

    id: str
    spans: tuple[SpanLog, ...] = ()


class MemoryLog(LogModel):
    """A memory, or a raw chunk, that a row could recall."""

    id: str
    content: str | None
    """None where it is the text of its one span, word for word: that stands in the sample."""
    skills: tuple[str, ...] = ()
    """Skills that wrote it."""
    span_ids: tuple[str, ...] = ()
    """The spans of its sample that it comes from."""
    evidence_ids: tuple[str, ...] = ()
    """What it comes from, as ids of the same kind as an item's `evidence`."""


class BuildLog(LogModel):
    """What a row made of one sample before the items were played."""

    sample: str
    key: str
    """Content key of the memories; the same data, skills, controller, model, prompts and settings
    give the same. Builds of one key are one build: its cost counts once."""
    memories: tuple[MemoryLog, ...] = ()
    """Those that an item recalled, sorted by id."""
    num_memories: int = 0
    """All of them."""
    skill_uses: dict[str, int] = {}
    """For how many spans a skill was chosen."""
    actions: dict[str, int] = {}
    """Applied actions by type."""
    failed_spans: int = 0
    usage: Usage = Usage()
    """What building cost when it was done, also if the memories came from the cache."""
    error: str | None = None
    """Why there are no memories; then every item of the sample has failed."""
    seconds: float = 0.0


class RecalledLog(LogModel):
    """A memory that an item was given."""

    memory_id: str
    score: float | None = None
    """Cosine similarity, in [-1, 1]; None if it was not found by meaning."""


class ScoreLog(LogModel):
    """A score of one metric."""

    value: float | None
    problem: str | None = None
    """Why a score that there should be is missing; None without a value: the item says nothing
    about this metric."""


class StepLog(LogModel):
    """One step of an acting episode."""

    observation: str
    """What the action led to."""
    action: str
    thought: str = ""
    """What a model said besides."""
    match: str = ""
    """How a model's reply led to the action (contained, closest, miss, unchecked); empty if it was
    the action itself, or no model was asked."""
    reward: float | None = None
    seconds: float = 0.0


class ItemLog(LogModel):
    """One question or game, as one row played it."""

    id: str
    sample: str
    category: str = ""
    text: str
    """The question, or the objective of the game."""
    gold: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    date: str | None = None
    answer: str | None = None
    """None if it failed."""
    scores: dict[str, ScoreLog] = {}
    """By metric; empty if it failed."""
    recalled: tuple[RecalledLog, ...] = ()
    """Best first."""
    steps: tuple[StepLog, ...] = ()
    usage: Usage = Usage()
    """Calls of the reader or the acting agent."""
    scoring_usage: Usage = Usage()
    """Calls of a judge."""
    error: str | None = None
    """Why there is no answer; such an item is in no mean, and is counted."""
    seconds: float = 0.0
    """From recalling to the answer."""


class MetricLog(LogModel):
    """The mean of one metric with its bootstrap 95% interval."""

    mean: float | None
    """None if no item has a score."""
    low: float | None = None
    high: float | None = None
    scored: int = 0
    """Items in the mean."""
    unscored: int = 0
    """Items whose score should be there and is missing."""


class CategoryLog(LogModel):
    """The items of one category, or all."""

    category: str
    items: int
    failed: int
    """Items without an answer."""
    metrics: dict[str, MetricLog]


class CostLog(LogModel):
    """What something cost."""

    usage: Usage = Usage()
    price: float | None = None
    """In the currency of the price table; None without one."""


class RowLog(LogModel):
    """One system."""

    name: str
    """As on the command line ("rag", "similarity")."""
    title: str
    """For people."""
    settings: dict[str, Any] = {}
    """What distinguishes it: selector, skills a span, controller version ..."""
    builds: tuple[BuildLog, ...] = ()
    """In the order of the samples."""
    items: tuple[ItemLog, ...] = ()
    """In the order of the samples and their questions."""
    categories: tuple[CategoryLog, ...] = ()
    """Alphabetical, the last one is `OVERALL`."""
    building: CostLog = CostLog()
    answering: CostLog = CostLog()
    scoring: CostLog = CostLog()
    total: CostLog = CostLog()
    """Building and answering: what the system costs. Scoring is the benchmark's own."""
    tokens_per_item: float = 0.0
    """Tokens of answering, for each item that has an answer."""
    seconds_per_item: float = 0.0
    """Mean over the items that have an answer."""


class DataLog(LogModel):
    """What the run was about."""

    task: str
    file: str
    """Name of the data file, without its folder."""
    sha256: str
    split: str
    span_mode: str
    samples: tuple[str, ...]
    """Ids of the samples, in file order."""


class ModelLog(LogModel):
    """A model, without keys."""

    role: Literal["executor", "reader", "judge", "encoder"]
    name: str
    spec: str = ""
    """As the user wrote it, without credentials."""
    sha256: str | None = None
    """Of the model's file, for one that runs in this process."""
    dtype: str | None = None
    """Number format that an encoder was told to compute in; None is the device's usual one."""


class EnvironmentLog(LogModel):
    """Where the run took place."""

    git_revision: str | None
    """Of the source tree that the package runs from; None outside of one."""
    git_dirty: bool | None
    python: str
    platform: str
    packages: dict[str, str]
    """Versions by distribution name."""


class TimesLog(LogModel):
    """What differs from run to run."""

    started_at: str
    """ISO time, UTC."""
    finished_at: str
    seconds: float
    """Of all its parts, if it was interrupted."""
    reused_builds: int = 0
    """Builds whose memories came from the cache."""
    resumed_items: int = 0
    """Items that an interrupted part of the run had played already."""
    executor: str = "local"
    """Where the last part of it was worked on: in one process, or by how many workers."""


class RunLog(LogModel):
    """A whole run."""

    format_version: int = FORMAT_VERSION
    id: str
    """Follows from data, rows and settings."""
    data: DataLog
    models: tuple[ModelLog, ...]
    environment: EnvironmentLog
    settings: dict[str, Any]
    """Everything else that the results follow from."""
    seeds: dict[str, int]
    prices: dict[str, Any] | None = None
    """The price table."""
    metrics: tuple[str, ...]
    """Names, the main one first."""
    samples: tuple[SampleLog, ...]
    rows: tuple[RowLog, ...]
    times: TimesLog


_TIMES = frozenset({"times", "seconds", "seconds_per_item"})


def without_times(log: RunLog) -> dict[str, Any]:
    """The log as plain data without what differs from run to run."""
    return dict(_stripped(log.model_dump(mode="json")))


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _stripped(part) for name, part in value.items() if name not in _TIMES}
    if isinstance(value, list):
        return [_stripped(part) for part in value]
    return value


def write_run_log(log: RunLog, path: Path) -> None:
    """Write a log, all at once.

    Args:
        log: What to write.
        path: The file; one that is there is replaced.

    Raises:
        DataError: If it cannot be written.
    """
    text = json.dumps(log.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise DataError(f"the result log {path} cannot be written: {error}") from error


def read_run_log(path: Path) -> RunLog:
    """Read a log.

    Args:
        path: The file, or the folder of a run.

    Raises:
        DataError: If it is no complete log, or one of a newer version of this package.
    """
    file = path / LOG_FILE if path.is_dir() else path
    if not file.exists():
        raise DataError(_no_log(path))
    content = read_json(file)
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise DataError(
            f"{file} is no result log: it has no format_version; name the folder of a run of "
            f"memskill bench, or its {LOG_FILE}"
        )
    if version > FORMAT_VERSION:
        raise DataError(
            f"{file} has format version {version}; this package reads up to {FORMAT_VERSION}: "
            "update langgraph-memskill"
        )
    try:
        return RunLog.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{file} is no complete result log: {where}: {first['msg']}") from error


def _no_log(path: Path) -> str:
    """Why there is nothing to read."""
    if path.is_dir() and any(path.iterdir()):
        return (
            f"the run in {path} has no {LOG_FILE}: if it was interrupted, give its memskill bench "
            "command once more; or name another folder"
        )
    return f"there is no run in {path}: name the folder of a run of memskill bench"
