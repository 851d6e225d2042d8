"""A memory learns from feedback: hard cases, evolution, approval, all in its folder."""

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import ConfigError, EvolutionError, SkillError, StoreError
from langgraph_memskill.evolution.approval import REFUSED, Decision, Edit
from langgraph_memskill.evolution.records import (
    CaseOrigin,
    EvolutionStatus,
    FailureCause,
    HardCase,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import Memory
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.testing.designer import RuleDesigner

Open = Callable[..., MemSkillMemory]
QUESTION = "Where does Clara keep her bicycle?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "m"


@pytest.fixture
def open_memory(folder: Path, model: Any, encoder: Any) -> Iterator[Open]:
    opened: list[MemSkillMemory] = []

    def make() -> MemSkillMemory:
        opened.append(MemSkillMemory.open(folder, model, encoder=encoder))
        return opened[-1]

    yield make
    for memory in opened:
        memory.close()


def failed(memory: MemSkillMemory, *questions: str, user: str = "u") -> None:
    episode = memory.remember("remember Clara rides daily", user_id=user).episode_id
    for question in questions or (QUESTION,):
        memory.feedback(episode, 0.0, question=question, expected="in the old shed")


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


def test_evolving_makes_a_version_that_the_open_memory_uses(
    open_memory: Open, folder: Path
) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    result = memory.evolve(RuleDesigner())
    assert result.status is EvolutionStatus.APPLIED
    assert result.changes[0].name == "places_storage"
    assert "places_storage" in memory.skills
    assert memory.skills.new_names == {"places_storage"}
    assert (folder / "skills" / "places_storage" / "SKILL.md").is_file()
    assert open_memory().skills.version == memory.skills.version != before


async def test_the_async_twin_evolves_too(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    assert (await memory.aevolve(RuleDesigner())).status is EvolutionStatus.APPLIED


def test_the_version_names_designer_cases_and_evolution(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    [case] = memory.hard_cases()
    result = memory.evolve(RuleDesigner())
    assert memory._skill_versions is not None
    version = memory._skill_versions.current()
    assert version is not None
    assert version.id == result.version
    assert (version.note.author, version.note.cases) == ("designer", (case.key,))
    assert version.note.evolution_id == result.id


def test_the_designer_learns_what_became_of_the_fact(open_memory: Open) -> None:
    memory = open_memory()
    episode = memory.remember("remember the bicycle is in the old shed", user_id="u").episode_id
    memory.feedback(episode, 0.0, question=QUESTION, expected="old shed")
    result = memory.evolve(RuleDesigner())
    [case] = result.cases
    assert case.diagnosis is not None
    assert case.diagnosis.cause is FailureCause.NOT_USED
    assert "the bicycle is in the old shed" in case.diagnosis.evidence


def test_the_model_without_an_llm_refuses(folder: Path, encoder: Any) -> None:
    with MemSkillMemory.open(folder, "extractive", encoder=encoder) as memory:
        with pytest.raises(ConfigError, match="extractive model cannot design skills"):
            memory.evolve()
        assert memory.pending_evolutions() == []


def test_a_memory_without_folder_evolves_in_this_process(
    make_memory: Callable[..., MemSkillMemory],
) -> None:
    memory = make_memory()
    failed(memory)
    result = memory.evolve(RuleDesigner())
    assert result.version is None
    assert "places_storage" in memory.skills


def test_a_failed_designer_leaves_the_files_alone(open_memory: Open, folder: Path) -> None:
    memory = open_memory()
    failed(memory)
    before = {file: file.read_bytes() for file in (folder / "skills").rglob("*") if file.is_file()}
    result = memory.evolve(RuleDesigner(unreadable=9), settings=EvolutionSettings(attempts=1))
    assert result.status is EvolutionStatus.FAILED
    after = {file: file.read_bytes() for file in (folder / "skills").rglob("*") if file.is_file()}
    assert after == before
    assert memory.pending_evolutions() == []


def test_a_person_is_asked_and_nothing_changes_before(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    result = memory.evolve(RuleDesigner(), approve=True)
    assert result.status is EvolutionStatus.WAITING
    assert [change.name for change in result.changes] == ["places_storage"]
    assert memory.skills.version == open_memory().skills.version == before


def test_another_process_decides_without_a_designer(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    waiting = memory.evolve(RuleDesigner(), approve=True)
    memory.close()
    other = open_memory()
    [pending] = other.pending_evolutions()
    assert pending.is_waiting
    result = other.resume_evolution(pending.id[:8], Decision(accept=(1,)))
    assert result.status is EvolutionStatus.APPLIED
    assert result.id == waiting.id
    assert "places_storage" in other.skills
    assert other.pending_evolutions() == []


def test_a_person_refuses_one_change_and_edits_another(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory, QUESTION, "When did Clara buy the bicycle?")
    waiting = memory.evolve(RuleDesigner(), approve=True)
    assert len(waiting.changes) == 2
    decision = Decision(refuse=(1,), edits=(Edit(number=2, description="Where things are kept."),))
    result = memory.resume_evolution(waiting.id, decision)
    kept = waiting.changes[1].name
    assert [change.name for change in result.changes] == [kept]
    assert memory.skills[kept].description == "Where things are kept."
    assert [entry.reasons for entry in result.rejected] == [(REFUSED,)]


def test_refusing_everything_changes_nothing(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    waiting = memory.evolve(RuleDesigner(), approve=True)
    result = memory.resume_evolution(waiting.id, Decision.refuse_all(waiting.changes))
    assert result.status is EvolutionStatus.REJECTED
    assert memory.skills.version == before
    assert memory.pending_evolutions() == []


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (None, "waits for a decision"),
        (Decision(), "nothing is decided about 1"),
        (Decision(accept=(2,)), "there is no change 2"),
        (Decision(accept=(1,), refuse=(1,)), "change 1 is decided twice"),
        (Decision(edits=(Edit(number=1, instructions="Read {span}."),)), "placeholder"),
    ],
    ids=["none", "empty", "unknown", "twice", "edited badly"],
)
def test_a_decision_that_does_not_fit_changes_nothing(
    open_memory: Open, decision: Decision | None, message: str
) -> None:
    memory = open_memory()
    failed(memory)
    waiting = memory.evolve(RuleDesigner(), approve=True)
    with pytest.raises(EvolutionError, match=message):
        memory.resume_evolution(waiting.id, decision)
    [pending] = memory.pending_evolutions()
    assert pending.is_waiting


def test_only_one_evolution_at_a_time(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    waiting = memory.evolve(RuleDesigner(), approve=True)
    with pytest.raises(EvolutionError, match=f"{waiting.id[:8]} waits for a decision"):
        memory.evolve(RuleDesigner())
    memory.discard_evolution(waiting.id)
    assert memory.evolve(RuleDesigner()).status is EvolutionStatus.APPLIED


def test_a_skill_that_was_edited_meanwhile_is_not_overwritten(
    open_memory: Open, folder: Path
) -> None:
    memory = open_memory()
    failed(memory)
    memory.evolve(RuleDesigner())
    failed(memory, "Where does Clara keep her umbrella?")
    waiting = memory.evolve(RuleDesigner(), approve=True)
    file = folder / "skills" / "places_storage" / "SKILL.md"
    file.write_text(file.read_text().replace("Only what the text says", "Mind the places"))
    result = memory.resume_evolution(waiting.id, Decision(accept=(1,)))
    assert result.status is EvolutionStatus.REJECTED
    assert "was changed since the designer saw it" in result.rejected[0].reasons[0]
    assert "Mind the places" in file.read_text()


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


def test_a_span_whose_skills_all_left_meanwhile_is_kept_for_retry(
    make_memory: Callable[..., MemSkillMemory],
) -> None:
    memory = make_memory()
    select = memory.controller.select

    class Leaving:
        """The bank loses its skills right after the choice, as in an evolution."""

        name, version = "leaving", ""

        def select(self, requests: Any, bank: Any, k: int) -> Any:
            chosen = select(requests, bank, k)
            for name in bank.names:
                bank.remove(name)
            return chosen

    leaving = make_memory(controller=Leaving(), skills=memory.skills.copy())
    result = leaving.remember("remember tea", user_id="u")
    assert "has left the bank" in result.failed[0].reason
    assert result.memories == ()


class Interrupted(BaseException):
    """As by the keyboard: it ends the evolution where it is."""


def test_an_evolution_that_was_broken_off_goes_on_where_it_stopped(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    failed(memory)
    designer = RuleDesigner()

    def broken(*_: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr("langgraph_memskill.evolution.nodes.check.CheckNode.work", broken)
        with pytest.raises(Interrupted):
            memory.evolve(designer)
    [pending] = memory.pending_evolutions()
    assert (pending.node, pending.is_waiting) == ("check", False)
    with pytest.raises(EvolutionError, match="was broken off before 'check'"):
        memory.evolve(designer)
    with pytest.raises(EvolutionError, match="nothing to decide yet"):
        memory.resume_evolution(pending.id, Decision(accept=(1,)))
    result = memory.resume_evolution(pending.id)
    assert result.status is EvolutionStatus.APPLIED
    assert len(designer.requests) == 3, "nothing is asked twice"


def test_what_had_not_begun_is_not_in_the_way(open_memory: Open, folder: Path) -> None:
    memory = open_memory()
    failed(memory)
    file = folder / "skills" / "insert" / "SKILL.md"
    good = file.read_bytes()
    file.write_text("no front matter", encoding="utf-8")
    with pytest.raises(SkillError):
        memory.evolve(RuleDesigner())
    file.write_bytes(good)
    assert memory.evolve(RuleDesigner()).status is EvolutionStatus.APPLIED


def test_a_gate_has_the_last_word(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    seen = []

    def gate(old: SkillBank, new: SkillBank, shown: Any) -> str | None:
        seen.append((old.version, sorted(set(new.names) - set(old.names)), len(shown)))
        return "the new skills find less"

    result = memory.evolve(RuleDesigner(), gate=gate)
    assert seen == [(before, ["places_storage"], 1)]
    assert (result.status, result.reason) == (EvolutionStatus.REJECTED, "the new skills find less")
    assert [entry.proposal.name for entry in result.rejected] == ["places_storage"]
    assert memory.skills.version == open_memory().skills.version == before
    assert memory.evolve(RuleDesigner(), gate=lambda *_: None).status is EvolutionStatus.APPLIED


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


def test_a_purge_that_cannot_clean_the_cases_says_so(open_memory: Open, folder: Path) -> None:
    memory = open_memory()
    failed(memory)
    memory.close()
    again = open_memory()
    (folder / "evolution" / "cases.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="may still be among the hard cases"):
        again.purge_user("u")
    assert [stored.content for stored in again.memories(user_id="u")] == ["Clara rides daily"]
