"""The typed records that pass between modules; all frozen, none with behaviour of its own."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ActionType(StrEnum):
    """What a memory action, or a skill, does to the memory bank (METHOD, "The idea")."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    NOOP = "noop"


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillStatistics:
    """How a skill has been used and rewarded (METHOD, "Skill bank")."""

    usage_count: int = 0
    mean_reward: float = 0.0
    """Running mean over all uses."""
    recent_rewards: tuple[float, ...] = ()
    """The last 20 rewards, oldest first."""
    usage_ema: float = 0.0
    """Exponential moving average of being picked (alpha 0.1), in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One memory skill: what to look for in a span, how to write it down, what to keep."""

    name: str
    """snake_case, unique in its bank."""
    description: str
    """What the skill does and when it applies; this text is embedded for the controller."""
    instructions: str
    """Markdown that the executor follows: purpose, when to use, how to apply, constraints."""
    action_type: ActionType
    """The one kind of memory action that the skill may cause."""
    origin: str = "seed"
    """"seed", "pack", "designer" or "person"."""
    created_at: str = "initial"
    """ISO time, or "initial" for skills that came with the package."""
    modified_at: str = "initial"
    statistics: SkillStatistics = SkillStatistics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One utterance of a conversation."""

    id: str
    """Id inside the conversation: a LoCoMo dialogue id ("D1:3"), a message id, a running number."""
    speaker: str
    text: str
    caption: str | None = None
    """What a picture shared with the turn shows; None if there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of the interaction that one construction step reads."""

    id: str
    """Unique within a run; part of the provenance of every memory that the span wrote."""
    index: int
    """Position in its run, from 0."""
    text: str
    """What the executor reads, as the chunk rules lay it out (date header included)."""
    turns: tuple[Turn, ...] = ()
    """The utterances inside the span, if it was cut from a conversation."""
    time: str | None = None
    """When the interaction took place, as the source wrote it."""
    session: str | None = None
    """Session identifier in the source, if it has sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One trace: spans in order that are remembered for one namespace (METHOD, "Reward")."""

    id: str
    namespace: tuple[str, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where (part of) a memory came from."""

    span_id: str
    turn_ids: tuple[str, ...] = ()
    """Ids of the turns that the memory's words are taken from; empty if the span has no turns."""
    session: str | None = None
    time: str | None = None
    """Date of the interaction, as the source wrote it."""
    speakers: tuple[str, ...] = ()
    """Who said these turns."""
    details: str | None = None
    """What else the program that a memory was imported from knew, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryVersion:
    """One state that a memory has been in."""

    content: str
    change_id: str
    """Identifier of the change that wrote this content."""
    cause: str
    """What made the change: "span", "tool", "forget", "undo", "import", "doctor" ..."""
    skills: tuple[str, ...]
    """Names of the skills that could have caused the change (those whose action type fits)."""
    model: str | None
    span_id: str | None
    at: datetime
    """When it was written (UTC)."""
    version: int | None = None
    """Number of the change among the memory's changes, from 1; a touch has a number, too, but is
    no version. None for versions that were written before there was a change log."""
    thread_id: str | None = None
    """The LangGraph thread that it was written from."""
    run_id: str | None = None
    """The episode that wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One remembered fact with its provenance."""

    id: str
    content: str
    namespace: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    skills: tuple[str, ...] = ()
    """Every skill that wrote to this memory, in order of first use."""
    sources: tuple[Source, ...] = ()
    model: str | None = None
    """Name of the model that wrote the present content."""
    history: tuple[MemoryVersion, ...] = ()
    """All versions, oldest first; the last one is the present content."""
    score: float | None = None
    """Cosine similarity to the query that found it, in [-1, 1]; None if no query found it, or only
    by its words or a neighbour."""


class ChangeKind(StrEnum):
    """What a change did to its memory."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TOUCH = "touch"
    """The text stayed as it was; sources and skills were added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry of the change log."""

    seq: int = 0
    """Position in the log; grows, with gaps. 0 for an entry that is not written yet."""
    id: str
    """Change id; unique among the changes of a memory."""
    memory_id: str
    namespace: tuple[str, ...]
    version: int
    """Number of the change among the memory's changes, from 1 without gaps."""
    kind: ChangeKind
    cause: str
    """"span", "tool", "forget", "undo", "import", "doctor" or "purge"; "outside" for what somebody
    else did to the store, "ttl" for an item that expired."""
    before: Memory | None = None
    """The memory before the change, without history; None if there was none, or after a purge."""
    after: Memory | None = None
    """The memory after the change, without history; None if it was deleted, or after a purge."""
    skills: tuple[str, ...] = ()
    """Names of the skills that could have caused the change."""
    model: str | None = None
    span_id: str | None = None
    thread_id: str | None = None
    run_id: str | None = None
    """The episode that the change was made in; for an undo, the undo's own id."""
    at: datetime
    """When it was made (UTC)."""
    undoes: str | None = None
    """Id of the change (of the same memory) that this one takes back."""
    purged_at: datetime | None = None
    """When its texts were purged; None if they were not."""

    @property
    def content(self) -> str | None:
        """The text after the change; None if the memory was deleted or purged."""
        return self.after.content if self.after else None

    @property
    def previous(self) -> str | None:
        """The text before the change; None if there was none or it was purged."""
        return self.before.content if self.before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAction:
    """One action as a model wrote it, before it is checked against skills and memories."""

    type: ActionType
    memory_index: int | None = None
    """Position in the list of memories that the model was shown."""
    memory_id: str | None = None
    """A full memory id, where the model named one instead of a position."""
    content: str = ""
    reasoning: str = ""
    problem: str | None = None
    """Why the action cannot be used (no index, no content, out of range ...); None if it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAction:
    """One checked action: memories are named by id, never by list position."""

    type: ActionType
    memory_id: str | None = None
    """The memory to change; for an INSERT the id of the new memory, once it is applied."""
    content: str = ""
    previous: str | None = None
    """For an UPDATE or DELETE the content before the change. Until it is applied: what the memory
    must still say, or None if that does not matter."""
    reasoning: str = ""
    skills: tuple[str, ...] = ()
    """The picked skills whose action type is this action's type."""
    change_id: str | None = None
    """Set once applied; the same step repeated gives the same id, so nothing is applied twice."""
    span_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedAction:
    """An action that was not applied, and why. It changes nothing."""

    action: ParsedAction
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The controller's choice of skills for one span."""

    skills: tuple[str, ...]
    """Names in the order of choice."""
    candidates: tuple[str, ...]
    """All names on offer, sorted: an index means the same skill at every call."""
    probabilities: tuple[float, ...]
    """One probability a candidate, summing to 1."""
    log_prob: float
    """Joint log-probability of the ordered choice, in nats (METHOD step 4)."""
    value: float | None = None
    """The critic's estimate of the return; None without a trained controller."""
    selector: str = ""
    """What chose: "controller", "similarity" ...; "gate" or "budget" if nothing was chosen because
    the span was passed over, or no budget was left for it."""
    sampled: bool = False
    """Whether the choice was drawn with these probabilities; False if the best were taken."""


