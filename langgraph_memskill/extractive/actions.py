"""Which notes of a span become memories: the extractive model's reading of the picked skills."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.extractive.notes import (
    EARLIER,
    Draft,
    WrittenNote,
    drafts_of,
    read_note,
)
from langgraph_memskill.extractive.sentences import content_words
from langgraph_memskill.prompts import ExtractionRequest, MemoryText, SkillText
from langgraph_memskill.records import ActionType

if TYPE_CHECKING:
    from langgraph_memskill.embedding import TextEncoder

# Shapes: N drafts, M memories, S skills, R reference statements, D embedding.
Floats = NDArray[np.float32]

_ENOUGH_INFORMATION = 3.0
"""Information that a note needs to be kept at weight 1."""
_MOST_WEIGHT = 1.5
_GENERAL = 0.5
"""Breadth from which a skill is a general one."""
_FULL_FIT = 0.75
"""Standardised fit from which a skill has a note written in full."""
_SAID_SHARE = 0.85
"""Share of a note's content words in a memory that says the same already."""
_REPEATED_SHARE = 0.6
"""The same for an assistant's sentences, which mostly repeat what it was told."""
_SAME_SUBJECT = 0.85
"""Cosine from which a note of the same speaker is about a memory's subject."""
_RELATED_SUBJECT = 0.75
"""The same for notes that say themselves that something has changed."""
_VOID_SUBJECT = 0.6
"""The same for notes that say that something is no longer so."""
_CERTAIN_SUBJECT = 0.75
"""The same for deletions, which lose most if they are wrong."""
_SHARED_WORDS = 2
"""Content words that a note and the memory it changes have in common at least."""
_LONGEST_NOTE = 900
"""Characters from which an updated memory forgets its oldest states."""

_CHANGE = re.compile(
    r"\b(?:no longer|any ?more|instead|switched|changed|moved|ended up|finally|cancell?ed"
    r"|postponed|turned out|quit|broke up|finished|passed|got (?:the|in|accepted)|used to)\b",
    re.IGNORECASE,
)
_VOID = re.compile(
    r"\bno longer\b|\bnot\b[^.!?]{0,40}\bany ?more\b|n['’]t\b[^.!?]{0,40}\bany ?more\b"
    r"|\bcancell?ed\b|\bcalled off\b|\bforget (?:that|what I said)\b",
    re.IGNORECASE,
)

_GENERAL_TASK = (
    "Store a new, lasting fact from the text as a memory of its own: any information worth knowing "
    "later about a person, thing, place or event."
)
# How well a skill fits is measured against how well it fits these: texts differ in how similar
# they are to everything, and a skill that the designer writes tomorrow has no threshold yet.
_REFERENCE_STATEMENTS = (
    "My sister moved to Lisbon and works as a nurse there.",
    "We went hiking in the mountains with the kids.",
    "I bought a used car for my commute.",
    "The doctor said that my knee needs surgery.",
    "I prefer tea to coffee in the morning.",
    "He finished his degree in physics.",
    "They are planning a trip to Japan in the autumn.",
    "Our dog is called Max and he is five years old.",
    "I started a new job at the bank.",
    "She felt nervous before the interview.",
    "I am reading a novel about the sea.",
    "My parents met at a dance in the village.",
    "The meeting was postponed to the end of the month.",
    "I cooked a curry for the whole family.",
    "He quit smoking because of his daughter.",
    "You could try to water the plant less often.",
    "The concert was sold out within minutes.",
    "I grew up in a small town near the coast.",
    "We no longer live together.",
    "My phone broke, so I ordered another one.",
    "She won the first prize in a chess tournament.",
    "I have a lot of work before the deadline.",
    "The key is in the drawer of the kitchen table.",
    "He thinks that the film was too long.",
)


class Change(NamedTuple):
    """One action that the extractive model takes."""

    type: ActionType
    content: str = ""
    memory_index: int | None = None
    """Position of the memory to change."""


