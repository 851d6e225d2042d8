from dataclasses import replace
from types import SimpleNamespace

import pytest

from langgraph_memskill.benchmarks import registry
from langgraph_memskill.benchmarks.hotpotqa_task import documents, title_evidence
from langgraph_memskill.benchmarks.metrics import EVIDENCE_RECALL, F1, list_f1
from langgraph_memskill.benchmarks.registry import get_task, register, task_names
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.task import Answered, Found, Task, session_evidence
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Source, Span
from tests.benchmarks.memories import memory

CONTEXT = (
    "Document 1:\nAnn Lee\nAnn Lee was a weaver from Leeds.\n\n"
    "Document 2:\nLeeds\nLeeds is a city in England."
)


@pytest.fixture
def no_tasks(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


@pytest.mark.parametrize("name", ["locomo", "longmemeval", "hotpotqa"])
def test_the_tasks_of_the_package_are_known_by_name(name):
    assert get_task(name).name == name
    assert name in task_names()


def test_a_registered_task_is_found(no_tasks):
    task = replace(get_task("locomo"), name="mine")
    register(task)
    assert get_task("mine") is task
    assert "mine" in task_names()


def test_a_task_can_be_named_by_its_module():
    assert get_task("langgraph_memskill.benchmarks.locomo_task:TASK") is get_task("locomo")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("chess", "no benchmark 'chess'; known are hotpotqa, locomo, longmemeval"),
        ("no_such_module:TASK", "cannot be imported"),
        ("json:TASK", "cannot be imported"),
        ("json:dumps", "expected a Task"),
    ],
)
def test_what_is_no_task_is_refused(name, problem):
    with pytest.raises(ConfigError, match=problem):
        get_task(name)


def test_two_scorers_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two scorers"):
        replace(get_task("locomo"), scorers=(F1, list_f1("multi-hop")))


def test_a_task_needs_a_scorer():
    with pytest.raises(ConfigError, match="at least one"):
        replace(get_task("locomo"), scorers=())


@pytest.mark.parametrize(
    ("count", "test"), [(10, [8, 9]), (8, [6, 7]), (6, [])], ids=["ten", "eight", "six"]
)
def test_locomo_without_its_last_two_conversations_is_tested_on_6_and_7(count, test):
    parts = get_task("locomo").split([SimpleNamespace(id=i) for i in range(count)])
    assert [sample.id for sample in parts.test] == test
    assert set(map(id, parts.test)).isdisjoint(map(id, parts.val))


def test_a_document_that_begins_in_an_earlier_part_keeps_its_title():
    found = documents(CONTEXT, "from Leeds.\n\nDocument 2:\nLeeds\nLeeds is")
    assert [(turn.id, turn.text.strip()) for turn in found] == [
        ("Ann Lee", "from Leeds."),
        ("Leeds", "Leeds\nLeeds is"),
    ]


def test_a_memory_of_documents_names_the_title_that_it_comes_from():
    span = Span(id="0", index=0, text=CONTEXT)
    found = memory("Ann Lee was a weaver.", sources=(Source(span_id="0"),))
    sample = Sample(id="s", questions=(), text=CONTEXT)
    assert title_evidence(sample, [span], found) == ("Ann Lee",)


def test_sessions_are_named_once():
    sources = tuple(Source(span_id=str(i), session=name) for i, name in enumerate("aba"))
    assert session_evidence(Sample(id="s", questions=()), [], memory("x", sources=sources)) == (
        "a",
        "b",
    )


QUESTION = Question(id="q", text="Who?", answers=("Ann, Bob",), evidence=("D1:1", "D1:2"))


async def test_evidence_recall_reads_the_first_twenty_memories():
    found = [Found(memory=memory(str(i)), evidence_ids=("D1:1",)) for i in range(20)]
    late = Found(memory=memory("late"), evidence_ids=("D1:2",))
    score = await EVIDENCE_RECALL(QUESTION, Answered(text="", found=(*found, late)))
    assert score.value == 0.5


async def test_list_questions_are_scored_by_their_parts():
    scorer = list_f1("multi-hop")
    listed = replace(QUESTION, category="multi-hop")
    assert (await scorer(listed, Answered(text="Bob, Ann"))).value == 1.0
    assert (await scorer(replace(listed, answers=("Ann, Eve",)), Answered(text="Ann"))).value == 0.5


async def test_without_a_gold_answer_there_is_no_score():
    assert (await F1(replace(QUESTION, answers=()), Answered(text="Ann"))).value is None


def test_a_task_is_frozen():
    assert isinstance(get_task("locomo"), Task)
    with pytest.raises(AttributeError):
        get_task("locomo").name = "x"