GATED = "gate"
"""`Selection.selector` of a span that was passed over: there is nothing worth storing in it."""
UNPAID = "budget"
"""`Selection.selector` of a span for which no budget was left; its `FailedSpan.reason` begins so,
too."""
OUTDATED = "conflict"
"""Beginning of the `FailedSpan.reason` of a span whose memories somebody else has changed between
reading and writing; nothing of what it came to was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Model calls and their tokens."""

    calls: int = 0
    """Calls that were made, failed ones included."""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_calls: int = 0
    """The calls among them whose tokens the model did not report; they are estimated."""

    @property
    def tokens(self) -> int:
        """Tokens of prompts and replies together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            estimated_calls=self.estimated_calls + other.estimated_calls,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSpan:
    """A span that could not be remembered and is kept for `retry_failed()`."""

    span: Span
    namespace: tuple[str, ...]
    reason: str
    attempts: int = 1
    thread_id: str | None = None
    """The LangGraph thread that the span comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberResult:
    """What one `remember` call did."""

    episode_id: str
    actions: tuple[MemoryAction, ...] = ()
    """The applied actions, in order."""
    memories: tuple[Memory, ...] = ()
    """The memories that this call wrote or changed and that still exist, as they are now."""
    failed: tuple[FailedSpan, ...] = ()
    """Spans kept for retry."""
    rejected: tuple[RejectedAction, ...] = ()
    selections: tuple[Selection, ...] = field(default=(), repr=False)
    usage: Usage = Usage()
    """What the model calls cost."""

    @property
    def num_gated(self) -> int:
        """Number of spans that were passed over without a model call: nothing to be stored."""
        return sum(selection.selector == GATED for selection in self.selections)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with the memories that it was given."""

    text: str
    memories: tuple[Memory, ...] = ()
