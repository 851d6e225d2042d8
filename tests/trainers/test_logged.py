from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from langgraph_memskill.controller.distribution import NewSkillBias
from langgraph_memskill.errors import ConfigError, TraceError
from langgraph_memskill.testing.logged_bandit import LoggedBandit
from langgraph_memskill.testing.traces import make_bank, make_episode, make_step
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import StepTrace
from langgraph_memskill.traces.writer import TraceWriter
from langgraph_memskill.trainers.logged import (
    Inputs,
    LoggedData,
    fresh_controller,
    read_logged,
    split_held_out,
    without_bias,
)

INPUTS = Inputs(encoder="words", skill_dim=2)


def read(folder: Path, *steps: StepTrace, rewards: Sequence[str] = ("a",)) -> LoggedData:
    with TraceWriter(folder) as writer:
        writer.add_bank(make_bank())
        writer.add_steps([*steps, make_step("good")])
        for name in ("good", *rewards):
            writer.add_episode(make_episode(name, reward=0.5, source="f1"))
    return read_logged(TraceReader(folder), INPUTS)


def test_an_episode_becomes_steps_with_their_skills_and_bonus(tmp_path: Path) -> None:
    data = read(tmp_path, make_step("a", 1, bias=None, process_reward=None), make_step("a", 0))
    episode = data.episodes[0]
    assert (episode.id, episode.reward, episode.sampled) == ("a", 0.5, True)
    first, second = episode.steps
    assert first.chosen == (2, 0)
    assert first.offer.names == ("delete", "insert", "update")
    assert first.offer.embeddings.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert first.offer.is_new.tolist() == [False, True, False]
    assert first.offer.bias == NewSkillBias(p_min=0.3, delta_max=3.75, scale=0.5)
    assert (first.process_reward, second.process_reward) == (0.05, 0.0)
    assert second.offer.bias is None
    assert without_bias(first.offer).bias is None
    assert first.offer is data.episodes[1].steps[0].offer


def test_a_step_whose_call_failed_is_left_out_and_one_that_was_misread_stays(
    tmp_path: Path,
) -> None:
    data = read(
        tmp_path,
        make_step("a", 0, failure="ConnectionError"),
        make_step("a", 1, failure="ParseError"),
    )
    assert len(data.episodes[0].steps) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"bank_version": "lost"}, "its bank version 'lost' is missing"),
        ({"encoder": "other"}, "it was recorded with the encoder 'other', not 'words'"),
        ({"state": np.zeros(6, np.float32)}, "its embeddings have width 3, the controller's 2"),
        ({"fusion": "sim_weighted"}, "its states are made with fusion 'sim_weighted'"),
        (
            {"probabilities": np.full(4, 0.25, np.float32)},
            "bank version 'bank-1' has another number of skills",
        ),
        ({"failure": "ConnectionError"}, "none of its spans was read"),
    ],
)
def test_an_episode_that_does_not_fit_is_counted(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    data = read(tmp_path, make_step("a", **fields))
    assert [episode.id for episode in data.episodes] == ["good"]
    assert [(s.what, s.count, s.examples) for s in data.skipped] == [("episode", 1, ("a",))]
    assert data.skipped[0].reason.startswith(reason)


def test_an_episode_without_a_reward_is_counted(tmp_path: Path) -> None:
    data = read(tmp_path, make_step("a"), rewards=())
    assert [(s.reason, s.count) for s in data.skipped] == [("it has no reward", 1)]


def test_nothing_that_can_be_used_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step("a")])
    with pytest.raises(
        TraceError, match=r"no episode .* can be used\nskipped 1 episode: it has no"
    ):
        read_logged(TraceReader(tmp_path), INPUTS)


def test_a_fresh_controller_fits_the_traces(tmp_path: Path) -> None:
    read(tmp_path, make_step("a"))
    inputs = Inputs.of_traces(TraceReader(tmp_path))
    assert inputs == INPUTS
    start = fresh_controller(inputs, seed=4)
    assert (start.policy.state_dim, start.policy.skill_dim) == (4, 2)
    assert (start.settings.encoder, start.settings.fusion) == ("words", "mean")


def test_the_split_is_the_same_whatever_else_is_there() -> None:
    world = LoggedBandit()
    episodes = world.record(world.policy(1), 1000)
    train, held_out = split_held_out(episodes, 0.2)
    assert 150 < len(held_out) < 250
    assert len(train) + len(held_out) == 1000
    again = split_held_out(episodes[500:], 0.2)[1]
    assert {e.id for e in again} == {e.id for e in held_out} & {e.id for e in episodes[500:]}
    assert split_held_out(episodes, 0.0)[1] == ()
    assert split_held_out(episodes, 1.0)[0] == ()


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range(share: float) -> None:
    with pytest.raises(ConfigError, match="holdout"):
        split_held_out([], share)
