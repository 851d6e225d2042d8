"""A chat is recorded, a controller is fitted to it, judged, promoted, used, and taken back."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_memskill.controller.files import read_controller, save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.versions import ControllerVersions
from langgraph_memskill.graphs.chat_agent import build_chat_agent
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import MemSkillContext
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.trainers.fitting import FitConfig, FitMethod, fit
from langgraph_memskill.trainers.logged import Inputs, read_logged, split_held_out
from langgraph_memskill.trainers.off_policy import EvaluationConfig, evaluate_policy
from langgraph_memskill.trainers.ppo import PPOConfig

NUM_TURNS = 120


@pytest.mark.slow
def test_learning_from_a_chat(
    tmp_path: Path, model: Any, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The ids of the episodes decide which of them are held out.
    ids = itertools.count(1)
    made = SimpleNamespace(uuid4=lambda: UUID(int=next(ids)))
    monkeypatch.setattr("langgraph_memskill.memory.uuid", made)
    # Two skills, so that by chance about half of the choices are those of the best controller.
    seeds = SkillBank.seed()
    SkillBank([seeds["insert"], seeds["noop"]]).save(tmp_path / "skills")
    fresh = SkillPolicy(state_dim=2 * encoder.dim, skill_dim=encoder.dim, hidden_dim=32, seed=1)
    first = save_controller(tmp_path / "controller", fresh, encoder_name="words", k=1).version

    settings = Settings(skills_per_span=1, record_traces=True, explore=True)
    memory = MemSkillMemory.open(tmp_path, model, encoder=encoder, settings=settings)
    memory.controller._generator.manual_seed(0)  # type: ignore[attr-defined]
    agent = build_chat_agent(model, memory.middleware(), checkpointer=InMemorySaver())
    for number in range(NUM_TURNS):
        user = f"u{number % 5}"
        turn = {"messages": [("user", f"remember number {number}")]}
        config: Any = {"configurable": {"thread_id": user}}
        state = agent.invoke(turn, config, context=MemSkillContext(user_id=user))
        contents = [memory.content for memory in memory.memories(user_id=user)]
        memory.feedback(state["memskill_episode_id"], float(f"number {number}" in contents))
    memory.close()

    reader = TraceReader(tmp_path / "traces")
    start = read_controller(tmp_path / "controller")
    data = read_logged(reader, Inputs.of_controller(start.settings))
    assert (len(data.episodes), data.skipped) == (NUM_TURNS, ())
    train, held_out = split_held_out(data.episodes, 0.4)
    report = fit(start.policy, train, FitConfig(ppo=PPOConfig(learning_rate=2e-3)))
    assert report.rounds[0].method is FitMethod.PPO

    found = evaluate_policy(start.policy, held_out, EvaluationConfig(resamples=500))
    assert found.objection is None
    new = save_controller(tmp_path / "new", start.policy, encoder_name="words", k=1).version
    versions = ControllerVersions(tmp_path / "controller")
    versions.promote(tmp_path / "new")

    kept = _share_kept(tmp_path, model, encoder)
    assert kept == 1.0
    assert _controller_of(tmp_path, model, encoder) == new
    assert versions.rollback().version == first
    assert _controller_of(tmp_path, model, encoder) == first


def _controller_of(folder: Path, model: Any, encoder: Any) -> str:
    memory = MemSkillMemory.open(folder, model, encoder=encoder)
    memory.close()
    return memory.controller.version


def _share_kept(folder: Path, model: Any, encoder: Any) -> float:
    """How many of ten new things the memory keeps when it uses the folder's controller."""
    settings = Settings(skills_per_span=1)
    memory = MemSkillMemory.open(folder, model, encoder=encoder, settings=settings)
    written = [
        len(memory.remember(f"remember thing {n}", user_id="new").actions) for n in range(10)
    ]
    memory.close()
    return sum(written) / 10
