from datetime import timedelta
from pathlib import Path

from langgraph_memskill.testing.traces import START, make_episode, make_step
from langgraph_memskill.traces.episodes import RecordedEpisode, read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import EpisodeTrace
from langgraph_memskill.traces.writer import TraceWriter


def episodes_of(folder: Path, *rewards: EpisodeTrace) -> dict[str, RecordedEpisode]:
    reader = TraceReader(folder, batch_rows=2)
    return {episode.id: episode for episode in read_recorded(reader, rewards)}


def test_steps_that_are_scattered_over_files_come_together_in_order(tmp_path: Path) -> None:
    for steps in ([("a", 1), ("b", 0)], [("a", 0)], [("b", 1)]):
        with TraceWriter(tmp_path) as writer:
            writer.add_steps([make_step(name, step) for name, step in steps])
    found = episodes_of(tmp_path)
    assert {name: [s.step for s in e.steps] for name, e in found.items()} == {
        "a": [0, 1],
        "b": [0, 1],
    }


def test_the_last_try_of_a_span_holds(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        again = make_step("a", 0, log_prob=-2.0, stored_at=START + timedelta(hours=1))
        first = make_step("a", 0, log_prob=-1.0, failure="ConnectionError")
        writer.add_steps([again, make_step("a", 1), first])
    steps = episodes_of(tmp_path)["a"].steps
    assert [(s.step, s.failure) for s in steps] == [(0, None), (1, None)]
    assert steps[0].log_prob == -2.0


def test_the_latest_reward_holds_wherever_it_comes_from(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step(name) for name in ("a", "b", "c")])
        late = START + timedelta(hours=1)
        writer.add_episode(make_episode("a", reward=0.25, source="application", at=late))
        writer.add_episode(make_episode("a", reward=0.75, source="f1", at=START))
        writer.add_episode(make_episode("b"))
        writer.add_episode(make_episode("c", reward=1.0, source="f1", num_steps=None))
    feedback = make_episode("b", reward=0.5, source="store", num_steps=None, run_id="")
    found = episodes_of(tmp_path, feedback)
    assert {e.id: (e.reward, e.source, e.is_finished) for e in found.values()} == {
        "a": (0.25, "application", True),
        "b": (0.5, "store", True),
        "c": (1.0, "f1", False),
    }


def test_an_episode_without_a_reward_says_so(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step("a")])
    episode = episodes_of(tmp_path)["a"]
    assert (episode.reward, episode.source, episode.is_finished) == (None, None, False)


def test_an_episode_with_an_unusable_step_is_left_out_and_counted(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step("a", 0), make_step("a", 1, log_prob=1.0), make_step("b")])
    reader = TraceReader(tmp_path)
    assert [episode.id for episode in read_recorded(reader)] == ["b"]
    assert [(s.what, s.examples) for s in reader.skipped] == [
        ("row", ("span a/1",)),
        ("episode", ("a",)),
    ]