def extract(
    request: ExtractionRequest, encoder: "TextEncoder", *, notes_per_skill: int | None = None
) -> list[Change]:
    """Read a span as the picked skills say.

    A note is kept if its information, weighted by how well an insert skill fits it, is high enough:
    a general skill keeps what says at least something, a special one also the small things in its
    field and little else, and writes the note in full. Without an insert skill nothing is inserted;
    update and delete skills look for a memory with the same speaker and subject.

    Args:
        request: Skills, memories and span.
        encoder: Embeds notes, memories and skills; each distinct text once.
        notes_per_skill: Notes that each insert skill takes at most, those that fit it best first (a
            general skill those that say most); None sets no limit.

    Returns:
        The actions, in the order of the span; none if there is nothing to store.
    """
    drafts = [draft for draft in drafts_of(request.span_text, request.span_date) if draft.words]
    if not drafts or not request.skills:
        return []
    known = [_Known.of(memory) for memory in request.memories]
    fresh = [
        draft
        for draft in _without_echoes(drafts)
        if not any(memory.says(draft) for memory in known)
    ]
    if not fresh:
        return []
    kinds = {skill.action_type for skill in request.skills}
    inserting = [s for s in request.skills if s.action_type is ActionType.INSERT]
    vectors_ND = encoder.encode([draft.full for draft in fresh])
    contents = [memory.memory.content for memory in known]
    similarity_NM = vectors_ND @ encoder.encode(contents).T if contents else None
    notes = _notes(fresh, vectors_ND, inserting, encoder, notes_per_skill)
    changes: list[Change] = []
    changed: set[int | None] = set()
    for position, draft in enumerate(fresh):
        target = None
        if similarity_NM is not None:
            target = _target(draft, known, similarity_NM[position], kinds)
        if target is not None and target.memory_index not in changed:
            changes.append(target)
            changed.add(target.memory_index)
            if target.type is ActionType.UPDATE:
                continue
        if notes[position]:
            changes.append(Change(ActionType.INSERT, notes[position]))
    return list(dict.fromkeys(changes))


@dataclass(frozen=True, slots=True)
class _Known:
    """A memory that the prompt shows, with what there is to compare."""

    memory: MemoryText
    note: WrittenNote
    words: frozenset[str]

    @classmethod
    def of(cls, memory: MemoryText) -> "_Known":
        return cls(memory, *_read(memory.content))

    def says(self, draft: Draft) -> bool:
        """Whether the memory says already what the draft says."""
        share = len(draft.words & self.words) / len(draft.words)
        if draft.is_reply:
            return share >= _REPEATED_SHARE
        return share >= _SAID_SHARE and self.is_of(draft)

    def is_of(self, draft: Draft) -> bool:
        return self.note.speaker.lower() == draft.speaker.lower()


@lru_cache(maxsize=4096)
def _read(content: str) -> tuple[WrittenNote, frozenset[str]]:
    """A memory is shown beside many spans."""
    return read_note(content), content_words(content)


def _without_echoes(drafts: Sequence[Draft]) -> list[Draft]:
    """Leave out what an assistant only repeats of what it was told just before."""
    kept: list[Draft] = []
    told: frozenset[str] = frozenset()
    is_reply = True
    for draft in drafts:
        if not draft.is_reply:
            told = draft.words if is_reply else told | draft.words
        is_reply = draft.is_reply
        if not is_reply or len(draft.words & told) < _REPEATED_SHARE * len(draft.words):
            kept.append(draft)
    return kept


