"""The versions that a skill bank has had: what is in use, where it comes from, and the way back.

```
skills/                     the version in use, as SKILL.md files to be read and edited
skill_versions/
  versions/<id>.json        every version, whole, with the texts of its files to the byte
  switches.json             which version is in use, and every switch there ever was
  set_aside/                files too broken to be a version that a rollback had to replace
```
A version is recorded first, then switches.json names it, then skills/ is brought to it. Until
switches.json says that this is done, whoever comes next does it, so a crash between any two
writes leaves the old version or the new one, never a mixture. What a person edits in skills/ is
noticed at the next look and becomes a version, too.
"""

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from langgraph_memskill.errors import ConflictError, SkillError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.folder import BANK_FILE
from langgraph_memskill.skills.version_files import (
    FORMAT_VERSION,
    bank_of,
    bring_folder,
    files_of,
    read_bank_files,
    read_document,
    read_version,
    sweep_drafts,
    telling_the_way_back,
    told_edits,
    write_durably,
    write_version,
)
from langgraph_memskill.skills.version_records import (
    BankFiles,
    SkillSwitch,
    SkillVersion,
    VersionAuthor,
    VersionNote,
    find_version,
    switch_to,
    version_before,
    version_id,
)
from langgraph_memskill.state import dump, load

VERSIONS_FOLDER = "skill_versions"
"""Beside the skills/ of a memory folder or a training run."""

ROOT = ""
"""Stands for having no parent."""

_LOCK_FILE = ".lock"
_LOCK_TIMEOUT_S = 30
_SWITCHES_FILE = "switches.json"
_PACKAGED = {"seed", "pack"}
_VERSION = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Switches:
    """What switches.json holds."""

    settled: bool = True
    """Whether skills/ holds the version in use, apart from what a person edited since."""
    replaced: tuple[str, ...] = ()
    """Files that a switch that is not settled replaces whatever they hold."""
    switches: tuple[SkillSwitch, ...] = ()


class BankInUse(NamedTuple):
    """The bank in use and the version that it is, read in one."""

    bank: SkillBank
    version: str
    """For `record` as the parent and for `activate` as the expected one."""


