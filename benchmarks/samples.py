"""The typed records that every benchmark loader returns."""

from dataclasses import dataclass

from langgraph_memskill.spans import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its gold answers."""

    id: str
    """Unique in its file: the sample's id, with the question's position if a sample has several."""
    text: str
    answers: tuple[str, ...] = ()
    """Gold answers, each of them right; empty if the source gives none."""
    category: str = ""
    """Kind of question in the benchmark's own words ("temporal", "knowledge-update", "bridge")."""
    evidence: tuple[str, ...] = ()
    """What the answer stands in: turn ids (LoCoMo), session ids (LongMemEval) or document titles
    (HotpotQA)."""
    date: str | None = None
    """When the question is asked, as the source wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a file says about a sample; fields that do not fit a benchmark keep their defaults."""

    speakers: tuple[str, ...] = ()
    """Sorted."""
    num_sessions: int = 0
    question_date: str = ""
    num_documents: int = 0
    index: int | None = None
    """Position of a HotpotQA question in the set that it was drawn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One conversation or document collection with the questions about it."""

    id: str
    """The same at every run; from the source, or made from the content if the source has none."""
    questions: tuple[Question, ...]
    sessions: tuple[Session, ...] = ()
    text: str = ""
    """The documents, for a benchmark without conversations."""
    metadata: Metadata = Metadata()
