"""Everything in a block of code is observed: memories, evolutions, training; no network."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from langsmith import Client

from langgraph_memskill.evolution.approval import Decision
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.observed_runs import as_run, observed, observers
from langgraph_memskill.observing import redacted_tracer
from langgraph_memskill.testing.designer import RuleDesigner
from tests.memory_evolution.feedback import failed
from tests.trainers import training_process as process

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from tests.telescope import Telescope

Make = Callable[..., MemSkillMemory]


@pytest.fixture
def telescope() -> Telescope:
    return Telescope()


def names_under(telescope: Telescope, root: str) -> set[str]:
    """Names of the spans that belong to the last span of a name, at any depth."""
    top = telescope.spans()[root].context.span_id
    spans = telescope.all_spans()
    ids = {top}
    for _ in spans:
        ids |= {s.context.span_id for s in spans if s.parent and s.parent.span_id in ids}
    return {s.name for s in spans if s.context.span_id in ids - {top}}


def test_what_runs_in_the_block_is_seen_and_nothing_else(
    make_memory: Make, telescope: Telescope
) -> None:
    memory = make_memory()
    with observed(telescope.callback):
        assert observers() == (telescope.callback,)
        memory.remember("remember a", user_id="ann")
    memory.remember("remember b", user_id="ann")
    assert observers() == ()
    spans = [span.name for span in telescope.all_spans()]
    assert spans.count("memskill.remember") == 1
    assert "memskill.model" in names_under(telescope, "memskill.remember")


def test_a_callback_that_is_given_twice_is_called_once(
    make_memory: Make, telescope: Telescope
) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    with observed(telescope.callback):
        memory.remember("remember a", user_id="ann")
    assert [s.name for s in telescope.all_spans()].count("memskill.remember") == 1


async def test_blocks_may_be_nested_and_run_side_by_side(make_memory: Make) -> None:
    memory, scopes = make_memory(), [Telescope() for _ in range(3)]

    async def remember(number: int) -> None:
        with observed(scopes[0].callback, scopes[number].callback):
            await memory.aremember(f"remember {number}", user_id=f"u{number}")

    await asyncio.gather(remember(1), remember(2))
    counts = [[s.name for s in t.all_spans()].count("memskill.remember") for t in scopes]
    assert counts == [2, 1, 1]


def test_an_evolution_is_a_span_with_its_steps(make_memory: Make, telescope: Telescope) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    failed(memory)
    memory.evolve(RuleDesigner())
    assert telescope.spans()["memskill.evolve"].parent is None
    below = names_under(telescope, "memskill.evolve")
    assert {"memskill.analyse", "memskill.propose", "memskill.model", "memskill.apply"} <= below
    seen = " ".join(span.to_json() for span in telescope.all_spans())
    assert "bicycle" not in seen
    assert "shed" not in seen


def test_waiting_for_a_person_is_no_error(make_memory: Make, telescope: Telescope) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    failed(memory)
    waiting = memory.evolve(RuleDesigner(), approve=True)
    memory.resume_evolution(waiting.id, Decision(accept=(1,)))
    spans = telescope.all_spans()
    assert [s.name for s in spans].count("memskill.evolve") == 2
    assert all("error.type" not in s.attributes for s in spans)


def test_a_training_run_is_a_span_with_rollouts_and_updates(
    tmp_path: Path, telescope: Telescope, model: Any, encoder: Any
) -> None:
    config = replace(process.CONFIG, outer_epochs=1, inner_epochs=2)
    run = process.make_run(tmp_path, config, model=model, encoder=encoder)
    with observed(telescope.callback):
        run.run()
    names = [span.name for span in telescope.all_spans()]
    assert names.count("memskill.rollout") == names.count("memskill.update") == 2
    assert telescope.spans()["memskill.train"].parent is None
    assert {"memskill.rollout", "memskill.update"} <= names_under(telescope, "memskill.train")
    assert {"memskill.remember", "memskill.answer"} <= names_under(telescope, "memskill.rollout")
    assert names_under(telescope, "memskill.update") == set()
    seen = " ".join(span.to_json() for span in telescope.all_spans())
    assert "Lisbon" not in seen


async def test_an_error_goes_through_a_run_unchanged(telescope: Telescope) -> None:
    async def fail() -> int:
        raise LookupError("secret words")

    with observed(telescope.callback), pytest.raises(LookupError, match="secret words"):
        await as_run("memskill_update", fail)
    span = telescope.spans()["memskill.update"]
    assert span.attributes["error.type"] == "LookupError"
    assert "secret words" not in span.to_json()


def test_a_redacted_tracer_takes_the_place_of_langsmiths_own(
    make_memory: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    client = create_autospec(Client, instance=True)
    client.tracing_queue = None
    memory = make_memory()
    with observed(redacted_tracer(client)):
        memory.remember("remember xyzzy", user_id="ann")
        failed(memory)
        memory.evolve(RuleDesigner())
    sent = [call.kwargs for call in client.create_run.call_args_list]
    updates = [call.kwargs for call in client.update_run.call_args_list]
    assert {"construction", "extract", "evolution", "propose"} <= {run["name"] for run in sent}
    assert len([run for run in sent if run["name"] == "evolution"]) == 1
    assert "xyzzy" not in repr(sent) + repr(updates)
    assert "bicycle" not in repr(sent) + repr(updates)
