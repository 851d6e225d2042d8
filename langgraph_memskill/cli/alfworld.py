"""`memskill alfworld`: ALFWorld's games."""

from collections import Counter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import JsonOption
from langgraph_memskill.cli.screen import Screen, counted, printable

if TYPE_CHECKING:
    from langgraph_memskill.alfworld.records import GameFile
    from langgraph_memskill.alfworld.replay import Records

app = typer.Typer(no_args_is_help=True, help="ALFWorld's text games (extra: alfworld).")

AlfworldDataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="ALFWORLD_DATA",
        help="Folder of ALFWorld's data (it holds json_2.1.1).",
        show_default="~/.cache/alfworld",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Games side by side.", show_default="one a processor core"),
]


@app.callback()
def _group() -> None:
    """ALFWorld's text games (extra: alfworld)."""


@app.command()
def replay(
    split: Annotated[str, typer.Option(help="train, valid_seen or valid_unseen.")] = "train",
    out: Annotated[
        Path, typer.Option(help="The file with the trajectories; a second call goes on with it.")
    ] = Path("alfworld-replay.json"),
    data: AlfworldDataOption = None,
    solvable_only: Annotated[
        bool, typer.Option(help="Leave out games that are marked as unsolvable.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first games.")] = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play the planner's plan in every game of a split, and write the trajectories to a file."""
    screen = Screen(as_json=as_json)
    from langgraph_memskill.alfworld.games import data_folder, list_games
    from langgraph_memskill.alfworld.pool import EnginePool, default_workers
    from langgraph_memskill.alfworld.replay import replay as play_all

    games = list_games(data_folder(data), split, solvable_only=solvable_only)[:limit]
    with EnginePool() as pool, screen.progress() as show:
        show("games", 0, len(games))
        try:
            records = play_all(
                games,
                out,
                pool,
                workers=workers or default_workers(),
                on_game=lambda done, total: show("games", done, total),
            )
        except KeyboardInterrupt:
            screen.note(f"Stopped; the same command goes on with {out}")
            raise
    _report(screen, out, games, records)


def _report(screen: Screen, out: Path, games: "list[GameFile]", records: "Records") -> None:
    played = {game: records[str(game.task_type), game.id] for game in games}
    errors = {game.id: record.error for game, record in played.items() if record.error}
    total = Counter(str(game.task_type) for game in games)
    won = Counter(str(game.task_type) for game, record in played.items() if record.is_won)
    screen.emit(
        {
            "out": str(out),
            "games": len(games),
            "won": won.total(),
            "errors": errors,
            "task_types": {name: {"games": total[name], "won": won[name]} for name in total},
        }
    )
    table = Table("task type", "games", "won")
    for name in total:
        table.add_row(name, str(total[name]), str(won[name]))
    screen.show(
        table,
        *(Text(f"error: {printable(f'{name}: {error}')}") for name, error in errors.items()),
        Text(
            f"{counted(len(games), 'game')}, {won.total()} won, {counted(len(errors), 'error')}: "
            f"{printable(quote(str(out)))}"
        ),
    )
