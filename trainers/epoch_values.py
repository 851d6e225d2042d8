"""The numbers that an inner epoch comes to."""

from collections.abc import Sequence

from langgraph_memskill.trainers.episodes import PlayedEpisode
from langgraph_memskill.trainers.metrics.names import Metric, skill_usage
from langgraph_memskill.trainers.update_metrics import UpdateMetrics


def stage_reward(
    rewards: Sequence[float], share: float, *, window: int | None = None
) -> float | None:
    """Mean of the last part of a stage's rewards (METHOD, "Evolution").

    Args:
        rewards: One an update.
        share: The part, in (0, 1]; at least one reward.
        window: Updates of a moving average that smooths the part; its mean over all full windows
            counts the updates at both ends less. None takes the plain mean.

    Returns:
        The mean; None without rewards.
    """
    start = min(int(len(rewards) * (1 - share)), len(rewards) - 1)
    part = rewards[max(start, 0) :]
    if window is None or not part:
        return mean(part)
    size = min(max(1, window), len(part))
    return mean([sum(part[i : i + size]) / size for i in range(len(part) - size + 1)])


def epoch_values(
    played: Sequence[PlayedEpisode],
    metrics: UpdateMetrics,
    *,
    failed: int,
    bias: float,
    num_skills: int,
    reward_of_stage: float | None,
    seconds: float,
) -> dict[str, float | None]:
    """The numbers of an inner epoch under their names.

    Args:
        played: Its episodes.
        metrics: Of its update.
        failed: Episodes that did not come to their end.
        bias: Scale of the exploration bonus; 0 if no skill is new.
        num_skills: In the bank.
        reward_of_stage: If a stage ended with it.
        seconds: That it took.
    """
    queries = [query for episode in played for query in episode.queries]
    final = mean([episode.score for episode in played])
    process = mean([episode.process_reward for episode in played])
    values: dict[str, float | None] = {
        Metric.FINAL_REWARD: final,
        Metric.PROCESS_REWARD: process,
        Metric.REWARD: None if final is None or process is None else final + process,
        Metric.SCORE: mean([query.score for query in queries]),
        Metric.FAILED_QUERIES: mean([float(not query.is_success) for query in queries]),
        Metric.UNSCORED_QUERIES: float(sum(episode.unscored for episode in played)),
        Metric.FAILED_CALLS: float(sum(episode.failed_spans for episode in played)),
        Metric.FAILED_EPISODES: float(failed + metrics.skipped_episodes),
        Metric.EPISODES: float(len(played)),
        Metric.STEPS: float(metrics.steps),
        Metric.SECONDS: seconds,
        Metric.TOKENS: float(sum(episode.usage.tokens for episode in played)),
        Metric.NEW_SKILL_BIAS: bias,
        Metric.NUM_SKILLS: float(num_skills),
        Metric.LOSS: metrics.policy_loss,
        Metric.VALUE_LOSS: metrics.value_loss,
        Metric.GRADIENT_NORM: metrics.gradient_norm,
    }
    if reward_of_stage is not None:
        values[Metric.STAGE_REWARD] = reward_of_stage
    if (means := metrics.means) is not None:
        values |= {
            Metric.ENTROPY: means.entropy,
            Metric.CHOICE_ENTROPY: means.choice_entropy,
            Metric.KL: means.kl,
            Metric.APPROX_KL: means.approx_kl,
            Metric.CLIP_FRACTION: means.clip_fraction,
            Metric.EXPLAINED_VARIANCE: means.explained_variance,
            Metric.VALUE: means.value,
            Metric.RETURN: means.value_return,
        }
    return values | {skill_usage(name): share for name, share in metrics.skill_usage.items()}


def mean(numbers: Sequence[float]) -> float | None:
    """The mean; None of no numbers."""
    return sum(numbers) / len(numbers) if numbers else None
