"""State of the evolution graph: plain JSON values, as in `langgraph_memskill.state`."""

from typing import Annotated, TypedDict

from langgraph_memskill.evolution.records import (
    Analysis,
    CachedAnalysis,
    EvolutionStatus,
    HardCase,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import Document, add_usage, load, load_all


class EvolutionState(TypedDict, total=False):
    """State of the evolution graph; the keys down to `analysis` are its input."""

    id: str
    at: str
    """When it was started (ISO); changed skills bear this time."""
    designer: str
    """Name of the designer's model."""
    settings: Document
    """Its `EvolutionSettings`."""
    approve: bool
    """Whether a person is asked before anything is changed."""
    cases: list[Document]
    """The `HardCase`s to choose from; without them the graph's source is asked. Empty once some
    are chosen."""
    failed_attempts: list[Document]
    """`FailedAttempt`s since the best stage."""
    feedback: Document | None
    """The `StageFeedback`, if a stage was played since the last evolution."""
    analysis: Document | None
    """The `Analysis`; given from outside it is used as it is."""
    chosen: list[Document]
    """The `HardCase`s that the designer is shown."""
    bank: Document
    """The bank that the designer is shown."""
    labels: list[int]
    """The cluster of each case."""
    rounds: int
    """Rounds of criticism so far."""
    is_settled: bool
    """Whether criticism has nothing to add."""
    proposals: list[Document]
    """The `ProposedChange`s of the last proposal; after the check those that passed."""
    num_proposals: int
    """How often the designer was asked for changes."""
    changes: list[Document]
    """The `SkillChange`s that `proposals` come to."""
    rejected: list[Document]
    """Every `RejectedChange` so far."""
    after: Document
    """The bank once it is changed."""
    version: str | None
    """Id of its version."""
    status: str
    """The `EvolutionStatus`, once it is settled."""
    reason: str
    usage: Annotated[Document, add_usage]
    """The `Usage` of the designer so far."""


def bank_document(bank: SkillBank) -> Document:
    """A bank with the names of its new skills, as plain JSON values."""
    return {"bank": bank.to_json(), "new": sorted(bank.new_names)}


def bank_of(document: Document) -> SkillBank:
    """The bank that `bank_document` wrote down."""
    bank = SkillBank.from_json(document["bank"])
    bank.set_new(document["new"])
    return bank


def settings_of(state: EvolutionState) -> EvolutionSettings:
    """The settings that the evolution was started with."""
    return load(EvolutionSettings, state["settings"])


def chosen_of(state: EvolutionState) -> list[HardCase]:
    """The cases that the designer is shown."""
    return load_all(HardCase, state["chosen"])


def cached_analysis(state: EvolutionState) -> CachedAnalysis | None:
    """The chosen cases with their analysis; None if it did not come to one."""
    analysis = state.get("analysis")
    if analysis is None:
        return None
    return CachedAnalysis(cases=tuple(chosen_of(state)), analysis=load(Analysis, analysis))


def ended(status: EvolutionStatus, reason: str) -> EvolutionState:
    """The update with which a node ends an evolution."""
    return {"status": status.value, "reason": reason}
