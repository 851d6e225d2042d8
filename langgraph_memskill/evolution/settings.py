"""The numbers of an evolution, with METHOD's as defaults."""

from dataclasses import dataclass

from langgraph_memskill.errors import ConfigError

_AT_LEAST_ONE = ("num_clusters", "cases_per_cluster", "max_changes", "attempts")
_AT_LEAST_ZERO = ("reflection_rounds", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionSettings:
    """Settings of one evolution (METHOD, "Evolution").

    Raises:
        ConfigError: If a value is out of its range.
    """

    num_clusters: int = 5
    """Clusters of question embeddings (k-means), >= 1."""
    cases_per_cluster: int = 3
    """Most important cases taken from each cluster, >= 1."""
    reflection_rounds: int = 3
    """Rounds of criticism of the analysis at most, >= 0; it ends early when one changes nothing."""
    max_changes: int = 3
    """Changes to the bank at most, >= 1 (METHOD: 1 to 3)."""
    refine_only: bool = False
    """Whether the designer may refine skills but add none."""
    attempts: int = 3
    """Calls of the designer for one reply at most, >= 1: it is asked again when a call fails or a
    reply cannot be read."""
    duplicate_similarity: float = 0.95
    """Cosine of two descriptions from which a new skill counts as a copy of an existing one, in
    (0, 1]."""
    seed: int = 0
    """Of the clustering, >= 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for names, low in ((_AT_LEAST_ONE, 1), (_AT_LEAST_ZERO, 0)):
            for name in names:
                value = getattr(self, name)
                if isinstance(value, bool) or not isinstance(value, int) or value < low:
                    raise ConfigError(f"{name}={value!r} must be a whole number of at least {low}")
        if not isinstance(self.refine_only, bool):
            raise ConfigError(f"refine_only={self.refine_only!r} must be True or False")
        similarity = self.duplicate_similarity
        if isinstance(similarity, bool) or not isinstance(similarity, int | float):
            raise ConfigError(f"duplicate_similarity={similarity!r} must be a number")
        if not 0 < similarity <= 1:
            raise ConfigError(f"duplicate_similarity={similarity!r} must be above 0, at most 1")

    @property
    def max_cases(self) -> int:
        """Cases that the designer is shown at most."""
        return self.num_clusters * self.cases_per_cluster
