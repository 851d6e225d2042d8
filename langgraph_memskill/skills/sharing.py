"""Skill banks between projects: a folder of SKILL.md files with a manifest that vouches for them.

```
NAME/SKILL.md ...    the skills, as any agent reads them
bank.json            order, capacity, protected names
manifest.json        format version, checksums, statistics, and where the bank comes from
```
The folder loads with `SkillBank.load`, too. What is imported is a stranger's data: every file is
held to its checksum and every skill to all rules before anything of it is used.
"""

import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import Skill, SkillStatistics
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.files import SKILL_FILE
from langgraph_memskill.skills.folder import BANK_FILE
from langgraph_memskill.skills.rules import name_problem, show
from langgraph_memskill.skills.version_files import bank_of, read_bank_files, write_durably
from langgraph_memskill.skills.version_records import (
    SkillSwitch,
    SkillVersion,
    VersionAuthor,
    VersionNote,
)
from langgraph_memskill.skills.versions import SkillVersions
from langgraph_memskill.state import dump, load

MANIFEST_FILE = "manifest.json"
FORMAT = "langgraph-memskill skills"
FORMAT_VERSION = 1

_MAX_MANIFEST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A version that led to an exported bank."""

    id: str
    at: datetime
    note: VersionNote


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillManifest:
    """What manifest.json holds."""

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    package_version: str = ""
    exported_at: datetime
    bank_version: str
    """`SkillBank.version`."""
    version: str
    """Id of the exported version."""
    lineage: tuple[Ancestor, ...] = ()
    """The exported version and those that it was made from, the newest first."""
    statistics: dict[str, SkillStatistics] = field(default_factory=dict)
    """By skill."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 in hex by file, "NAME/SKILL.md" or "bank.json"."""


class SharedSkills(NamedTuple):
    """An exported bank that has passed every check."""

    bank: SkillBank
    manifest: SkillManifest | None
    """None if the folder has none, which was allowed."""


