from dataclasses import replace
from types import SimpleNamespace

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from langgraph_memskill.benchmarks import locomo, metrics, registry
from langgraph_memskill.benchmarks.metrics import (
    EVIDENCE_RECALL,
    EVIDENCE_SCORERS,
    JudgeScorer,
    answer_scorers,
    within_depth,
)
from langgraph_memskill.benchmarks.registry import get_task, register, task_names
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.task import Answered, Found, Score, Task, session_evidence
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.judging import Judge
from langgraph_memskill.records import Source, Turn
from langgraph_memskill.spans import Session
from tests.benchmarks.memories import memory


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


def test_a_raw_document_is_shown_without_its_number():
    assert get_task("hotpotqa").chunk_text("Document 12:\nLeeds\nA city.") == "Leeds\nA city."
    assert get_task("locomo").chunk_text("Document 12:") == "Document 12:"


def test_a_task_needs_no_more_than_a_loader_and_scorers():
    task = Task(name="mine", title="Mine", load=lambda path: [], scorers=answer_scorers(_same))
    turns = (Turn(id="t1", speaker="Ann", text="Hi."), Turn(id="t2", speaker="Ben", text="Hello."))
    chat = Sample(id="a", questions=(), sessions=(Session(id="s", date="1 May", turns=turns),))
    text = Sample(id="b", questions=(), text="One.\n\nTwo.")
    assert task.split([chat, text]).test == [chat, text]
    for mode in task.modes:
        [span] = task.cut_spans(chat, mode)
        assert span.text == "DATE: 1 May\nAnn: Hi.\nBen: Hello."
        assert [turn.id for turn in span.turns] == ["t1", "t2"]
        assert [span.text for span in task.cut_spans(text, mode)] == ["One.\n\nTwo."]
    assert len(task.cut_spans(text, chunk_tokens=1, overlap=0)) > 1


def _same(answer, question):
    return float(answer in question.answers)


def test_two_scorers_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two scorers"):
        replace(get_task("locomo"), scorers=(EVIDENCE_RECALL, EVIDENCE_RECALL))


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


@pytest.mark.parametrize(
    ("top_k", "names"),
    [
        (1, ["evidence_recall@1", "mrr"]),
        (5, ["evidence_recall@5", "mrr"]),
        (7, ["evidence_recall@7", "evidence_recall@5", "mrr"]),
        (50, ["evidence_recall@20", "evidence_recall@5", "mrr"]),
    ],
)
def test_a_recall_is_named_by_the_memories_that_it_can_count(top_k, names):
    assert [scorer.name for scorer in within_depth(EVIDENCE_SCORERS, top_k)] == names


def scorers_of(name):
    return {scorer.name: scorer for scorer in get_task(name).scorers}


@pytest.mark.parametrize("name", ["locomo", "longmemeval", "hotpotqa"])
def test_answers_and_evidence_are_scored_and_f1_is_the_main_metric(name):
    assert list(scorers_of(name)) == [
        "f1",
        "exact_match",
        "bleu_1",
        "rouge_l",
        "evidence_recall@20",
        "evidence_recall@5",
        "mrr",
    ]


def test_scores_whose_package_is_missing_are_left_out(monkeypatch):
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    assert [s.name for s in answer_scorers(locomo.answer_f1)] == ["f1", "exact_match"]


async def test_locomo_lists_are_scored_by_their_parts():
    scorer = scorers_of("locomo")["f1"]
    listed = replace(QUESTION, category="multi-hop", answers=("Ann, Eve",))
    assert (await scorer(listed, Answered(text="Ann"))).value == 0.5


@pytest.mark.parametrize(
    ("metric", "value"), [("f1", 1.0), ("exact_match", 1.0), ("bleu_1", 1.0), ("rouge_l", 1.0)]
)
async def test_the_answer_is_taken_out_of_hotpotqa_replies(metric, value):
    asked = replace(QUESTION, answers=("the bridge",))
    answered = Answered(text="I think <answer>the bridge</answer>")
    score = await scorers_of("hotpotqa")[metric](asked, answered)
    assert score.value == pytest.approx(value)


async def test_the_first_memory_from_the_evidence_gives_the_rank():
    found = [Found(memory=memory(str(i)), evidence_ids=(f"D1:{3 - i}",)) for i in range(3)]
    score = await scorers_of("locomo")["mrr"](QUESTION, Answered(text="", found=tuple(found)))
    assert score.value == 0.5


async def test_without_a_gold_answer_there_is_no_score():
    nothing = replace(QUESTION, answers=(), evidence=())
    for scorer in get_task("locomo").scorers:
        assert (await scorer(nothing, Answered(text="Ann"))).value is None


async def test_a_judge_scores_or_says_why_not():
    model = FakeListChatModel(responses=['{"score": 0.5}', "well", "well"])
    scorer = JudgeScorer(Judge(model, attempts=2))
    score = await scorer(QUESTION, Answered(text="Ann"))
    assert (score.value, score.problem, score.usage.calls) == (0.5, None, 1)
    score = await scorer(QUESTION, Answered(text="Ann"))
    assert (score.value, score.usage.calls) == (None, 2)
    assert "cannot be read" in score.problem


async def test_a_judge_is_not_asked_about_a_question_without_gold_answer():
    scorer = JudgeScorer(Judge(FakeListChatModel(responses=[])))
    assert await scorer(replace(QUESTION, answers=()), Answered(text="Ann")) == Score(value=None)


def test_a_task_is_frozen():
    assert isinstance(get_task("locomo"), Task)
    with pytest.raises(AttributeError):
        get_task("locomo").name = "x"
