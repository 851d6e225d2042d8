"""`memskill memories reembed`: another embedding model for a memory folder."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    FolderOption,
    JsonOption,
    check_exists,
    read_fingerprint,
)
from langgraph_memskill.cli.screen import Screen, counted, printable

if TYPE_CHECKING:
    from langgraph_memskill.stores.reembedding import ReembedProgress


def reembed(
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="The new text encoder: a sentence-transformers folder or name on this machine.",
            show_default="the bundled MiniLM",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Embed anew even if the folder has this encoder.")
    ] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Embed all memories with another text encoder; the memory stays in use meanwhile.

    Broken off at any moment, the memory is as before, and the same command goes on. When it is
    done, programs that still use the former encoder get an error and must open the memory again.
    """
    screen = Screen(as_json=as_json)
    check_exists(folder)
    former, _ = read_fingerprint(folder)
    from langgraph_memskill.folder_reembedding import reembed_folder
    from langgraph_memskill.state import dump

    with screen.progress() as advance:

        def show(progress: "ReembedProgress") -> None:
            advance("embedding", progress.num_done, max(progress.num_done, progress.num_items))

        report = reembed_folder(folder, encoder, force=force, on_progress=show)
    name, dims = read_fingerprint(folder)
    screen.emit({"from": former, "to": name, "dims": dims} | dump(report))
    if not report.was_needed:
        screen.show(Text(f"the memories are embedded with {printable(name)} already"))
        return
    done = counted(report.num_items, "item")
    reused = f" ({report.num_reused} were done already)" if report.num_reused else ""
    change = f"from {printable(former)} to {printable(name)} ({dims} dimensions)"
    screen.show(Text(f"embedded {done}{reused}: {change}"))
