"""The settings of a benchmark run over ALFWorld's games."""

from dataclasses import dataclass
from pathlib import Path

from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.ranges import check_count

AGENTS = ("similarity", "random", "expert", "llm")
"""Who can play."""

AGENTS_WITH_MEMORY = ("similarity", "llm")
"""Those whose choice depends on memories; of the others one row says everything."""

ALFWORLD_ROWS = ("none", "rag", "random", "similarity", "controller")
"""The systems that can be compared, in the order of the table."""

DEFAULT_ALFWORLD_ROWS = ("none", "rag", "random", "similarity")
"""Without `controller`, which needs a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlfworldSettings:
    """What a run does, with METHOD's numbers at evaluation as defaults.

    Raises:
        ConfigError: If a value is out of its range or a name is unknown.
    """

    agent: str = "similarity"
    """One of `AGENTS`."""
    rows: tuple[str, ...] = DEFAULT_ALFWORLD_ROWS
    """Systems to compare, of `ALFWORLD_ROWS`; an agent without memory has the row `none` alone."""
    max_steps: int = 50
    """Commands of a game at most, >= 1; a game that is not solved counts as so many."""
    workers: int = 1
    """Games that are played side by side, >= 1; no result depends on it."""
    skills_per_span: int = 5
    """K, >= 1."""
    top_k: int = 20
    """Memories retrieved for a span and for a game, >= 1."""
    span_tokens: int = 1024
    """Tokens of the trajectories of a span at most, >= 1; a longer one is a span of its own."""
    controller: Path | None = None
    """Folder of a trained controller, for the row `controller`."""
    skills: Path | None = None
    """Folder of a skill bank; None takes the seeds and the embodied pack."""
    seed: int = 0
    """Of the agent and the row `random`, and of the bootstrap."""
    attempts: int = 3
    """Calls of a model for one span or step before it counts as failed, >= 1."""
    max_failures: float = 0.1
    """Share of a row's games, or spans, that may fail because of the model, in [0, 1]."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 1, "max_steps", "workers")
        if self.agent not in AGENTS:
            raise ConfigError(f"there is no agent {self.agent!r}; there are {', '.join(AGENTS)}")
        for row in self.rows:
            if row not in ALFWORLD_ROWS:
                known = ", ".join(ALFWORLD_ROWS)
                raise ConfigError(f"there is no row {row!r} for ALFWorld; there are {known}")
        if self.agent not in AGENTS_WITH_MEMORY and self.rows != ("none",):
            raise ConfigError(f"the agent {self.agent!r} uses no memory: its only row is 'none'")
        _ = self.construction  # checks everything else

    @property
    def construction(self) -> RunSettings:
        """How the memories are built, in the words of the other benchmarks."""
        return RunSettings(
            rows=self.rows,
            span_tokens=self.span_tokens,
            span_overlap=0,
            skills_per_span=self.skills_per_span,
            top_k=self.top_k,
            controller=self.controller,
            skills=self.skills,
            seed=self.seed,
            attempts=self.attempts,
            max_failures=self.max_failures,
        )

    @property
    def needs_training(self) -> bool:
        """Whether a row has memories."""
        return self.rows != ("none",)
