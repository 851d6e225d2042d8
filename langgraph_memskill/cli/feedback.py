"""`memskill feedback`: how well an episode served."""

from typing import Annotated

import typer

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    EncoderOption,
    FolderOption,
    JsonOption,
    Place,
    open_for_reading,
    open_for_recall,
)
from langgraph_memskill.cli.screen import Screen
from langgraph_memskill.errors import ConfigError


def feedback(
    episode: Annotated[str, typer.Argument(help="The episode id that remembering printed.")],
    reward: Annotated[str, typer.Argument(help="How well it served; benchmarks use 0 to 1.")],
    folder: FolderOption = DEFAULT_FOLDER,
    question: Annotated[
        str | None,
        typer.Option(help="What was asked; below 0.5 it becomes a hard case for memskill evolve."),
    ] = None,
    expected: Annotated[str | None, typer.Option(help="The right answer to it.")] = None,
    answer: Annotated[str | None, typer.Option(help="The answer that was given.")] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", help="Whose memories were asked.", show_default="episode's"),
    ] = None,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reward an episode, in the memory and in its recorded traces."""
    from langgraph_memskill.state import dump

    screen = Screen(as_json=as_json)
    given = number(reward)
    if question is None:
        opened = open_for_reading(folder)
    else:  # the case notes what the question finds
        opened = open_for_recall(Place(folder=folder, encoder=encoder))
    with opened as stored:
        recorded = stored.feedback(
            episode, given, question=question, expected=expected, answer=answer, user_id=user
        )
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
