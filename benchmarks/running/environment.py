"""Where a run takes place: versions and the revision of the source tree."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import langgraph_memskill
from langgraph_memskill.benchmarks.run_log import EnvironmentLog

_PACKAGES = (
    "langgraph-memskill",
    "langgraph",
    "langchain-core",
    "langchain-openai",
    "langmem",
    "sentence-transformers",
    "torch",
    "transformers",
    "numpy",
    "nltk",
    "sacrebleu",
    "rouge-score",
)


def environment(*packages: str) -> EnvironmentLog:
    """Look at the machine, the packages and the source tree.

    Args:
        packages: Names of distributions that this run uses besides the usual ones.
    """
    revision = _git("rev-parse", "HEAD")
    changes = None if revision is None else _git("status", "--porcelain")
    return EnvironmentLog(
        git_revision=revision,
        git_dirty=None if changes is None else bool(changes),
        python=platform.python_version(),
        platform=platform.platform(),
        packages={
            name: found for name in (*_PACKAGES, *packages) if (found := _version(name)) is not None
        },
    )


def without_credentials(spec: str) -> str:
    """A model spec without user names and passwords in its URLs."""
    place, hash_mark, name = spec.partition("#")
    if "://" not in place:
        return spec
    return ",".join(map(_bare, place.split(","))) + hash_mark + name


def _bare(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Ask git about the tree that the package runs from; None if it is none, or there is no git."""
    folder = Path(langgraph_memskill.__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
