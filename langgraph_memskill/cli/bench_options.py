"""The options that all benchmarks share."""

from pathlib import Path
from typing import Annotated

import typer

RUNS = Path("bench-runs")
"""The folder of all runs."""
CACHE = RUNS / "memories"

ControllerOption = Annotated[
    Path | None, typer.Option(help="Folder of a trained controller, for its row.")
]
SkillsPerSpanOption = Annotated[int, typer.Option(min=1, help="Skills picked for a span.")]
TopKOption = Annotated[
    int, typer.Option(min=1, help="Memories for a span, and for a question or game.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Questions, or games, at most.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of chance and of the intervals.")]
AttemptsOption = Annotated[
    int, typer.Option(min=1, help="Calls for one span, and for one question or step.")
]
MaxFailuresOption = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Share of a row for which the models may fail."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        help="The folder of the run; the same command goes on there.",
        show_default=f"{RUNS}/NAME",
    ),
]
CacheOption = Annotated[
    Path, typer.Option(help="Where what was built is kept, for all runs: memories, trajectories.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be played and called.")
]


def names_of_rows(rows: str) -> tuple[str, ...]:
    """The names in `--rows`."""
    return tuple(name.strip() for name in rows.split(","))
