"""Putting a trained controller with its skills into a memory folder."""

from pathlib import Path

from langgraph_memskill.controller.files import load_controller
from langgraph_memskill.controller.versions import ControllerChange, ControllerVersions
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.memory_folder import MemoryFolder
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote


def install_controller(
    controller: Path, skills: Path, memory: Path, encoder: TextEncoder
) -> ControllerChange:
    """Make a memory folder use a trained controller and the skills that it was trained with.

    Args:
        controller: Folder of the controller.
        skills: Folder of its skill bank.
        memory: The memory folder; made if it is not there. Skills of its own stay beside the new
            ones; a skill of the same name gets the trained wording.
        encoder: The memory's, which must be the one that the controller was trained with.

    Returns:
        The change of controllers; the earlier one is kept and can be rolled back to.

    Raises:
        CheckpointError: If the controller is damaged or was trained with another encoder.
        EmbeddingMismatchError: If the memory was made with another encoder; nothing is changed.
        SkillError: If a skill file is broken.
    """
    load_controller(controller, encoder=encoder)  # refuses what does not fit
    trained = SkillBank.load(skills)
    paths = MemoryFolder(memory)
    paths.prepare(encoder)
    bank = paths.load_bank()
    together = [*trained, *(skill for skill in bank if skill.name not in trained)]
    capacity = max(trained.capacity, bank.capacity, len(together))
    protected = bank.protected | trained.protected
    note = VersionNote(
        author=VersionAuthor.PERSON,
        reason="skills of a trained controller",
        source=str(skills.absolute().parent),
    )
    versions = paths.skill_versions
    version = versions.record(SkillBank(together, capacity=capacity, protected=protected), note)
    versions.activate(version.id, action="install")
    return ControllerVersions(paths.controller).promote(controller, note="memskill train")
