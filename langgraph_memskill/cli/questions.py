"""`memskill recall` and `memskill answer`."""

from typing import Annotated, Literal

import typer
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    DEFAULT_USER,
    EncoderOption,
    FolderOption,
    JsonOption,
    ModelOption,
    Place,
    UserOption,
    open_for_recall,
    open_memory,
)
from langgraph_memskill.cli.past_times import past_time
from langgraph_memskill.cli.screen import Screen, printable

Style = Literal["plain", "short", "tagged"]
"""The values of `AnswerStyle`, which cannot be imported before a command runs: it is slow."""

_SHOWN_MEMORIES = 5


def recall(
    query: Annotated[str, typer.Argument(help="What you want to know.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many memories at most.")] = 20,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", metavar="TIME", help="As they were then: 2026-05-01, '2 days ago' ..."
        ),
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the memories nearest to a query."""
    screen = Screen(as_json=as_json)
    time = None if as_of is None else past_time(as_of)
    with open_for_recall(Place(folder=folder, user=user, encoder=encoder)) as memories:
        found = memories.recall(query, user_id=user, k=k, as_of=time)
    from langgraph_memskill.cli.rendering import memories_table
    from langgraph_memskill.state import dump_all

    screen.emit({"query": query, "memories": dump_all(found)})
    screen.show(memories_table(found) if found else "Nothing is remembered yet.")


def answer(
    question: Annotated[str, typer.Argument(help="The question.")],
    style: Annotated[
        Style, typer.Option(help="A sentence, a short phrase, or a phrase inside answer tags.")
    ] = "plain",
    date: Annotated[
        str | None, typer.Option(help="When the question is asked, for 'last week' and the like.")
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from the memories."""
    screen = Screen(as_json=as_json)
    place = Place(folder=folder, user=user, encoder=encoder)
    with open_memory(place, model, screen) as memory:
        from langgraph_memskill.prompts import AnswerStyle

        answered = memory.answer(question, user_id=user, style=AnswerStyle(style), date=date)
    from langgraph_memskill.cli.rendering import memories_table
    from langgraph_memskill.state import dump

    screen.emit({"question": question} | dump(answered))
    screen.show(Text(printable(answered.text), style="bold"))
    if answered.memories:
        given = len(answered.memories)
        shown = min(given, _SHOWN_MEMORIES)
        note = f"from {given} memories" + (f", the nearest {shown}:" if shown < given else ":")
        screen.show(Text(note, style="dim"), memories_table(answered.memories[:shown]))
