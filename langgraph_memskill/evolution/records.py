"""The typed records of the evolution; all frozen, all plain values but the banks of a result."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from langgraph_memskill.evolution.gate_records import GateOutcome
from langgraph_memskill.records import Skill, Usage
from langgraph_memskill.skills.bank import SkillBank


class CaseOrigin(StrEnum):
    """Where a hard case comes from."""

    BENCHMARK = "benchmark"
    """A question of a benchmark or of a training run."""
    GAME = "game"
    """A task that an agent did not solve (ALFWorld); it has a trajectory."""
    FEEDBACK = "feedback"
    """A question that an application gave with its feedback."""


class Metric(StrEnum):
    """What a case's score means; all are in [0, 1]."""

    F1 = "f1"
    """Token F1 against the expected answer; below 0.5 is a failure (METHOD, "Evolution")."""
    JUDGE = "llm_judge"
    """A judge's 0, 0.5 or 1; below 1 is a failure."""
    SUCCESS = "success"
    """Whether a task was solved, 0 or 1."""
    REWARD = "reward"
    """An application's reward; below 0.5 is a failure."""

    def is_failure(self, score: float) -> bool:
        """Whether a query with this score is a hard case (METHOD, "Evolution")."""
        return score < (1.0 if self in (Metric.JUDGE, Metric.SUCCESS) else 0.5)


class FailureCause(StrEnum):
    """Why the memories did not help, as far as the memories and their sources show."""

    NEVER_STORED = "never_stored"
    """No memory, present or past, holds the needed fact."""
    LOST = "lost"
    """A memory held it once, and a later change overwrote or deleted it."""
    BADLY_WORDED = "badly_worded"
    """A memory was written from the needed source, but its words do not hold the fact."""
    NOT_RETRIEVED = "not_retrieved"
    """A memory holds it and was not among those that the question found."""
    NOT_USED = "not_used"
    """A memory that holds it was shown, and the answer was wrong all the same."""
    UNKNOWN = "unknown"
    """Nothing says what the needed fact is, or there is nothing to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMemory:
    """A memory as far as a case needs it: its text, never its embedding."""

    id: str
    content: str
    skills: tuple[str, ...] = ()
    """Names of the skills that wrote it."""
    date: str | None = None
    """When the interaction behind it took place, as the source wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDiagnosis:
    """What became of the fact that a case needed."""

    cause: FailureCause
    evidence: str
    """One or two sentences that say what was looked at and found."""
    memories: tuple[CaseMemory, ...] = ()
    """The memories that the evidence speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardCase:
    """One query that the memories did not help with (METHOD, "Evolution")."""

    id: str
    """Identifies the query; "" takes the question itself, trimmed and lower-cased."""
    question: str
    """What was asked, or the objective of a task."""
    expected: str | None = None
    """The right answer; None where there is none (a task)."""
    prediction: str = ""
    score: float = 0.0
    """In [0, 1], of the last failure."""
    metric: Metric = Metric.F1
    fail_count: int = 1
    """How often the query has failed, >= 1."""
    epoch: int = 0
    """Inner epoch of the last failure; in a memory folder the number of evolutions before it."""
    step: int = 0
    memories: tuple[CaseMemory, ...] = ()
    """What the query retrieved, best first."""
    namespace: tuple[str, ...] = ()
    """Whose memories were asked."""
    episode_id: str | None = None
    conversation: str | None = None
    """What was remembered: a conversation's id, a game's file."""
    trajectory: str | None = None
    """What the agent saw and did, for a task."""
    needed_sources: tuple[str, ...] = ()
    """Ids of the turns or spans that hold the needed fact, where they are known."""
    origin: CaseOrigin = CaseOrigin.BENCHMARK
    diagnosis: CaseDiagnosis | None = None
    """Made when the memories were at hand; None leaves it to the evolution."""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When it last failed (UTC)."""

    @property
    def key(self) -> str:
        """What makes two failures one case: the id, or else the question."""
        return self.id or self.question.strip().lower()


