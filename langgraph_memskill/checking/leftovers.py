"""What belongs to no memory: in the store's files, in the queue, among the rewards, in the log."""

from collections.abc import Iterator

from langgraph.store.base import BaseStore

from langgraph_memskill.checking.findings import Finding, FindingKind
from langgraph_memskill.namespaces import INTERNAL_LABEL, Namespace, NamespaceTemplate
from langgraph_memskill.search.lexical import LexicalIndexes
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.feedback import read_feedback
from langgraph_memskill.stores.pending import PendingSpans

_ALL_NAMESPACES = 1_000_000


def find_leftovers(
    store: BaseStore, log: ChangeLog, template: NamespaceTemplate
) -> Iterator[Finding]:
    """Look at everything that is not a memory of some user's.

    Args:
        store: The store.
        log: Its change log.
        template: The namespaces of this memory.
    """
    for damage in log.check():
        yield Finding(kind=FindingKind.DAMAGED_LOG, what=damage)
    for entry in PendingSpans(store).waiting():
        if not template.matches(entry.namespace):
            yield Finding(
                kind=FindingKind.STRAY_SPAN,
                what=f"the queued span {entry.span.id!r} belongs to no user of this memory",
                namespace=entry.namespace,
            )
    if files := LexicalIndexes.beside(log).others(used_namespaces(store)):
        yield Finding(
            kind=FindingKind.STRAY_INDEX,
            what=f"{len(files)} lexical indexes are of namespaces without any memory",
            fix="remove them",
        )
    yield from _stray_feedback(store, log)
    yield from _foreign_namespaces(store, template)
    if isinstance(store, ChromaStore):
        yield from _in_chroma(store)


def used_namespaces(store: BaseStore) -> set[Namespace]:
    """All namespaces of a store that have items."""
    return {tuple(namespace) for namespace in store.list_namespaces(limit=_ALL_NAMESPACES)}


def _stray_feedback(store: BaseStore, log: ChangeLog) -> Iterator[Finding]:
    episodes = {feedback.episode_id for feedback in read_feedback(store)}
    for episode in sorted(episodes):
        if not log.entries(run_id=episode, limit=1):
            yield Finding(
                kind=FindingKind.STRAY_FEEDBACK,
                what=f"the rewarded episode {episode!r} has changed no memory that is known",
            )


def _foreign_namespaces(store: BaseStore, template: NamespaceTemplate) -> Iterator[Finding]:
    prefix = template.literal_prefix
    found = store.list_namespaces(prefix=prefix or None, limit=_ALL_NAMESPACES)
    for namespace in map(tuple, found):
        if namespace[0] != INTERNAL_LABEL and not template.matches(namespace):
            yield Finding(
                kind=FindingKind.FOREIGN_ITEM,
                what="there are items here, but it is no namespace of this memory's",
                namespace=namespace,
            )


def _in_chroma(store: ChromaStore) -> Iterator[Finding]:
    stats = store.describe()
    if stats.num_orphan_vectors or stats.num_old_collections:
        yield Finding(
            kind=FindingKind.ORPHAN_VECTORS,
            what=f"{stats.num_orphan_vectors} vectors belong to no item, and "
            f"{stats.num_old_collections} collections to no use",
            fix="remove them",
        )
    if stats.num_expired:
        yield Finding(
            kind=FindingKind.EXPIRED,
            what=f"{stats.num_expired} expired items wait for the sweep",
            fix="sweep them",
        )
    if stats.is_reembedding:
        yield Finding(
            kind=FindingKind.UNFINISHED_REEMBEDDING,
            what="a re-embedding was begun and has not been finished: run it again",
        )
