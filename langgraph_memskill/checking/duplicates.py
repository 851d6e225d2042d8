"""Memories of one user that say the same."""

from collections.abc import Iterable, Sequence

from langgraph_memskill.checking.findings import Finding, FindingKind
from langgraph_memskill.records import Memory
from langgraph_memskill.writing.duplicates import statement_of
from langgraph_memskill.writing.sameness import is_same_text, says_the_same, words_key


def find_duplicates(memories: Sequence[Memory]) -> list[Finding]:
    """Find memories that say the same, by the rules that keep new duplicates out.

    Args:
        memories: Those of one namespace.

    Returns:
        One finding for each group; the oldest memory of a group comes first.
    """
    by_words: dict[tuple[str, ...], list[Memory]] = {}
    for memory in memories:
        by_words.setdefault(words_key(memory.content), []).append(memory)
    groups = (group for some in by_words.values() if len(some) > 1 for group in _groups(some))
    return [_finding(group) for group in groups if len(group) > 1]


def _groups(memories: Iterable[Memory]) -> list[list[Memory]]:
    """Memories with their older twins; each is compared with the oldest of a group."""
    groups: list[list[Memory]] = []
    for memory in sorted(memories, key=lambda m: (m.created_at, m.id)):
        said = statement_of(memory)
        own = next((g for g in groups if says_the_same(said, statement_of(g[0]))), None)
        if own is None:
            groups.append([memory])
        else:
            own.append(memory)
    return groups


def _finding(group: Sequence[Memory]) -> Finding:
    first, *others = group
    is_exact = all(is_same_text(first.content, other.content) for other in others)
    return Finding(
        kind=FindingKind.DUPLICATE if is_exact else FindingKind.NEAR_DUPLICATE,
        what=f"{len(group)} memories say the same",
        namespace=first.namespace,
        memory_ids=tuple(memory.id for memory in group),
        contents=tuple(memory.content for memory in group),
        fix="keep the oldest with the sources of all, and delete the others",
    )
