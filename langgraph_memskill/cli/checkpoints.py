"""`memskill import-checkpoint`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli.options import EncoderOption, JsonOption
from langgraph_memskill.cli.screen import Screen, printable

if TYPE_CHECKING:
    from langgraph_memskill.trainers.reference.importing import ImportReport


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A .pt checkpoint of the paper's code.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a controller and skills that the paper's code trained; runs nothing of the file.

    The folder then opens like any memory: memskill remember --folder OUT TEXT.
    """
    screen = Screen(as_json=as_json)
    with screen.busy("reading the checkpoint"):
        from langgraph_memskill.state import dump
        from langgraph_memskill.trainers.reference.importing import import_checkpoint as run

        report = run(file, out, encoder=encoder)
    screen.emit(dump(report))
    screen.show(*_lines(report))


def _lines(report: "ImportReport") -> list[Text]:
    new = f" (new: {', '.join(report.new_skills)})" if report.new_skills else ""
    stood = f"after outer epoch {report.completed_outer_epochs}, logging step {report.step}"
    folder, encoder = printable(quote(str(report.folder))), printable(quote(report.encoder))
    return [
        Text(f"Imported into {folder}: the run stood {stood}.", style="bold"),
        *(Text(f"  + {printable(text)}", style="green") for text in report.imported),
        Text(f"    {printable(', '.join(report.skills) + new)}", style="dim"),
        *(Text(f"  ~ {printable(text)}", style="yellow") for text in report.adaptations),
        *(Text(f"  - left out: {printable(text)}", style="dim") for text in report.left_out),
        Text("The controller needs the encoder that it was trained with:"),
        Text(f"  memskill remember --folder {folder} --encoder {encoder} TEXT"),
    ]
