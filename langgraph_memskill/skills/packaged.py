"""The skill packs that come with the package: the seeds, and sets for kinds of input."""

from functools import cache
from pathlib import Path

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Skill
from langgraph_memskill.skills.folder import read_folder

SEED_NAMES = ("insert", "update", "delete", "noop")
"""The skills that every fresh bank starts with, in bank order."""
SEED_PACK = "seed"

_PACKS = Path(__file__).parent / "packs"


def pack_names() -> tuple[str, ...]:
    """List the packs that come with the package, besides the seeds.

    Returns:
        Names for `SkillBank.seed`, sorted.
    """
    return tuple(sorted(path.name for path in _PACKS.iterdir() if path.name != SEED_PACK))


@cache
def read_pack(name: str) -> tuple[Skill, ...]:
    """Read the skills of a pack that comes with the package.

    Args:
        name: "seed", or one of `pack_names()`.

    Returns:
        The skills; the seeds in the order of `SEED_NAMES`, other packs sorted by name.

    Raises:
        ConfigError: There is no such pack.
    """
    if name not in {SEED_PACK, *pack_names()}:
        raise ConfigError(f"no skill pack {name!r}; there are {', '.join(pack_names())}")
    skills = read_folder(_PACKS / name).skills
    if name == SEED_PACK:
        return tuple(sorted(skills, key=lambda skill: SEED_NAMES.index(skill.name)))
    return skills
