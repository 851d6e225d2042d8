"""Bad feedback makes hard cases, which age, go when they are answered, and are purged."""

import weakref
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import ConfigError, StoreError
from langgraph_memskill.evolution.records import (
    CaseOrigin,
    FailureCause,
    HardCase,
)
from langgraph_memskill.records import Memory
from langgraph_memskill.testing.designer import RuleDesigner
from tests.memory_evolution.feedback import QUESTION, Open, failed


def test_bad_feedback_with_a_question_is_a_hard_case(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    [case] = memory.hard_cases()
    assert (case.question, case.expected, case.score) == (QUESTION, "in the old shed", 0.0)
    assert case.origin is CaseOrigin.FEEDBACK
    assert case.namespace == ("memories", "u")
    assert [entry.content for entry in case.memories] == ["Clara rides daily"]


async def test_the_async_twin_keeps_the_same_case(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    await memory.afeedback("later", 0.1, question=QUESTION, expected="shed", user_id="u")
    [case] = await memory.ahard_cases(user_id="u")
    assert (case.fail_count, case.expected, case.score) == (2, "shed", 0.1)


def test_cases_outlive_the_process(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    memory.close()
    assert [case.question for case in open_memory().hard_cases()] == [QUESTION]


def test_good_feedback_takes_the_case_away(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    memory.feedback("later", 1.0, question=QUESTION.lower(), user_id="u")
    assert memory.hard_cases() == []


def test_feedback_without_a_question_makes_no_case(open_memory: Open) -> None:
    memory = open_memory()
    memory.feedback("episode", 0.0)
    assert memory.hard_cases() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"question": " "},
        {"expected": "shed"},
        {"answer": "no idea"},
        {"question": "x" * 4001, "user_id": "u"},
        {"question": "x", "expected": 3, "user_id": "u"},
    ],
    ids=["blank", "expected alone", "answer alone", "long", "no text"],
)
def test_a_useless_question_is_refused_and_nothing_recorded(
    open_memory: Open, wrong: dict[str, Any]
) -> None:
    memory = open_memory()
    with pytest.raises(ConfigError, match="question|expected=3"):
        memory.feedback("episode", 0.0, **wrong)
    assert memory.recorded_feedback() == []


def test_the_same_question_of_two_users_is_two_cases(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory, user="u1")
    failed(memory, user="u10")
    assert len(memory.hard_cases()) == 2
    assert [case.namespace for case in memory.hard_cases(user_id="u1")] == [("memories", "u1")]


@pytest.mark.parametrize("name", ["question", "expected", "answer"])
def test_texts_of_feedback_are_bounded(open_memory: Open, name: str) -> None:
    memory = open_memory()
    fitting = {"question": QUESTION, name: "x" * 4000}
    memory.feedback("episode", 0.0, user_id="u", **fitting)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"{name} has 4,001 characters; at most 4,000"):
        memory.feedback("episode", 0.0, user_id="u", **fitting | {name: "x" * 4001})  # type: ignore[arg-type]
    assert [case.fail_count for case in memory.hard_cases()] == [1]


def test_an_episode_that_wrote_nothing_needs_a_user(open_memory: Open) -> None:
    memory = open_memory()
    episode = memory.remember("ok", user_id="ann").episode_id
    with pytest.raises(ConfigError, match="pass user_id="):
        memory.feedback(episode, 0.0, question=QUESTION, expected="in the old shed")
    assert memory.hard_cases() == []
    assert memory.recorded_feedback() == []


async def test_the_async_twin_needs_a_user_too(open_memory: Open) -> None:
    memory = open_memory()
    episode = (await memory.aremember("ok", user_id="ann")).episode_id
    with pytest.raises(ConfigError, match="pass user_id="):
        await memory.afeedback(episode, 0.0, question=QUESTION)
    assert await memory.arecorded_feedback() == []


def test_questions_about_episodes_that_wrote_nothing_stay_apart(open_memory: Open) -> None:
    memory = open_memory()
    for user, expected in (("ann", "in the shed"), ("bob", "in the barn")):
        episode = memory.remember("ok", user_id=user).episode_id
        memory.feedback(episode, 0.0, question=QUESTION, expected=expected, user_id=user)
    assert [case.expected for case in memory.hard_cases()] == ["in the shed", "in the barn"]
    memory.purge_user("bob")
    assert [case.namespace for case in memory.hard_cases()] == [("memories", "ann")]


