"""The settings of a training run, read from TOML and overridden one by one."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

from pydantic import ValidationError

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.process_reward import ProcessRewardConfig
from langgraph_memskill.ranges import (
    check_above,
    check_at_least,
    check_count,
    check_share,
)
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.state import load
from langgraph_memskill.trainers.game_settings import GameSettings
from langgraph_memskill.trainers.ppo import PPOConfig
from langgraph_memskill.trainers.returns import RedistributionConfig

RewardName = Literal["f1", "llm_judge", "evidence_recall", "success"]
"""What the final reward of an episode is the mean of; "success" is that of games, and of them
alone."""
CreditName = Literal["episode", "span"]
"""Who earns a reward: all steps of the episode, or the step that read the evidence."""
BaselineName = Literal["critic", "plays"]
"""What a reward is compared with besides the critic's estimate: nothing, or other plays."""

_CHOICES: Mapping[str, Any] = MappingProxyType(
    {"reward": RewardName, "credit": CreditName, "baseline": BaselineName}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of a training run, with METHOD's numbers as defaults.

    Raises:
        ConfigError: If a value is out of its range.
    """

    seed: int = 0
    """Decides the start weights, the choice of conversations, windows, questions and skills."""
    outer_epochs: int = 10
    """Stages, each followed by a chance for the skills to evolve, >= 1."""
    inner_epochs: int = 100
    """Updates of a stage, >= 1."""
    episodes: int = 4
    """Episodes an update, >= 1."""
    concurrency: int = 4
    """Episodes, and questions of all of them, that are worked on side by side, >= 1; no result
    depends on it."""
    skills_per_span: int = 3
    """K, >= 1."""
    top_k: int = 20
    """Memories retrieved for a span and for a question, >= 1."""
    span_mode: SpanMode = SpanMode.TURN_PAIR
    """How a conversation is cut."""
    window_sessions: int = 0
    """Sessions of an episode, a window that is drawn anew for every episode, with the questions
    whose evidence is inside; 0 takes whole conversations."""
    max_spans: int = 0
    """Spans of an episode, the first ones of its window; 0 takes all."""
    reward: RewardName = "f1"
    """What a question scores: token F1, a model's judgement (0, 0.5, 1), or the share of its
    evidence among the sources of the recalled memories; games have "success"."""
    credit: CreditName = "episode"
    """"episode" shares the final reward out as `redistribution` says (METHOD); "span" gives each
    step the share of the evidence in its own span that is recalled, whatever `reward` is. Set
    `ppo.discount` to 0 beside it, so that no step earns what later ones did."""
    plays: int = 1
    """Episodes of each window, with the same questions and other draws of skills, >= 1; a divisor
    of `episodes`."""
    baseline: BaselineName = "critic"
    """"plays" takes the mean reward of a window's other plays at the same step off each reward
    before the critic sees it; it needs `plays` of at least 2."""
    query_ratio: float = 1.0
    """Share of the questions to ask, every category among them, in [0, 1]."""
    success_score: float = 0.5
    """Score from which a question counts as answered, in [0, 1] (METHOD, "Evolution")."""
    max_failed_share: float = 0.5
    """Share of an update's episodes that may fail before the run stops, in [0, 1]."""
    hidden_dim: int = 256
    """Width of the controller's layers, >= 1."""
    bias_p_min: float = 0.30
    """Probability that new skills are lifted to, in [0, 1] (METHOD step 5)."""
    bias_updates: int = 50
    """Updates over which that bonus falls to nothing, >= 0."""
    stage_share: float = 0.25
    """Last part of a stage whose mean reward is the stage's reward, in (0, 1]."""
    best_updates: int = 10
    """Updates whose mean reward decides which checkpoint is the best, >= 1."""
    checkpoint_every: int = 1
    """Updates between two checkpoints, >= 1."""
    keep_checkpoints: int = 3
    """Checkpoints that are kept besides the best one, >= 1."""
    device: str = "cpu"
    """Where updates are computed: "cpu", "cuda", "cuda:1" ..."""
    games: GameSettings = GameSettings()
    """How games are remembered and played; conversations have nothing to do with it."""
    ppo: PPOConfig = PPOConfig()
    process_reward: ProcessRewardConfig = ProcessRewardConfig()
    redistribution: RedistributionConfig = RedistributionConfig()

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 0, "seed", "window_sessions", "max_spans", "bias_updates")
        check_count(self, 1, "outer_epochs", "inner_epochs", "episodes", "concurrency")
        check_count(self, 1, "plays")
        check_count(self, 1, "skills_per_span", "top_k", "hidden_dim", "best_updates")
        check_count(self, 1, "checkpoint_every", "keep_checkpoints")
        check_share(self, "query_ratio", "success_score", "max_failed_share", "bias_p_min")
        check_share(self, "stage_share")
        check_above(self, 0.0, "stage_share")
        check_at_least(self, 0.0, "query_ratio")
        for name, kind in _CHOICES.items():
            value = getattr(self, name)
            if value not in get_args(kind):
                known = ", ".join(map(repr, get_args(kind)))
                raise ConfigError(f"{name}={value!r} must be one of {known}")
        if self.episodes % self.plays:
            raise ConfigError(
                f"plays={self.plays!r} must divide episodes={self.episodes!r}: every window is "
                "played equally often"
            )
        if self.baseline == "plays" and self.plays < 2:
            raise ConfigError(
                f"plays={self.plays!r} must be at least 2 for baseline='plays': a play is compared "
                "with the others of its window"
            )

    @property
    def scores_answers(self) -> bool:
        """Whether the reward looks at answers, and not only at what is recalled."""
        return self.reward != "evidence_recall"

    @property
    def num_updates(self) -> int:
        """Updates of the whole run."""
        return self.outer_epochs * self.inner_epochs


def read_config(
    file: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> TrainConfig:
    """Read the settings of a run.

    Args:
        file: TOML with the fields of `TrainConfig`; None takes the defaults.
        overrides: "name=value" texts that go before the file, with the value as in TOML:
            "inner_epochs=20", "ppo.learning_rate=3e-4". A bare word is taken as a text.
        defaults: Plain values that go before the defaults of `TrainConfig`.

    Raises:
        ConfigError: If the file cannot be read, a name is unknown or a value does not fit.
    """
    values: dict[str, Any] = {} if file is None else _read_toml(file)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"{override!r} is no setting: write name=value, as in episodes=8")
        _put(values, name.strip().split("."), _value(text.strip()), override)
    return config_of({**defaults, **values})


def config_of(values: Mapping[str, Any]) -> TrainConfig:
    """Make the settings from plain values.

    Raises:
        ConfigError: If a name is unknown or a value does not fit.
    """
    _check_names(TrainConfig, values, "")
    try:
        return load(TrainConfig, dict(values))
    except ValidationError as error:
        # A ConfigError of a range check is a ValueError, which pydantic wraps.
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise ConfigError(f"the training settings do not fit: {problems}") from error


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the settings in {file} cannot be read: {error}") from error


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(values: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{override!r} names a part of {part!r}, which has no parts")
    values[path[-1]] = value


def _check_names(kind: Any, values: Mapping[str, Any], prefix: str) -> None:
    known = {field.name for field in fields(kind)}
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name not in known:
            raise ConfigError(
                f"the setting {prefix + name!r} is unknown; known are {', '.join(sorted(known))}"
            )
        if is_dataclass(hints[name]) and isinstance(value, Mapping):
            _check_names(hints[name], value, f"{prefix}{name}.")
