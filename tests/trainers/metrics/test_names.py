"""Metric names say what they mean, and go wherever a text goes."""

import json

from langgraph_memskill.trainers.metrics.names import Metric, meaning_of, skill_usage


def test_every_metric_has_a_group_and_a_meaning_of_its_own() -> None:
    assert all(metric.count("/") == 1 for metric in Metric)
    assert len({metric.meaning for metric in Metric}) == len(Metric)


def test_a_metric_is_a_plain_text() -> None:
    assert json.dumps({Metric.REWARD: 1.0}) == '{"reward/total": 1.0}'
    assert f"{Metric.KL}" == "policy/kl"


def test_meanings_are_found_by_name() -> None:
    assert meaning_of("reward/total") == Metric.REWARD.meaning
    assert "picked insert" in meaning_of(skill_usage("insert"))
    assert meaning_of("my/number") == ""
