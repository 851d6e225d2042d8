"""`memskill feedback`: how well an episode served."""

from typing import Annotated

import typer

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    FolderOption,
    JsonOption,
    open_for_reading,
)
from langgraph_memskill.cli.screen import Screen
from langgraph_memskill.errors import ConfigError


def feedback(
    episode: Annotated[str, typer.Argument(help="The episode id that remembering printed.")],
    reward: Annotated[str, typer.Argument(help="How well it served; benchmarks use 0 to 1.")],
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Reward an episode, in the memory and in its recorded traces."""
    from langgraph_memskill.state import dump

    screen = Screen(as_json=as_json)
    given = number(reward)
    with open_for_reading(folder) as stored:
        recorded = stored.feedback(episode, given)
    screen.emit(dump(recorded))
    screen.show(f"reward {recorded.reward:g} recorded")


def number(text: str) -> float:
    """Read a reward.

    Raises:
        ConfigError: If the text is no number.
    """
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"reward={text!r} must be a number, such as 0, 0.5 or 1") from error
