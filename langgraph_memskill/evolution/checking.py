"""Which proposed changes may be made (METHOD, "Accept a change only if"), and the bank they give.

Every rule of METHOD, the rules that hold for all skills, and what would go unnoticed otherwise:
copies of a skill, changes that change nothing, and answers of the cases in a skill's text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import SkillError
from langgraph_memskill.evolution.records import (
    ChangeAction,
    HardCase,
    ProposedChange,
    RejectedChange,
    SkillChange,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.records import ActionType, Skill
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.folder import text_id
from langgraph_memskill.skills.rules import advice, clean_text, show, text_problems

DESIGNER = "designer"
"""Origin of a skill that the designer added."""
_MIN_ANSWER_WORDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What of a proposal may be made."""

    bank: SkillBank
    """The bank with the accepted changes; these skills, and only these, are marked as new."""
    changes: tuple[SkillChange, ...] = ()
    accepted: tuple[ProposedChange, ...] = ()
    """The proposals that `changes` come from."""
    rejected: tuple[RejectedChange, ...] = ()


def check(
    proposals: Sequence[ProposedChange],
    bank: SkillBank,
    *,
    encoder: TextEncoder,
    settings: EvolutionSettings,
    cases: Sequence[HardCase] = (),
    at: str,
) -> Checked:
    """Make the changes that may be made, one after the other, on a copy of a bank.

    Args:
        proposals: As the designer, or a person, wrote them, in order; behind the first
            `max_changes` that pass, the rest is rejected.
        bank: Stays as it is.
        encoder: Finds copies by the similarity of descriptions.
        settings: Limits.
        cases: Their answers must not stand in a skill.
        at: Time to note in the changed skills (ISO).

    Returns:
        The changed copy, the changes made and the others with all reasons.
    """
    work = bank.copy()
    work.clear_new()
    made: list[SkillChange] = []
    accepted: list[ProposedChange] = []
    rejected: list[RejectedChange] = []
    for proposal in proposals:
        found = _reasons(proposal, made, settings)
        change = None
        if not found:
            change, found = _make(proposal, work, encoder, settings, cases, at)
        if change is None:
            rejected.append(RejectedChange(proposal=proposal, reasons=tuple(found)))
        else:
            made.append(change)
            accepted.append(proposal)
    return Checked(
        bank=work if made else bank.copy(),
        changes=tuple(made),
        accepted=tuple(accepted),
        rejected=tuple(rejected),
    )


def _reasons(
    proposal: ProposedChange, made: Sequence[SkillChange], settings: EvolutionSettings
) -> list[str]:
    """What speaks against a proposal whatever it says."""
    if settings.refine_only and proposal.action is ChangeAction.ADD_NEW:
        return ["only refinements are allowed, no new skills"]
    if proposal.problems:
        return list(proposal.problems)
    if len(made) >= settings.max_changes:
        return [f"at most {settings.max_changes} changes are made at once"]
    if any(_folded(change.name) == _folded(proposal.name) for change in made):
        return [f"skill {show(proposal.name)} is changed already; one change a skill"]
    return []


def _make(
    proposal: ProposedChange,
    work: SkillBank,
    encoder: TextEncoder,
    settings: EvolutionSettings,
    cases: Sequence[HardCase],
    at: str,
) -> tuple[SkillChange | None, list[str]]:
    """Make one change in the bank; if it may not be made, say why and leave the bank alone."""
    is_new = proposal.action is ChangeAction.ADD_NEW
    skill, found = _added(proposal, work, at) if is_new else _refined(proposal, work, at)
    if skill is None:
        return None, found
    before = work.get(skill.name)
    if before is None or before.description != skill.description:
        found += _copies(skill, work, encoder, settings.duplicate_similarity)
    found += _answers(skill, before, cases)
    if found:
        return None, found
    evicted = None
    try:
        if before is None:
            evicted = work.add(skill)
        else:
            texts = (skill.description, skill.instructions)
            work.refine(skill.name, description=texts[0], instructions=texts[1], at=at)
    except SkillError as error:
        return None, [str(error)]
    change = SkillChange(
        action=proposal.action,
        name=skill.name,
        before=before,
        after=work[skill.name],
        evicted=None if evicted is None else evicted.name,
        reason=proposal.reason,
        advice=tuple(f"{problem.field}: {problem.message}" for problem in advice(skill)),
    )
    return change, []


