import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from langgraph_memskill.cli.demo_run import AskedQuestion, make_plan, score_categories
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.spans import SpanMode

Run = Callable[..., Result]


def conversation(name: str) -> dict[str, Any]:
    turns = [
        [("Ann", "remember Ann has a grey cat"), ("Ben", "Nice.")],
        [("Ann", "remember Ann moved to Lisbon"), ("Ben", "forget Ann has a grey cat")],
    ]
    sessions = {
        f"session_{s}": [
            {"speaker": who, "dia_id": f"D{s}:{t}", "text": f"\n{text}\n"}
            for t, (who, text) in enumerate(session, 1)
        ]
        for s, session in enumerate(turns, 1)
    }
    dates = {f"session_{s}_date_time": f"{s} May, 2023" for s in (1, 2)}
    rows = [
        ("Which cat has Ann?", "Ann has a grey cat", ["D1:1"], 4),
        ("Where did Ann move to?", "Lisbon", ["D2:1"], 4),
        ("What changed for Ann?", "Ann moved to Lisbon", ["D1:1", "D2:1"], 1),
        ("Is Ann happy?", "yes", [], 3),
        ("Which dog has Ann?", "none", ["D1:1"], 5),
    ]
    keys = ("question", "answer", "evidence", "category")
    return {
        "sample_id": name,
        "conversation": sessions | dates,
        "qa": [dict(zip(keys, row, strict=True)) for row in rows],
    }


@pytest.fixture
def data() -> Path:
    file = Path("data.json")
    file.write_text(json.dumps([conversation("a"), conversation("b [red]")]), encoding="utf-8")
    return file


