"""Which memories a search may return: filters and times."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langgraph.store.base import Item

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.stores.filters import ItemTimes, checked, matches

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition on the items of a store."""

    filter: dict[str, Any] | None = None
    """In the words of `stores.filters`; None lets everything pass."""
    checked: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        filter: Filter | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> "Wanted":
        """Make a condition.

        Args:
            filter: LangGraph's store filter over the fields of a memory's item (`text`, `skills`,
                `model`, `sources` ...) and what ChromaStore knows beyond it: `$in`, `$nin`,
                `$exists`, `$and`, `$or`, `$not`, `$created_at`, `$updated_at`. It works on any
                store.
            since: Only memories that were written or changed at this time or later.
            until: Only memories that were last changed before this time.

        Raises:
            ConfigError: If the filter is not understood, or a time has no time zone.
        """
        parts = [dict(filter)] if filter else []
        bounds = {
            sign: _in_utc(name, time)
            for sign, name, time in (("$gte", "since", since), ("$lt", "until", until))
            if time is not None
        }
        if bounds:
            parts.append({"$updated_at": bounds})
        whole = parts[0] if len(parts) == 1 else {"$and": parts} if parts else None
        try:
            return cls(whole, checked(whole))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"filter={filter!r} is not understood: {error}") from error

    def passes(self, item: Item) -> bool:
        """Tell whether an item passes.

        Raises:
            ConfigError: If a value cannot be compared with what the filter asks for.
        """
        if self.checked is None:
            return True
        try:
            return matches(item.value, self.checked, ItemTimes(item.created_at, item.updated_at))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"filter={self.filter!r} cannot be used on memory {item.key!r}: {error}"
            ) from error


EVERYTHING = Wanted()
"""The condition that every memory meets."""


def _in_utc(name: str, time: datetime) -> datetime:
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise ConfigError(f"{name}={time!r} must be a datetime with a time zone, such as UTC")
    return time.astimezone(UTC)