def _added(proposal: ProposedChange, bank: SkillBank, at: str) -> tuple[Skill | None, list[str]]:
    problems = text_problems(
        name=proposal.name,
        description=proposal.description,
        instructions=proposal.instructions,
        action_type=proposal.action_type,
        evolved=True,
    )
    found = [f"{problem.field}: {problem.message}" for problem in problems]
    taken = next((name for name in bank.names if _folded(name) == _folded(proposal.name)), None)
    if taken is not None:
        found.append(
            f"name: the bank has the skill {taken!r} already; refine it, or choose another"
        )
    if found:
        return None, found
    skill = Skill(
        name=proposal.name,
        description=clean_text(proposal.description or ""),
        instructions=clean_text(proposal.instructions or ""),
        action_type=ActionType(proposal.action_type or ""),
        origin=DESIGNER,
        created_at=at,
        modified_at=at,
    )
    return skill, []


def _refined(proposal: ProposedChange, bank: SkillBank, at: str) -> tuple[Skill | None, list[str]]:
    old = bank.get(proposal.name)
    if old is None:
        return None, [f"there is no skill {show(proposal.name)} to refine"]
    if proposal.description is None and proposal.instructions is None:
        return None, ["neither a description nor instructions are given"]
    kind = proposal.action_type
    if kind is not None and kind != old.action_type:
        return None, [f"action_type: stays {old.action_type} in a refined skill, not {show(kind)}"]
    new = replace(
        old,
        description=_kept(proposal.description, old.description),
        instructions=_kept(proposal.instructions, old.instructions),
        modified_at=at,
    )
    problems = text_problems(
        name=new.name,
        description=new.description,
        instructions=new.instructions,
        action_type=new.action_type.value,
    )
    if problems:
        return None, [f"{problem.field}: {problem.message}" for problem in problems]
    if text_id(new) == text_id(old):
        return None, ["the texts are the present ones, so nothing would change"]
    return new, []


def _kept(text: str | None, present: str) -> str:
    return present if text is None else clean_text(text)


def _copies(skill: Skill, bank: SkillBank, encoder: TextEncoder, limit: float) -> list[str]:
    """Skills whose description means the same: the controller could not tell them apart."""
    others = [other for other in bank.candidates() if other.name != skill.name]
    if not others:
        return []
    rows = encoder.encode([skill.description, *(other.description for other in others)])
    norms = np.linalg.norm(rows, axis=1)
    cosines = rows[1:] @ rows[0] / np.maximum(norms[1:] * norms[0], 1e-12)
    best = int(np.argmax(cosines))
    if cosines[best] < limit:
        return []
    return [
        f"description: means the same as that of {others[best].name!r} (similarity "
        f"{cosines[best]:.2f}); refine that skill instead"
    ]


def _answers(skill: Skill, before: Skill | None, cases: Sequence[HardCase]) -> list[str]:
    """Answers of the cases in the texts: a skill is for many users and holds no facts of one."""
    text = _words(f"{skill.description} {skill.instructions}")
    known = "" if before is None else _words(f"{before.description} {before.instructions}")
    for number, case in enumerate(cases, 1):
        answer = case.expected or ""
        words = _words(answer)
        # A single word or number stands in many an innocent text.
        length = len(words.split()) + bool(re.search(r"\d", answer))
        if length >= _MIN_ANSWER_WORDS and words in text and words not in known:
            return [
                f"the texts hold the answer of case {number} ({show(answer)}); a skill says what "
                "to look for, never what was found"
            ]
    return []


def _words(text: str) -> str:
    words = re.findall(r"[^\W_]+", text.casefold())
    return f" {' '.join(words)} "


def _folded(name: str) -> str:
    return name.strip().casefold().replace("-", "_")