class RootCause(StrEnum):
    """Where the designer sees the fault (METHOD, "Evolution")."""

    STORAGE = "storage"
    """What was needed was not written down."""
    RETRIEVAL = "retrieval"
    """It was written down in words that the question does not find."""
    MEMORY_QUALITY = "memory_quality"
    """It was found, but too vague, outdated or without what the answer needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePattern:
    """What several cases have in common."""

    name: str
    cases: tuple[int, ...] = ()
    """Numbers of the cases in the designer's list, from 1."""
    root_cause: RootCause
    explanation: str
    recommendation: str = ""
    """What a skill should do differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What the designer makes of the cases."""

    patterns: tuple[FailurePattern, ...] = ()
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAnalysis:
    """The cases that an evolution chose and what it found; the best stage's are used again."""

    cases: tuple[HardCase, ...]
    """The chosen cases with their diagnoses, in the order of the designer's list."""
    analysis: Analysis


class ChangeAction(StrEnum):
    """What the designer may do to a bank."""

    ADD_NEW = "add_new"
    REFINE_EXISTING = "refine_existing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedChange:
    """A change as the designer, or a person, wrote it; nothing of it is checked yet."""

    action: ChangeAction
    name: str
    """The new skill, or the skill to refine."""
    description: str | None = None
    """None keeps a refined skill's own."""
    instructions: str | None = None
    """None keeps a refined skill's own."""
    action_type: str | None = None
    """Of a new skill; a refined one keeps its own."""
    reason: str = ""
    problems: tuple[str, ...] = ()
    """What could not even be read of it; such a change is rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillChange:
    """A change that has passed every check."""

    action: ChangeAction
    name: str
    before: Skill | None = None
    """The skill as it was; None for a new one."""
    after: Skill
    evicted: str | None = None
    """The skill that has to make room for a new one in a full bank."""
    reason: str = ""
    advice: tuple[str, ...] = ()
    """What the linter would do better; it does not speak against the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedChange:
    """A proposed change that is not made, and why."""

    proposal: ProposedChange
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """Changes that made no stage better; the designer is told, so as not to repeat them."""

    stage: int
    changes: tuple[SkillChange, ...]
    reward: float
    """The stage reward with these changes."""
    best_reward: float
    """The stage reward that was to be beaten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFeedback:
    """What the last evolution was worth, in numbers that the designer is told."""

    stage: int
    reward: float
    base_stage: int
    """The stage that it is compared with; -1 if there is none."""
    base_reward: float
    best_reward: float
    stages_without_improvement: int = 0

    @property
    def difference(self) -> float:
        """The stage's reward less the one that it is compared with."""
        return self.reward - self.base_reward

    @property
    def is_improvement(self) -> bool:
        """Whether the stage is the best so far."""
        return self.stages_without_improvement == 0


class EvolutionStatus(StrEnum):
    """How an evolution ended."""

    APPLIED = "applied"
    """At least one change was made."""
    NO_CHANGE = "no_change"
    """There were no cases, or the designer saw nothing to change."""
    WAITING = "waiting"
    """The changes wait for a person's decision."""
    REJECTED = "rejected"
    """Changes were proposed; none passed the check or was accepted."""
    FAILED = "failed"
    """The designer could not be called or understood; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionResult:
    """What one evolution did; unless `status` is "applied", both banks say the same."""

    id: str
    status: EvolutionStatus
    before: SkillBank
    """A copy of the bank before."""
    after: SkillBank
    """The bank after, its changed skills marked as new."""
    changes: tuple[SkillChange, ...] = ()
    """The changes that were made, in order; while it waits those that would be."""
    rejected: tuple[RejectedChange, ...] = ()
    analysis: CachedAnalysis | None = None
    """The chosen cases and the designer's analysis; None if it did not come to one."""
    reason: str = ""
    """The designer's summary, or why nothing was changed."""
    model: str = ""
    """Name of the designer's model."""
    usage: Usage = Usage()
    """What the designer's calls cost, failed ones included."""
    version: str | None = None
    """Id of the bank's new version, where banks have versions (`SkillVersions`)."""
    gate: GateOutcome | None = None
    """How the new bank did on what was held out; None if there was no gate."""

    @property
    def no_change(self) -> bool:
        """Whether the bank stayed as it was."""
        return self.status is not EvolutionStatus.APPLIED

    @property
    def cases(self) -> tuple[HardCase, ...]:
        """The cases that the designer was shown."""
        return () if self.analysis is None else self.analysis.cases
