"""Filters on values and patterns of namespaces.

What InMemoryStore knows means what it means there; beyond that there are `$in`, `$nin`, `$exists`,
`$not`, `$and`, `$or`, and the times of an item, `$created_at` and `$updated_at`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from langgraph.store.base import MatchCondition

from langgraph_memskill.stores.codec import StoredItem, stamp_time

_COMPARISONS = ("$gt", "$gte", "$lt", "$lte")
_LISTS = ("$in", "$nin")
_JUNCTIONS = ("$and", "$or")
_OPERATORS = ("$eq", "$ne", *_COMPARISONS, *_LISTS, "$exists", "$not", *_JUNCTIONS)
_TIMES = ("$created_at", "$updated_at")
_WHOLE = (*_JUNCTIONS, "$not", *_TIMES)
_TIME_OPERATORS = tuple(name for name in _OPERATORS if name != "$exists")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ItemTimes(NamedTuple):
    """When an item was made and last put."""

    created_at: datetime
    updated_at: datetime


class _Missing:
    """Stands for a field that is not there."""


_MISSING = _Missing()


def checked(wanted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Check a filter and turn its times into numbers, for `matches` and `passes`.

    Args:
        wanted: Field to expected value. A dict with keys that start with "$" holds operators, which
            must all hold: $eq, $ne, $gt, $gte, $lt, $lte, $in and $nin (with a list), $exists (with
            True or False), $not (with a condition), $and and $or (with a list of conditions).
            In the place of a field there may be "$and" and "$or" with a list of filters, "$not"
            with a filter, and "$created_at" and "$updated_at" with a time, or operators on times: a
            datetime or a text in ISO 8601, in UTC unless they say otherwise.

    Returns:
        The checked filter; None if everything passes.

    Raises:
        ValueError: If an operator is unknown or its operand is of the wrong kind.
    """
    if not wanted:
        return None
    return {name: _checked_entry(name, condition) for name, condition in wanted.items()}


