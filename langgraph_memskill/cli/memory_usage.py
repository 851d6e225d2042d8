"""`memskill memories usage`: what reading a user's texts has cost."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    DEFAULT_USER,
    FolderOption,
    JsonOption,
    UserOption,
    open_for_reading,
)
from langgraph_memskill.cli.screen import Screen, printable

if TYPE_CHECKING:
    from langgraph_memskill.writing.usage import UserUsage


def usage(
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Show the model calls and tokens that reading a user's texts has cost, by day (UTC)."""
    screen = Screen(as_json=as_json)
    with open_for_reading(folder) as stored:
        spent = stored.usage(user_id=user)
    from langgraph_memskill.state import dump

    screen.emit(dump(spent))
    if not spent.total.calls:
        screen.show(Text(f"No calls are counted for user {printable(user)}.", style="dim"))
        return
    screen.show(_table(spent))
    if spent.total.estimated_calls:
        screen.show(
            Text(
                f"The model did not report the tokens of {spent.total.estimated_calls} of these "
                "calls: they are estimated.",
                style="dim",
            )
        )


def _table(spent: "UserUsage") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("calls", "prompt tokens", "reply tokens"):
        table.add_column(name, justify="right")
    for day, used in [*sorted(spent.days.items()), ("total", spent.total)]:
        table.add_row(day, str(used.calls), str(used.input_tokens), str(used.output_tokens))
    return table
