"""Takes the texts of purged memories out of traces that keep texts; the numbers stay."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from langgraph_memskill.errors import StoreError, TraceError
from langgraph_memskill.traces.files import (
    FileInfo,
    SkipLog,
    batches_of,
    find_files,
    new_name,
    remove_replaced,
    write_table,
)
from langgraph_memskill.traces.rows import StepTrace
from langgraph_memskill.traces.schema import TraceKind, arrow_schema, read_steps, steps_table

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 2048
_TEXTS = ("span_text", "failure_text", "actions")


def purge_texts(folder: Path, memory_ids: Collection[str]) -> int:
    """Remove every text of the steps that wrote to some memories.

    Only files with such a text are rewritten, each as a whole; a kill loses no row, and what it
    leaves is removed by the next call. A step that wrote no memory is not found.

    Args:
        folder: Of the traces; it need not exist.
        memory_ids: Of the memories.

    Returns:
        How many files were rewritten.

    Raises:
        StoreError: If a file cannot be read or written: its texts may still be there.
    """
    import pyarrow as pa

    try:
        remove_replaced(folder, TraceKind.STEPS)
        files = find_files(folder, TraceKind.STEPS, SkipLog())
        found = [info for info in files if _has_text(info, memory_ids)]
        for number, info in enumerate(found):
            path = info.path.with_name(new_name(uuid4().hex[:12], number))
            names = [info.path.name, *sorted(info.contains)]
            write_table(path, TraceKind.STEPS, _without(info, memory_ids), contains=names)
            info.path.unlink()
    except (OSError, TraceError, pa.ArrowException) as error:
        raise StoreError(
            f"the texts of purged memories cannot be removed from the traces in {str(folder)!r}: "
            f"{error}. Purge again, or remove the folder"
        ) from error
    return len(found)


def _has_text(info: FileInfo, memory_ids: Collection[str]) -> bool:
    return any(
        _is_meant(row["actions"], memory_ids)
        and (row["span_text"] or row["failure_text"] or any(a["content"] for a in row["actions"]))
        for batch in batches_of(info, _TEXTS, _BATCH_ROWS)
        for row in batch.to_pylist()
    )


def _is_meant(actions: Sequence[dict[str, object]], memory_ids: Collection[str]) -> bool:
    return any(action["memory_id"] in memory_ids for action in actions)


def _without(info: FileInfo, memory_ids: Collection[str]) -> "pa.Table":
    import pyarrow as pa

    columns = arrow_schema(TraceKind.STEPS).names
    return pa.concat_tables(
        steps_table([_silent(step, memory_ids) for step in read_steps(batch)])
        for batch in batches_of(info, columns, _BATCH_ROWS)
    )


def _silent(step: StepTrace, memory_ids: Collection[str]) -> StepTrace:
    if all(action.memory_id not in memory_ids for action in step.actions):
        return step
    return replace(
        step,
        span_text=None,
        failure_text=None,
        actions=tuple(replace(action, content=None, reason=None) for action in step.actions),
    )
