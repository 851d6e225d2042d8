"""Training runs that are spread over workers in this process."""

import asyncio
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from langgraph_memskill.cli.train_locomo import make_scorer
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.recording import TraceRecorder
from langgraph_memskill.trainers.conversation_episodes import Conversations
from langgraph_memskill.trainers.loop import TrainingRun
from langgraph_memskill.trainers.remote_rollouts import Rollouts
from langgraph_memskill.trainers.rollout_site import RolloutSite
from langgraph_memskill.workers import pool as pool_module
from langgraph_memskill.workers.cluster import ClusterSettings
from langgraph_memskill.workers.pool import WorkerPool
from tests.conftest import ReadingModel, WordEncoder
from tests.trainers.training_process import make_run, make_traces
from tests.workers.in_process_ray import InProcessRay


@dataclass(frozen=True)
class Named:
    """Stands for the name of a model or an encoder."""

    value: Any

    def load(self, *args: Any) -> Any:
        return self.value


@dataclass(frozen=True)
class Kind:
    def open(self, model: Any, encoder: Any) -> Conversations:
        return Conversations(traces=make_traces(), scorer=make_scorer("f1"))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> InProcessRay:
    monkeypatch.setattr(pool_module, "_LOOK_SECONDS", 0.001)
    ray = InProcessRay(2)
    monkeypatch.setattr(pool_module, "Cluster", lambda settings: ray)
    return ray


def spread(folder: Path, pool: WorkerPool, model: Any) -> TrainingRun:
    rollouts = Rollouts(pool=pool, kind=Kind(), model=Named(model), encoder=Named(WordEncoder()))
    return make_run(folder, model=model, encoder=WordEncoder(), rollouts=rollouts)


def steps_of(folder: Path) -> list[tuple[Any, ...]]:
    """What was recorded of every episode, times apart, whatever the order."""
    episodes = read_recorded(TraceReader(folder / "traces"))
    return sorted(
        (e.id, e.reward, [(s.step, s.chosen, s.log_prob, s.process_reward) for s in e.steps])
        for e in episodes
    )


async def test_runs_that_are_equal_share_nothing_and_leave_nothing(
    ray: InProcessRay, tmp_path: Path
) -> None:
    alone = await make_run(tmp_path / "alone").arun()
    pool = WorkerPool(ClusterSettings(address="local"))
    runs = [spread(tmp_path / name, pool, ReadingModel()) for name in ("one", "two")]
    results = await asyncio.gather(*(run.arun() for run in runs))
    assert {result.results.last.version for result in results} == {alone.results.last.version}
    expected = steps_of(tmp_path / "alone")
    assert len(expected) == 18
    assert steps_of(tmp_path / "one") == steps_of(tmp_path / "two") == expected
    assert [actor.instance._services for actor in ray.actors] == [{}, {}]
    assert sum(worker.leases for worker in pool.workers) == 0


class Waiting(ReadingModel):
    """Answers so many calls, and lets the others wait for ever."""

    left: int
    _waiting: int = PrivateAttr(default=0)
    _cancelled: int = PrivateAttr(default=0)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            return self._generate(*args, **kwargs)
        self._waiting += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._cancelled += 1
            raise


async def test_a_run_that_is_broken_off_ends_on_the_workers(
    ray: InProcessRay, tmp_path: Path
) -> None:
    pool, model = WorkerPool(ClusterSettings(address="local")), Waiting(left=20)
    task = asyncio.create_task(spread(tmp_path, pool, model).arun())
    async with asyncio.timeout(60):
        while not model._waiting:
            assert not task.done(), task.result()
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model._cancelled == model._waiting > 0
    assert [actor.instance._services for actor in ray.actors] == [{}, {}]
    num_calls = len(model.prompts) + model._waiting
    await asyncio.sleep(0.05)
    assert len(model.prompts) + model._waiting == num_calls


async def test_traces_are_written_in_the_order_in_which_they_come_and_not_in_the_event_loop(
    ray: InProcessRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[str] = []
    written: list[str] = []
    threads: set[int] = set()
    play, take_over = RolloutSite.play, TraceRecorder.take_over

    async def noted_play(self: RolloutSite, plan: Any, order: Any) -> Any:
        result = await play(self, plan, order)
        played.append(plan.id)
        return result

    def slow_take_over(self: TraceRecorder, rows: Any) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.02 / (1 + len(written)))  # the first one longest
        written.append(rows.episodes[0].episode_id)
        take_over(self, rows)

    monkeypatch.setattr(RolloutSite, "play", noted_play)
    monkeypatch.setattr(TraceRecorder, "take_over", slow_take_over)
    pool = WorkerPool(ClusterSettings(address="local"))
    await spread(tmp_path, pool, ReadingModel()).arun()
    assert len(played) == 18
    assert written == played
    assert threading.get_ident() not in threads
    assert threading.get_ident() not in ray.threads
