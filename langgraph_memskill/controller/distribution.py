"""Choosing K of N skills in order, without replacement, and how likely a choice is.

Shapes: B leading dimensions of any number (none for one state), N candidate skills, K chosen
skills. Logits are -inf where a candidate is padding. Choices are int64; -1 fills up the end of a
row that has fewer candidates than K. `joint_log_prob` and `entropy` are differentiable with respect
to the logits. All functions take float32 as well as float64.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from langgraph_memskill.errors import ConfigError

NO_CHOICE = -1

_EPSILON = 1e-8


class ChoiceStatistics(NamedTuple):
    """What a choice tells about the distribution; all finite."""

    entropy: Tensor
    """Entropy among the chosen skills, in nats, [B], >= 0."""
    mass: Tensor
    """Total probability of the chosen skills, [B], in [0, 1]."""
    binary_entropy: Tensor
    """Entropy of "chosen or not", in nats, [B], >= 0."""


class Draws(NamedTuple):
    """A checked choice, ready to be evaluated any number of times."""

    indices: Tensor
    """Drawn skills, int64 [B, K]; 0 where nothing was drawn."""
    is_drawn: Tensor
    """bool [B, K]."""
    drawn_before: Tensor
    """Which candidates were gone before each draw, bool [B, K, N]; none where nothing was drawn."""

    def rows(self, selected: Tensor) -> "Draws":
        """The draws of some rows, int64 [M]; for choices with one leading dimension."""
        return Draws(*(part[selected] for part in self))


def delta_max(p_min: float, p_ref: float = 0.01) -> float:
    """The cap of the new-skill bias: the log-odds between `p_min` and `p_ref` (METHOD step 5).

    Args:
        p_min: Probability that the new skills should have together.
        p_ref: Probability from which the full bias would lift them to `p_min`.

    Returns:
        ln(p_min (1 - p_ref) / (p_ref (1 - p_min))), with both clamped to [1e-8, 1 - 1e-8].
    """
    high, low = (min(max(p, _EPSILON), 1 - _EPSILON) for p in (p_min, p_ref))
    return math.log(high * (1 - low) / (low * (1 - high)))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSkillBias:
    """The exploration bonus of skills that were just added or changed (METHOD step 5)."""

    p_min: float = 0.30
    """The bonus acts while the new skills have less than this probability together; <= 0 is off."""
    delta_max: float | None = None
    """Largest bonus added to a logit; None computes it from `p_min`, <= 0 is off."""
    scale: float = 1.0
    """Factor on the bonus; <= 0 is off."""

    @property
    def cap(self) -> float:
        """The largest bonus before scaling; follows `p_min` unless it was given."""
        return delta_max(self.p_min) if self.delta_max is None else self.delta_max

    @property
    def is_off(self) -> bool:
        """Whether the bonus changes nothing."""
        return self.p_min <= 0 or self.scale <= 0 or self.cap <= 0

    def after(self, updates: int, *, decay_updates: int = 50) -> "NewSkillBias":
        """The bias some training updates after the skills changed.

        Args:
            updates: Updates since the change, >= 0.
            decay_updates: Updates over which the scale falls linearly from 1 to 0; 0 means none.

        Returns:
            A copy with the scale of that time.
        """
        scale = max(0.0, 1 - updates / decay_updates) if decay_updates > 0 else 0.0
        return replace(self, scale=scale)


def new_skill_bias(logits: Tensor, is_new: Tensor, bias: NewSkillBias) -> Tensor:
    """Lift the logits of new skills while they are unlikely.

    Adds delta = clamp(ln(p_min / p_new), 0, cap) * scale to the new skills' logits where their
    probability p_new is below p_min. The bonus is a difference of log probabilities, so the new
    skills come out near p_min, somewhat below it.

    Args:
        logits: float [B, N].
        is_new: bool or 0/1 numbers, [B, N].
        bias: The settings.

    Returns:
        float [B, N]. The bonus itself carries no gradient.
    """
    if bias.is_off:
        return logits
    mask = is_new.to(logits.dtype)
    with torch.no_grad():
        p_new = (mask * torch.softmax(logits, dim=-1)).sum(dim=-1, keepdim=True)
        delta = torch.log(bias.p_min / (p_new + _EPSILON)).clamp(0, bias.cap) * bias.scale
        applies = (p_new < bias.p_min) & (mask.sum(dim=-1, keepdim=True) > 0)
        bonus = torch.where(applies, delta, 0) * mask
    return logits + bonus


def top_k(logits: Tensor, k: int) -> Tensor:
    """The k largest logits, largest first; among equal ones the lower index comes first.

    Args:
        logits: float [B, N].
        k: >= 1; clamped to N.

    Returns:
        int64 [B, min(k, N)], with -1 where a row has fewer candidates than k.

    Raises:
        ConfigError: If k is below 1.
    """
    if k < 1:
        raise ConfigError(f"k={k!r} must be at least 1: it is the number of skills to choose")
    ordered = torch.sort(logits, dim=-1, descending=True, stable=True)
    return ordered.indices[..., :k].masked_fill(torch.isneginf(ordered.values[..., :k]), NO_CHOICE)


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise from a generator of one's own, never from torch's global one.

    Args:
        shape: Of the logits that it is for.
        generator: Where the randomness comes from.

    Returns:
        float32 of that shape, on the generator's device.
    """
    exponential = torch.empty(shape, device=generator.device).exponential_(generator=generator)
    return -torch.log(exponential)


