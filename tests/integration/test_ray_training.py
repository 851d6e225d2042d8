"""Training runs spread over a local Ray cluster of two workers."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.cli.train_locomo import ConversationRecipe, make_scorer
from langgraph_memskill.errors import ClusterError
from langgraph_memskill.models import load_model
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.conversation_episodes import Conversations
from langgraph_memskill.trainers.loop import TrainingRun, TrainParts, TrainResult
from langgraph_memskill.trainers.ppo import PPOConfig
from langgraph_memskill.trainers.remote_rollouts import Rollouts
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import ModelSpec
from tests.integration.ray_runs import ENCODER, RAY_MARKS, Killing, break_off, counted
from tests.orders_server import OrdersServer
from tests.trainers.training_process import make_traces

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
pytestmark = RAY_MARKS

TRAINING = TrainConfig(
    outer_epochs=1,
    inner_epochs=2,
    episodes=3,
    hidden_dim=16,
    skills_per_span=2,
    window_sessions=1,
    best_updates=2,
    ppo=PPOConfig(learning_rate=0.003, minibatch_size=4),
)


def training(
    folder: Path,
    server: OrdersServer,
    pool: WorkerPool | None,
    config: TrainConfig = TRAINING,
    *,
    model_there: str | None = None,
) -> TrainingRun:
    """Two updates over two small conversations."""
    rollouts = None
    if pool is not None:
        rollouts = Rollouts(
            pool=pool,
            kind=ConversationRecipe(reward="f1", judge=None),
            model=ModelSpec(spec=model_there or server.spec),
            encoder=ENCODER,
        )
    parts = TrainParts(
        model=load_model(server.spec),
        model_name="orders",
        encoder=ENCODER.load(),
        bank=SkillBank.seed(),
        episodes=Conversations(traces=make_traces(), scorer=make_scorer("f1")),
        rollouts=rollouts,
    )
    return TrainingRun(folder, config, parts, run_id="test")


def steps_of(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What was recorded of every episode, times apart."""
    return {
        episode.id: [
            (step.chosen, step.log_prob, step.process_reward, step.bank_version, episode.reward)
            for step in episode.steps
        ]
        for episode in read_recorded(TraceReader(folder / "traces"))
    }


@pytest.fixture(scope="module")
def here(
    running_server: OrdersServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, Path]:
    """The run in this process, and its folder."""
    running_server.rule = lambda prompt: 200
    folder = tmp_path_factory.mktemp("here")
    return training(folder, running_server, None).run(), folder


def test_training_ends_with_the_same_weights_although_a_worker_is_killed(
    ray_pool: WorkerPool,
    here: tuple[TrainResult, Path],
    model_server: OrdersServer,
    tmp_path: Path,
) -> None:
    killing = Killing(ray_pool, "What is known")
    model_server.rule = killing
    there = training(tmp_path, model_server, ray_pool).run()
    assert len(killing.killed) == 1
    expected, folder = here
    assert there.results.best.version == expected.results.best.version
    assert there.results.last.version == expected.results.last.version
    assert there.state.episodes == expected.state.episodes == 6
    assert there.state.usage == expected.state.usage
    assert steps_of(tmp_path) == steps_of(folder)


def test_of_a_run_that_was_broken_off_nothing_goes_on_or_comes_back(
    ray_pool: WorkerPool,
    here: tuple[TrainResult, Path],
    model_server: OrdersServer,
    tmp_path: Path,
) -> None:
    asyncio.run(break_off(training(tmp_path / "first", model_server, ray_pool).arun, model_server))
    prompts = counted(model_server)
    there = training(tmp_path / "second", model_server, ray_pool).run()
    expected, folder = here
    assert there.results.last.version == expected.results.last.version
    assert steps_of(tmp_path / "second") == steps_of(folder)
    assert len(prompts) == there.state.usage.calls == expected.state.usage.calls


def test_episodes_whose_questions_fail_are_counted_as_in_one_process(
    ray_pool: WorkerPool, model_server: OrdersServer, tmp_path: Path
) -> None:
    # All questions about Ann, so her episodes have no score.
    model_server.rule = lambda prompt: 400 if "What is known: ann" in prompt else 200
    one_update = replace(TRAINING, inner_epochs=1, max_failed_share=0.9)
    alone = training(tmp_path / "here", model_server, None, one_update).run()
    there = training(tmp_path / "there", model_server, ray_pool, one_update).run()
    assert there.state.failed_episodes == alone.state.failed_episodes > 0
    assert there.results.last.version == alone.results.last.version
    assert steps_of(tmp_path / "there") == steps_of(tmp_path / "here")


def test_workers_that_cannot_make_the_model_end_the_training(
    ray_pool: WorkerPool, model_server: OrdersServer, tmp_path: Path
) -> None:
    run = training(tmp_path, model_server, ray_pool, model_there="nobody:knows")
    with pytest.raises(ClusterError, match="a worker cannot play: model='nobody:knows' is unknown"):
        run.run()
