"""Compare-and-set among processes that share a Chroma server.

Chroma cannot compare and set. But its `add` leaves a record that exists as it is, so of several
processes that add one id exactly one finds its own record under it (seen in chromadb 1.5.9). So who
wants to replace a revision of an item adds a claim on that revision, then checks the item, writes
it, and deletes the claim: whoever claims the same revision later finds another one.

A process that dies with a claim leaves it. After `STALE_S` others pass it over, by a claim with the
next number; and nobody begins to write with a claim that is older than `_BEGIN_WITHIN_S`. So two
could only meet if the server carried out a write minutes after it was sent.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from langgraph_memskill.errors import ConflictError, StoreError
from langgraph_memskill.stores.codec import Metadata
from langgraph_memskill.stores.room import any_vector
from langgraph_memskill.stores.shelf import Row, Shelf

STALE_S = 300.0
_BEGIN_WITHIN_S = 60.0
_WAIT_S = 5.0
_POLL_S = 0.01

Namespace = tuple[str, ...]
Conditions = Mapping[Namespace, Iterable[tuple[str, datetime | None]]]


class Claims:
    """The right to replace the expected revisions of a batch; a context manager that ends it."""

    def __init__(self, shelf: Shelf | None, conditions: Conditions, now: int) -> None:
        """Prepare; nothing is claimed yet.

        Args:
            shelf: Where claims are kept; None where nobody else can write, so nothing is claimed.
            conditions: Keys and expected times of each namespace.
            now: The time, in ns since 1970.
        """
        self._shelf = shelf if conditions else None
        self._now = now
        self._owner = uuid.uuid4().hex
        # Sorted, so that of two batches with common items one gets all of these.
        self._numbers = dict.fromkeys(sorted(_names(conditions)), 0)
        self._is_taken = False
        self._is_writing = False
        self._since = time.monotonic()

    def wait(self, check: Callable[[], None]) -> None:
        """Claim everything, waiting for others that have claims: they write now.

        Args:
            check: Raises ConflictError if an item is not the expected one any more.

        Raises:
            ConflictError: If it is not, or somebody keeps a claim.
        """
        deadline = time.monotonic() + _WAIT_S
        while not self.take():
            check()
            if time.monotonic() >= deadline:
                raise ConflictError(
                    f"somebody else has been writing one of the items for {_WAIT_S:g} s, or died "
                    f"while doing so, which is over in {STALE_S:g} s: read them again, then "
                    "repeat. Nothing of this batch was written"
                )
            time.sleep(_POLL_S)

    def take(self) -> bool:
        """Claim everything.

        Returns:
            Whether that succeeded; if somebody else has a claim, nothing is claimed.
        """
        if self._shelf is None:
            return True
        self._is_taken, self._since = True, time.monotonic()
        while True:
            ids = self._ids()
            about: Metadata = {"owner": self._owner, "since": self._now}
            self._shelf.add([Row(name, any_vector(1), dict(about)) for name in ids])
            found = {record.id: record.metadata or {} for record in self._shelf.fetch(ids)}
            lost = [name for name in ids if found.get(name, {}).get("owner") != self._owner]
            if not lost:
                return True
            begin = self._now - int(STALE_S * 1e9)
            if any(found.get(name, {}).get("since", self._now) >= begin for name in lost):
                self._give_back(ids=[name for name in ids if name not in lost])
                return False
            for name in lost:
                self._numbers[name.partition(":")[0]] += 1

    def begin(self) -> None:
        """Say that writing begins: if it breaks off, nobody knows how far it came.

        Raises:
            StoreError: If the claims are so old that others may soon pass them over.
        """
        if self._shelf is not None and time.monotonic() - self._since > _BEGIN_WITHIN_S:
            raise StoreError(
                f"reading took longer than {_BEGIN_WITHIN_S:g} s, too long for a safe "
                "compare-and-set: nothing was written; repeat the call"
            )
        self._is_writing = True

    def __enter__(self) -> Self:
        """Return the claims."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the claims back, unless a write broke off, which may still arrive."""
        if self._shelf is None or not self._is_taken or (error is not None and self._is_writing):
            return
        ids = self._ids()
        if error is None:  # the revisions are gone, so what dead processes claimed is, too
            ids += [f"{name}:{n}" for name, last in self._numbers.items() for n in range(last)]
        self._give_back(ids)

    def _give_back(self, ids: list[str]) -> None:
        self._is_taken = False
        if self._shelf is not None and ids:
            self._shelf.remove(ids)

    def _ids(self) -> list[str]:
        return [f"{name}:{number}" for name, number in self._numbers.items()]


def _names(conditions: Conditions) -> Iterable[str]:
    for namespace, wanted in conditions.items():
        for key, expected in wanted:
            revision = [*namespace], key, expected.isoformat() if expected else None
            yield hashlib.sha256(json.dumps(revision).encode("ascii")).hexdigest()
