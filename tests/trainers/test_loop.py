import asyncio
import json
from dataclasses import replace

import pytest
import torch

from langgraph_memskill.controller.files import read_controller
from langgraph_memskill.errors import ConfigError, TrainingError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.trainers.epoch_values import stage_reward
from langgraph_memskill.trainers.evolution import EvolutionOutcome
from langgraph_memskill.trainers.material import plan_episodes
from langgraph_memskill.trainers.metrics.names import Metric
from langgraph_memskill.trainers.metrics.reading import read_lines
from langgraph_memskill.trainers.results import result_folders
from langgraph_memskill.trainers.sampling import sample_questions
from tests.trainers import training_process as process

SHORT = replace(process.CONFIG, outer_epochs=1, inner_epochs=2)


@pytest.fixture
def parts(model, encoder):
    return {"model": model, "encoder": encoder}


def train(folder, config=SHORT, **options):
    return process.make_run(folder, config, **options).run()


def parameters(folder):
    return list(read_controller(folder / "controller").policy.parameters())


def test_a_run_leaves_controller_skills_traces_metrics_and_checkpoints(tmp_path, parts):
    result = train(tmp_path, **parts)
    assert (result.state.step, result.state.episodes, result.state.failed_episodes) == (2, 6, 0)
    assert read_controller(tmp_path / "controller").settings.version == result.results.best.version
    assert SkillBank.load(tmp_path / "skills").names == SkillBank.seed().names
    assert len(read_lines(tmp_path / "metrics.jsonl").whole) == 2
    assert [p.name for p in sorted((tmp_path / "checkpoints").iterdir())][-1] == "step-00000002"


def test_every_episode_is_recorded_with_its_reward(tmp_path, parts):
    train(tmp_path, **parts)
    recorded = {e.id: e for e in read_recorded(TraceReader(tmp_path / "traces"))}
    assert sorted(recorded) == [f"o0-i{i}-e{e}" for i in range(2) for e in range(3)]
    assert all(e.source == "f1" and e.reward is not None for e in recorded.values())
    assert all(s.sampled and s.value is not None for e in recorded.values() for s in e.steps)
    assert all(s.process_reward is not None for e in recorded.values() for s in e.steps)