def perturbed_top_k(logits: Tensor, noise: Tensor, k: int) -> Tensor:
    """Sample k skills without replacement, given Gumbel noise (Gumbel top-k, METHOD step 4).

    Args:
        logits: float [B, N].
        noise: Standard Gumbel noise, [B, N].
        k: >= 1; clamped to N.

    Returns:
        int64 [B, min(k, N)] in the order of the draws, with -1 where candidates run out.

    Raises:
        ConfigError: If k is below 1.
    """
    return top_k(torch.where(torch.isneginf(logits), logits, logits + noise), k)


def joint_log_prob(logits: Tensor, chosen: Tensor) -> Tensor:
    """Log-probability of drawing these skills in this order without replacement (METHOD step 4).

    Each draw is a log-softmax over the candidates not yet drawn, which is exact also where
    subtracting probabilities from 1 would leave rounding noise. For one draw it is the entry of the
    log-softmax.

    Args:
        logits: float [B, N].
        chosen: int64 [B, K]; -1 at the end of a row stands for no draw.

    Returns:
        float [B], in nats, <= 0.

    Raises:
        ConfigError: If a skill is chosen twice, or a choice is no candidate: neither can be drawn.
    """
    return log_prob_of(logits, draws_of(chosen, ~torch.isneginf(logits.detach())))


def draws_of(chosen: Tensor, is_candidate: Tensor) -> Draws:
    """Check a choice once, so that training can evaluate it again in every epoch.

    Args:
        chosen: int64 [B, K]; -1 at the end of a row stands for no draw.
        is_candidate: bool [B, N], False where a candidate is padding.

    Raises:
        ConfigError: If a skill is chosen twice, or a choice is no candidate: neither can be drawn.
    """
    is_drawn, indices = _checked(is_candidate, chosen)
    one_hot = _one_hot(indices, is_drawn, is_candidate.shape[-1])
    drawn_before = (one_hot.cumsum(dim=-2) - one_hot).bool() & is_drawn.unsqueeze(-1)
    return Draws(indices, is_drawn, drawn_before)


def log_prob_of(logits: Tensor, draws: Draws) -> Tensor:
    """`joint_log_prob` of a choice that has been checked already; float [B]."""
    return log_prob_of_draws(log_probs_left(logits, draws), draws)


def log_probs_left(logits: Tensor, draws: Draws) -> Tensor:
    """Log-probabilities of the candidates that each draw could take.

    Args:
        logits: float [B, N].
        draws: A checked choice.

    Returns:
        float [B, K, N]; -inf for padding and for what was drawn before. Where nothing was drawn
        they mean nothing, but are no NaN.
    """
    left = logits.unsqueeze(-2).masked_fill(draws.drawn_before, -math.inf)
    return torch.log_softmax(left, dim=-1)


def log_prob_of_draws(log_probs: Tensor, draws: Draws) -> Tensor:
    """The sum over a choice's draws, float [B], given `log_probs_left`."""
    drawn = log_probs.gather(-1, draws.indices.unsqueeze(-1)).squeeze(-1)
    return torch.where(draws.is_drawn, drawn, 0).sum(dim=-1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of one draw.

    Args:
        logits: float [B, N].

    Returns:
        float [B], in nats, >= 0.
    """
    log_p = torch.log_softmax(logits, dim=-1)
    # 0 * -inf is NaN, and so would be its gradient.
    return -(log_p.exp() * log_p.masked_fill(torch.isneginf(log_p), 0)).sum(dim=-1)


def choice_statistics(logits: Tensor, chosen: Tensor) -> ChoiceStatistics:
    """How sure the policy is of a choice, and within it; for logs, without gradient.

    Args:
        logits: float [B, N].
        chosen: int64 [B, K]; -1 stands for no draw.

    Returns:
        Three values a row, finite also where the whole mass is chosen.

    Raises:
        ConfigError: If a skill is chosen twice, or a choice is no candidate.
    """
    logits = logits.detach()
    is_drawn, indices = _checked(~torch.isneginf(logits), chosen)
    is_chosen = _one_hot(indices, is_drawn, logits.shape[-1]).sum(dim=-2).bool()
    log_total = torch.logsumexp(logits, dim=-1)
    inside = logits.masked_fill(~is_chosen, -math.inf)
    log_mass = torch.logsumexp(inside, dim=-1) - log_total
    log_rest = torch.logsumexp(logits.masked_fill(is_chosen, -math.inf), dim=-1) - log_total
    log_parts = torch.stack([log_mass, log_rest], dim=-1)
    return ChoiceStatistics(entropy(inside), log_mass.exp().clamp(max=1), entropy(log_parts))


def _one_hot(indices: Tensor, is_drawn: Tensor, num_candidates: int) -> Tensor:
    """int64 [B, K, N], 1 at each drawn skill."""
    return torch.nn.functional.one_hot(indices, num_candidates) * is_drawn.unsqueeze(-1)


def _checked(is_candidate: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Which entries are draws, bool [B, K], and indices that are safe to gather, int64 [B, K]."""
    num_candidates = is_candidate.shape[-1]
    is_drawn = chosen != NO_CHOICE
    if ((chosen < NO_CHOICE) | (chosen >= num_candidates)).any():
        raise ConfigError(f"the choice {chosen.tolist()} names no candidate of {num_candidates}")
    indices = chosen.clamp(min=0)
    if (~is_candidate.gather(-1, indices) & is_drawn).any():
        raise ConfigError(f"the choice {chosen.tolist()} names a candidate that is padding")
    ordered = chosen.sort(dim=-1).values
    repeats = (ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] != NO_CHOICE)
    if repeats.any():
        raise ConfigError(
            f"the choice {chosen.tolist()} holds a skill twice: draws are without replacement"
        )
    return is_drawn, indices
