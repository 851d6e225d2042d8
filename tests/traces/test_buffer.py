"""Rows that one process keeps and another one writes."""

import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.stores.feedback import Feedback
from langgraph_memskill.traces.buffer import EpisodeRows, TraceBuffer
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.recording import TraceRecorder


def test_what_was_kept_reads_as_if_it_had_been_written_at_once(
    make_memory: Callable[..., MemSkillMemory], tmp_path: Path, encoder: Any
) -> None:
    buffer = TraceBuffer()
    away = TraceRecorder(tmp_path / "away", encoder, run_id="run", sink=buffer)
    memory = make_memory(traces=away)
    first = memory.remember("remember the cat is grey", user_id="u")
    second = memory.remember("remember the dog is old", user_id="u")
    away.reward(Feedback(episode_id=first.episode_id, reward=0.5, at=datetime.now(UTC)))
    assert not (tmp_path / "away").exists()

    rows: EpisodeRows = pickle.loads(pickle.dumps(buffer.take(first.episode_id)))
    later = buffer.take(second.episode_id)
    assert [bank.version for bank in rows.banks] == [rows.steps[0].bank_version]
    assert later.banks == ()
    assert buffer.take(first.episode_id) == EpisodeRows()

    here = TraceRecorder(tmp_path / "here", encoder, run_id="run")
    here.take_over(rows)
    here.take_over(later)
    here.close()
    found = {episode.id: episode for episode in read_recorded(TraceReader(tmp_path / "here"))}
    assert set(found) == {first.episode_id, second.episode_id}
    assert found[first.episode_id].reward == 0.5
    assert found[second.episode_id].reward is None
    (step,) = found[first.episode_id].steps
    assert step.state.tolist() == rows.steps[0].state.tolist()
    assert (rows.steps[0].bank_version, encoder.name) in TraceReader(tmp_path / "here").banks()
