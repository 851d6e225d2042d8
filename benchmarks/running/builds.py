"""Memories that were built, and the cache that keeps them by the content they follow from."""

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Memory, Usage
from langgraph_memskill.state import dump, load

logger = logging.getLogger(__name__)

_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What a row made of a sample's spans, so far."""

    key: str
    """Content key: of everything that the memories follow from."""
    num_spans: int
    run: str = ""
    """The run that it was made in: memories that lack failed spans are for this run only."""
    done: int = 0
    """Spans that were read, the first ones."""
    memories: tuple[Memory, ...] = ()
    skill_uses: dict[str, int] = field(default_factory=dict)
    """For how many spans a skill was chosen."""
    actions: dict[str, int] = field(default_factory=dict)
    """Applied actions by type."""
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons by the ids of the spans that could not be read."""
    usage: Usage = Usage()
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether all spans were read."""
        return self.done >= self.num_spans

    def can_go_on(self, run_id: str, *, is_used: bool) -> bool:
        """Whether a run takes these memories over, instead of reading all spans once more.

        Args:
            run_id: The run.
            is_used: Whether it has played items with them already: then they must stay what the log
                shows, although spans are missing.
        """
        return not self.failed or (self.run == run_id and (is_used or not self.is_complete))


class BuildCache:
    """Builds in files of a folder, one a key; also those that were interrupted."""

    def __init__(self, folder: Path) -> None:
        """Keep them here; the folder is made when something is kept."""
        self._folder = folder

    def load(self, key: str) -> Build | None:
        """The build of a key, complete or not; None if there is none that can be read."""
        path = self._path(key)
        try:
            document: Any = json.loads(path.read_text(encoding="utf-8"))
            if document.pop("format_version") != _FORMAT_VERSION:
                return None
            return load(Build, document)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            logger.warning("%s is damaged (%s): its memories are built anew", path, error)
            return None

    def save(self, build: Build) -> None:
        """Keep a build, all at once.

        Raises:
            DataError: If it cannot be written.
        """
        path = self._path(build.key)
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        document = {"format_version": _FORMAT_VERSION, **dump(build)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
            os.replace(draft, path)
        except OSError as error:
            raise DataError(f"the memories in {path} cannot be written: {error}") from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
