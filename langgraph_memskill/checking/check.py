"""A check of all memories, or of one user's. It changes nothing."""

from collections.abc import Callable, Sequence
from functools import partial

from langgraph_memskill.checking.agreement import find_disagreements
from langgraph_memskill.checking.contradictions import find_contradictions
from langgraph_memskill.checking.duplicates import find_duplicates
from langgraph_memskill.checking.findings import Finding, FindingKind, MemoryCheck
from langgraph_memskill.checking.junk import junk_reason
from langgraph_memskill.checking.leftovers import find_leftovers
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.records import Memory
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.change_plans import reads, state_of
from langgraph_memskill.transfer.exporting import (
    deleted_ids,
    live_ids,
    memory_namespaces,
    read_entries,
)

OnCheck = Callable[[int, int], None]
"""Called with how many namespaces are checked and how many there are."""


def check_everything(
    writer: MemoryWriter,
    encoder: TextEncoder,
    template: NamespaceTemplate,
    only: Namespace | None,
    on_progress: OnCheck | None,
) -> MemoryCheck:
    """Check the memories of one namespace, or of all and what lies beside them."""
    gone = deleted_ids(writer.store)
    if only is None:
        places = [*memory_namespaces(writer.store, template), *gone, *writer.log.namespaces()]
        places = [place for place in dict.fromkeys(places) if template.matches(place)]
    else:
        places = [only]
    findings: list[Finding] = []
    num_memories = 0
    for done, place in enumerate(places, 1):
        live, dead = _live(writer, place), _deleted(writer, place, gone.get(place, ()))
        findings += _check_user(writer, encoder, place, live, dead)
        num_memories += len(live)
        if on_progress is not None:
            on_progress(done, len(places))
    if only is None:
        findings += find_leftovers(writer.store, writer.log, template)
    return MemoryCheck(
        num_memories=num_memories, num_namespaces=len(places), findings=tuple(findings)
    )


def _check_user(
    writer: MemoryWriter,
    encoder: TextEncoder,
    namespace: Namespace,
    live: Sequence[Memory],
    dead: Sequence[Memory],
) -> list[Finding]:
    findings = _disagreements(writer, namespace, live, dead)
    sound: list[Memory] = []
    for memory in live:
        if reason := junk_reason(memory.content):
            findings.append(
                Finding(
                    kind=FindingKind.JUNK,
                    what=reason,
                    namespace=namespace,
                    memory_ids=(memory.id,),
                    contents=(memory.content,),
                    fix="delete it",
                )
            )
        else:
            sound.append(memory)
    duplicates = find_duplicates(sound)
    findings += duplicates
    twins = {memory_id for finding in duplicates for memory_id in finding.memory_ids[1:]}
    distinct = [memory for memory in sound if memory.id not in twins]
    findings += find_contradictions(distinct, encoder)
    findings += [_foreign(memory) for memory in live if not memory.history]
    return findings


def _disagreements(
    writer: MemoryWriter, namespace: Namespace, live: Sequence[Memory], dead: Sequence[Memory]
) -> list[Finding]:
    compare = partial(
        find_disagreements,
        is_complete=writer.log.path is not None,
        may_expire=(writer.store.ttl_config or {}).get("default_ttl") is not None,
    )
    suspects = compare(namespace, live, dead, writer.log.last(namespace))
    ids = list(dict.fromkeys(key for finding in suspects for key in finding.memory_ids))
    if not ids:
        return []
    # Somebody may have written since the memories were read: the few are read again, undisturbed.
    with writer.hold(namespace):
        state = state_of(ids, writer.store.batch(reads(namespace, ids)))
        last = writer.log.look(namespace, ids).last
    return compare(namespace, list(state.live.values()), list(state.deleted.values()), last)


def _foreign(memory: Memory) -> Finding:
    return Finding(
        kind=FindingKind.FOREIGN_ITEM,
        what="another program wrote it; import_store takes it over with its provenance",
        namespace=memory.namespace,
        memory_ids=(memory.id,),
        contents=(memory.content,),
    )


def _live(writer: MemoryWriter, namespace: Namespace) -> list[Memory]:
    ids = live_ids(writer, namespace)
    entries = read_entries(writer.store, {namespace: ids}, deleted=False)
    return [entry.memory for entry in entries]


def _deleted(writer: MemoryWriter, namespace: Namespace, ids: Sequence[str]) -> list[Memory]:
    """The tombstones, also those of memories that live."""
    found = state_of(ids, writer.store.batch(reads(namespace, ids)))
    return list(found.deleted.values())
