"""Choosing the training queries of an episode: a share of them, with every category among them."""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence


def read_ratio(value: object) -> float:
    """Return a ratio in [0, 1]; what cannot be read as a number is 1, so that nothing is left out.

    Args:
        value: A number or text; what lies outside the range is moved to its end.
    """
    try:
        ratio = float(value)  # type: ignore[arg-type]  # any value may come
    except (TypeError, ValueError):
        return 1.0
    return 1.0 if math.isnan(ratio) else min(1.0, max(0.0, ratio))


def sampling_seed(
    seed: int, conversation_id: str | None, outer_epoch: int, inner_epoch: int
) -> int:
    """Return the seed of one episode's choice: it differs by conversation and epoch, not by run."""
    key = f"{seed}|{conversation_id or ''}|{outer_epoch}|{inner_epoch}"
    return int(hashlib.sha256(key.encode("utf-8")).hexdigest()[:16], 16)


def target_count(num_questions: int, ratio: float) -> int:
    """Return how many of the questions a ratio asks for, at least one."""
    return max(1, min(num_questions, math.ceil(num_questions * ratio)))


def category_quotas(sizes: Mapping[int, int], total: int) -> dict[int, int]:
    """Share a number of questions out over the categories, in proportion to their sizes.

    Every category gets one, even if that is more than `total` (QUIRK 77, kept).

    Args:
        sizes: Category number to its number of questions, each at least 1.
        total: How many questions are wanted, at most the sum of the sizes.

    Returns:
        Category number to its share, in rising order of category, none above its size.
    """
    rest = max(total, len(sizes)) - len(sizes)
    count = sum(sizes.values())
    quotas = {
        category: min(sizes[category], 1 + rest * sizes[category] // count)
        for category in sorted(sizes)
    }
    left = max(total, len(sizes)) - sum(quotas.values())
    # Whole-number remainders, so that equal fractions are equal.
    by_fraction = sorted(sizes, key=lambda c: (-(rest * sizes[c] % count), -sizes[c], c))
    for category in by_fraction:
        if left and quotas[category] < sizes[category]:
            quotas[category] += 1
            left -= 1
    for category in sorted(sizes, key=lambda c: (-sizes[c], c)):
        extra = min(left, sizes[category] - quotas[category])
        quotas[category] += extra
        left -= extra
    return quotas


def sample_questions(
    categories: Sequence[int],
    ratio: object,
    *,
    seed: int,
    conversation_id: str | None = None,
    outer_epoch: int = 0,
    inner_epoch: int = 0,
) -> list[int]:
    """Choose training questions by category (METHOD, "Reward and training").

    Args:
        categories: Category number of each question that may be asked.
        ratio: Share of the questions to ask, in [0, 1] (see `read_ratio`). Also 0 asks one of each
            category (QUIRK 77, kept).
        seed: Seed of the run.
        conversation_id: The conversation that the questions are about.
        outer_epoch: Outer epoch, from 0.
        inner_epoch: Inner epoch, from 0.

    Returns:
        Positions in `categories`, rising. The same arguments give the same choice.
    """
    everything = list(range(len(categories)))
    share = read_ratio(ratio)
    if share == 1.0 or len(categories) <= 1:
        return everything
    total = target_count(len(categories), share)
    if total == len(categories):
        return everything
    generator = random.Random(sampling_seed(seed, conversation_id, outer_epoch, inner_epoch))
    chosen: list[int] = []
    for category, quota in category_quotas(Counter(categories), total).items():
        members = [position for position in everything if categories[position] == category]
        # A whole category is taken without a draw, which the later draws would feel.
        chosen += members if quota == len(members) else generator.sample(members, quota)
    return sorted(chosen)
