"""Vector search inside one namespace, as exact as InMemoryStore's.

Chroma returns records; a search wants items: the best record counts, records of former revisions do
not, and items may be filtered out. So more records are asked for until enough items are found, ties
at the border included, and in the end all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.stores.codec import StoredItem, item_of, primary_id, split_id
from langgraph_memskill.stores.filters import passes
from langgraph_memskill.stores.room import Room
from langgraph_memskill.stores.shelf import Hit

_MOST_HITS = 2000
_GROWTH = 4
_FILTER_MARGIN = 16


class Scored(NamedTuple):
    """An item with its similarity to the query, in [-1, 1]."""

    score: float
    item: StoredItem


def nearest(
    room: Room,
    query: NDArray[np.float32],
    num_items: int,
    wanted: Mapping[str, Any] | None,
    now: int,
) -> list[Scored]:
    """Find the items of a namespace that are most similar to a query.

    Args:
        room: The namespace.
        query: float32 [dims], of unit length or zero.
        num_items: How many to find at least, if there are so many.
        wanted: A checked filter that cannot raise, or None.
        now: The time, in ns since 1970: what has expired is left out.

    Returns:
        Items, best first, equal ones in the order in which they came; the first `num_items` are the
        right ones, more may follow.
    """
    shelf = room.vectors()
    if shelf is None or num_items <= 0:
        return []
    # One more than needed shows whether there is a tie at the border.
    num_hits = min(
        num_items + 1 if not wanted else _GROWTH * num_items + _FILTER_MARGIN, _MOST_HITS
    )
    while True:
        hits = shelf.nearest(query, num_hits)
        scored = _scored(room, hits, wanted, now)
        if len(hits) < num_hits:
            if len(hits) >= shelf.count():
                return scored
            break  # The index has lost records.
        if len(scored) >= num_items and scored[num_items - 1].score > hits[-1].score:
            return scored
        if num_hits == _MOST_HITS:
            break
        num_hits = min(num_hits * _GROWTH, _MOST_HITS)
    return score_all(room, query, [item for item in room.items(now) if passes(item, wanted)])


def score_all(room: Room, query: NDArray[np.float32], items: Sequence[StoredItem]) -> list[Scored]:
    """Score given items of a namespace, best first; those without vectors are left out."""
    shelf = room.vectors()
    if shelf is None:
        return []
    scores = shelf.scores(query)
    found = []
    for item in items:
        ids = item.vector_ids() + ([primary_id(item.key)] if item.owns_vector else [])
        item_scores = [scores[record_id] for record_id in ids if record_id in scores]
        if item_scores:
            found.append(Scored(max(item_scores), item))
    return _sorted(found)


def _scored(
    room: Room, hits: Sequence[Hit], wanted: Mapping[str, Any] | None, now: int
) -> list[Scored]:
    ids = [split_id(hit.id) for hit in hits]
    read = (item_of(found, hit.metadata) for found, hit in zip(ids, hits, strict=True))
    items = {item.key: item for item in read if item is not None and not item.is_expired(now)}
    missing = {key for key, revision in ids if revision is not None and key not in items}
    if missing:
        items |= room.fetch(sorted(missing), now)
    best: dict[str, float] = {}
    for hit, (key, revision) in zip(hits, ids, strict=True):
        item = items.get(key)
        if item is None or key in best:
            continue
        is_current = item.owns_vector if revision is None else revision == item.revision
        if is_current:
            best[key] = hit.score
    return _sorted(
        Scored(score, items[key]) for key, score in best.items() if passes(items[key], wanted)
    )


def _sorted(found: Iterable[Scored]) -> list[Scored]:
    return sorted(found, key=lambda one: (-one.score, one.item.created))