@pytest.mark.parametrize("concurrency", [1, 5])
def test_the_result_does_not_depend_on_the_concurrency(tmp_path, parts, concurrency):
    train(tmp_path / "a", **parts)
    train(tmp_path / "b", replace(SHORT, concurrency=concurrency), **parts)
    pairs = zip(parameters(tmp_path / "a"), parameters(tmp_path / "b"), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_another_seed_gives_another_controller(tmp_path, parts):
    train(tmp_path / "a", **parts)
    train(tmp_path / "b", replace(SHORT, seed=1), **parts)
    pairs = zip(parameters(tmp_path / "a"), parameters(tmp_path / "b"), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_an_episode_that_fails_is_counted_and_the_run_goes_on(tmp_path, parts):
    calls = 0

    async def scorer(question, answer):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("this scorer is broken once")
        return 0.5

    result = train(tmp_path, **parts, scorer=scorer)
    assert (result.state.episodes, result.state.failed_episodes) == (5, 1)


def test_a_run_stops_if_too_many_episodes_fail(tmp_path, parts):
    async def scorer(question, answer):
        return None  # nothing can be scored

    with pytest.raises(TrainingError, match="3 of 3 episodes"):
        train(tmp_path, **parts, scorer=scorer)


def test_a_model_that_fails_once_costs_a_query_and_no_episode(tmp_path, parts):
    parts["model"].failures = 1
    assert train(tmp_path, **parts).state.failed_episodes == 0


class AddsOneSkill:
    """An evolution that adds a skill after the first stage."""

    def __init__(self):
        self.stages, self.seen = [], []

    def observe(self, step, queries):
        self.seen.append((step, len(queries)))

    async def after_stage(self, stage, bank):
        self.stages.append(stage)
        if stage.number > 0:
            return EvolutionOutcome(stop=True)
        bank.add(replace(bank["insert"], name="more", description="Store cats and cellos."))
        return EvolutionOutcome(bank)

    def state(self):
        return {"num_stages": len(self.stages)}

    def restore(self, state):
        self.stages = [None] * state["num_stages"]


def test_skills_evolve_between_stages_and_new_ones_get_the_bonus(tmp_path, parts):
    evolution = AddsOneSkill()
    config = replace(SHORT, outer_epochs=3, bias_updates=4)
    result = train(tmp_path, config, **parts, evolution=evolution)
    assert result.state.step == 4  # stopped by the second stage
    assert [stage.is_last for stage in evolution.stages] == [False, False]
    assert [step for step, _ in evolution.seen] == [0, 1, 2, 3]
    assert "more" in SkillBank.load(tmp_path / "skills")
    lines = [line.values for line in read_lines(tmp_path / "metrics.jsonl").whole]
    assert [line[Metric.NEW_SKILL_BIAS] for line in lines] == [0.0, 0.0, 1.0, 0.75]
    assert [line[Metric.NUM_SKILLS] for line in lines] == [4, 5, 5, 5]
    assert result.state.evolution == {"num_stages": 2}


def test_a_finished_run_has_nothing_left_to_do(tmp_path, parts):
    first = train(tmp_path, **parts)
    run = process.make_run(tmp_path, SHORT, **parts)
    run.resume()
    assert run.run().results == first.results


async def scored_by_update(question, answer):
    """Set by the test below before every update."""
    return scored_by_update.score


@pytest.mark.parametrize("resumed", [False, True])
def test_the_best_controller_is_told_from_the_last(tmp_path, parts, resumed):
    config = replace(SHORT, inner_epochs=3, best_updates=1, keep_checkpoints=1)
    rewards = [0.2, 0.8, 0.4]
    scored_by_update.score = rewards[0]
    run = process.make_run(tmp_path, config, **parts, scorer=scored_by_update)

    def next_score(progress):
        scored_by_update.score = rewards[min(progress.step, 2)]

    result = run.run(next_score)
    if resumed:
        run = process.make_run(tmp_path, config, **parts, scorer=scored_by_update)
        run.resume()
        result = run.run()
    found = result.results
    assert (found.best.step, found.best.reward) == (2, pytest.approx(0.8))
    assert (found.last.step, found.last.reward) == (3, pytest.approx(0.4))
    assert found.reason == "highest reward of an update"
    assert json.loads((tmp_path / "result.json").read_text())["best"]["step"] == 2
    second = run.checkpoints.policy(2)
    best, last = (
        read_controller(result_folders(tmp_path, take).controller).policy
        for take in ("best", "last")
    )
    assert all(
        torch.equal(a, b) for a, b in zip(best.parameters(), second.parameters(), strict=True)
    )
    assert not torch.equal(best.state_net[0].weight, last.state_net[0].weight)


def test_a_short_run_has_its_last_controller_for_the_best(tmp_path, parts):
    found = train(tmp_path, replace(SHORT, best_updates=10), **parts).results
    assert found.best == found.last
    assert "fewer than 10 updates" in found.reason


def test_a_run_that_has_not_ended_has_no_controller(tmp_path):
    with pytest.raises(ConfigError, match="has not ended"):
        result_folders(tmp_path, "best")


async def recalled_anything(question, answer):
    return float(bool(answer.memories))


def test_a_reward_that_looks_at_no_answer_asks_for_none(tmp_path, parts):
    """The only calls are those that read the spans."""
    config = replace(SHORT, reward="evidence_recall")
    with_answers = train(tmp_path / "f1", **parts, scorer=recalled_anything)
    without = train(tmp_path / "recall", config, **parts, scorer=recalled_anything)
    steps = sum(len(e.steps) for e in read_recorded(TraceReader(tmp_path / "recall" / "traces")))
    assert without.state.usage.calls == steps
    assert with_answers.state.usage.calls > steps
    assert without.state.recent_rewards == with_answers.state.recent_rewards


def test_progress_is_reported_after_every_update(tmp_path, parts):
    seen = []
    run = process.make_run(tmp_path, SHORT, **parts)
    asyncio.run(run.arun(seen.append))
    assert [(p.step, p.num_updates) for p in seen] == [(1, 2), (2, 2)]
    assert seen[-1].usage.calls > 0


def test_a_window_holds_the_evidence_of_its_questions():
    config = replace(process.CONFIG, episodes=4, query_ratio=1.0)
    for plan in plan_episodes(process.make_traces(), config, outer=0, inner=0):
        inside = {turn.id for span in plan.spans for turn in span.turns}
        assert len(plan.spans) == 2
        assert len(plan.questions) == 2
        assert all(inside.issuperset(q.evidence) for q in plan.questions)


def test_spans_can_be_limited():
    config = replace(process.CONFIG, window_sessions=0, max_spans=3, query_ratio=1.0)
    plan = plan_episodes(process.make_traces(), config, outer=0, inner=0)[0]
    assert (len(plan.spans), len(plan.questions)) == (3, 3)


def test_no_conversation_comes_twice_before_every_one_has_come():
    config = replace(process.CONFIG, episodes=2)
    for inner in range(5):
        plans = plan_episodes(process.make_traces(), config, outer=0, inner=inner)
        assert {plan.trace_id for plan in plans} == {"ann", "ben"}


def test_plans_follow_from_seed_and_epoch_alone():
    traces = process.make_traces()
    first, again, later = (
        plan_episodes(traces, process.CONFIG, outer=0, inner=inner) for inner in (1, 1, 2)
    )
    assert first == again
    assert [p.seed for p in first] != [p.seed for p in later]
    assert sample_questions([1, 2], 1.0, seed=0) == [0, 1]


@pytest.mark.parametrize(
    ("rewards", "share", "expected"),
    [((1, 2, 3, 4), 0.25, 4), ((1, 2, 3, 4), 0.5, 3.5), ((2,), 0.25, 2), ((), 0.25, None)],
)
def test_the_stage_reward_is_the_mean_of_the_last_part(rewards, share, expected):
    assert stage_reward(rewards, share) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_run_on_a_gpu_leaves_a_controller_for_any_machine(tmp_path, parts):
    train(tmp_path, replace(SHORT, device="cuda"), **parts)
    assert all(p.device.type == "cpu" and p.isfinite().all() for p in parameters(tmp_path))


def test_a_run_with_credit_by_span_and_compared_plays_learns_from_every_step(tmp_path, parts):
    config = replace(SHORT, episodes=4, plays=2, baseline="plays", credit="span")
    result = train(tmp_path / "a", config, **parts)
    assert (result.state.step, result.state.episodes) == (2, 8)
    lines = read_lines(tmp_path / "a" / "metrics.jsonl").whole
    assert [line.values[Metric.EPISODES] for line in lines] == [4.0, 4.0]
    train(tmp_path / "b", config, **parts)
    pairs = zip(parameters(tmp_path / "a"), parameters(tmp_path / "b"), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
