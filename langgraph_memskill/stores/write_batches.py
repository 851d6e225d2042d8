"""How the writes of a plan are handed to a store."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from langgraph.store.base import BaseStore, PutOp

from langgraph_memskill.namespaces import INTERNAL_LABEL, Namespace
from langgraph_memskill.stores.conditional import ConditionalWrites, PutIfOp
from langgraph_memskill.stores.items import TEXT_FIELD


def write_batches(
    store: BaseStore,
    writes: Sequence[PutOp],
    seen: Mapping[tuple[Namespace, str], datetime] | None = None,
) -> list[list[Any]]:
    """The batches of operations that carry out some writes.

    Memories get the store's default time to live, which operations given to `batch` do not get by
    themselves; tombstones and other things of ours live for ever.

    Args:
        store: Where to.
        writes: In order; of several writes to one key the last one holds.
        seen: When each item was written that the writes are based on, by namespace and key. A
            store that can compare and set then writes only if nobody else wrote in between.
    """
    last: dict[tuple[Namespace, str], PutOp] = {}
    minutes = (store.ttl_config or {}).get("default_ttl") if store.supports_ttl else None
    for write in writes:
        last.pop((write.namespace, write.key), None)
        lives_for_ever = write.value is None or write.namespace[0] == INTERNAL_LABEL
        kept = write if lives_for_ever or minutes is None else write._replace(ttl=minutes)
        last[write.namespace, write.key] = kept
    if seen is not None and last and isinstance(store, ConditionalWrites):
        return [[PutIfOp(write, seen.get(place)) for place, write in last.items()]]
    return _distinct_texts(list(last.values()))


def _distinct_texts(writes: Sequence[PutOp]) -> list[list[PutOp]]:
    """One batch, or more where two writes have the same text.

    LangGraph's InMemoryStore refuses a batch that embeds one text for two items.
    """
    batches: list[list[PutOp]] = []
    seen: list[set[str]] = []
    for write in writes:
        text = (write.value or {}).get(TEXT_FIELD) if write.index is not False else None
        place = next((i for i, texts in enumerate(seen) if text not in texts), len(batches))
        if place == len(batches):
            batches.append([])
            seen.append(set())
        batches[place].append(write)
        if text is not None:
            seen[place].add(text)
    return batches
