"""`memskill skills export` and `import`: skill banks between projects."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli.options import DEFAULT_FOLDER, FolderOption, JsonOption, check_exists
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.cli.skill_versions import difference_lines, versions_in


def export(
    path: Annotated[Path, typer.Argument(help="The new folder to write.")],
    version: Annotated[
        str | None, typer.Option(help="Which version.", show_default="the one in use")
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Write the skills into a folder with checksums, statistics and where they come from."""
    from langgraph_memskill.skills.sharing import export_skills
    from langgraph_memskill.state import dump

    screen = Screen(as_json=as_json)
    manifest = export_skills(versions_in(folder), path, version=version)
    screen.emit({"path": str(path), **dump(manifest)})
    skills = counted(len(manifest.statistics), "skill")
    screen.show(Text(f"wrote {skills} (version {manifest.version}) to {printable(str(path))}"))


def import_(
    path: Annotated[Path, typer.Argument(help="What 'skills export' wrote.")],
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take exactly these skills; otherwise your others stay."),
    ] = False,
    without_statistics: Annotated[
        bool,
        typer.Option("--without-statistics", help="Forget how the skills fared elsewhere."),
    ] = False,
    unverified: Annotated[
        bool,
        typer.Option("--unverified", help="Take a folder without a manifest, too."),
    ] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Take in skills of another project; every file and every rule is checked before."""
    check_exists(folder)
    from langgraph_memskill.skills.comparing import compare_banks
    from langgraph_memskill.skills.sharing import import_skills
    from langgraph_memskill.state import dump

    screen = Screen(as_json=as_json)
    versions = versions_in(folder)
    switch = import_skills(
        versions,
        path,
        replace_all=replace,
        keep_statistics=not without_statistics,
        unverified=unverified,
    )
    screen.emit(dump(switch))
    if switch.previous is not None:
        difference = compare_banks(versions.bank(switch.previous), versions.bank(switch.version))
        screen.show(*difference_lines(difference))
    screen.show(Text("to go back: memskill skills rollback", style="dim"))
