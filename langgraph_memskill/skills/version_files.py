"""The files of a bank and of its versions on disk: read to the byte, written so that none tears."""

import json
import os
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import Skill
from langgraph_memskill.skills.bank import DEFAULT_CAPACITY, SkillBank
from langgraph_memskill.skills.files import MAX_FILE_BYTES, SKILL_FILE, format_skill, parse_skill
from langgraph_memskill.skills.folder import (
    BANK_FILE,
    BankFile,
    bank_text,
    parse_bank_text,
    skill_files,
)
from langgraph_memskill.skills.version_records import (
    BankFiles,
    SkillSwitch,
    SkillVersion,
    version_id,
)
from langgraph_memskill.state import dump, load

FORMAT_VERSION = 1


def read_bank_files(folder: Path) -> dict[str, str]:
    """Read the files of a bank as they are, byte for byte.

    Returns:
        Texts under "NAME/SKILL.md" and "bank.json"; other files are not the bank's.

    Raises:
        SkillError: If a file cannot be read or is not UTF-8.
    """
    files = [*skill_files(folder), *(p for p in (folder / BANK_FILE,) if p.is_file())]
    return {file.relative_to(folder).as_posix(): _read(file) for file in files}


def files_of(bank: SkillBank, base: BankFiles | None = None) -> dict[str, str]:
    """Write a bank as the texts of its files.

    Args:
        bank: Any bank.
        base: Files that these will replace; a skill that is unchanged keeps its text to the byte,
            a changed one the front matter keys of other programs.
    """
    base = base or {}
    texts = {f"{s.name}/{SKILL_FILE}": _skill_text(s, base) for s in bank}
    settings = BankFile(
        order=bank.names, capacity=bank.capacity, protected=tuple(sorted(bank.protected))
    )
    return {**texts, BANK_FILE: bank_text(settings)}


def bank_of(files: BankFiles, place: str) -> SkillBank:
    """Make the bank that files hold.

    Args:
        files: Texts under "NAME/SKILL.md" and "bank.json".
        place: What they are, for messages.

    Raises:
        SkillError: If one of them breaks a rule; the message names it.
    """
    settings = BankFile()
    skills: dict[str, Skill] = {}
    for path, text in sorted(files.items()):
        if path == BANK_FILE:
            settings = parse_bank_text(text, f"{place}: {BANK_FILE}")
            continue
        skill, problems, _ = parse_skill(text, folder_name=path.split("/")[0])
        if skill is None:
            told = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
            raise SkillError(f"{place}: {path}: {told}")
        skills[skill.name] = skill
    listed = [skills.pop(name) for name in settings.order if name in skills]
    capacity = DEFAULT_CAPACITY if settings.capacity is None else settings.capacity
    return SkillBank([*listed, *skills.values()], capacity=capacity, protected=settings.protected)


@contextmanager
def telling_the_way_back(switches: Sequence[SkillSwitch]) -> Iterator[None]:
    """Let the error about a broken file name the command that goes back to the last version.

    Args:
        switches: Of the bank; without any there is nothing to go back to.
    """
    try:
        yield
    except SkillError as error:
        if not switches:
            raise
        raise SkillError(
            f"{error}\nMend it, or go back to the last version with 'memskill skills rollback'"
        ) from error


def told_edits(former: BankFiles, present: BankFiles) -> str:
    """Say in a line what was edited, by the names of skills and by bank.json."""
    kinds = {
        "changed": [n for n in present if n in former and present[n] != former[n]],
        "added": [n for n in present if n not in former],
        "removed": [n for n in former if n not in present],
    }
    told = [
        f"{kind} {', '.join(sorted(name.removesuffix(f'/{SKILL_FILE}') for name in names))}"
        for kind, names in kinds.items()
        if names
    ]
    return f"edited by hand: {'; '.join(told)}"


def write_version(path: Path, version: SkillVersion, files: BankFiles) -> None:
    """Write a version's file; who reads it sees all or nothing."""
    document = {"format_version": FORMAT_VERSION, "version": dump(version), "files": dict(files)}
    write_durably(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read_version(path: Path) -> tuple[SkillVersion, dict[str, str]]:
    """Read a version's file and check that it still holds what was recorded.

    Raises:
        SkillError: If it cannot be read, is damaged or of a newer version.
    """
    document = read_document(path)
    try:
        version = load(SkillVersion, document["version"])
        files = {str(name): str(text) for name, text in document["files"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SkillError(f"{path} is damaged: {error}. Restore it from a backup") from error
    if version_id(version.parent, version.note, files) != version.id:
        raise SkillError(
            f"{path} does not hold what was recorded (its checksum differs): versions are not to "
            "be edited; restore it from a backup"
        )
    return version, files


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON object of the present format.

    Raises:
        SkillError: If it cannot be read, or is of a newer version.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SkillError(f"{path} cannot be read: {error}. Restore it from a backup") from error
    found = document.get("format_version") if isinstance(document, dict) else None
    if found != FORMAT_VERSION:
        raise SkillError(
            f"{path} has format version {found!r}; this package reads {FORMAT_VERSION}: upgrade "
            "langgraph-memskill, or restore the file"
        )
    return dict(document)


def write_durably(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old or the new one, on disk when this returns.

    Raises:
        SkillError: If the file system refuses; the old file is then untouched.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise SkillError(f"{path} cannot be written: {error}") from error


def bring_folder(
    folder: Path, wanted: BankFiles, former: BankFiles, *, force: Collection[str] = ()
) -> None:
    """Make a bank's folder hold the wanted files; breaking off does no harm, it is done again.

    Args:
        folder: Of the bank.
        wanted: What it is to hold.
        former: What it held before the change. A file that is neither was edited meanwhile and
            stays.
        force: Files that are replaced whatever they hold.

    Raises:
        SkillError: If the file system refuses.
    """
    for name, text in wanted.items():
        present = _present(folder / name)
        if present == text.encode():
            continue
        if present is None or _is(present, former.get(name)) or name in force:
            write_durably(folder / name, text)
    for name, text in former.items():
        if name not in wanted and (_is(_present(folder / name), text) or name in force):
            _remove(folder / name)


def _skill_text(skill: Skill, base: BankFiles) -> str:
    text = base.get(f"{skill.name}/{SKILL_FILE}")
    if text is None:
        return format_skill(skill)
    present = parse_skill(text)
    return text if present.skill == skill else format_skill(skill, keep=present.front_matter)


def _read(file: Path) -> str:
    try:
        if (size := file.stat().st_size) > MAX_FILE_BYTES:
            raise SkillError(f"{file} has {size} bytes, at most {MAX_FILE_BYTES} are read")
        return file.read_bytes().decode()
    except OSError as error:
        raise SkillError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SkillError(f"{file} is not UTF-8 text (byte {error.start})") from error


def _present(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SkillError(f"{file} cannot be read: {error.strerror or error}") from error


def _is(content: bytes | None, text: str | None) -> bool:
    return content is not None and text is not None and content == text.encode()


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
        with suppress(OSError):  # somebody keeps other files there
            file.parent.rmdir()
        _sync_folder(file.parent.parent)
    except OSError as error:
        raise SkillError(f"{file} cannot be removed: {error}") from error


def sweep_drafts(folder: Path, names: Collection[str]) -> None:
    """Remove what a killed process left of files that it was writing."""
    for name in names:
        file = folder / name
        for draft in file.parent.glob(f".{file.name}.*.tmp"):
            draft.unlink(missing_ok=True)
        if file.parent != folder and file.parent.is_dir():
            with suppress(OSError):
                file.parent.rmdir()


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk, where the system can do that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
