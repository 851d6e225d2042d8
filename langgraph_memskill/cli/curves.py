"""`memskill curves`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli.options import JsonOption
from langgraph_memskill.cli.screen import Screen, printable


def curves(
    run: Annotated[Path, typer.Argument(help="A run folder, or a metrics.jsonl.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write.", show_default="curves.html beside the metrics"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the curves of a training run as one HTML page that needs no network."""
    screen = Screen(as_json=as_json)
    with screen.busy("drawing"):
        from langgraph_memskill.trainers.metrics.curves import write_curves
        from langgraph_memskill.trainers.metrics.writers import CURVES_FILE, METRICS_FILE

        metrics = run / METRICS_FILE if run.is_dir() else run
        page = out or metrics.with_name(CURVES_FILE)
        write_curves(metrics, page)
    screen.emit({"page": str(page)})
    screen.show(Text(f"Written: {printable(str(page))}"))
