"""The versions of a memory's skill bank: what there was, and the way back."""

import asyncio
from pathlib import Path

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.packaged import SEED_NAMES
from langgraph_memskill.skills.sharing import SkillManifest, export_skills, import_skills
from langgraph_memskill.skills.version_records import SkillSwitch, SkillVersion
from langgraph_memskill.skills.versions import SkillVersions


class MemorySkills:
    """The part of `MemSkillMemory` that knows the versions of its skills.

    A memory that is open uses the new skills from its next run on; other processes take them when
    they open the folder again.
    """

    skills: SkillBank
    settings: Settings
    _skill_versions: SkillVersions | None = None

    def skill_versions(self) -> list[SkillVersion]:
        """Every version that the skills have had, in the order in which they were recorded.

        Raises:
            ConfigError: If the memory has no folder.
            SkillError: If a version cannot be read.
        """
        return self._bank_versions().log()

    async def askill_versions(self) -> list[SkillVersion]:
        """Like `skill_versions`, without blocking the event loop."""
        return await asyncio.to_thread(self.skill_versions)

    def rollback_skills(self, version: str | None = None) -> SkillSwitch:
        """Go back to an earlier version of the skills; the files are then what they were.

        Args:
            version: Its number ("3"), id or first characters of it; None takes the one before.

        Raises:
            ConfigError: If the memory has no folder.
            SkillError: If there is no such version, or it is in use already.
        """
        switch = self._bank_versions().rollback(version)
        self.reload_skills()
        return switch

    async def arollback_skills(self, version: str | None = None) -> SkillSwitch:
        """Like `rollback_skills`, without blocking the event loop."""
        return await asyncio.to_thread(self.rollback_skills, version)

    def export_skills(self, path: str | Path, *, version: str | None = None) -> SkillManifest:
        """Write the skills into a folder that another project can import.

        Args:
            path: The folder; it must not exist, or be empty.
            version: As for `rollback_skills`; None takes the one in use.

        Raises:
            ConfigError: If the memory has no folder.
            SkillError: If the folder holds anything or cannot be written.
        """
        return export_skills(self._bank_versions(), path, version=version)

    async def aexport_skills(
        self, path: str | Path, *, version: str | None = None
    ) -> SkillManifest:
        """Like `export_skills`, without blocking the event loop."""
        return await asyncio.to_thread(self.export_skills, path, version=version)

    def import_skills(
        self,
        path: str | Path,
        *,
        replace_all: bool = False,
        keep_statistics: bool = True,
        unverified: bool = False,
    ) -> SkillSwitch:
        """Take in skills that another project has exported; they are in use at once.

        Args:
            path: The exported folder.
            replace_all: Whether the skills become exactly the imported ones; otherwise others stay.
            keep_statistics: Whether the skills keep what is known of their use elsewhere.
            unverified: Whether to take a folder without manifest.

        Raises:
            ConfigError: If the memory has no folder.
            SkillError: If anything is wrong with the folder; nothing is changed.
        """
        switch = import_skills(
            self._bank_versions(),
            path,
            replace_all=replace_all,
            keep_statistics=keep_statistics,
            unverified=unverified,
        )
        self.reload_skills()
        return switch

    async def aimport_skills(
        self,
        path: str | Path,
        *,
        replace_all: bool = False,
        keep_statistics: bool = True,
        unverified: bool = False,
    ) -> SkillSwitch:
        """Like `import_skills`, without blocking the event loop."""
        return await asyncio.to_thread(
            self.import_skills,
            path,
            replace_all=replace_all,
            keep_statistics=keep_statistics,
            unverified=unverified,
        )

    def reload_skills(self) -> None:
        """Take the skills as the folder holds them now: edited by hand, or by another process.

        Raises:
            ConfigError: If the memory has no folder.
            SkillError: If a SKILL.md is broken; the present skills stay in use.
        """
        bank = self._bank_versions().load()
        if self.settings.protect_seeds:
            bank.protect(*(name for name in SEED_NAMES if name in bank))
        self.skills.become(bank)

    async def areload_skills(self) -> None:
        """Like `reload_skills`, without blocking the event loop."""
        await asyncio.to_thread(self.reload_skills)

    def _bank_versions(self) -> SkillVersions:
        if self._skill_versions is None:
            raise ConfigError(
                "this memory has no folder, so its skills have no versions: use "
                "MemSkillMemory.open(folder)"
            )
        return self._skill_versions