def export_skills(
    versions: SkillVersions, folder: str | Path, *, version: str | None = None
) -> SkillManifest:
    """Write a version of a bank into a folder of its own.

    Args:
        versions: Of the bank.
        folder: Where; it must not exist, or be empty.
        version: As for `SkillVersions.get`; None takes the one in use, edits by hand included.

    Returns:
        What the manifest holds.

    Raises:
        SkillError: If the folder holds anything or cannot be written.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SkillError(f"{target} holds something already: name a new folder to export to")
    if version is None:
        versions.note_edits()
    chosen = versions.current() if version is None else versions.get(version)
    if chosen is None:
        raise SkillError("there is no version of the skills to export")
    files = versions.files(chosen.id)
    manifest = _manifest(chosen, versions.log(), files)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        for name, text in files.items():
            write_durably(draft / name, text)
        document = json.dumps(dump(manifest), indent=2, ensure_ascii=False)
        write_durably(draft / MANIFEST_FILE, document + "\n")
        if target.is_dir():
            target.rmdir()
        os.replace(draft, target)
    except OSError as error:
        raise SkillError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def read_shared(folder: str | Path, *, unverified: bool = False) -> SharedSkills:
    """Read an exported bank and check everything about it.

    Args:
        folder: That was exported.
        unverified: Take a folder without manifest, too: skills written by hand or by another
            program. Their rules are checked all the same.

    Returns:
        The bank, and what its manifest says.

    Raises:
        SkillError: If anything is wrong; the message names the file and what is wrong with it.
    """
    path = Path(folder)
    _refuse_links(path)
    manifest = _read_manifest(path)
    if manifest is None and not unverified:
        raise SkillError(
            f"{path} has no {MANIFEST_FILE}, so nothing says who made these skills or whether they "
            "are whole: export them with 'memskill skills export', or take them as they are with "
            "--unverified"
        )
    files = read_bank_files(path)
    if manifest is not None:
        _check_files(path, manifest, files)
    if not any(name != BANK_FILE for name in files):
        raise SkillError(f"{path} holds no skills: no {SKILL_FILE} one level below")
    bank = bank_of(files, str(path))
    if manifest is not None and bank.version != manifest.bank_version:
        raise SkillError(
            f"{path / MANIFEST_FILE}: bank_version: is {show(manifest.bank_version)}, but the "
            f"skills are {bank.version}: export them again"
        )
    return SharedSkills(bank, manifest)


def import_skills(
    versions: SkillVersions,
    folder: str | Path,
    *,
    replace_all: bool = False,
    keep_statistics: bool = True,
    unverified: bool = False,
) -> SkillSwitch:
    """Take an exported bank into use, as a new version.

    Args:
        versions: Of the bank that takes it in.
        folder: As for `read_shared`.
        replace_all: Whether the bank becomes exactly the imported one; otherwise skills of its own
            stay beside it, a skill of the same name gets the imported wording, and the bank keeps
            its own protection and, if there is room, its capacity.
        keep_statistics: Whether the skills keep what is known of their use elsewhere; without a
            manifest they never do, and count as a person's.
        unverified: As for `read_shared`.

    Returns:
        The switch; the version before can be rolled back to.

    Raises:
        SkillError: If anything is wrong; nothing is changed.
        ConflictError: If others put another version to use meanwhile; nothing is changed.
    """
    shared = read_shared(folder, unverified=unverified)
    skills = _trusted(shared, keep_statistics=keep_statistics)
    present, base = versions.in_use()
    bank = _joined(skills, shared.bank, None if replace_all else present)
    what = f"imported {len(skills)} skills"
    note = VersionNote(
        author=VersionAuthor.PERSON,
        reason=what if replace_all else f"{what} beside the bank's own",
        source=_source(Path(folder), shared.manifest),
    )
    version = versions.record(bank, note, parent=base)
    return versions.activate(version.id, action="import", expected=base)


def _trusted(shared: SharedSkills, *, keep_statistics: bool) -> list[Skill]:
    """The skills with what may be believed of them: without a manifest only their texts."""
    skills = list(shared.bank)
    if shared.manifest is None:
        return [replace(s, statistics=SkillStatistics(), origin="person") for s in skills]
    return skills if keep_statistics else [replace(s, statistics=SkillStatistics()) for s in skills]


def _joined(skills: list[Skill], shared: SkillBank, own: SkillBank | None) -> SkillBank:
    if own is None:
        return SkillBank(skills, capacity=shared.capacity, protected=shared.protected)
    together = [*skills, *(skill for skill in own if skill.name not in shared)]
    # Room and protection are the owner's: a stranger's could make the own skills go first.
    capacity = max(own.capacity, len(together))
    return SkillBank(together, capacity=capacity, protected=own.protected)


def _source(folder: Path, manifest: SkillManifest | None) -> str:
    place = str(folder.absolute())
    return place if manifest is None else f"{place} (version {manifest.version})"


def _manifest(
    chosen: SkillVersion, log: Iterable[SkillVersion], files: Mapping[str, str]
) -> SkillManifest:
    by_id = {version.id: version for version in log}
    lineage, at = [], chosen.id
    while (version := by_id.get(at)) is not None:
        lineage.append(Ancestor(id=version.id, at=version.at, note=version.note))
        at = version.parent or ""
    bank = bank_of(files, f"version {chosen.id} of the skills")
    return SkillManifest(
        package_version=package_version("langgraph-memskill"),
        exported_at=datetime.now(UTC),
        bank_version=chosen.bank_version,
        version=chosen.id,
        lineage=tuple(lineage),
        statistics={skill.name: skill.statistics for skill in bank},
        files={name: _hash(text) for name, text in sorted(files.items())},
    )


def _read_manifest(folder: Path) -> SkillManifest | None:
    path = folder / MANIFEST_FILE
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise SkillError(f"{path} is no regular file: remove it, or export the skills again")
        if status.st_size > _MAX_MANIFEST_BYTES:
            raise SkillError(f"{path} is larger than {_MAX_MANIFEST_BYTES} bytes")
        document: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except SkillError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise SkillError(f"{path} cannot be read as JSON: {show(str(error))}") from error
    found = document if isinstance(document, dict) else {}
    if (found.get("format"), found.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise SkillError(
            f"{path}: format {show(found.get('format'))} version "
            f"{show(found.get('format_version'))}; this package reads {FORMAT!r} version "
            f"{FORMAT_VERSION}"
        )
    try:
        return load(SkillManifest, document)
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(map(str, first["loc"]))
        raise SkillError(f"{path}: {field_name}: {first['msg']}") from error


def _check_files(folder: Path, manifest: SkillManifest, files: Mapping[str, str]) -> None:
    """Hold the folder to its manifest: the same files, each with its checksum."""
    for name in manifest.files:
        skill, _, rest = name.partition("/")
        if name != BANK_FILE and (rest != SKILL_FILE or name_problem(skill) is not None):
            raise SkillError(
                f"{folder / MANIFEST_FILE}: files: {show(name)} is no file of a skill bank"
            )
    missing = sorted(manifest.files.keys() - files.keys())
    extra = sorted(files.keys() - manifest.files.keys())
    if missing or extra:
        told = [f"{show(name)} is missing" for name in missing]
        told += [f"{show(name)} is not in the manifest" for name in extra]
        raise SkillError(f"{folder} does not hold what its manifest says: {'; '.join(told)}")
    for name, text in files.items():
        if _hash(text) != manifest.files[name]:
            raise SkillError(
                f"{folder / name} was changed since it was exported (its checksum differs): export "
                f"again, or remove {MANIFEST_FILE} and take it with --unverified"
            )


def _refuse_links(folder: Path) -> None:
    """Refuse links, which could lead to files outside of the folder."""
    try:
        inside = [folder, *folder.iterdir(), *folder.glob(f"*/{SKILL_FILE}")]
    except OSError as error:
        raise SkillError(f"{folder} cannot be read: {error.strerror or error}") from error
    for path in inside[1:]:
        if path.is_symlink():
            raise SkillError(f"{path} is a link, which an exported bank never holds: remove it")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
