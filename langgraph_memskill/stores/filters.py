"""Filters on values and patterns of namespaces, with the meaning that InMemoryStore gives them."""

from collections.abc import Mapping
from typing import Any

from langgraph.store.base import MatchCondition


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether a stored value passes a search filter.

    Args:
        value: The item's value.
        wanted: Field to expected value; a dict with keys that start with "$" holds operators
            ($eq, $ne, $gt, $gte, $lt, $lte). None or empty lets everything pass.

    Returns:
        True if every field fits. A field that the value lacks counts as None.

    Raises:
        ValueError: If an operator is unknown, or a text compared by size is not a number.
        TypeError: If what is compared by size is neither a number nor a text.
    """
    if not wanted:
        return True
    return all(_fits(value.get(field), expected) for field, expected in wanted.items())


def can_raise(wanted: object) -> bool:
    """Tell whether a filter could raise on some value: only equality never does.

    Such a filter has to look at every item, for InMemoryStore reports a value that it cannot
    compare wherever it lies.
    """
    if isinstance(wanted, Mapping):
        names = list(wanted)
        if not all(isinstance(name, str) for name in names):
            return True
        if any(name.startswith("$") for name in names):
            return not set(names) <= {"$eq", "$ne"}
        return any(can_raise(expected) for expected in wanted.values())
    if isinstance(wanted, list | tuple):
        return any(can_raise(expected) for expected in wanted)
    return False


def _fits(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        if any(name.startswith("$") for name in expected):
            return all(_holds(found, operator, bound) for operator, bound in expected.items())
        return isinstance(found, dict) and all(
            _fits(found.get(name), inner) for name, inner in expected.items()
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(_fits(one, other) for one, other in zip(found, expected, strict=True))
        )
    return bool(found == expected)


def _holds(found: Any, operator: str, bound: Any) -> bool:
    match operator:
        case "$eq":
            return bool(found == bound)
        case "$ne":
            return bool(found != bound)
        case "$gt":
            return float(found) > float(bound)
        case "$gte":
            return float(found) >= float(bound)
        case "$lt":
            return float(found) < float(bound)
        case "$lte":
            return float(found) <= float(bound)
    raise ValueError(f"Unsupported operator: {operator}")


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
