"""The settings of a benchmark run."""

from dataclasses import dataclass
from pathlib import Path

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.ranges import check_at_least, check_count, check_share
from langgraph_memskill.spans import SpanMode

ROWS = ("none", "full", "rag", "random", "all", "similarity", "controller", "langmem")
"""The systems that can be compared, in the order of the table."""

DEFAULT_ROWS = ("none", "full", "rag", "random", "all", "similarity")
"""Without `controller`, which needs a folder, and `langmem`, which needs a model with tools."""

SPLITS = ("train", "val", "test", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a run does, with METHOD's numbers at evaluation as defaults.

    Raises:
        ConfigError: If a value is out of its range or a name is unknown.
    """

    rows: tuple[str, ...] = DEFAULT_ROWS
    """Systems to compare, of `ROWS`."""
    split: str | None = None
    """One of `SPLITS`; None takes the task's own."""
    split_file: Path | None = None
    """JSON with the lists train, val and test of positions; None takes the task's own split."""
    samples: tuple[str, ...] = ()
    """Ids of the only samples to take, of the split; () takes all."""
    limit: int | None = None
    """Questions at most, in file order; samples without one of them are left out."""
    span_mode: SpanMode | None = None
    """How samples are cut into spans; None takes the task's default."""
    span_tokens: int = 1024
    """Upper length of a span in tokens, >= 1."""
    span_overlap: int = 128
    """Tokens that consecutive fixed-length spans share."""
    skills_per_span: int = 5
    """K, >= 1."""
    top_k: int = 20
    """Memories retrieved for a span and for a question, >= 1."""
    span_workers: int = 1
    """Spans of a sample that are read side by side and merged, >= 1."""
    product: bool = False
    """Whether memories are built and searched with the product's defaults (gate, merging of
    duplicates, hybrid search) instead of METHOD's construction step."""
    context_tokens: int | None = None
    """Tokens of history that the row `full` shows at most, the latest ones; None shows all."""
    controller: Path | None = None
    """Folder of a trained controller, for the row `controller`."""
    skills: Path | None = None
    """Folder of a skill bank; None takes the seeds and the task's packs."""
    seed: int = 0
    """Of the row `random`, and of the bootstrap."""
    attempts: int = 3
    """Calls of a model for one span or question before it counts as failed, >= 1."""
    concurrency: int = 8
    """Samples and questions that are worked on side by side, >= 1; no result depends on it."""
    max_failures: float = 0.1
    """Share of the questions, or of the spans, of a row that may fail, in [0, 1]."""
    rebuild: bool = False
    """Whether memories are built anew although the cache has them."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 1, "span_tokens", "skills_per_span", "top_k", "span_workers", "attempts")
        check_count(self, 1, "concurrency")
        check_count(self, 0, "seed", "span_overlap")
        check_share(self, "max_failures")
        check_at_least(self, 0.0, "max_failures")
        for name in ("limit", "context_tokens"):
            if getattr(self, name) is not None:
                check_count(self, 1, name)
        if not self.rows:
            raise ConfigError(f"there is no row to run; choose of {', '.join(ROWS)}")
        for row in self.rows:
            if row not in ROWS:
                raise ConfigError(f"there is no row {row!r}; there are {', '.join(ROWS)}")
        if len(set(self.rows)) < len(self.rows):
            raise ConfigError(f"a row is named twice in {', '.join(self.rows)}")
        if self.split is not None and self.split not in SPLITS:
            raise ConfigError(f"split={self.split!r} must be one of {', '.join(SPLITS)}")
        if "controller" in self.rows and self.controller is None:
            raise ConfigError("the row 'controller' needs the folder of a trained controller")
