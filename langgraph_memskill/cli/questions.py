"""`memskill recall` and `memskill answer`."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from langgraph_memskill.search import SearchSettings

Mode = Literal["dense", "lexical", "hybrid"]
"""The values of `SearchMode`."""
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
    search: Annotated[
        Mode | None,
        typer.Option(
            help="By meaning (dense), by words (lexical), or both.", show_default="hybrid"
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what was written or changed since then."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was last changed before then.")
    ] = None,
    reranker: Annotated[
        str | None,
        typer.Option(help="A cross-encoder (folder, or name in the local cache) to reorder with."),
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the memories that fit a query best."""
    screen = Screen(as_json=as_json)
    with open_for_recall(Place(folder=folder, user=user, encoder=encoder)) as memories:
        found = memories.recall(
            query,
            user_id=user,
            k=k,
            since=None if since is None else past_time(since),
            until=None if until is None else past_time(until),
            search=_search_settings(search, reranker),
            as_of=None if as_of is None else past_time(as_of),
        )
    from langgraph_memskill.cli.rendering import memories_table
    from langgraph_memskill.state import dump_all

    screen.emit({"query": query, "memories": dump_all(found)})
    screen.show(memories_table(found) if found else "Nothing that fits is remembered.")


def _search_settings(mode: Mode | None, reranker: str | None) -> "SearchSettings | None":
    from langgraph_memskill.search import SearchMode, SearchSettings

    if mode is None and reranker is None:
        return None
    settings = SearchSettings(reranker=reranker)
    if mode is None or mode == settings.mode:
        return settings
    return replace(settings, mode=SearchMode(mode), neighbours=False)


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
