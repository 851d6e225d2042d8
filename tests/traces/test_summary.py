from datetime import timedelta
from pathlib import Path

import pytest

from langgraph_memskill.testing.traces import START, make_bank, make_episode, make_step
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.summary import TraceSummary, summarise
from langgraph_memskill.traces.writer import TraceWriter


@pytest.fixture
def summary(tmp_path: Path) -> TraceSummary:
    with TraceWriter(tmp_path) as writer:
        writer.add_bank(make_bank())
        writer.add_steps([make_step("a", 0), make_step("a", 1, chosen=(0, 1))])
        writer.add_episode(make_episode("a", reward=1.0, source="f1"))
        writer.add_steps(
            [
                make_step("b", 0, selector="similarity", sampled=False, controller_version=""),
                make_step("c", 0, failure="ParseError", actions=(), bank_version="lost"),
            ]
        )
        writer.add_episode(make_episode("b", reward=0.0, source="application", num_steps=None))
        writer.add_episode(make_episode("ghost", reward=0.3, source="application"))
    return summarise(TraceReader(tmp_path))


def test_steps_episodes_and_costs_are_counted(summary: TraceSummary) -> None:
    assert (summary.steps, summary.episodes, summary.finished_episodes) == (4, 3, 1)
    assert (summary.calls, summary.input_tokens, summary.output_tokens) == (4, 400, 80)
    assert summary.extract_s == 1.0
    assert (summary.first, summary.last) == (START, START + timedelta(seconds=1))


def test_selectors_controllers_actions_and_failures_are_counted(summary: TraceSummary) -> None:
    assert summary.selectors == {"controller (sampled)": 3, "similarity": 1}
    assert summary.controllers == {"c1": 3}
    assert summary.actions == {"insert applied": 3, "delete rejected": 3}
    assert summary.failures == {"ParseError": 1}


def test_skills_are_named_through_their_bank_and_rewarded_by_their_episodes(
    summary: TraceSummary,
) -> None:
    found = {s.name: (s.picks, s.offers, s.mean_reward) for s in summary.skills}
    assert found == {
        "delete": (3, 3, pytest.approx(2 / 3)),
        "insert": (1, 3, 1.0),
        "update": (2, 3, 0.5),
    }
    assert summary.missing_banks == 1


def test_rewards_are_described_and_those_without_steps_counted_apart(summary: TraceSummary) -> None:
    rewards = summary.rewards
    assert rewards is not None
    assert (rewards.episodes, rewards.mean, rewards.std, rewards.low) == (2, 0.5, 0.5, 0.0)
    assert rewards.histogram == (1, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert rewards.sources == {"f1": 1, "application": 1}
    assert summary.orphan_rewards == 1


def test_without_rewards_there_is_nothing_to_describe(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step()])
    assert summarise(TraceReader(tmp_path)).rewards is None
