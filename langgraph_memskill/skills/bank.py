"""The skill bank: the skills on offer, how they fare, and which one goes when a new one needs room.

MemSkill, METHOD "Skill bank". Every change is checked before anything is touched, so a change that
fails leaves the bank as it was.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from langgraph_memskill.errors import ConfigError, SkillError
from langgraph_memskill.records import Skill
from langgraph_memskill.skills.eviction import choose_victim
from langgraph_memskill.skills.fields import checked, read_fields_list, skill_fields
from langgraph_memskill.skills.folder import BankFile, read_folder, text_id, write_folder
from langgraph_memskill.skills.packaged import SEED_PACK, read_pack
from langgraph_memskill.skills.rules import MAX_CAPACITY, show
from langgraph_memskill.skills.statistics import EMA_ALPHA, check_usage, with_reward, with_usage

DEFAULT_CAPACITY = 30


class SkillBank:
    """Skills under their names, in the order in which they came.

    The records are frozen, so what the bank hands out never changes behind the caller's back. While
    a bank is being changed it is not safe for use from several threads.
    """

    def __init__(
        self,
        skills: Iterable[Skill] = (),
        *,
        capacity: int = DEFAULT_CAPACITY,
        protected: Collection[str] = (),
    ) -> None:
        """Make a bank.

        Args:
            skills: The first skills, in bank order. They may be more than `capacity`: a bank never
                shrinks by itself, but from then on each new skill replaces one.
            capacity: Number of skills from which a new one replaces another.
            protected: Names of skills that are never replaced to make room.

        Raises:
            SkillError: A skill breaks a rule, or a name occurs twice.
            ConfigError: The capacity is not from 1 to 1000000, or `protected` is a text.
        """
        if type(capacity) is not int or not 1 <= capacity <= MAX_CAPACITY:
            raise ConfigError(f"capacity must be a number from 1 to {MAX_CAPACITY}: {capacity!r}")
        if isinstance(protected, str):
            raise ConfigError(f"protected must be a list of names, not the text {protected!r}")
        self._capacity = capacity
        self._protected = frozenset(protected)
        self._skills: dict[str, Skill] = {}
        self._new: frozenset[str] = frozenset()
        self._known: dict[Path, dict[str, str]] = {}
        for skill in map(checked, skills):
            if skill.name in self._skills:
                raise SkillError(f"skill {skill.name!r} occurs twice; names must be unique")
            self._skills[skill.name] = skill

    @classmethod
    def seed(cls, *packs: str, capacity: int = DEFAULT_CAPACITY) -> Self:
        """Make a fresh bank: the four seeds, then the skills of the named packs.

        Args:
            packs: Any of `pack_names()`, such as "conversation" or "embodied".
            capacity: As for the constructor.

        Returns:
            A bank without statistics.

        Raises:
            ConfigError: There is no pack of that name.
            SkillError: A pack is named twice.
        """
        skills = [skill for pack in (SEED_PACK, *packs) for skill in read_pack(pack)]
        return cls(skills, capacity=capacity)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a bank from a folder of SKILL.md folders.

        Args:
            folder: Written by `save`, by hand or by another program. Without bank.json the skills
                are in name order and the capacity is the default.

        Returns:
            The bank, with no skill marked as new.

        Raises:
            SkillError: A file is broken; the message lists every problem with its file and field.
        """
        path = Path(folder)
        skills, settings = read_folder(path)
        capacity = DEFAULT_CAPACITY if settings.capacity is None else settings.capacity
        bank = cls(skills, capacity=capacity, protected=settings.protected)
        bank._remember(path)
        return bank

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the bank as one SKILL.md folder a skill; the same bank always gives the same bytes.

        Each file is replaced as a whole. Front matter keys of other programs and other files in the
        skills' folders stay. Folders of skills that have left the bank are removed; folders that no
        bank has written or read are left alone.

        Args:
            folder: Where to write; it is made if it does not exist.
            overwrite: Replace SKILL.md files that are broken, or whose texts somebody edited since
                this bank read them, instead of refusing.

        Raises:
            SkillError: A file is broken, was edited since, or cannot be written. Unless the file
                system itself failed half way, nothing has then been written.
        """
        path = Path(folder)
        settings = BankFile(
            order=tuple(self._skills),
            capacity=self._capacity,
            protected=tuple(sorted(self._protected)),
        )
        known = self._known.get(path.absolute())
        write_folder(path, tuple(self), settings, known=known, overwrite=overwrite)
        self._remember(path)

    @property
    def capacity(self) -> int:
        """Number of skills from which a new one replaces another."""
        return self._capacity

    @property
    def protected(self) -> frozenset[str]:
        """Names of skills that are never replaced to make room."""
        return self._protected

    @property
    def names(self) -> tuple[str, ...]:
        """Names in bank order."""
        return tuple(self._skills)

    @property
    def new_names(self) -> frozenset[str]:
        """Skills that were added or refined since `clear_new`; they get the exploration bonus."""
        return self._new

    @property
    def version(self) -> str:
        """Identifier (16 hex digits) of what the skills say, whatever order and statistics."""
        ids = "\n".join(text_id(skill) for skill in self.candidates())
        return hashlib.sha256(ids.encode()).hexdigest()[:16]

    def candidates(self) -> tuple[Skill, ...]:
        """All skills sorted by name, so that an index means the same skill at every call."""
        return tuple(self._skills[name] for name in sorted(self._skills))

    def __getitem__(self, name: str) -> Skill:
        """Return the skill of that name; raise SkillError if there is none."""
        try:
            return self._skills[name]
        except KeyError:
            known = ", ".join(sorted(self._skills)) or "none"
            raise SkillError(f"no skill {show(name)} in the bank; its skills: {known}") from None

    def get(self, name: str) -> Skill | None:
        """The skill of that name, or None."""
        return self._skills.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._skills

    def __iter__(self) -> Iterator[Skill]:
        """Go through the skills in bank order."""
        return iter(tuple(self._skills.values()))

    def __len__(self) -> int:
        return len(self._skills)

    def __repr__(self) -> str:
        names = ", ".join(self._skills)
        return f"SkillBank([{names}], capacity={self._capacity}, version={self.version!r})"

    def add(self, skill: Skill) -> Skill | None:
        """Add a skill at the end and mark it as new; if the bank is full, another one makes room.

        Out goes the used skill with the lowest mean reward; if none was used, the least used one;
        among equals the first in bank order. Protected skills stay.

        Args:
            skill: A skill with a name that is not in the bank. If its origin is "designer", it must
                be an insert or update skill.

        Returns:
            The skill that had to go; None if there was room.

        Raises:
            SkillError: The skill breaks a rule, its name is taken, or everything is protected.
        """
        added = checked(skill)
        if added.name in self._skills:
            raise SkillError(
                f"skill {added.name!r} is in the bank already; refine it, or choose another name"
            )
        is_full = len(self) >= self._capacity
        evicted = choose_victim(tuple(self), self._protected) if is_full else None
        if evicted is not None:
            self.remove(evicted.name)
        self._skills[added.name] = added
        self._new |= {added.name}
        return evicted

    def refine(
        self,
        name: str,
        *,
        description: str | None = None,
        instructions: str | None = None,
        at: str | None = None,
    ) -> Skill:
        """Change the wording of a skill and mark it as new; its type and statistics stay.

        Args:
            name: A skill of the bank.
            description: The new description; None keeps the present one.
            instructions: The new instructions; None keeps the present ones.
            at: Time to note as `modified_at` if the wording changes (ISO); None takes the clock.

        Returns:
            The skill as it is now.

        Raises:
            SkillError: There is no such skill, or a text breaks a rule.
        """
        old = self[name]
        changed = checked(
            replace(
                old,
                description=old.description if description is None else description,
                instructions=old.instructions if instructions is None else instructions,
                modified_at=_now() if at is None else at,
            )
        )
        if text_id(changed) != text_id(old):
            self._skills[name] = changed
        self._new |= {name}
        return self._skills[name]

    def remove(self, name: str) -> Skill:
        """Take a skill out of the bank, protected or not.

        Args:
            name: A skill of the bank.

        Returns:
            The skill.

        Raises:
            SkillError: There is no such skill.
        """
        removed = self[name]
        del self._skills[name]
        self._new -= {name}
        return removed

    def record_reward(self, name: str, reward: float) -> None:
        """Count one use of a skill and its reward: running mean, and the last 20 rewards.

        Args:
            name: A skill of the bank.
            reward: A finite number; usually the final reward of the episode.

        Raises:
            SkillError: There is no such skill, or the reward is not finite.
        """
        skill = self[name]
        self._skills[name] = replace(skill, statistics=with_reward(skill.statistics, reward))

    def ema_step(self, selected: Collection[str], *, alpha: float = EMA_ALPHA) -> None:
        """Move every skill's usage average by one step: x <- alpha * picked + (1 - alpha) * x.

        Args:
            selected: Names picked in this step; names that are not in the bank count for nothing.
            alpha: Weight of the step, in [0, 1].

        Raises:
            ConfigError: alpha is out of range, or `selected` is a string.
        """
        if isinstance(selected, str):
            raise ConfigError(f"selected must be a collection of names, not the text {selected!r}")
        self.ema_batch(dict.fromkeys(selected, 1), 1, alpha=alpha)

    def ema_batch(self, counts: Mapping[str, int], total: int, *, alpha: float = EMA_ALPHA) -> None:
        """Move every skill's usage average by several steps, as if the picks were spread evenly.

        Args:
            counts: In how many of the steps each skill was picked; missing means 0, and names that
                are not in the bank count for nothing.
            total: Number of steps; 0 changes nothing.
            alpha: Weight of one step, in [0, 1].

        Raises:
            ConfigError: alpha, total or a count is out of range.
        """
        check_usage(counts, total, alpha=alpha)
        for skill in self:
            count = counts.get(skill.name, 0)
            statistics = with_usage(skill.statistics, count, total, alpha=alpha)
            self._skills[skill.name] = replace(skill, statistics=statistics)

    def protect(self, *names: str) -> None:
        """Never replace these skills to make room.

        Args:
            names: Skills of the bank.

        Raises:
            SkillError: There is no such skill; nothing is changed.
        """
        self._protected |= {self[name].name for name in names}

    def unprotect(self, *names: str) -> None:
        """Take the protection of these names away; others count for nothing."""
        self._protected -= set(names)

    def become(self, other: "SkillBank") -> None:
        """Take over the skills, new names and settings of another bank, which stays independent.

        Whoever holds this bank, such as the nodes of a graph, goes on with them.
        """
        self._capacity, self._protected = other._capacity, other._protected
        self._skills, self._new = dict(other._skills), other._new
        self._known = {path: dict(ids) for path, ids in other._known.items()}

    def clear_new(self) -> None:
        """Forget which skills are new."""
        self._new = frozenset()

    def set_new(self, names: Iterable[str]) -> None:
        """Say which skills are new, for resuming a training run; `to_json` does not carry it.

        Args:
            names: They replace the present ones; names that are not in the bank are left out.
        """
        self._new = frozenset(name for name in names if name in self._skills)

    def to_json(self) -> dict[str, object]:
        """Write the bank as plain JSON values that share nothing with it.

        Returns:
            Capacity, protected names and all skills in bank order with their statistics, but not
            which skills are new.
        """
        return {
            "capacity": self._capacity,
            "protected": sorted(self._protected),
            "skills": [skill_fields(skill) for skill in self],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Self:
        """Read what `to_json` wrote.

        Args:
            content: Plain values; they are checked and copied.

        Returns:
            The bank, with no skill marked as new.

        Raises:
            SkillError: A value breaks a rule; the message names the field.
            ConfigError: The capacity is out of range.
        """
        capacity = content.get("capacity", DEFAULT_CAPACITY)
        protected = content.get("protected", [])
        if not isinstance(capacity, int):
            raise SkillError(f"skill bank: capacity: must be a number, not {show(capacity)}")
        if not isinstance(protected, list):
            raise SkillError(f"skill bank: protected: must be a list, not {show(protected)}")
        skills = read_fields_list(content.get("skills"))
        return cls(skills, capacity=capacity, protected=[str(name) for name in protected])

    def copy(self) -> Self:
        """Make an independent bank with the same skills, new names and settings."""
        other = type(self)(self, capacity=self._capacity, protected=self._protected)
        other._new = self._new
        other._known = {path: dict(ids) for path, ids in self._known.items()}
        return other

    def _remember(self, folder: Path) -> None:
        """Note what the folder holds of this bank, so that a later save sees edits by others."""
        self._known[folder.absolute()] = {skill.name: text_id(skill) for skill in self}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
