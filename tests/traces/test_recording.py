"""Runs of the construction graph that are recorded, through the memory that an application uses."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_memskill.controller.distribution import NewSkillBias, joint_log_prob
from langgraph_memskill.controller.files import save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.selectors import ControllerSelector, RandomSelector
from langgraph_memskill.controller.state import fuse_state
from langgraph_memskill.errors import ConfigError, StoreError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import ActionType, Skill, Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.traces.episodes import RecordedEpisode, read_recorded
from langgraph_memskill.traces.files import write_table
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import ActionStatus, StepTrace, text_hash

Make = Callable[..., MemSkillMemory]


def spans(*texts: str) -> list[Span]:
    return [Span(id=f"s{n}", index=n, text=text) for n, text in enumerate(texts)]


def steps_of(folder: Path) -> list[StepTrace]:
    return list(TraceReader(folder).steps())


def episodes_of(folder: Path) -> list[RecordedEpisode]:
    return list(read_recorded(TraceReader(folder)))


@pytest.fixture
def policy(encoder: Any) -> SkillPolicy:
    return SkillPolicy(state_dim=2 * encoder.dim, skill_dim=encoder.dim, hidden_dim=8, seed=3)


@pytest.mark.parametrize("twin", ["sync", "async"])
async def test_a_run_is_on_disk_when_remember_returns(
    make_memory: Make, tmp_path: Path, encoder: Any, twin: str
) -> None:
    memory = make_memory(traces=tmp_path, settings=Settings(skills_per_span=3))
    texts = spans("remember the cat is grey", "nothing here", "hi!")
    if twin == "sync":
        result = memory.remember(texts, user_id="u")
    else:
        result = await memory.aremember(texts, user_id="u")
    (episode,) = episodes_of(tmp_path)
    assert (episode.id, episode.is_finished, episode.reward) == (result.episode_id, True, None)
    first, second = episode.steps
    assert (first.span_id, first.step, first.num_steps) == (f"{episode.id}/0", 0, 3)
    assert first.state.tolist() == fuse_state(encoder.encode([texts[0].text])[0], None).tolist()
    bank = TraceReader(tmp_path).banks()[first.bank_version, "words"]
    names = [skill.name for skill in bank.skills]
    assert names == ["delete", "insert", "noop", "update"]
    assert tuple(names[n] for n in first.chosen) == result.selections[0].skills
    assert first.log_prob == result.selections[0].log_prob
    assert first.probabilities.tolist() == pytest.approx(result.selections[0].probabilities)
    assert [(a.type, a.status, a.memory_id) for a in first.actions] == [
        (ActionType.INSERT, ActionStatus.APPLIED, result.actions[0].memory_id)
    ]
    assert [(a.type, a.status) for a in second.actions] == [(ActionType.NOOP, ActionStatus.APPLIED)]
    assert (first.calls, first.tokens_estimated) == (1, True)
    assert first.input_tokens > first.output_tokens > 0
    assert first.extract_s is not None
    assert first.extract_s > 0
    assert first.chosen_at < first.stored_at <= second.chosen_at


def test_a_span_whose_text_is_not_kept_leaves_its_hash_alone(
    make_memory: Make, tmp_path: Path
) -> None:
    make_memory(traces=tmp_path).remember("remember the secret word is xylophone", user_id="u")
    (step,) = steps_of(tmp_path)
    assert (step.span_text, step.actions[0].content) == (None, None)
    assert step.actions[0].content_hash == text_hash("the secret word is xylophone")
    import pyarrow.parquet as pq

    for file in tmp_path.rglob("*.parquet"):
        assert "xylophone" not in str(pq.read_table(file).to_pylist())


def test_failures_and_rejections_quote_no_text_unless_texts_are_kept(
    make_memory: Make, model: Any, tmp_path: Path
) -> None:
    model.reply = "ACTION: UPDATE\nMEMORY_INDEX: 7\nUPDATED_MEMORY: the xylophone is red"
    for keep in (False, True):
        settings = Settings(keep_trace_texts=keep)
        memory = make_memory(traces=tmp_path / str(keep), settings=settings)
        memory.remember("the xylophone", user_id="u")
    hidden, kept = (steps_of(tmp_path / name)[0] for name in ("False", "True"))
    assert hidden.failure == kept.failure == "ParseError"
    assert (hidden.failure_text, hidden.span_text) == (None, None)
    assert kept.span_text == "the xylophone"
    assert kept.failure_text is not None
    assert hidden.process_reward == pytest.approx(-0.05)


def test_a_call_that_fails_is_recorded_and_its_retry_takes_its_place(
    make_memory: Make, model: Any, tmp_path: Path
) -> None:
    memory = make_memory(traces=tmp_path, settings=Settings(model_attempts=2))
    model.failures = 2
    result = memory.remember(spans("remember one", "remember two"), user_id="u")
    (failed,) = [step for step in steps_of(tmp_path) if step.failure]
    assert (failed.failure, failed.calls, failed.actions) == ("ConnectionError", 2, ())
    memory.retry_failed()
    assert len(steps_of(tmp_path)) == 3
    (episode,) = episodes_of(tmp_path)
    assert episode.id == result.episode_id
    assert [(s.step, s.failure) for s in episode.steps] == [(0, None), (1, None)]


def test_the_similarity_selector_has_no_value_and_is_not_sampled(
    make_memory: Make, tmp_path: Path
) -> None:
    make_memory(traces=tmp_path).remember("remember one", user_id="u")
    (step,) = steps_of(tmp_path)
    assert (step.selector, step.controller_version) == ("similarity", "")
    assert (step.value, step.sampled, step.bias) == (None, False, None)


def test_a_sampling_controller_is_recorded_with_its_bias(
    make_memory: Make, tmp_path: Path, policy: SkillPolicy, encoder: Any
) -> None:
    import torch

    bank = SkillBank.seed()
    new = Skill(
        name="track_dates", description="Dates", instructions="Do.", action_type=ActionType.INSERT
    )
    bank.add(new)
    bias = NewSkillBias(scale=0.5)
    selector = ControllerSelector(policy, encoder, sample=True, bias=bias, version="v7", seed=5)
    memory = make_memory(traces=tmp_path, controller=selector, skills=bank)
    result = memory.remember(spans("remember one", "remember two"), user_id="u")
    for step, selection in zip(episodes_of(tmp_path)[0].steps, result.selections, strict=True):
        assert (step.selector, step.controller_version, step.sampled) == ("controller", "v7", True)
        assert step.value == selection.value
        assert step.bias is not None
        assert (step.bias.p_min, step.bias.scale, step.bias.new_skills) == (0.3, 0.5, (3,))
        assert step.bias.delta_max == pytest.approx(bias.cap)
        logits = torch.from_numpy(np.log(step.probabilities.astype(float)))
        again = joint_log_prob(logits, torch.tensor(step.chosen)).item()
        assert step.log_prob == pytest.approx(again, abs=1e-5)


def test_chance_is_recorded_as_sampled(make_memory: Make, tmp_path: Path) -> None:
    settings = Settings(skills_per_span=2)
    make_memory(traces=tmp_path, controller=RandomSelector(1), settings=settings).remember(
        "remember one", user_id="u"
    )
    (step,) = steps_of(tmp_path)
    assert step.sampled
    assert step.log_prob == pytest.approx(-math.log(4 * 3))


def test_feedback_reaches_the_traces_of_its_episode(make_memory: Make, tmp_path: Path) -> None:
    memory = make_memory(traces=tmp_path)
    result = memory.remember("remember one", user_id="u")
    memory.feedback(result.episode_id, 0.25)
    memory.feedback(result.episode_id, 0.75)
    (episode,) = episodes_of(tmp_path)
    assert (episode.reward, episode.source) == (0.75, "application")


async def test_feedback_in_a_later_session_reaches_the_folders_traces(
    tmp_path: Path, model: Any, encoder: Any
) -> None:
    with_traces = MemSkillMemory.open(tmp_path, model, encoder=encoder, record_traces=True)
    episode_id = with_traces.remember("remember one", user_id="u").episode_id
    with_traces.close()
    later = MemSkillMemory.open(tmp_path, model, encoder=encoder)
    await later.afeedback(episode_id, 0.5)
    later.remember("remember two", user_id="u")
    later.close()
    (episode,) = episodes_of(tmp_path / "traces")
    assert (episode.id, episode.reward) == (episode_id, 0.5)


def test_nothing_is_recorded_unless_asked(tmp_path: Path, model: Any, encoder: Any) -> None:
    memory = MemSkillMemory.open(tmp_path, model, encoder=encoder)
    result = memory.remember("remember one", user_id="u")
    memory.feedback(result.episode_id, 1.0)
    memory.close()
    assert not (tmp_path / "traces").exists()


def test_the_settings_turn_recording_on(tmp_path: Path, model: Any, encoder: Any) -> None:
    settings = Settings(record_traces=True)
    memory = MemSkillMemory.open(tmp_path, model, encoder=encoder, settings=settings)
    memory.remember("remember one", user_id="u")
    memory.close()
    assert len(steps_of(tmp_path / "traces")) == 1


def test_recording_without_a_folder_is_refused(make_memory: Make) -> None:
    with pytest.raises(ConfigError, match="traces="):
        make_memory(settings=Settings(record_traces=True))


@pytest.mark.parametrize("twin", ["sync", "async"])
async def test_a_folder_that_cannot_be_written_costs_no_memory(
    make_memory: Make, tmp_path: Path, twin: str
) -> None:
    blocked = tmp_path / "traces"
    blocked.write_text("a file in the way")
    memory = make_memory(traces=blocked)
    if twin == "sync":
        result = memory.remember("remember one", user_id="u")
    else:
        result = await memory.aremember("remember one", user_id="u")
    assert [action.content for action in result.actions] == ["one"]
    assert memory.trace_failures >= 1
    blocked.unlink()
    memory.remember("remember two", user_id="u")
    assert sorted(step.span_hash for step in steps_of(blocked)) == sorted(
        map(text_hash, ("remember one", "remember two"))
    )


def test_a_disk_that_fills_costs_no_memory(
    make_memory: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    memory = make_memory(traces=tmp_path)
    monkeypatch.setattr("langgraph_memskill.traces.writer.write_table", full)
    assert memory.remember("remember one", user_id="u").failed == ()
    assert memory.trace_failures >= 1
    monkeypatch.setattr("langgraph_memskill.traces.writer.write_table", write_table)
    memory.close()
    assert len(steps_of(tmp_path)) == 1


async def test_the_event_loop_writes_no_file(
    make_memory: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    writers: list[int] = []

    def noting(*arguments: Any, **options: Any) -> None:
        writers.append(threading.get_ident())
        write_table(*arguments, **options)

    monkeypatch.setattr("langgraph_memskill.traces.writer.write_table", noting)
    memory = make_memory(traces=tmp_path)
    result = await memory.aremember("remember one", user_id="u")
    await memory.afeedback(result.episode_id, 1.0)
    assert len(writers) == 4
    assert threading.get_ident() not in writers


def test_a_resumed_run_is_recorded_once_a_span(
    make_memory: Make, model: Any, tmp_path: Path
) -> None:
    memory = make_memory(traces=tmp_path, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    state = {
        "spans": [{"id": f"s{n}", "index": n, "text": f"remember {n}"} for n in range(3)],
        "namespace": ["memories", "u"],
        "episode_id": "a" * 32,
    }
    memory.graph.invoke(state, config, interrupt_after=["extract"])
    memory.graph.invoke(None, config)
    (episode,) = episodes_of(tmp_path)
    assert [step.step for step in episode.steps] == [0, 1, 2]
    assert {step.thread_id for step in episode.steps} == {"t"}
    assert json.dumps(memory.graph.get_state(config).values)


def test_spans_that_are_read_side_by_side_keep_their_own_choices(
    make_memory: Make, tmp_path: Path, encoder: Any
) -> None:
    memory = make_memory(traces=tmp_path, settings=Settings(span_workers=3))
    texts = ["remember one", "remember two", "thanks", "remember three"]
    memory.remember(spans(*texts), user_id="u")
    (episode,) = episodes_of(tmp_path)
    assert [step.step for step in episode.steps] == [0, 1, 3]
    for step in episode.steps:
        span = step.state[: encoder.dim]
        assert span.tolist() == encoder.encode([texts[step.step]])[0].tolist()


def test_queued_episodes_are_recorded_under_their_own_ids(
    make_memory: Make, tmp_path: Path
) -> None:
    memory = make_memory(traces=tmp_path)
    namespace = memory.namespace_for("u")
    ids = {memory.remember_later(f"remember {n}", namespace) for n in ("one", "two")}
    memory.flush()
    found = episodes_of(tmp_path)
    assert {episode.id for episode in found} == ids
    assert all(episode.is_finished for episode in found)


def test_an_exploring_controller_is_loaded_from_the_folder(
    tmp_path: Path, model: Any, encoder: Any, policy: SkillPolicy
) -> None:
    MemSkillMemory.open(tmp_path, model, encoder=encoder).close()
    version = save_controller(tmp_path / "controller", policy, encoder_name="words").version
    settings = Settings(record_traces=True, explore=True, skills_per_span=2)
    memory = MemSkillMemory.open(tmp_path, model, encoder=encoder, settings=settings)
    for n in range(20):
        memory.remember(f"remember {n}", user_id="u")
    memory.close()
    steps = steps_of(tmp_path / "traces")
    assert {(step.sampled, step.controller_version) for step in steps} == {(True, version)}
    assert len({step.chosen for step in steps}) > 1


@pytest.mark.parametrize("twin", ["sync", "async"])
async def test_a_purged_memory_leaves_no_text_in_the_traces(
    tmp_path: Path, model: Any, encoder: Any, twin: str
) -> None:
    import pyarrow.parquet as pq

    settings = Settings(record_traces=True, keep_trace_texts=True)
    memory = MemSkillMemory.open(tmp_path, model, encoder=encoder, settings=settings)
    secret = memory.remember("remember the xylophone", user_id="u").memories[0]
    memory.remember("remember the drum", user_id="u")
    if twin == "sync":
        memory.purge(secret.id, user_id="u")
    else:
        await memory.apurge(secret.id, user_id="u")
    memory.close()
    steps = steps_of(tmp_path / "traces")
    assert sorted((s.span_text, s.actions[0].content) for s in steps if s.span_text) == [
        ("remember the drum", "the drum")
    ]
    assert len(steps) == 2
    for file in (tmp_path / "traces").rglob("*.parquet"):
        assert "xylophone" not in str(pq.read_table(file).to_pylist())


def test_traces_that_cannot_be_cleaned_stop_the_purge(
    tmp_path: Path, model: Any, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    settings = Settings(record_traces=True, keep_trace_texts=True)
    memory = MemSkillMemory.open(tmp_path, model, encoder=encoder, settings=settings)
    secret = memory.remember("remember the xylophone", user_id="u").memories[0]
    monkeypatch.setattr("langgraph_memskill.traces.purging.write_table", full)
    with pytest.raises(StoreError, match="Purge again"):
        memory.purge(secret.id, user_id="u")
    assert memory.get(secret.id, user_id="u").content == "the xylophone"
    memory.close()
