"""Checks of numbers in the trainers' configs."""

import math
from typing import Any

from langgraph_memskill.errors import ConfigError


def check_at_least(config: Any, least: float, *names: str) -> None:
    """Refuse fields that are no finite number or below `least`."""
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or value < least:
            raise ConfigError(f"{name}={value!r} must be a number of at least {least:g}")


def check_above(config: Any, bound: float, *names: str) -> None:
    """Refuse fields that are no finite number or not above `bound`."""
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or value <= bound:
            raise ConfigError(f"{name}={value!r} must be a number above {bound:g}")


def check_share(config: Any, *names: str) -> None:
    """Refuse fields that are no number in [0, 1]."""
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0 <= value <= 1:
            raise ConfigError(f"{name}={value!r} must be a number from 0 to 1")


def check_count(config: Any, least: int, *names: str) -> None:
    """Refuse fields that are no whole number or below `least`."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name}={value!r} must be a whole number of at least {least}")


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]  # checked just now
