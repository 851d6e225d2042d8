"""Putting a trained controller with its skills into a memory folder."""

from pathlib import Path

from langgraph_memskill.controller.files import (
    ControllerSettings,
    load_controller,
    read_controller,
    save_controller,
)
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.memory_folder import MemoryFolder
from langgraph_memskill.skills.bank import SkillBank


def install_controller(
    controller: Path, skills: Path, memory: Path, encoder: TextEncoder
) -> ControllerSettings:
    """Make a memory folder use a trained controller and the skills that it was trained with.

    Args:
        controller: Folder of the controller.
        skills: Folder of its skill bank.
        memory: The memory folder; made if it is not there. Skills of its own stay beside the new
            ones; a skill of the same name gets the trained wording.
        encoder: The memory's, which must be the one that the controller was trained with.

    Returns:
        The installed controller's settings.

    Raises:
        CheckpointError: If the controller is damaged or was trained with another encoder.
        EmbeddingMismatchError: If the memory was made with another encoder; nothing is changed.
        SkillError: If a skill file is broken.
    """
    load_controller(controller, encoder=encoder)  # refuses what does not fit
    policy, settings = read_controller(controller)
    trained = SkillBank.load(skills)
    paths = MemoryFolder(memory)
    paths.prepare(encoder)
    bank = paths.load_bank()
    own = [skill for skill in bank if skill.name not in trained]
    SkillBank([*trained, *own], capacity=max(trained.capacity, len(trained) + len(own))).save(
        paths.skills, overwrite=True
    )
    return save_controller(
        paths.controller,
        policy,
        encoder_name=settings.encoder,
        fusion=settings.fusion,
        tau=settings.tau,
        k=settings.k,
        notes=settings.notes,
    )
