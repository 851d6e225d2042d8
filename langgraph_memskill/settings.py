"""How a memory cuts, selects, retrieves and writes, with METHOD's numbers as defaults."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, get_args

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Span
from langgraph_memskill.search.settings import DENSE, SearchSettings
from langgraph_memskill.spans import SpanMode

Period = Literal["run", "day", "user"]
"""What a budget is for: one run, one user and UTC day, or one user for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much the reading of spans may cost.

    A limit is looked at before a call, so the last call may go beyond `tokens`: by what one call
    takes, times the number of spans that are being read at that moment.

    Raises:
        ConfigError: If a value is out of its range.
    """

    calls: int | None = None
    """Model calls, repeated attempts included, >= 0; None is no limit."""
    tokens: int | None = None
    """Tokens of prompts and replies together, >= 0; None is no limit."""
    per: Period = "run"
    """"run" (one `remember` call), "day" (one user's UTC day) or "user" (one user, for good). What
    a user spends is kept in the store, under his namespace. Without any limit it is only counted.
    """

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("calls", "tokens"):
            limit = getattr(self, name)
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
                raise ConfigError(f"{name}={limit!r} must be a whole number of at least 0, or None")
        if self.per not in get_args(Period):
            known = ", ".join(map(repr, get_args(Period)))
            raise ConfigError(f"per={self.per!r} must be one of {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the construction step and of recall.

    Raises:
        ConfigError: If a value is out of its range.
    """

    skills_per_span: int = 5
    """K, the skills picked for a span (METHOD: 3 in training, 5 to 7 at evaluation), >= 1."""
    top_k: int = 20
    """Memories retrieved for a span and for a question, >= 1."""
    search: SearchSettings = SearchSettings()
    """How memories are found for a question; the memories of a span are always found by meaning
    (METHOD, step 1)."""
    message_mode: SpanMode = SpanMode.TURN_PAIR
    """How a list of messages is cut into spans."""
    text_mode: SpanMode = SpanMode.FIXED
    """How plain text is cut into spans."""
    span_tokens: int = 512
    """Upper length of a span in tokens, >= 1."""
    span_overlap: int = 64
    """Tokens that consecutive fixed-length spans share, in [0, span_tokens)."""
    span_workers: int = 1
    """Spans that are read side by side against one snapshot of the memories, >= 1. With 1 every
    span sees what the span before it wrote; with more their actions are merged."""
    model_attempts: int = 3
    """Calls of the model for one span before the span is kept for `retry_failed()`, >= 1."""
    merge_duplicates: bool = True
    """Whether an INSERT of what a memory says already only adds its source to that memory."""
    update_candidates: int = 5
    """Memories close to single sentences of a span that the model is shown besides the `top_k` of
    the whole span, >= 0. With 0 it is shown METHOD's `top_k` and no mark."""
    candidate_similarity: float = 0.6
    """Cosine from which a memory is close to a sentence, in [-1, 1]."""
    gate: bool | Callable[[Span], bool] = True
    """Whether spans of greetings, thanks and the like are passed over without any model call; or a
    function that says of a span that it is to be passed over (`writing.gate.is_small_talk` is the
    one that True stands for)."""
    budgets: tuple[Budget, ...] = ()
    """Limits on model calls and tokens; a span that is beyond one is kept for `retry_failed()`."""
    protect_seeds: bool = False
    """Whether the seeds stay when a full bank gets a new skill (METHOD: they may go). Single skills
    are protected with `SkillBank.protect` or `memskill skills protect`."""
    explore: bool = False
    """Whether a trained controller draws its skills with their probabilities instead of taking the
    best: what is recorded then says how other choices would have fared."""
    record_traces: bool = False
    """Whether every run is recorded, in traces/ of the memory's folder."""
    keep_trace_texts: bool = False
    """Whether traces hold the texts of spans, memories and errors; otherwise only hashes."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type is int and (isinstance(value, bool) or not isinstance(value, int)):
                raise ConfigError(f"{item.name}={value!r} must be a whole number")
            if item.type is bool and not isinstance(value, bool):
                raise ConfigError(f"{item.name}={value!r} must be True or False")
        for name in ("skills_per_span", "top_k", "span_tokens", "span_workers", "model_attempts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be at least 1")
        if not 0 <= self.span_overlap < self.span_tokens:
            raise ConfigError(
                f"span_overlap={self.span_overlap!r} must be at least 0 and below "
                f"span_tokens={self.span_tokens!r}"
            )
        if self.update_candidates < 0:
            raise ConfigError(f"update_candidates={self.update_candidates!r} must be at least 0")
        if not isinstance(self.gate, bool) and not callable(self.gate):
            raise ConfigError(f"gate={self.gate!r} must be True, False or a function of a span")
        if not isinstance(self.search, SearchSettings):
            raise ConfigError(f"search={self.search!r} must be a SearchSettings")
        self._check_writing()

    def _check_writing(self) -> None:
        similarity = self.candidate_similarity
        is_number = isinstance(similarity, int | float) and not isinstance(similarity, bool)
        if not is_number or not -1 <= similarity <= 1:
            raise ConfigError(f"candidate_similarity={similarity!r} must be between -1 and 1")
        if not isinstance(self.budgets, tuple) or not all(
            isinstance(budget, Budget) for budget in self.budgets
        ):
            raise ConfigError(f"budgets={self.budgets!r} must be a tuple of Budget")


METHOD = Settings(gate=False, merge_duplicates=False, update_candidates=0, search=DENSE)
"""The construction step exactly as METHOD has it, for benchmarks and comparisons; take
`dataclasses.replace(METHOD, skills_per_span=3, ...)` for other numbers."""
