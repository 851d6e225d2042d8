"""The checks of `memskill doctor`. None of them creates or changes anything of the user's."""

import logging
import os
import platform
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from langgraph_memskill.cli.check_results import Check, fail, ok, warn
from langgraph_memskill.cli.options import MODEL_VARIABLE, Place, encoder_by_name, read_fingerprint
from langgraph_memskill.cli.screen import counted
from langgraph_memskill.cli.service_checks import (
    check_device,
    check_extras,
    check_observers,
    check_server,
)
from langgraph_memskill.errors import MemSkillError

if TYPE_CHECKING:
    from langgraph_memskill.memory_folder import MemoryFolder

logger = logging.getLogger(__name__)

_DISTRIBUTION = "langgraph-memskill"
_PROBE = "Where does Ann live?"
_SHOWN = 3
_OUR_VARIABLES = re.compile(
    r"(MEMSKILL|OPENAI|AZURE_OPENAI|ANTHROPIC|GROQ|LANGSMITH|LANGCHAIN|HF|TRANSFORMERS|CHROMA)_\w+"
    r"|\w+_API_KEY|CUDA_VISIBLE_DEVICES"
)
_TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to check."""

    place: Place
    model: str | None
    call: bool = False
    """Whether to call the model once."""


def run_checks(question: Question, on_check: Callable[[Check], None]) -> list[Check]:
    """Run all checks.

    Args:
        question: What to check.
        on_check: Called after every check.
    """
    checks: list[Check] = []
    for name, check in _CHECKS.items():
        try:
            result = check(question)
        except MemSkillError as error:
            result = fail(name, str(error))
        except Exception as error:  # a broken installation fails in any way it likes
            logger.debug("the check %r failed", name, exc_info=True)
            result = fail(name, f"{type(error).__name__}: {error}", "see: memskill -v doctor")
        checks.append(result)
        on_check(result)
    return checks


def _python(question: Question) -> Check:
    found = f"{platform.python_version()} at {sys.executable}"
    return ok("python", f"{found}, {platform.system()} {platform.machine()}")


def _packages(question: Question) -> Check:
    """Installed versions against those that our own package asks for."""
    found, wrong = [f"{_DISTRIBUTION} {version(_DISTRIBUTION)}"], []
    for requirement in map(Requirement, requires(_DISTRIBUTION) or []):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        installed = _version_of(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed or 'is missing'}, needed: {requirement}")
        else:
            found.append(f"{requirement.name} {installed}")
    if wrong:
        return fail("packages", "; ".join(wrong), f"run: pip install -U {_DISTRIBUTION}")
    return ok("packages", ", ".join(found))


def _version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _folder(question: Question) -> Check:
    paths = _paths(question)
    if not paths.settings.is_file():
        return warn(
            "memory folder",
            f"there is no memory in {paths.root.absolute()}",
            "name it with --folder or MEMSKILL_DIR, or start one with: memskill remember TEXT",
        )
    name, dim = read_fingerprint(paths.root)
    settings = paths.read_settings()
    where = f"{paths.root.absolute()}, format {settings.format_version}"
    where += f", made with {name} ({dim} dimensions)"
    if settings.ttl_minutes is not None:
        since = "its last writing or recall" if settings.refreshes_on_recall else "its last writing"
        where += f", a memory expires {settings.ttl_minutes:g} minutes after {since}"
    if not os.access(paths.root, os.W_OK):
        return warn("memory folder", f"{where}, read-only", "make it writable to remember more")
    return ok("memory folder", where)


def _skills(question: Question) -> Check:
    from langgraph_memskill.skills.bank import SkillBank
    from langgraph_memskill.skills.lint import lint
    from langgraph_memskill.skills.rules import LintLevel

    folder = _paths(question).skills
    if not folder.is_dir():
        return ok("skills", "none yet: a new memory gets the seeds and the conversation pack")
    issues = lint(folder)
    errors = [str(issue) for issue in issues if issue.level is LintLevel.ERROR]
    if errors:
        return fail("skills", errors[0], f"see all: memskill skills lint {folder}")
    return ok("skills", f"{len(SkillBank.load(folder))} skills, {len(issues)} to improve")


def _encoder(question: Question) -> Check:
    from langgraph_memskill.embedding import load_encoder

    started = time.perf_counter()
    encoder = load_encoder(question.place.encoder)
    shape = encoder.encode([_PROBE]).shape
    took = time.perf_counter() - started
    paths = _paths(question)
    if paths.settings.is_file() and read_fingerprint(paths.root) != (encoder.name, shape[1]):
        name, dim = read_fingerprint(paths.root)
        return fail(
            "encoder",
            f"{encoder.name} ({shape[1]} dimensions), but the memory was made with {name} ({dim})",
            f"name that encoder with --encoder {name}",
        )
    return ok("encoder", f"{encoder.name}, {shape[1]} dimensions, first text in {took:.1f} s")


def _controller(question: Question) -> Check:
    paths = _paths(question)
    if not paths.settings.is_file():
        return ok("controller", "none yet: skills are chosen by similarity")
    selector = paths.load_selector(encoder_by_name(paths.root))
    return ok("controller", f"skills are chosen by {selector.name}")


def _store(question: Question) -> Check:
    from langgraph_memskill.memory_folder import MemoryFolder
    from langgraph_memskill.stores.pending import PendingSpans

    paths = _paths(question)
    place = paths.read_settings().store if paths.settings.is_file() else None
    if place is not None:
        return check_server(place)
    if not paths.chroma.is_dir():
        return ok("store", "nothing is stored yet")
    size = sum(file.stat().st_size for file in paths.chroma.rglob("*") if file.is_file())
    with TemporaryDirectory(prefix="memskill-doctor-") as temporary:
        if size > shutil.disk_usage(temporary).free / 2:
            return warn(
                "store",
                f"{size / 1e9:.1f} GB, not opened: there is no room for a copy in {temporary}",
                "set TMPDIR to a larger disk",
            )
        copy = MemoryFolder(Path(temporary))
        _copy_database(paths.chroma, copy.chroma)
        with closing(copy.open_chroma(encoder_by_name(paths.root))) as store:
            users = store.list_namespaces(prefix=("memories",), limit=1_000_000)
            waiting, stats = len(PendingSpans(store).waiting()), store.describe()
    found = (
        f"opens, format {stats.format_version}, {size / 1e6:.1f} MB, {counted(len(users), 'user')}"
    )
    if stats.num_expired:
        found += f", {counted(stats.num_expired, 'expired item')} to sweep"
    if stats.num_orphan_vectors or stats.num_old_collections or stats.is_reembedding:
        what = f"{found}, leftovers of what was broken off"
        return warn("store", what, "run: memskill memories doctor")
    if waiting:
        wait = f"{counted(waiting, 'span')} {'waits' if waiting == 1 else 'wait'} for a retry"
        return warn("store", f"{found}, {wait}", "run: memskill retry")
    return ok("store", found)


def _change_log(question: Question) -> Check:
    paths = _paths(question)
    if not paths.changes.is_file():
        return ok("change log", "nothing is logged yet")
    with closing(paths.open_log(read_only=True)) as log:
        wrong, pending = log.check(), log.num_pending()
        users = log.namespaces()
    if wrong:
        advice = "restore a backup of changes.db; see: memskill memories doctor"
        return fail("change log", "; ".join(wrong[:_SHOWN]), advice)
    size = paths.changes.stat().st_size
    found = f"whole, {size / 1e6:.1f} MB, {counted(len(users), 'user')}"
    if pending:
        what = f"{found}, {counted(pending, 'change')} not brought to their end"
        return warn("change log", what, "the next opening does that: memskill memories list")
    return ok("change log", found)


def _copy_database(source: Path, target: Path) -> None:
    """Copy a Chroma database; opening the original would write to it."""
    for file in source.rglob("*"):
        goal = target / file.relative_to(source)
        if file.is_dir():
            goal.mkdir(parents=True, exist_ok=True)
            continue
        goal.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".sqlite3":
            with _read_only(file) as database, closing(sqlite3.connect(goal)) as copy:
                database.backup(copy)
        elif not file.name.endswith((".sqlite3-journal", ".sqlite3-wal", ".sqlite3-shm")):
            shutil.copyfile(file, goal)


@contextmanager
def _read_only(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        yield database


def _model(question: Question) -> Check:
    from langgraph_memskill.models import is_extractive, load_model, model_name

    wanted = "extractive" if question.model is None else question.model
    model = load_model(wanted)
    name = model_name(model)
    if question.call:
        started = time.perf_counter()
        try:
            reply = model.invoke("Say yes.")
        except Exception as error:
            raise MemSkillError(f"{name} was called: {type(error).__name__}: {error}") from error
        took = time.perf_counter() - started
        return ok("model", f"{name} answered in {took:.1f} s: {str(reply.text).strip()[:60]!r}")
    if is_extractive(wanted):
        return warn(
            "model",
            f"{name}: a baseline without an LLM",
            f"for better memories set {MODEL_VARIABLE} or --model",
        )
    return ok("model", f"{name} (not called; --call does)")


def _environment(question: Question) -> Check:
    """Names of variables that change what we do; never their values."""
    names = sorted(name for name in os.environ if _OUR_VARIABLES.fullmatch(name))
    found = ", ".join(names) or "no variable of ours is set"
    if any(os.environ.get(name, "").lower() in {"true", "1"} for name in _TRACING):
        return warn(
            "environment",
            f"{found}: prompts and memories are sent to LangSmith",
            f"unset {' and '.join(name for name in _TRACING if name in os.environ)} to stop that",
        )
    return ok("environment", found)


def _paths(question: Question) -> "MemoryFolder":
    from langgraph_memskill.memory_folder import MemoryFolder

    return MemoryFolder(question.place.folder)


_CHECKS: Mapping[str, Callable[[Question], Check]] = {
    "python": _python,
    "packages": _packages,
    "device": lambda _: check_device(),
    "environment": _environment,
    "extras": lambda _: check_extras(),
    "observers": lambda _: check_observers(),
    "memory folder": _folder,
    "skills": _skills,
    "encoder": _encoder,
    "controller": _controller,
    "store": _store,
    "change log": _change_log,
    "model": _model,
}
