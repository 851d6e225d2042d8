"""`memskill skills`: list, show, lint; the other commands have files of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli import skill_sharing, skill_versions
from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    FolderOption,
    JsonOption,
    check_exists,
)
from langgraph_memskill.cli.screen import Screen, counted, one_line, printable
from langgraph_memskill.errors import SkillError

if TYPE_CHECKING:
    from langgraph_memskill.records import Skill
    from langgraph_memskill.skills.bank import SkillBank

app = typer.Typer(no_args_is_help=True, help="Look at the memory skills, check and change them.")


@app.command("list")
def list_skills(folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """List the skills of a memory."""
    screen = Screen(as_json=as_json)
    bank = _load(folder)
    from langgraph_memskill.state import dump_all

    screen.emit({"version": bank.version, "skills": dump_all(bank.candidates())})
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for skill in bank.candidates():
        table.add_row(
            printable(skill.name), str(skill.action_type), one_line(skill.description, 160)
        )
    screen.show(table)
    screen.show(
        Text(f"{counted(len(bank), 'skill')} in {printable(str(_skills(folder)))}", style="dim")
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a skill.")],
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show one skill in full."""
    screen = Screen(as_json=as_json)
    skill = _load(folder)[name]
    from langgraph_memskill.state import dump

    screen.emit(dump(skill))
    screen.show(_card(skill))


@app.command()
def lint(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]", help="A folder of skills, or one SKILL.md.", show_default="--folder's"
        ),
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Check SKILL.md files: errors (exit code 1) and advice."""
    screen = Screen(as_json=as_json)
    if target is None:
        check_exists(folder)
    from langgraph_memskill.skills.lint import lint as find_issues
    from langgraph_memskill.skills.rules import LintLevel
    from langgraph_memskill.state import dump_all

    path = _skills(folder) if target is None else target
    issues = find_issues(path)
    errors = sum(issue.level is LintLevel.ERROR for issue in issues)
    screen.emit({"path": str(path), "errors": errors, "issues": dump_all(issues)})
    for issue in issues:
        style = "red" if issue.level is LintLevel.ERROR else "yellow"
        screen.show(Text(printable(str(issue)), style=style))
    screen.show(Text(f"{counted(errors, 'error')}, {len(issues) - errors} to improve", style="dim"))
    if errors:
        raise typer.Exit(1)


app.command("log")(skill_versions.show_log)
app.command("diff")(skill_versions.show_diff)
app.command("rollback")(skill_versions.roll_back)
app.command("protect")(skill_versions.protect)
app.command("unprotect")(skill_versions.unprotect)
app.command("export")(skill_sharing.export)
app.command("import")(skill_sharing.import_)


def _skills(folder: Path) -> Path:
    from langgraph_memskill.memory_folder import MemoryFolder

    return MemoryFolder(folder).skills


def _load(folder: Path) -> "SkillBank":
    check_exists(folder)
    from langgraph_memskill.skills.bank import SkillBank
    from langgraph_memskill.skills.version_files import telling_the_way_back

    try:
        return SkillBank.load(_skills(folder))
    except SkillError:
        with telling_the_way_back(skill_versions.versions_in(folder).switches()):
            raise


def _card(skill: "Skill") -> RenderableType:
    from langgraph_memskill.cli.rendering import fields

    used = skill.statistics
    reward = f", mean reward {used.mean_reward:.3f}" if used.usage_count else ""
    rows = {
        "action": str(skill.action_type),
        "origin": skill.origin,
        "created": skill.created_at,
        "changed": skill.modified_at,
        "used": f"{used.usage_count} times{reward}",
    }
    return Group(
        Text(printable(skill.name), style="bold cyan"),
        Text(printable(skill.description)),
        "",
        fields(rows),
        "",
        Text(printable(skill.instructions)),
    )
