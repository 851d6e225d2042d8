"""What the items of a row come to: means by category with intervals, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from langgraph_memskill.benchmarks.intervals import mean_interval
from langgraph_memskill.benchmarks.run_log import (
    OVERALL,
    BuildLog,
    CategoryLog,
    CostLog,
    ItemLog,
    MetricLog,
    RowLog,
)
from langgraph_memskill.benchmarks.running.prices import PriceTable, cost_of
from langgraph_memskill.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNames:
    """Which models were called, for the price table."""

    executor: str
    reader: str
    judge: str | None = None


def summarised(
    row: RowLog, metrics: Sequence[str], models: ModelNames, prices: PriceTable | None, seed: int
) -> RowLog:
    """Fill in everything that follows from a row's builds and items.

    Args:
        row: Name, title, settings, builds and items.
        metrics: Names, in order.
        models: What was called.
        prices: Makes prices of tokens; None leaves them out.
        seed: Of the bootstrap.
    """
    building = _cost(_distinct(row.builds), models.executor, prices)
    answering = _cost([item.usage for item in row.items], models.reader, prices)
    scoring = _cost([item.scoring_usage for item in row.items], models.judge, prices)
    answered = [item for item in row.items if item.error is None]
    tokens = [item.usage.tokens for item in answered]
    return row.model_copy(
        update={
            "categories": categories(row.items, metrics, seed),
            "building": building,
            "answering": answering,
            "scoring": scoring,
            "total": _sum(building, answering),
            "tokens_per_item": fmean(tokens) if tokens else 0.0,
            "seconds_per_item": fmean(item.seconds for item in answered) if answered else 0.0,
        }
    )


def categories(
    items: Sequence[ItemLog], metrics: Sequence[str], seed: int
) -> tuple[CategoryLog, ...]:
    """The means of every category in alphabetical order, then over all items."""
    names = sorted({item.category for item in items if item.category})
    groups = [(name, [item for item in items if item.category == name]) for name in names]
    return tuple(
        _category(name, group, metrics, seed) for name, group in [*groups, (OVERALL, items)]
    )


def _category(
    name: str, items: Sequence[ItemLog], metrics: Sequence[str], seed: int
) -> CategoryLog:
    return CategoryLog(
        category=name,
        items=len(items),
        failed=sum(item.error is not None for item in items),
        metrics={metric: _metric(items, metric, seed) for metric in metrics},
    )


def _metric(items: Sequence[ItemLog], metric: str, seed: int) -> MetricLog:
    scores = [item.scores[metric] for item in items if metric in item.scores]
    values = [score.value for score in scores if score.value is not None]
    unscored = sum(score.problem is not None for score in scores)
    if not values:
        return MetricLog(mean=None, unscored=unscored)
    interval = mean_interval(values, seed=seed)
    return MetricLog(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        scored=len(values),
        unscored=unscored,
    )


def _distinct(builds: Sequence[BuildLog]) -> list[Usage]:
    """What each distinct build cost: histories that several samples share are read once."""
    return list({build.key: build.usage for build in builds}.values())


def _cost(usages: Sequence[Usage], model: str | None, prices: PriceTable | None) -> CostLog:
    usage = sum(usages, Usage())
    return CostLog(usage=usage, price=cost_of(prices, model, usage))


def _sum(first: CostLog, second: CostLog) -> CostLog:
    usage = first.usage + second.usage
    if first.price is None or second.price is None:
        return CostLog(usage=usage)
    return CostLog(usage=usage, price=first.price + second.price)
