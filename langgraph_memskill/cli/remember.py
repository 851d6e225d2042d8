"""`memskill remember` and `memskill retry`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli.content import Reading, read_inputs
from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    DEFAULT_USER,
    EncoderOption,
    ExploreOption,
    FolderOption,
    JsonOption,
    MaxCallsOption,
    MaxTokensOption,
    ModelOption,
    Place,
    RecordOption,
    RecordTextsOption,
    StoreOption,
    UserOption,
    open_memory,
    run_settings,
)
from langgraph_memskill.cli.screen import OnProgress, Screen, counted
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.construction_runs import OnStep
    from langgraph_memskill.records import RememberResult
    from langgraph_memskill.state import StepEvent


def remember(
    text: Annotated[
        str | None, typer.Argument(help="What to remember; '-' reads standard input.")
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            help="A text file, or a .json file with messages or LoCoMo conversations; "
            "may be given several times."
        ),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="Which conversation (sample_id) of a LoCoMo file.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            help="When it was said, such as '8 May 2023', so that 'yesterday' becomes a date.",
            show_default="today",
        ),
    ] = None,
    max_calls: MaxCallsOption = None,
    max_tokens: MaxTokensOption = None,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    store: StoreOption = None,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    record: RecordOption = False,
    record_texts: RecordTextsOption = False,
    explore: ExploreOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read text or conversations and keep what is worth remembering."""
    screen = Screen(as_json=as_json)
    settings = run_settings(
        record=record,
        texts=record_texts,
        explore=explore,
        max_calls=max_calls,
        max_tokens=max_tokens,
    )
    readings = read_inputs(text, file or [], conversation)
    if time is not None and any(reading.has_dates for reading in readings):
        raise ConfigError("--time does not go with a LoCoMo file: its sessions have their dates")
    place = Place(folder=folder, user=user, encoder=encoder, store=store)
    results: list[RememberResult] = []
    with open_memory(place, model, screen, create=True, settings=settings) as memory:
        for reading in readings:
            screen.show(*_heading(reading, len(readings)))
            with screen.progress() as advance:
                results.append(
                    memory.remember(
                        reading.content,
                        user_id=user,
                        time=time,
                        on_step=_show_steps(screen, advance),
                    )
                )
    if settings.record_traces:
        for result in results:
            screen.note(f"Recorded as episode {result.episode_id}")
    _report(screen, [reading.name for reading in readings], results)


def retry(
    max_calls: MaxCallsOption = None,
    max_tokens: MaxTokensOption = None,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try again what could not be remembered."""
    screen = Screen(as_json=as_json)
    place = Place(folder=folder, user=user, encoder=encoder)
    settings = run_settings(max_calls=max_calls, max_tokens=max_tokens)
    with open_memory(place, model, screen, settings=settings) as memory:
        waiting = memory.failed(user_id=user)
        if not waiting:
            screen.show("Nothing waits for a retry.")
        else:
            screen.show(f"{counted(len(waiting), 'span')} to try again.")
        result = memory.retry_failed(user_id=user)
    _report(screen, ["retry"], [result])


def _heading(reading: Reading, num_readings: int) -> list[Text]:
    return [Text(reading.name, style="bold")] if num_readings > 1 else []


def _show_steps(screen: Screen, advance: OnProgress) -> "OnStep":
    from langgraph_memskill.cli.rendering import action_lines

    def on_step(event: "StepEvent") -> None:
        advance("remembering", event.span_index + 1, event.num_spans)
        screen.show(
            action_lines(event.actions, event.rejected, event.failure, gated=event.is_gated)
        )

    return on_step


def _report(screen: Screen, names: list[str], results: "list[RememberResult]") -> None:
    from langgraph_memskill.cli.rendering import failed_lines
    from langgraph_memskill.state import dump

    failed = [entry for result in results for entry in result.failed]
    screen.emit(
        {
            "results": [
                {"source": name} | dump(result) for name, result in zip(names, results, strict=True)
            ]
        }
    )
    changed = sum(len(result.actions) for result in results)
    rejected = sum(len(result.rejected) for result in results)
    words = [counted(changed, "change")]
    words += [f"{rejected} rejected"] if rejected else []
    words += [f"{counted(len(failed), 'span')} failed"] if failed else []
    gated = sum(result.num_gated for result in results)
    words += [f"{counted(gated, 'span')} passed over"] if gated else []
    screen.show(Text(", ".join(words), style="dim"))
    if failed:
        screen.show(failed_lines(failed))
        screen.note("The failed spans are kept. Try them again with: memskill retry")
        raise typer.Exit(1)
