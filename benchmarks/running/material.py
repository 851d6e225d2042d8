"""What a run works on: the samples of a split, cut into spans, with their questions."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from langgraph_memskill.benchmarks.checking import recognise
from langgraph_memskill.benchmarks.reading import read_json
from langgraph_memskill.benchmarks.run_log import DataLog
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.splits import Splits, read_split_file
from langgraph_memskill.benchmarks.task import Task
from langgraph_memskill.errors import ConfigError, DataError
from langgraph_memskill.records import Span
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.state import dump_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One sample with everything that is settled before it is remembered."""

    sample: Sample
    spans: tuple[Span, ...]
    """Their ids are their positions, so that equal histories have equal spans."""
    chunks: tuple[Span, ...]
    """The raw pieces of the baseline without memories."""
    questions: tuple[Question, ...]

    @property
    def content_key(self) -> str:
        """Identifies the spans, whatever sample they belong to."""
        return digest(dump_all(self.spans))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """All samples of a run."""

    log: DataLog
    materials: tuple[Material, ...]

    @property
    def num_questions(self) -> int:
        """Of all samples."""
        return sum(len(material.questions) for material in self.materials)


def digest(content: object) -> str:
    """Identify plain JSON data: 32 hex digits of its SHA-256."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def load_data(task: Task, file: Path, settings: RunSettings) -> RunData:
    """Read a data file and choose what to run of it.

    Args:
        task: The benchmark.
        file: Its data.
        settings: Split, samples, limit and span mode.

    Raises:
        DataError: If the file cannot be read or is no file of this benchmark.
        ConfigError: If nothing is left to run, a sample is not in the split, or the mode does not
            fit.
    """
    mode = settings.span_mode or task.modes[0]
    if mode not in task.modes:
        known = ", ".join(task.modes)
        raise ConfigError(f"the spans of {task.name} cannot be cut by {mode!r}; take {known}")
    split = settings.split or ("test" if settings.split_file else task.default_split)
    if split == "all" and settings.split_file is not None:
        raise ConfigError(
            f"the split {split!r} has no use for {settings.split_file}: take train, val or test, "
            "or leave the split file out"
        )
    samples = _chosen(task, _loaded(task, file), split, settings, file)
    materials = tuple(
        material
        for material in (_material(task, sample, mode, settings) for sample in samples)
        if material.questions
    )
    materials = _limited(materials, settings.limit)
    if not materials:
        raise ConfigError(
            f"the {split} split of {file} has no questions: choose another --split, or all"
        )
    log = DataLog(
        task=task.name,
        file=file.name,
        sha256=_file_hash(file),
        split=split,
        span_mode=mode.value,
        samples=tuple(material.sample.id for material in materials),
    )
    return RunData(log=log, materials=materials)


def _loaded(task: Task, file: Path) -> list[Sample]:
    try:
        return task.load(file)
    except DataError as error:
        hint = _hint(task, file)
        raise DataError(f"{error}. {hint}") from error


def _hint(task: Task, file: Path) -> str:
    """What to do with a file that cannot be loaded."""
    try:
        found = recognise(read_json(file))
    except DataError:
        found = None
    if found is not None and found.value != task.name:
        return f"The file looks like {found.value}, not {task.name}: name another file or benchmark"
    return f"memskill data check {quote(str(file))} tells all that is wrong with it"


def _chosen(
    task: Task, samples: list[Sample], split: str, settings: RunSettings, file: Path
) -> list[Sample]:
    chosen = samples
    if split != "all":
        parts = (
            task.split(samples)
            if settings.split_file is None
            else read_split_file(settings.split_file, samples)
        )
        chosen = parts._asdict()[split]
        if not chosen:
            raise ConfigError(_no_split(split, parts, settings.split_file or file))
    chosen = list(task.evaluated(chosen))
    known = {sample.id for sample in chosen}
    if missing := [name for name in settings.samples if name not in known]:
        raise ConfigError(
            f"the {split} split of {file} has no sample {missing[0]!r}; it has "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    return [sample for sample in chosen if not settings.samples or sample.id in settings.samples]


def _no_split(split: str, parts: Splits[Sample], file: Path) -> str:
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts._asdict().items() if part)
    return (
        f"{file} has no {split} split (samples: {sizes or 'none'}): choose another --split, or "
        "all, or name a --split-file that has one"
    )


def _material(task: Task, sample: Sample, mode: SpanMode, settings: RunSettings) -> Material:
    tokens, overlap = settings.span_tokens, settings.span_overlap
    spans = task.cut_spans(sample, mode, chunk_tokens=tokens, overlap=overlap)
    chunks = task.cut_spans(sample, task.chunk_mode, chunk_tokens=tokens, overlap=overlap)
    if not spans:
        raise DataError(f"the sample {sample.id!r} has no text to remember")
    return Material(
        sample=sample,
        spans=_numbered(spans, ""),
        chunks=_numbered(
            [replace(chunk, text=task.chunk_text(chunk.text)) for chunk in chunks], "chunk-"
        ),
        questions=tuple(map(_with_real_answers, task.questions(sample))),
    )


def _with_real_answers(question: Question) -> Question:
    """Without blank gold answers, which nothing could match: the question is then unscored."""
    return replace(question, answers=tuple(a for a in question.answers if a.strip()))


def _numbered(spans: Sequence[Span], prefix: str) -> tuple[Span, ...]:
    return tuple(replace(span, id=f"{prefix}{i}", index=i) for i, span in enumerate(spans))


def _limited(materials: Sequence[Material], limit: int | None) -> tuple[Material, ...]:
    if limit is None:
        return tuple(materials)
    kept: list[Material] = []
    left = limit
    for material in materials:
        if left > 0:
            kept.append(replace(material, questions=material.questions[:left]))
            left -= len(material.questions)
    return tuple(kept)


def _file_hash(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the file {file}: {error.strerror or error}") from error