def passes(item: StoredItem, wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether an item passes a checked filter; raises like `matches`."""
    if not wanted:
        return True
    times = ItemTimes(stamp_time(item.created), stamp_time(item.revision))
    return matches(item.value(), wanted, times)


def matches(
    value: Mapping[str, Any], wanted: Mapping[str, Any] | None, times: ItemTimes | None = None
) -> bool:
    """Tell whether a stored value passes a checked filter.

    Args:
        value: The item's value.
        wanted: What `checked` gave.
        times: The item's times, for a filter that asks for them.

    Returns:
        True if every condition holds. A field that the value lacks counts as None, but for $exists.

    Raises:
        ValueError: If a text compared by size is not a number.
        TypeError: If what is compared by size is neither a number nor a text.
    """
    if not wanted:
        return True
    return all(_entry_fits(value, times, name, wish) for name, wish in wanted.items())


def can_raise(wanted: object) -> bool:
    """Tell whether a checked filter could raise on some value: only comparison by size does.

    Such a filter has to look at every item, for InMemoryStore reports a value that it cannot
    compare wherever it lies.
    """
    if isinstance(wanted, Mapping):
        return any(
            name in _COMPARISONS or (name not in _TIMES and can_raise(inner))
            for name, inner in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return any(can_raise(inner) for inner in wanted)
    return False


def _checked_entry(name: object, condition: Any) -> Any:
    if name in _JUNCTIONS:
        return [_checked_filter(name, one) for one in _listed(name, condition)]
    if name == "$not":
        return _checked_filter(name, condition)
    if name in _TIMES:
        return _checked_time(name, condition)
    if not isinstance(name, str):
        raise ValueError(f"the filter has the field {name!r}, which is no text")
    if name.startswith("$"):
        raise ValueError(
            f"Unsupported operator: {name} in the place of a field, where only "
            f"{', '.join(_WHOLE)} can be"
        )
    _check_condition(condition)
    return condition


def _checked_filter(name: object, wanted: Any) -> dict[str, Any]:
    if not isinstance(wanted, Mapping):
        raise ValueError(f"{name} needs filters such as {{'field': 1}}, not {wanted!r}")
    return checked(wanted) or {}


def _listed(name: object, operand: Any) -> list[Any]:
    if not isinstance(operand, list | tuple | set | frozenset):
        raise ValueError(f"{name} needs a list, not {operand!r}")
    return list(operand)


def _check_condition(condition: Any) -> None:
    if isinstance(condition, dict):
        has_operators = any(isinstance(name, str) and name[:1] == "$" for name in condition)
        for name, inner in condition.items():
            if not isinstance(name, str):
                raise ValueError(f"the filter has the field {name!r}, which is no text")
            if has_operators:
                _check_operator(name, inner)
            else:
                _check_condition(inner)
    elif isinstance(condition, list | tuple):
        for inner in condition:
            _check_condition(inner)


def _check_operator(name: str, operand: Any) -> None:
    if name not in _OPERATORS:
        raise ValueError(f"Unsupported operator: {name}; there are {', '.join(_OPERATORS)}")
    if name in _LISTS:
        _listed(name, operand)
    elif name in _JUNCTIONS:
        for inner in _listed(name, operand):
            _check_condition(inner)
    elif name == "$not":
        _check_condition(operand)
    elif name == "$exists" and not isinstance(operand, bool):
        raise ValueError(f"$exists needs True or False, not {operand!r}")


def _checked_time(name: object, condition: Any) -> Any:
    if not isinstance(condition, Mapping):
        return _microseconds(name, condition)
    found: dict[str, Any] = {}
    for operator, operand in condition.items():
        if operator not in _TIME_OPERATORS:
            raise ValueError(
                f"Unsupported operator: {operator} with {name}; there are "
                f"{', '.join(_TIME_OPERATORS)}"
            )
        if operator in (*_LISTS, *_JUNCTIONS):
            found[operator] = [_checked_time(name, one) for one in _listed(operator, operand)]
        else:
            found[operator] = _checked_time(name, operand)
    return found


def _microseconds(name: object, time: Any) -> int:
    """Read a time, in microseconds since 1970."""
    try:
        found = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError:
        found = None
    if not isinstance(found, datetime):
        raise ValueError(
            f"{name} is compared with {time!r}: give a datetime, or a text such as "
            "'2026-01-31T12:00:00+00:00'"
        )
    return _since_epoch(found if found.tzinfo else found.replace(tzinfo=UTC))


def _since_epoch(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _entry_fits(
    value: Mapping[str, Any], times: ItemTimes | None, name: str, condition: Any
) -> bool:
    match name:
        case "$and":
            return all(matches(value, one, times) for one in condition)
        case "$or":
            return any(matches(value, one, times) for one in condition)
        case "$not":
            return not matches(value, condition, times)
        case "$created_at":
            return times is not None and _fits(_since_epoch(times.created_at), condition)
        case "$updated_at":
            return times is not None and _fits(_since_epoch(times.updated_at), condition)
    return _fits(value.get(name, _MISSING), condition)


def _fits(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        if any(name.startswith("$") for name in expected):
            return all(_holds(found, operator, bound) for operator, bound in expected.items())
        return isinstance(found, dict) and all(
            _fits(found.get(name, _MISSING), inner) for name, inner in expected.items()
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(_fits(one, other) for one, other in zip(found, expected, strict=True))
        )
    return bool(_known(found) == expected)


def _holds(found: Any, operator: str, bound: Any) -> bool:
    match operator:
        case "$exists":
            return bool((found is not _MISSING) == bound)
        case "$not":
            return not _fits(found, bound)
        case "$and":
            return all(_fits(found, one) for one in bound)
        case "$or":
            return any(_fits(found, one) for one in bound)
    return _compares(_known(found), operator, bound)


def _known(found: Any) -> Any:
    return None if found is _MISSING else found


def _compares(found: Any, operator: str, bound: Any) -> bool:
    match operator:
        case "$eq":
            return bool(found == bound)
        case "$ne":
            return bool(found != bound)
        case "$in":
            return _is_in(found, bound)
        case "$nin":
            return not _is_in(found, bound)
        case "$gt":
            return float(found) > float(bound)
        case "$gte":
            return float(found) >= float(bound)
        case "$lt":
            return float(found) < float(bound)
        case "$lte":
            return float(found) <= float(bound)
    raise ValueError(f"Unsupported operator: {operator}")


def _is_in(found: Any, wanted: Any) -> bool:
    """Tell whether a value, or one element of a list, is among the wanted ones."""
    several = [*found, found] if isinstance(found, list) else [found]
    return any(one == other for one in several for other in wanted)


def namespace_matches(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    """Tell whether a namespace begins or ends with a pattern; "*" stands for any one label.

    Raises:
        ValueError: If the condition is neither "prefix" nor "suffix".
    """
    pattern = condition.path
    if len(namespace) < len(pattern):
        return False
    if condition.match_type == "prefix":
        labels = namespace[: len(pattern)]
    elif condition.match_type == "suffix":
        labels = namespace[len(namespace) - len(pattern) :]
    else:
        raise ValueError(f"Unsupported match type: {condition.match_type}")
    return all(want in ("*", label) for label, want in zip(labels, pattern, strict=True))
