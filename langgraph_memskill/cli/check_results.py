"""What a check of `memskill doctor` has found."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check."""

    name: str
    status: Status
    found: str
    """What was seen."""
    advice: str = ""
    """What to do about it; "" if there is nothing to do."""


def ok(name: str, found: str) -> Check:
    """A check with nothing to do about it."""
    return Check(name=name, status=Status.OK, found=found)


def warn(name: str, found: str, advice: str) -> Check:
    """A check that found something to think about."""
    return Check(name=name, status=Status.WARN, found=found, advice=advice)


def fail(name: str, found: str, advice: str = "") -> Check:
    """A check that found something broken."""
    return Check(name=name, status=Status.FAIL, found=found, advice=advice)