class SkillVersions:
    """The versions of one bank; several processes may work with them."""

    def __init__(self, folder: str | Path, skills: str | Path) -> None:
        """Look at a folder; nothing is made.

        Args:
            folder: Of the versions.
            skills: The bank's folder of SKILL.md folders.
        """
        self._folder = Path(folder)
        self._skills = Path(skills)
        self._lock = FileLock(self._folder / _LOCK_FILE, timeout=_LOCK_TIMEOUT_S)

    def current(self) -> SkillVersion | None:
        """The version in use; None if none was ever recorded.

        Raises:
            SkillError: If the versions cannot be read.
        """
        switches = self.switches()
        return self._read(switches[-1].version)[0] if switches else None

    def log(self) -> list[SkillVersion]:
        """All versions, in the order in which they were recorded.

        Raises:
            SkillError: If one of them cannot be read.
        """
        files = self._version_files()
        return sorted((read_version(file)[0] for file in files), key=lambda v: v.number)

    def switches(self) -> list[SkillSwitch]:
        """Every change of the version in use, oldest first.

        Raises:
            SkillError: If they cannot be read.
        """
        return list(self._switches().switches)

    def get(self, version: str) -> SkillVersion:
        """Look a version up.

        Args:
            version: Its number ("3" or "v3"), its id, or first characters of it.

        Raises:
            SkillError: If there is none, or more than one begins so.
        """
        if _VERSION.fullmatch(version) and self._path(version).exists():
            return self._read(version)[0]
        return find_version(self.log(), version)

    def files(self, version: str) -> dict[str, str]:
        """The files of a version (see `get`): texts under "NAME/SKILL.md" and "bank.json"."""
        return self._read(self.get(version).id)[1]

    def bank(self, version: str) -> SkillBank:
        """The bank of a version (see `get`), statistics included, no skill marked as new."""
        found = self.get(version)
        return bank_of(self._read(found.id)[1], f"version {found.id} of the skills")

    def load(self) -> SkillBank:
        """Load the bank in use, as `in_use` does."""
        return self.in_use().bank

    def in_use(self) -> BankInUse:
        """Load the bank in use from its folder, and say which version it is.

        A switch that a crash broke off is brought to its end, and what a person edited since the
        last look becomes a version.

        Raises:
            SkillError: If a SKILL.md is broken; the message says which file and field.
        """
        with self._changing():
            self._settle()
            self._note_edits()
            return BankInUse(SkillBank.load(self._skills), self._switches().switches[-1].version)

    def note_edits(self) -> SkillVersion | None:
        """Make a version of what a person edited in the bank's folder.

        Returns:
            The version; None if the folder holds the version in use as it is.

        Raises:
            SkillError: If a SKILL.md is broken; the message says which file and field.
        """
        with self._changing():
            self._settle()
            return self._note_edits()

    def record(
        self, bank: SkillBank, note: VersionNote, *, parent: str | None = None
    ) -> SkillVersion:
        """Keep a bank as a version; the version in use stays in use.

        Args:
            bank: What the version holds; a skill that the parent has, too, keeps its file to the
                byte.
            note: Why there is this version.
            parent: Id of the version that it was made from, or `ROOT`; None takes the one in use.

        Returns:
            The version. The same bank from the same parent for the same reason is the same version.

        Raises:
            SkillError: If the versions cannot be read or written.
        """
        with self._changing():
            if parent is None:
                switches = self._switches().switches
                parent = switches[-1].version if switches else ROOT
            base = {} if parent == ROOT else self._read(self.get(parent).id)[1]
            return self._record(files_of(bank, base), note, parent or None)

    def activate(
        self, version: str, *, action: str = "evolve", expected: str | None = None
    ) -> SkillSwitch:
        """Put a version to use: afterwards the bank's folder holds its files.

        What a person edited in the folder meanwhile becomes a version first, so it is not lost.

        Args:
            version: As for `get`.
            action: What the log calls it.
            expected: Id of the version that must still be in use; None does not look.

        Returns:
            The switch; the last one if the version is in use already.

        Raises:
            ConflictError: If another version than `expected` is in use; nothing is changed.
            SkillError: If there is no such version, or a file in the folder is broken.
        """
        with self._changing():
            self._settle()
            self._note_edits()
            wanted = self.get(version)
            present = self._switches().switches
            if present and present[-1].version == wanted.id:
                return present[-1]
            if expected is not None and (not present or present[-1].version != expected):
                found = present[-1].version if present else "none"
                raise ConflictError(
                    f"version {found} of the skills is in use, not {expected}, on which the change "
                    "is based: make the change again from the present skills"
                )
            return self._switch(wanted.id, action)

    def rollback(self, version: str | None = None) -> SkillSwitch:
        """Go back to an earlier version: the bank's files are then what they were, to the byte.

        Files in the folder that are too broken to become a version are put into set_aside/.

        Args:
            version: As for `get`; None takes the one that was in use before the present one.

        Raises:
            SkillError: If there is no such version, or it is in use already.
        """
        with self._changing():
            self._settle()
            try:
                self._note_edits()
            except SkillError:
                broken = self._set_aside()
            else:
                broken = ()
            present = self._switches().switches
            if version is not None:
                wanted = self.get(version).id
            elif broken and present:
                wanted = present[-1].version
            else:
                wanted = version_before(present)
            if present[-1].version == wanted and not broken:
                raise SkillError(f"version {wanted} of the skills is in use already")
            return self._switch(wanted, "rollback", replaced=broken)

    def _record(self, files: BankFiles, note: VersionNote, parent: str | None) -> SkillVersion:
        found = version_id(parent, note, files)
        path = self._path(found)
        if path.exists():
            return read_version(path)[0]
        bank = bank_of(files, "the bank to record")
        version = SkillVersion(
            id=found,
            number=len(self._version_files()) + 1,
            parent=parent,
            at=datetime.now(UTC),
            note=note,
            bank_version=bank.version,
            skills=bank.names,
        )
        write_version(path, version, files)
        return version

    def _switch(self, version: str, action: str, *, replaced: Sequence[str] = ()) -> SkillSwitch:
        """Name the version in switches.json, bring skills/ to it, and say that it is done."""
        before = self._switches().switches
        switches = (*before, switch_to(version, action, before))
        self._write_switches(_Switches(settled=False, replaced=tuple(replaced), switches=switches))
        self._settle()
        return switches[-1]

    def _settle(self) -> None:
        """Bring skills/ to the version that switches.json names, if that is not done."""
        found = self._switches()
        if found.settled:
            return
        last = found.switches[-1]
        wanted = self._read(last.version)[1]
        former = {} if last.previous is None else self._read(last.previous)[1]
        bring_folder(self._skills, wanted, former, force=found.replaced)
        sweep_drafts(self._skills, {*wanted, *former})
        self._write_switches(_Switches(switches=found.switches))

    def _note_edits(self) -> SkillVersion | None:
        switches = self._switches().switches
        with telling_the_way_back(switches):
            files = read_bank_files(self._skills) if self._skills.is_dir() else {}
        if not switches:
            return self._start(files) if files else None
        last = switches[-1].version
        former = self._read(last)[1]
        if not files:
            # A bank is never empty: somebody moved the folder away.
            bring_folder(self._skills, former, {})
            return None
        if files == former:
            return None
        with telling_the_way_back(switches):
            SkillBank.load(self._skills)  # raises with every problem of every file
        note = VersionNote(author=VersionAuthor.PERSON, reason=told_edits(former, files))
        version = self._record(files, note, last)
        self._adopt(version.id, "edit", switches)
        return version

    def _start(self, files: BankFiles) -> SkillVersion:
        """Make the first version of what the folder holds."""
        bank = SkillBank.load(self._skills)
        is_packaged = all(skill.origin in _PACKAGED for skill in bank)
        note = VersionNote(
            author=VersionAuthor.SEED if is_packaged else VersionAuthor.PERSON,
            reason="the first skills" if is_packaged else "found in the folder",
        )
        version = self._record(files, note, None)
        self._adopt(version.id, "start", ())
        return version

    def _adopt(self, version: str, action: str, before: tuple[SkillSwitch, ...]) -> None:
        """Name a version that skills/ holds already."""
        self._write_switches(_Switches(switches=(*before, switch_to(version, action, before))))

    def _set_aside(self) -> tuple[str, ...]:
        """Copy the files that no version holds, as they cannot become one.

        Returns:
            Their names.
        """
        switches = self._switches().switches
        former = self._read(switches[-1].version)[1] if switches else {}
        names = [p.relative_to(self._skills).as_posix() for p in self._skills.glob("*/SKILL.md")]
        place = self._folder / "set_aside" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex}"
        changed = []
        for name in (*names, BANK_FILE):
            path = self._skills / name
            if path.is_file() and path.read_bytes() != former.get(name, "").encode():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, place / name)
                changed.append(name)
        return tuple(changed)

    def _read(self, version: str) -> tuple[SkillVersion, dict[str, str]]:
        return read_version(self._path(version))

    def _path(self, version: str) -> Path:
        return self._folder / "versions" / f"{version}.json"

    def _version_files(self) -> list[Path]:
        inside = self._folder / "versions"
        return [] if not inside.is_dir() else sorted(p for p in inside.glob("[0-9a-f]*.json"))

    def _switches(self) -> _Switches:
        path = self._folder / _SWITCHES_FILE
        if not path.exists():
            return _Switches()
        document = read_document(path)
        try:
            return load(_Switches, document["switches"])
        except (KeyError, ValueError) as error:
            raise SkillError(f"{path} is damaged: {error}. Restore it from a backup") from error

    def _write_switches(self, switches: _Switches) -> None:
        document = {"format_version": FORMAT_VERSION, "switches": dump(switches)}
        write_durably(self._folder / _SWITCHES_FILE, json.dumps(document, indent=1) + "\n")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                yield
        except (OSError, Timeout) as error:
            raise SkillError(
                f"the versions of the skills in {str(self._folder)!r} cannot be changed: {error}"
            ) from error
