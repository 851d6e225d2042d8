"""Putting a trained controller with its skills into a memory folder."""

from dataclasses import dataclass
from pathlib import Path

from langgraph_memskill.controller.files import load_controller, read_controller
from langgraph_memskill.controller.versions import ControllerChange, ControllerVersions
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.memory_folder import MemoryFolder
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.folder import text_id
from langgraph_memskill.skills.version_records import SkillVersion, VersionAuthor, VersionNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What became of the memory folder."""

    change: ControllerChange
    """The earlier controller is kept and can be rolled back to."""
    skills: SkillVersion
    """The version of the skills that is in use now."""
    skills_before: SkillVersion | None
    """The version before, which can be rolled back to; None if the folder was just made."""
    reworded: tuple[str, ...]
    """Skills of both that have the trained wording now."""
    added: tuple[str, ...]


def install_controller(
    controller: Path, skills: Path, memory: Path, encoder: TextEncoder
) -> Installed:
    """Make a memory folder use a trained controller and the skills that it was trained with.

    Args:
        controller: Folder of the controller.
        skills: Folder of its skill bank.
        memory: The memory folder; made if it is not there. Skills of its own stay beside the new
            ones; a skill of the same name gets the trained wording.
        encoder: The memory's, which must be the one that the controller was trained with.

    Returns:
        What was changed. The earlier controller and the earlier wording of all skills are kept as
        versions.

    Raises:
        CheckpointError: If the controller is damaged or was trained with another encoder.
        EmbeddingMismatchError: If the memory was made with another encoder; nothing is changed.
        SkillError: If a skill file is broken.
    """
    load_controller(controller, encoder=encoder)  # refuses what does not fit
    notes = read_controller(controller).settings.notes
    origin = f"memskill train, {notes.get('checkpoint')}, after update {notes.get('updates')}"
    trained = SkillBank.load(skills)
    paths = MemoryFolder(memory)
    paths.prepare(encoder)
    versions = paths.skill_versions
    bank = paths.load_bank()
    before = versions.current()
    together = [*trained, *(skill for skill in bank if skill.name not in trained)]
    capacity = max(trained.capacity, bank.capacity, len(together))
    protected = bank.protected | trained.protected
    note = VersionNote(
        author=VersionAuthor.PERSON,
        reason="skills of a trained controller",
        source=str(skills.absolute().parent),
    )
    version = versions.record(SkillBank(together, capacity=capacity, protected=protected), note)
    versions.activate(version.id, action="install")
    return Installed(
        change=ControllerVersions(paths.controller).promote(controller, note=origin),
        skills=version,
        skills_before=before,
        reworded=tuple(
            skill.name
            for skill in trained
            if skill.name in bank and text_id(skill) != text_id(bank[skill.name])
        ),
        added=tuple(skill.name for skill in trained if skill.name not in bank),
    )