class Held(list[Memory]):
    """A list that can be weakly referenced."""


def test_a_look_at_cases_holds_one_users_memories_at_a_time(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    for question in (QUESTION, "Where is the xylophone?"):
        for user in ("ann", "bob"):
            failed(memory, question, user=user)
    read: list[tuple[str, ...]] = []
    held: list[weakref.ref[Held]] = []
    read_all = memory._search.read_all

    def reading(namespace: tuple[str, ...]) -> Held:
        assert not any(earlier() for earlier in held)
        found = Held(read_all(namespace))
        read.append(namespace)
        held.append(weakref.ref(found))
        return found

    monkeypatch.setattr(memory._search, "read_all", reading)
    cases = memory.hard_cases(diagnosed=True)
    assert read == [("memories", "ann"), ("memories", "bob")]
    assert [case.namespace[1] for case in cases] == ["ann", "bob", "ann", "bob"]


def test_cases_age_by_evolutions(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    assert memory.hard_cases()[0].epoch == 0
    memory.evolve(RuleDesigner())
    failed(memory)
    assert memory.hard_cases()[0].epoch == 1


def test_purging_a_user_takes_his_cases_and_evolutions_away(
    open_memory: Open, folder: Path
) -> None:
    memory = open_memory()
    failed(memory, user="u1")
    failed(memory, "Where is the xylophone?", user="u2")
    memory.evolve(RuleDesigner(), approve=True)
    memory.purge_user("u2")
    assert [case.namespace for case in memory.hard_cases()] == [("memories", "u1")]
    assert memory.pending_evolutions() == []
    memory.close()
    texts = [file.read_bytes() for file in (folder / "evolution").iterdir()]
    assert not any(b"xylophone" in text for text in texts)


def test_purging_a_memory_takes_it_out_of_the_cases(open_memory: Open, folder: Path) -> None:
    memory = open_memory()
    failed(memory)
    [stored] = memory.memories(user_id="u")
    memory.purge(stored.id)
    [case] = memory.hard_cases()
    assert case.memories == ()
    memory.close()
    files = [file.read_bytes() for file in (folder / "evolution").iterdir()]
    assert not any(b"Clara rides daily" in content for content in files)


def test_a_case_says_what_became_of_the_fact(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    kept = memory.save("The bicycle of Clara is in the old shed.", user_id="u")
    [case] = memory.hard_cases(diagnosed=True)
    assert case.diagnosis is not None
    assert case.diagnosis.cause is FailureCause.NOT_RETRIEVED
    memory.forget(kept.id, user_id="u")
    [case] = memory.hard_cases(diagnosed=True)
    assert case.diagnosis is not None
    assert case.diagnosis.cause is FailureCause.LOST


def test_added_cases_have_ids_that_tell_nothing(open_memory: Open) -> None:
    memory = open_memory()
    [kept] = memory.add_hard_cases([HardCase(id="", question=QUESTION, namespace=("n",))])
    assert len(kept.id) == 16
    assert "bicycle" not in kept.id
    with pytest.raises(ConfigError, match="needs a question"):
        memory.add_hard_cases([HardCase(id="x", question=" ")])


async def test_cases_that_were_answered_since_are_dropped(open_memory: Open) -> None:
    memory = open_memory()
    memory.add_hard_cases([HardCase(id=name, question=QUESTION) for name in "abc"])
    assert memory.resolve_hard_cases(["a", "unknown"]) == 1
    assert await memory.aresolve_hard_cases({"b"}) == 1
    assert [case.id for case in memory.hard_cases()] == ["c"]


def test_a_purge_that_cannot_clean_the_cases_says_so(open_memory: Open, folder: Path) -> None:
    memory = open_memory()
    failed(memory)
    memory.close()
    again = open_memory()
    (folder / "evolution" / "cases.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="may still be among the hard cases"):
        again.purge_user("u")
    assert [stored.content for stored in again.memories(user_id="u")] == ["Clara rides daily"]
