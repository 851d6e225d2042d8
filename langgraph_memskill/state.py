"""Graph states and the run context.

What a checkpointer writes is plain JSON: records enter a state through `dump` and leave it
through `load`. So a checkpoint can be read by any LangGraph version and in strict mode, no class
of ours has to be revived from it, and LangGraph Studio shows readable values.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypedDict, TypeVar, cast

from langchain_core.messages import MessageLikeRepresentation
from pydantic import TypeAdapter

from langgraph_memskill.records import GATED, MemoryAction, RejectedAction, Selection, Usage

Document = dict[str, Any]
"""One record as plain JSON, made by `dump`."""

RecordT = TypeVar("RecordT")


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(type[Any], kind))


def dump(record: object) -> Document:
    """Turn a record into plain JSON data."""
    document: Document = _adapter(cast(Hashable, type(record))).dump_python(record, mode="json")
    return document


def load(kind: type[RecordT], document: Document) -> RecordT:
    """Turn plain JSON data back into a record of the given kind.

    Raises:
        pydantic.ValidationError: If the document is not one of that kind.
    """
    record: RecordT = _adapter(cast(Hashable, kind)).validate_python(document)
    return record


def dump_all(records: Sequence[object]) -> list[Document]:
    """Turn records into a list of plain JSON data."""
    return [dump(record) for record in records]


def load_all(kind: type[RecordT], documents: Sequence[Document]) -> list[RecordT]:
    """Turn a list of plain JSON data back into records."""
    return [load(kind, document) for document in documents]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemSkillContext:
    """The run context of our own graphs; an application's context needs only the same attribute."""

    user_id: str | int | None = None
    """Whose memories are meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the executor made of one span."""

    position: int
    """Place of the span in its batch."""
    actions: tuple[MemoryAction, ...] = ()
    rejected: tuple[RejectedAction, ...] = ()
    failure: str | None = None
    """Why the span could not be read at all; None if it could."""
    called: bool = True
    """Whether a model was called."""
    usage: Usage = Usage()
    """What reading the span cost, failed attempts included."""
    extract_s: float | None = None
    """Seconds that the model took to reply; None if none was called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """Progress of a construction run, sent to the stream writer once a span."""

    span_index: int
    num_spans: int
    span_text: str
    selection: Selection
    actions: tuple[MemoryAction, ...] = ()
    rejected: tuple[RejectedAction, ...] = ()
    failure: str | None = None

    @property
    def is_gated(self) -> bool:
        """Whether the span was passed over without a model call: nothing in it to be stored."""
        return self.selection.selector == GATED


def not_chosen(selector: str) -> Selection:
    """The selection of a span for which no skills were chosen; `selector` says why."""
    return Selection(skills=(), candidates=(), probabilities=(), log_prob=0.0, selector=selector)


def collect(old: list[Document], new: list[Document] | None) -> list[Document]:
    """Reducer: append what nodes and side-by-side tasks return; None empties the list."""
    return [] if new is None else [*old, *new]


def collect_outcomes(old: list[Document], new: list[Document] | None) -> list[Document]:
    """Reducer: the last outcome of each position of the batch; None empties the list."""
    if new is None:
        return []
    return list({outcome["position"]: outcome for outcome in [*old, *new]}.values())


def add_usage(old: Document, new: Document | None) -> Document:
    """Reducer: add up what the tasks of a run cost; None begins at nothing."""
    return {} if new is None else dump(load(Usage, old) + load(Usage, new))


class ConstructionState(TypedDict, total=False):
    """State of the construction graph.

    The first six keys are its input; the split node turns them into `episode` and clears them, so
    that a second run on the same thread starts afresh.
    """

    text: str | None
    messages: list[MessageLikeRepresentation] | None
    spans: list[Document] | None
    """Ready `Span`s."""
    time: str | None
    """When it was said; None is today, "" is unknown."""
    namespace: list[str] | None
    """Whose memories; without it the node's template is filled in from the run."""
    episode_id: str | None
    """Identifier of the run; without it a new one is made."""
    episode: Document
    """The `Episode` that is being read."""
    cursor: int
    """Number of spans that are done."""
    batch: list[Document]
    """The `Span`s of the present step."""
    retrieved: list[list[Document]]
    """For each span of the batch its `Memory`s, most similar first."""
    candidates: list[list[Document]]
    """For each span of the batch further `Memory`s, each close to a single sentence of it."""
    close: list[list[str]]
    """For each span of the batch the ids of all found memories that are close to a sentence."""
    calls_left: int | None
    """Model calls that the run's budget leaves for the batch; None if nothing limits them."""
    selected: list[Document]
    """For each span of the batch its `Selection`."""
    choices: list[Document] | None
    """For each span of the batch its `traces.recording.Choice`, if the run is recorded."""
    outcomes: Annotated[list[Document], collect_outcomes]
    """For each span of the batch its `Outcome`, in any order."""
    usage: Annotated[Document, add_usage]
    """The `Usage` of the run so far."""
    actions: Annotated[list[Document], collect]
    """Every applied `MemoryAction` so far."""
    rejected: Annotated[list[Document], collect]
    failed: Annotated[list[Document], collect]
    """Every `FailedSpan` so far."""
    selections: Annotated[list[Document], collect]


class ExtractTask(TypedDict, total=False):
    """What the extract node reads: one span with its memories and picked skills."""

    position: int
    span: Document
    namespace: list[str]
    """Whose budget pays."""
    memories: list[Document]
    marked: list[str]
    """Ids of the memories that are close to a sentence of the span."""
    selection: Document
    calls_left: int | None
    """Model calls that the run's budget leaves for this span; None if nothing limits them."""
    outcomes: Annotated[list[Document], collect_outcomes]
    usage: Annotated[Document, add_usage]


class AnsweringState(TypedDict, total=False):
    """State of the answering graph; `question` is its input."""

    question: str
    question_date: str
    style: str
    namespace: list[str]
    recalled: list[Document]
    """The `Memory`s that the answer is made from, most similar first."""
    answer: str