def _notes(
    drafts: Sequence[Draft],
    vectors_ND: Floats,
    skills: Sequence[SkillText],
    encoder: "TextEncoder",
    most: int | None,
) -> list[str]:
    """The note that each draft becomes; "" where it is not worth one.

    Shapes: vectors_ND float32, unit rows.
    """
    if not skills:
        return [""] * len(drafts)
    skills_SD = encoder.encode([f"{skill.description}\n{skill.instructions}" for skill in skills])
    fit_NS = _standardised_fit(vectors_ND, skills_SD, encoder)
    general_S = _breadth(encoder.encode([s.description for s in skills]), encoder)
    weight_NS = np.maximum(general_S, np.clip(0.25 + 0.5 * fit_NS, 0.0, _MOST_WEIGHT))
    # A general skill is content with the gist; only one that knows the field writes it all down.
    special_NS = np.where(general_S < _GENERAL, fit_NS, -np.inf)
    information_N = np.array([draft.information for draft in drafts])
    is_enough_NS = information_N[:, None] * weight_NS >= _ENOUGH_INFORMATION
    if most is not None:
        rank_NS = np.where(general_S < _GENERAL, fit_NS, information_N[:, None])
        is_enough_NS &= _is_among_best(np.where(is_enough_NS, rank_NS, -np.inf), most)
    return [
        "" if not kept else draft.full if fit >= _FULL_FIT else draft.brief
        for draft, kept, fit in zip(drafts, is_enough_NS.any(1), special_NS.max(1), strict=True)
    ]


def _is_among_best(rank_NS: NDArray[np.floating], most: int) -> NDArray[np.bool_]:
    """Where a draft is among a skill's `most` highest ranks; the earlier one of two equal ranks.

    Returns:
        bool [N, S].
    """
    places_NS = np.argsort(np.argsort(-rank_NS, axis=0, kind="stable"), axis=0)
    is_best: NDArray[np.bool_] = places_NS < most
    return is_best


def _standardised_fit(vectors_ND: Floats, skills_SD: Floats, encoder: "TextEncoder") -> Floats:
    """How many standard deviations better a skill fits than it fits everyday statements.

    Returns:
        float32 [N, S].
    """
    reference_RS = encoder.encode(_REFERENCE_STATEMENTS) @ skills_SD.T
    spread_S = np.maximum(reference_RS.std(axis=0), 1e-3)
    fit: Floats = ((vectors_ND @ skills_SD.T) - reference_RS.mean(axis=0)) / spread_S
    return fit


def _breadth(descriptions_SD: Floats, encoder: "TextEncoder") -> Floats:
    """How general a skill is, in [0, 1]: 1 for "store any fact", 0 for a special field.

    Returns:
        float32 [S].
    """
    cosine_S = (descriptions_SD @ encoder.encode([_GENERAL_TASK]).T)[:, 0]
    breadth: Floats = np.clip((cosine_S - 0.5) / 0.25, 0.0, 1.0)
    return breadth


def _target(
    draft: Draft, known: Sequence[_Known], similarity_M: Floats, kinds: set[ActionType]
) -> Change | None:
    """The memory that a draft changes or makes void, if there is one without doubt."""
    candidates = [
        (float(similarity_M[i]), memory)
        for i, memory in enumerate(known)
        if memory.is_of(draft)
        and draft.speaker
        and len(memory.words & draft.words) >= _SHARED_WORDS
    ]
    if not candidates or draft.information < _ENOUGH_INFORMATION:
        return None
    cosine, memory = max(candidates, key=lambda candidate: candidate[0])
    is_void = bool(_VOID.search(draft.full)) and not _VOID.search(memory.memory.content)
    if ActionType.UPDATE in kinds:
        least = _RELATED_SUBJECT if _CHANGE.search(draft.full) else _SAME_SUBJECT
        least = _VOID_SUBJECT if is_void else least
        if cosine >= least:
            return Change(ActionType.UPDATE, _merged(draft, memory), memory.memory.index)
    elif ActionType.DELETE in kinds and is_void and cosine >= _CERTAIN_SUBJECT:
        return Change(ActionType.DELETE, memory_index=memory.memory.index)
    return None


def _merged(draft: Draft, memory: _Known) -> str:
    states = [draft.full, *memory.memory.content.split(EARLIER)]
    # The present state first; the oldest ones go when the note gets too long.
    while len(states) > 2 and sum(map(len, states)) > _LONGEST_NOTE:
        del states[-1]
    return EARLIER.join(states)
