"""Dividing samples into train, validation and test sets, always by position and never by chance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from langgraph_memskill.benchmarks.reading import kind_of, list_field, read_json, require
from langgraph_memskill.errors import DataError

T = TypeVar("T")


class Splits(NamedTuple, Generic[T]):
    """Items for training, validation and testing, each in the order of the source."""

    train: list[T]
    val: list[T]
    test: list[T]


def split_at(items: Sequence[T], train_end: int, val_end: int, test_end: int) -> Splits[T]:
    """Divide items at fixed positions.

    Args:
        items: The items, in file order; sets that lie beyond the last one are empty.
        train_end: Position after the last training item.
        val_end: Position after the last validation item.
        test_end: Position after the last test item; what comes later is in no set.
    """
    return Splits(
        list(items[:train_end]), list(items[train_end:val_end]), list(items[val_end:test_end])
    )


def split_by_share(items: Sequence[T], train_end: float, val_end: float) -> Splits[T]:
    """Divide items at shares of their number, both rounded down; the rest is for testing.

    Args:
        items: The items, in order.
        train_end: Share after which training ends, in [0, 1].
        val_end: Share after which validation ends, in [0, 1].
    """
    count = len(items)
    return split_at(items, int(train_end * count), int(val_end * count), count)


def read_split_file(path: Path | str, items: Sequence[T]) -> Splits[T]:
    """Divide items as a split file says.

    Args:
        path: A JSON object with the lists `train`, `val` and `test` of positions in `items`.
        items: The items, in file order.

    Raises:
        DataError: The file cannot be read, a list is missing, or a position is no position in
            `items` or occurs twice.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {kind_of(content)}; expected an object with lists")
    seen: set[int] = set()
    chosen: list[list[T]] = []
    for field in Splits._fields:
        require(content, field, str(path))
        positions = list_field(content, field, str(path))
        for position in positions:
            is_position = isinstance(position, int) and not isinstance(position, bool)
            if not is_position or not 0 <= position < len(items) or position in seen:
                raise DataError(
                    f"{path}: {position!r} in {field!r} is not a position from 0 to "
                    f"{len(items) - 1} that occurs once"
                )
            seen.add(position)
        chosen.append([items[position] for position in positions])
    return Splits(*chosen)
