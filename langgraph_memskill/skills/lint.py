"""The linter for skills: `memskill skills lint`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import Skill
from langgraph_memskill.skills.fields import read_fields, skill_fields
from langgraph_memskill.skills.files import SKILL_FILE, read_skill_file
from langgraph_memskill.skills.folder import BANK_FILE, read_bank_file, skill_files
from langgraph_memskill.skills.rules import (
    LintIssue,
    LintLevel,
    Problem,
    advice,
    similar_descriptions,
)


def lint(target: Skill | Iterable[Skill] | str | Path) -> list[LintIssue]:
    """Judge skills without using them.

    Args:
        target: A skill, several skills (a bank, too), a SKILL.md, the folder of one skill, or the
            folder of a bank.

    Returns:
        What was found, in the order of the skills: errors (the skill cannot be loaded) and advice.

    Raises:
        SkillError: There is no file or folder of that name.
    """
    if isinstance(target, Skill):
        return _lint_records([target])
    if isinstance(target, str | Path):
        path = Path(target)
        if path.is_file() or (path / SKILL_FILE).is_file():
            return _lint_files([path / SKILL_FILE if path.is_dir() else path])
        return [*_lint_files(skill_files(path)), *_lint_bank_file(path)]
    return _lint_records(list(target))


def _lint_records(skills: Sequence[Skill]) -> list[LintIssue]:
    issues: list[LintIssue] = []
    valid: list[Skill] = []
    for skill in skills:
        problems = read_fields(skill_fields(skill)).problems
        issues += _issues(problems, LintLevel.ERROR, skill.name, None)
        if not problems:
            issues += _issues(advice(skill), LintLevel.ADVICE, skill.name, None)
            valid.append(skill)
    return issues + _lint_together(valid, {})


def _lint_files(files: Sequence[Path]) -> list[LintIssue]:
    issues: list[LintIssue] = []
    skills: dict[str, Skill] = {}
    where: dict[str, Path] = {}
    for file in files:
        skill, problems, _ = read_skill_file(file)
        name = file.absolute().parent.name
        issues += _issues(problems, LintLevel.ERROR, name, file)
        if skill is not None:
            issues += _issues(advice(skill), LintLevel.ADVICE, name, file)
            skills[name], where[name] = skill, file
    return issues + _lint_together(list(skills.values()), where)


def _lint_together(skills: Sequence[Skill], where: dict[str, Path]) -> list[LintIssue]:
    issues = []
    for first, second in similar_descriptions(skills):
        message = (
            f"nearly the same as that of {first.name!r}; the controller cannot tell them apart"
        )
        problem = Problem("description", message)
        issues += _issues([problem], LintLevel.ADVICE, second.name, where.get(second.name))
    return issues


def _lint_bank_file(folder: Path) -> list[LintIssue]:
    try:
        read_bank_file(folder)
    except SkillError as error:
        problem = Problem("file", str(error))
        return _issues([problem], LintLevel.ERROR, folder.name, folder / BANK_FILE)
    return []


def _issues(
    problems: Iterable[Problem], level: LintLevel, skill: str, file: Path | None
) -> list[LintIssue]:
    return [
        LintIssue(level=level, skill=skill, field=problem.field, message=problem.message, file=file)
        for problem in problems
    ]