@pytest.mark.slow
def test_the_sample_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The real encoder, the extractive model and the conversation that comes with the package."""
    command = [sys.executable, "-c", "from langgraph_memskill.cli import main; main()"]
    done = subprocess.run(
        [*command, "demo", "--json", "--folder", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "No model was named (--model or MEMSKILL_MODEL): using the extractive model, "
        "a baseline without an LLM."
    ]
    report = json.loads(done.stdout)
    assert (report["sessions"], report["turns"], report["failed"]) == (3, 51, 0)
    assert len(report["steps"]) == report["spans"]
    assert len(report["asked"]) == report["answers"] == 16
    assert report["memories"] == report["actions"]["insert"] - report["actions"]["delete"]
    overall = report["scores"][-1]
    assert (overall["category"], overall["questions"]) == ("overall", 16)
    assert overall["evidence_recall"] > 0.6
    assert overall["f1"] > 0.1
    assert Path(report["paths"]["memories"]).is_dir()


def test_spans_questions_and_scores(run: Run, fakes: object, data: Path) -> None:
    report = json.loads(run("demo", "--data", data, "--json").stdout)
    assert (report["conversation"], report["user"], report["spans"]) == ("a", "a", 2)
    assert report["actions"] == {"insert": 2, "update": 0, "delete": 1}
    assert (report["memories"], report["model_calls"], report["failed"]) == (1, 2, 0)
    assert [
        (asked["category"], asked["answer"], asked["f1"], asked["evidence_recall"])
        for asked in report["asked"]
    ] == [
        ("single-hop", "Ann moved to Lisbon", pytest.approx(2 / 8), 0.0),
        ("single-hop", "Ann moved to Lisbon", pytest.approx(2 / 5), 1.0),
        ("multi-hop", "Ann moved to Lisbon", 1.0, 0.5),
        ("open-domain", "Ann moved to Lisbon", 0.0, None),
    ]
    assert [tuple(row.values()) for row in report["scores"]] == [
        ("multi-hop", 1, 1.0, 0.5),
        ("open-domain", 1, 0.0, None),
        ("single-hop", 2, pytest.approx((2 / 8 + 2 / 5) / 2), 0.5),
        ("overall", 4, pytest.approx((2 / 8 + 2 / 5 + 1) / 4), 0.5),
    ]
    [memory] = report["asked"][0]["memories"]
    assert (memory["content"], memory["turn_ids"]) == ("Ann moved to Lisbon", ["D2:1"])


def test_two_runs_never_share_a_user(run: Run, fakes: Any, data: Path) -> None:
    users = [json.loads(run("demo", "--data", data, "--json").stdout)["user"] for _ in range(2)]
    fakes.reply = "gibberish"
    users.append(json.loads(run("demo", "--data", data, "--json").stdout)["user"])
    users.append(json.loads(run("demo", "--data", data, "--json").stdout)["user"])
    assert users == ["a", "a-2", "a-3", "a-4"]


def test_people_see_spans_questions_and_a_summary(run: Run, fakes: object, data: Path) -> None:
    arguments = ["demo", "--data", data, "--conversation", "b [red]"]
    shown = run(*arguments).stdout
    lines = [line.strip() for line in shown.splitlines()]
    assert lines[0].startswith("b [red]: Ann and Ben, 2 sessions, 2 spans, 4 questions.")
    for expected in ("span 2 of 2  2 May, 2023", "Ben: Nice.", "- Ann has a grey cat"):
        assert any(line.replace("\n", "").startswith(expected) for line in lines), expected
    assert any(line.startswith("skills ") and "%" in line for line in lines)
    assert any(line.startswith("Where did Ann move to?") for line in lines)
    assert any(line.startswith("expected") and "Lisbon" in line for line in lines)
    assert any(line.split() == ["overall", "4", "0.412", "0.500"] for line in lines)
    quiet = run(*arguments, "--quiet").stdout
    assert "span 2 of 2" not in quiet
    assert "expected" not in quiet
    assert "stored in" in quiet
    brief = json.loads(run(*arguments, "--quiet", "--json").stdout)
    assert (brief["steps"], brief["asked"], brief["spans"]) == ([], [], 2)


def test_several_workers_keep_the_order(run: Run, fakes: object, data: Path) -> None:
    report = json.loads(run("demo", "--data", data, "--workers", "3", "--json").stdout)
    assert [step["span_index"] for step in report["steps"]] == [0, 1]
    assert [asked["question"] for asked in report["asked"]] == [
        "Which cat has Ann?",
        "Where did Ann move to?",
        "What changed for Ann?",
        "Is Ann happy?",
    ]


def test_a_question_that_is_not_answered_is_in_no_mean(
    run: Run, fakes: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_once(messages: list[Any], *_: Any, **__: Any) -> Any:
        if "Which cat has Ann?" in messages[-1].text:
            raise ConnectionError("the endpoint is down")
        return answer(messages)

    answer = fakes._generate
    monkeypatch.setattr(type(fakes), "_generate", lambda _, *args, **kw: fail_once(*args, **kw))
    report = json.loads(run("demo", "--data", data, "--json").stdout)
    first = report["asked"][0]
    assert (first["answer"], first["f1"], first["evidence_recall"]) == (None, None, None)
    assert "the endpoint is down" in first["problem"]
    assert (report["answers"], report["unanswered"]) == (3, 1)
    assert report["scores"][-2]["f1"] == pytest.approx(2 / 5)


def test_when_nothing_could_be_remembered(run: Run, fakes: Any, data: Path) -> None:
    fakes.reply = "gibberish"
    failed = run("demo", "--data", data)
    assert failed.exit_code == 1
    assert "memskill retry --folder memskill-demo --user a" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "missing.json"], "cannot read the data file missing.json"),
        (["--data", "data.json", "--conversation", "c"], "no conversation 'c'; it holds a, b"),
        (["--conversation", "c"], "the sample holds no conversation 'c'"),
        (["--data", "latin.json"], "latin.json is not UTF-8: byte 0xe9 at offset 3"),
    ],
)
def test_bad_input(run: Run, data: Path, arguments: list[str], words: str) -> None:
    Path("latin.json").write_bytes(b"caf\xe9")
    failed = run("demo", *arguments)
    assert failed.exit_code == 1
    assert words in failed.stderr
    assert not Path("memskill-demo").exists()


def test_a_plan_of_the_first_sessions_asks_about_these_only(data: Path) -> None:
    plan = make_plan(data, None, num_sessions=1)
    assert [session.id for session in plan.sample.sessions] == ["session_1"]
    assert [question.text for question in plan.questions] == ["Which cat has Ann?"]
    assert len(plan.spans) == 1
    assert len(make_plan(data, None, num_questions=0).questions) == 0
    assert len(make_plan(data, "a", mode=SpanMode.TURN).spans) == 4


def test_a_plan_without_turns(data: Path) -> None:
    empty = conversation("a")
    empty["conversation"] = {"session_1": []}
    data.write_text(json.dumps([empty]), encoding="utf-8")
    with pytest.raises(ConfigError, match="'a' has no turns"):
        make_plan(data, None)


def test_scores_of_no_questions() -> None:
    [overall] = score_categories([])
    assert (overall.questions, overall.f1, overall.evidence_recall) == (0, None, None)


def asked(category: str, f1: float | None) -> AskedQuestion:
    return AskedQuestion(
        question="?",
        category=category,
        gold=(),
        answer=None,
        problem=None,
        f1=f1,
        evidence=(),
        evidence_recall=None,
        memories=(),
    )


def test_scores_leave_out_what_has_none() -> None:
    rows = score_categories([asked("b", 1.0), asked("a", None), asked("b", 0.5)])
    assert [(row.category, row.questions, row.f1) for row in rows] == [
        ("a", 1, None),
        ("b", 2, 0.75),
        ("overall", 3, 0.75),
    ]
