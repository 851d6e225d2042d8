"""The controllers that a memory folder has had: which one is in use, and the way back.

```
controller/
  controller.safetensors, controller.json   the one in use; neither is there if skills are chosen by
                                            similarity
  versions/<version>/                       every controller that was ever in use, whole
  log.jsonl                                 one line a change
```
A controller is kept in versions/ before it is replaced, so a crash loses none.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from langgraph_memskill.controller.files import (
    SETTINGS_FILE,
    WEIGHTS_FILE,
    ControllerSettings,
    copy_controller,
    read_controller,
)
from langgraph_memskill.errors import CheckpointError
from langgraph_memskill.state import dump, load

NO_CONTROLLER = "similarity"
"""Stands for having no controller: skills are then chosen by similarity."""

_LOG_FILE = "log.jsonl"
_LOCK_FILE = ".lock"
_LOCK_TIMEOUT_S = 30
_VERSION = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerChange:
    """One line of the log."""

    at: datetime
    action: str
    """"promote" or "rollback"."""
    version: str
    """The controller from then on, or `NO_CONTROLLER`."""
    previous: str
    """The one before."""
    note: str = ""


class ControllerVersions:
    """The controllers of a memory folder."""

    def __init__(self, folder: str | Path) -> None:
        """Look at a folder; nothing is made.

        Args:
            folder: The controller/ of a memory folder.
        """
        self._folder = Path(folder)

    @property
    def current(self) -> str:
        """Version of the controller in use, or `NO_CONTROLLER`.

        Raises:
            CheckpointError: If it is damaged.
        """
        return self._settings(self._folder).version if self._in_use() else NO_CONTROLLER

    def log(self) -> list[ControllerChange]:
        """All changes, oldest first.

        Raises:
            CheckpointError: If the log cannot be read. Half a line at its end, which a crash may
                leave, is passed over.
        """
        path = self._folder / _LOG_FILE
        if not path.exists():
            return []
        try:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            return [load(ControllerChange, json.loads(line)) for line in lines if line[-1:] == "\n"]
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read: {error}. Restore or remove it"
            ) from error

    def promote(self, source: str | Path, *, note: str = "") -> ControllerChange:
        """Put a controller to use; the present one is kept.

        Args:
            source: Folder of a saved controller.
            note: Why, for the log.

        Raises:
            CheckpointError: If it is damaged, or the folder cannot be written. The present
                controller then stays in use.
        """
        version = self._settings(Path(source)).version
        with self._changing():
            copy_controller(source, self._kept(version))
            return self._switch(version, "promote", note)

    def rollback(self, version: str | None = None) -> ControllerChange:
        """Go back to an earlier controller; the present one is kept.

        Args:
            version: Which, or its first characters, or `NO_CONTROLLER`; None takes the one before
                the last change.

        Raises:
            CheckpointError: If there is no such version, or it is in use already.
        """
        with self._changing():
            wanted = self._previous() if version is None else self._find(version)
            if wanted == self.current:
                raise CheckpointError(f"the controller {wanted!r} is in use already")
            return self._switch(wanted, "rollback", "")

    def _switch(self, version: str, action: str, note: str) -> ControllerChange:
        previous = self.current
        if previous != NO_CONTROLLER:
            copy_controller(self._folder, self._kept(previous))
        if version == NO_CONTROLLER:
            # The settings make the controller count; without them the weights are nothing.
            (self._folder / SETTINGS_FILE).unlink(missing_ok=True)
            (self._folder / WEIGHTS_FILE).unlink(missing_ok=True)
        else:
            copy_controller(self._kept(version), self._folder)
        change = ControllerChange(
            at=datetime.now(UTC), action=action, version=version, previous=previous, note=note
        )
        self._append(change)
        return change

    def _previous(self) -> str:
        changes = self.log()
        if not changes:
            raise CheckpointError(
                f"{self._folder} has no earlier controller: none was ever promoted"
            )
        return changes[-1].previous

    def _find(self, beginning: str) -> str:
        if beginning == NO_CONTROLLER:
            return beginning
        inside = self._folder / "versions"
        known = sorted(p.name for p in inside.iterdir()) if inside.is_dir() else []
        found = [name for name in known if name.startswith(beginning) and _VERSION.fullmatch(name)]
        if len(found) != 1:
            listed = ", ".join([*known, NO_CONTROLLER])
            problem = "more than one version" if found else "no version"
            raise CheckpointError(
                f"{problem} of the controller begins with {beginning!r}; there are: {listed}"
            )
        return found[0]

    def _in_use(self) -> bool:
        return (self._folder / SETTINGS_FILE).exists()

    def _kept(self, version: str) -> Path:
        return self._folder / "versions" / version

    @staticmethod
    def _settings(folder: Path) -> ControllerSettings:
        return read_controller(folder).settings

    def _append(self, change: ControllerChange) -> None:
        path = self._folder / _LOG_FILE
        line = (json.dumps(dump(change)) + "\n").encode()
        path.touch()
        with path.open("r+b") as file:
            # A crash may have left half a line, which ours must not go on.
            file.seek(file.read().rfind(b"\n") + 1)
            file.truncate()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / _LOCK_FILE, timeout=_LOCK_TIMEOUT_S):
                yield
        except (OSError, Timeout) as error:
            raise CheckpointError(
                f"the controllers in {str(self._folder)!r} cannot be changed: {error}"
            ) from error
