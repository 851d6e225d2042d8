"""The pool of hard cases and their selection against the kit (parity README, section 12).

Where QUIRKS.md (52) says "switch" the pool does the better thing: a query that is answered later
leaves the pool, the latest epoch never goes back, and a full pool loses what is least important.
`Better` says by hand what the pool must then hold.
"""

import math
from typing import Any

import numpy as np
import pytest

from langgraph_memskill.evolution.pool import HardCasePool
from langgraph_memskill.evolution.records import HardCase, Metric
from langgraph_memskill.evolution.selection import cluster, deduplicate, importance, sample
from langgraph_memskill.state import dump

Row = dict[str, Any]
SHOWN = ("key", "question", "fail_count", "epoch", "f1_score", "prediction", "step")


def as_case(case: Row, metric: Metric = Metric.F1) -> HardCase:
    return HardCase(
        id=case["query_id"],
        question=case["question"],
        expected=case["ground_truth"],
        prediction=case["prediction"],
        score=case["llm_judge_score"] if metric is Metric.JUDGE else case["f1_score"],
        metric=metric,
        fail_count=case["fail_count"],
        epoch=case["epoch"],
        step=case["step"],
        conversation=case["conversation_id"],
    )


def as_row(case: HardCase) -> Row:
    values = (
        case.key,
        case.question,
        case.fail_count,
        case.epoch,
        case.score,
        case.prediction,
        case.step,
    )
    return dict(zip(SHOWN, values, strict=True))


class Better:
    """The kit's rules with QUIRK 52 put right."""

    def __init__(self, window: int, size: int) -> None:
        self.window, self.size, self.latest = window, size, 0
        self.rows: dict[str, Row] = {}

    def add(self, row: Row) -> None:
        known = self.rows.get(row["key"])
        if known is not None:
            row |= {"fail_count": known["fail_count"] + 1, "question": known["question"]}
        self.rows[row["key"]] = row
        self.latest = max(self.latest, row["epoch"])
        self.prune()

    def prune(self) -> None:
        if self.window:
            oldest = self.latest - self.window
            self.rows = {k: row for k, row in self.rows.items() if row["epoch"] >= oldest}
        if self.size:
            best = sorted(self.rows, key=lambda key: self._weight(self.rows[key]), reverse=True)
            self.rows = {k: row for k, row in self.rows.items() if k in best[: self.size]}

    @staticmethod
    def _weight(row: Row) -> tuple[float, int]:
        missing = min(max(1 - row["f1_score"], 0), 1)
        return missing * math.log(1 + row["fail_count"]), row["epoch"]


def run(pool: HardCasePool, better: Better, step: Row) -> bool:
    """Do one step of the kit on both; whether our result may differ from here on."""
    match step["call"]:
        case "add":
            case = as_case(step["case"])
            if step["case"]["is_correct"]:
                return pool.resolve([case.key]) > 0 or better.rows.pop(case.key, None) is not None
            goes_back = case.epoch < better.latest
            before = len(better.rows) + (case.key not in better.rows)
            pool.add(case)
            better.add({**as_row(case), "fail_count": max(1, case.fail_count)})
            return goes_back or len(better.rows) < before
        case "clear" if step["reset_pool"]:
            pool.clear()
            better.rows.clear()
        case "load":
            cases = [as_case(case) for case in step["data"]["failure_pool"].values()]
            latest = step["data"]["latest_epoch"]
            pool.restore({"epoch": latest, "cases": [dump(case) for case in cases]})
            better.latest = latest
            better.rows = {case.key: as_row(case) for case in cases}
            better.prune()
    return False


def test_the_case_pool(kit: Any) -> None:
    compared = 0
    for case in kit.cases("designer/case_pool.json"):
        limits = (case["failure_window_epochs"], case["failure_pool_size"])
        pool, better = HardCasePool(window_epochs=limits[0], size=limits[1]), Better(*limits)
        may_differ = False
        for step, expected in zip(case["steps"], case["expected"], strict=True):
            may_differ |= run(pool, better, step)
            rows = [as_row(stored) for stored in pool.cases()]
            if step["call"] == "add" and step["case"]["is_correct"]:
                better.rows.pop(as_case(step["case"]).key, None)
            assert rows == list(better.rows.values()), case["id"]
            assert pool.epoch == better.latest
            if not may_differ:
                kit_rows = [{name: row[name] for name in SHOWN} for row in expected["pool"]]
                assert rows == kit_rows, case["id"]
                assert pool.epoch == (expected["latest_epoch"] or 0)
                compared += 1
    assert compared >= 5


@pytest.mark.parametrize("group", ["f1", "llm_judge", "other"])
def test_importance(kit: Any, group: str) -> None:
    cases = [c for c in kit.cases("designer/importance.json") if c["group"] == group]
    if not cases:
        pytest.skip(f"this part of the kit has no {group} importance")
    for case in cases:
        score = case["llm_judge_score" if group == "llm_judge" else "f1_score"]
        ours = importance(
            HardCase(id="q", question="q", score=score, fail_count=case["fail_count"])
        )
        assert math.isclose(ours, case["expected"], rel_tol=1e-9, abs_tol=1e-12), case["id"]


def _ids(cases: list[HardCase]) -> list[str]:
    return [case.id for case in cases]


def test_deduplication(kit: Any) -> None:
    for case in kit.cases("designer/selection.json"):
        if case["kind"] == "filter_and_deduplicate":
            failed = [as_case(c) for c in case["cases"] if not c["is_correct"]]
            assert _ids(deduplicate(failed)) == case["expected"]["kept_query_ids"], case["id"]


def test_sampling_from_clusters(kit: Any) -> None:
    for case in kit.cases("designer/selection.json"):
        if case["kind"] != "sample_cases":
            continue
        metric = Metric.JUDGE if case["reward_metric"] == "llm_judge" else Metric.F1
        labelled = [
            (as_case(entry, metric), int(label))
            for label, entries in case["clusters"].items()
            for entry in entries
        ]
        chosen = sample(
            [entry for entry, _ in labelled],
            [label for _, label in labelled],
            per_cluster=case["samples_per_cluster"],
            num_clusters=case["num_clusters"],
        )
        assert _ids(chosen) == case["expected"]["sampled_query_ids"], case["id"]


def test_clusters(kit: Any) -> None:
    for case in kit.cases("designer/selection.json"):
        if case["kind"] != "cluster_cases":
            continue
        cases = [as_case(entry) for entry in case["cases"]]
        vectors = case["embeddings"] or {entry.question: [1.0] for entry in cases}
        rows = [vectors[entry.question] for entry in cases]
        labels = cluster(np.array(rows, np.float32), case["num_clusters"])
        groups: dict[int, list[str]] = {}
        for entry, label in zip(cases, labels, strict=True):
            groups.setdefault(label, []).append(entry.id)
        partition = sorted(sorted(group) for group in groups.values())
        assert partition == sorted(case["expected"]["partition"]), case["id"]
