"""Every kind of broken file is told with its place and what to do."""

import json
from pathlib import Path

import pytest

from langgraph_memskill.benchmarks.checking import DataFormat, check_file, recognise
from langgraph_memskill.errors import DataError


def problems(path):
    """Place and text of what is wrong; every problem says what to do."""
    report = check_file(path)
    assert all(problem.advice for problem in report.problems)
    return [(problem.where, problem.what) for problem in report.problems]


def one_problem(path):
    [found] = check_file(path).problems
    assert found.advice
    return found


def qa(**fields):
    entry = {"question": "Q?", "answer": "A", "category": 4, "evidence": ["D1:1"]}
    return [{**entry, **fields}]


def test_a_whole_locomo_file(locomo_records, write_json):
    report = check_file(write_json(locomo_records))
    assert (report.format, report.problems, report.num_errors) == (DataFormat.LOCOMO, (), 0)
    assert (report.num_samples, report.num_sessions, report.num_turns) == (2, 2, 4)
    assert report.questions == {"temporal": 2}
    assert report.num_tokens > 10


def test_tokens_are_those_of_what_is_to_be_remembered(locomo_records, write_json):
    class Words:
        def split(self, text):
            return text.split()

    report = check_file(write_json(locomo_records), tokenizer=Words())
    assert report.num_tokens == 2 * (len(["I", "moved", "to", "Oslo", "yesterday."]) + 1)
    assert check_file(write_json(locomo_records), count_tokens=False).num_tokens is None


@pytest.mark.parametrize("name", ["longmemeval.json", "hotpotqa.json"])
def test_whole_files_of_the_others(fixture_records, write_json, name):
    report = check_file(write_json(fixture_records(name)))
    assert report.num_errors == 0, report.problems
    assert report.format == name.removesuffix(".json")
    assert report.num_samples == len(fixture_records(name))


@pytest.mark.parametrize(
    "name",
    [
        "locomo/locomo8.json",
        "longmemeval/longmemeval_s_cleaned.json",
        "longmemeval/longmemeval_s_splits.json",
        "hotpotqa/eval_50.json",
        "hotpotqa/eval_100.json",
        "hotpotqa/eval_200.json",
    ],
)
def test_the_real_files_pass(data_dir, name):
    assert check_file(data_dir / name, count_tokens=False).num_errors == 0


def test_a_truncated_file(locomo_records, tmp_path):
    text = json.dumps(locomo_records, indent=1)
    path = tmp_path / "cut.json"
    path.write_text(text[: len(text) // 2], encoding="utf-8")
    found = one_problem(path)
    assert "ends in the middle" in found.what
    assert found.where.startswith("line ")
    assert "memskill data get" in found.advice


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b"", "line 1, column 1", "is empty"),
        (b'[{"a": tru}]', "line 1, column 8", "no JSON: Expecting value at 'tru}]'"),
        (b'{"a": 1}\n{"a": 2}\n', "line 2, column 1", "several JSON documents"),
        (b"\xff\xfe[]", "file", "not UTF-8"),
    ],
)
def test_what_is_no_json(tmp_path, content, where, what):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    found = one_problem(path)
    assert found.where == where
    assert what in found.what


@pytest.mark.parametrize("content", [[], {}, "text", [1, 2], [{"role": "user", "content": "x"}]])
def test_another_format_is_told(write_json, content):
    report = check_file(write_json(content))
    assert report.format is None
    assert "none of the known formats" in report.problems[0].what
    assert "LoCoMo is a list" in report.problems[0].advice


def test_one_damaged_record_does_not_hide_the_format():
    assert recognise([{"sample_id": "x"}, {"conversation": {}, "qa": []}]) is DataFormat.LOCOMO


def test_all_missing_fields_are_told(locomo_records, write_json):
    del locomo_records[0]["qa"], locomo_records[1]["conversation"]
    found = problems(write_json(locomo_records))
    assert ("record 0", "the field 'qa' is missing") in found
    assert ("record 1", "the field 'conversation' is missing") in found


@pytest.mark.parametrize("field", ["answers", "num_docs", "index", "context", "input"])
def test_a_missing_field_is_told_once(fixture_records, write_json, field):
    records = fixture_records("hotpotqa.json")
    del records[1][field]
    errors = [p for p in check_file(write_json(records)).problems if p.is_error]
    assert [(p.where, p.what) for p in errors] == [("record 1", f"the field {field!r} is missing")]


def test_duplicate_ids(locomo_records, write_json):
    locomo_records[1]["sample_id"] = "one"
    [(where, what)] = problems(write_json(locomo_records))
    assert (where, what) == ("record 1", "the id 'one' is that of record 0, too")


def test_duplicate_turn_ids(locomo_records, write_json):
    locomo_records[0]["conversation"]["session_1"][1]["dia_id"] = "D1:1"
    [(where, what)] = problems(write_json(locomo_records))
    assert where == "record 0"
    assert "'D1:1' occurs twice" in what


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"category": 7}, "the category 7 is unknown; expected 1 to 5"),
        ({"category": 4.7}, "the category 4.7 is unknown"),
        ({"category": "foo"}, "the category 'foo' is unknown"),
        ({"answer": ""}, "the gold answer is empty"),
        ({"answer": "  "}, "the gold answer is empty"),
        ({"answer": None}, "'answer' is null"),
        ({"question": ""}, "the question is empty"),
        ({"question": 3}, "'question' is the number 3"),
        ({"evidence": ["D9:9"]}, "the evidence 'D9:9' names nothing"),
        ({"evidence": ["D1:1", None]}, "an id of the evidence is null or empty"),
    ],
)
def test_a_broken_question_is_told_with_its_number(locomo_records, write_json, fields, what):
    locomo_records[1]["qa"] = [*qa(), *qa(**fields)]
    found = one_problem(write_json(locomo_records))
    assert found.where == "record 1, question 1"
    assert what in found.what
    assert found.is_error == ("evidence" not in fields)


def test_a_session_without_a_date_is_told(locomo_records, write_json):
    del locomo_records[0]["conversation"]["session_1_date_time"]
    found = one_problem(write_json(locomo_records))
    assert (found.where, found.is_error) == ("record 0", False)
    assert "session_1 has no date" in found.what


@pytest.mark.parametrize(
    ("name", "field"), [("longmemeval.json", "question_type"), ("hotpotqa.json", "type")]
)
def test_an_unknown_kind_of_question_is_told(fixture_records, write_json, name, field):
    records = fixture_records(name)
    records[1][field] = "riddle"
    [found] = [p for p in check_file(write_json(records)).problems if "unknown" in p.what]
    assert (found.where, found.is_error) == ("record 1", False)
    assert found.what == f"the {field!r} 'riddle' is unknown"


def test_a_missing_answer_is_an_error_but_for_adversarial_questions(locomo_records, write_json):
    [entry] = qa(category=5)
    del entry["answer"]
    locomo_records[0]["qa"] = [entry, {**entry, "category": 1}]
    assert problems(write_json(locomo_records)) == [
        ("record 0, question 1", "the field 'answer' is missing")
    ]


def test_several_problems_of_one_file_are_all_told(locomo_records, write_json):
    locomo_records[0]["qa"] = [*qa(category=9), *qa(answer="")]
    locomo_records[1]["conversation"]["session_1"][0].pop("text")
    found = dict(problems(write_json(locomo_records)))
    assert set(found) == {
        "record 0, question 0",
        "record 0, question 1",
        "record 1",
    }
    assert "session_1, turn 1: the field 'text' is missing" in found["record 1"]


def test_a_longmemeval_record_with_lists_of_different_lengths(fixture_records, write_json):
    records = fixture_records("longmemeval.json")
    records[0]["haystack_dates"].pop()
    [(where, what)] = problems(write_json(records))
    assert where == "record 0"
    assert "different lengths: haystack_session_ids" in what


def test_evidence_that_is_in_no_session(fixture_records, write_json):
    records = fixture_records("longmemeval.json")
    records[0]["answer_session_ids"] = ["nowhere"]
    found = one_problem(write_json(records))
    assert "'nowhere'" in found.what
    assert not found.is_error


@pytest.mark.parametrize(
    ("name", "change", "where", "what"),
    [
        ("longmemeval.json", ("answer_session_ids", [None]), "record 0", "an id of the evidence"),
        ("longmemeval.json", ("question_id", None), "record 0", "the id 'question_id'"),
        ("hotpotqa.json", ("supporting_titles", [None]), "record 0", "an id of the evidence"),
        ("hotpotqa.json", ("supporting_titles", ["Nowhere"]), "record 0", "'Nowhere' names"),
        ("hotpotqa.json", ("index", None), "record 0", "the id 'index'"),
    ],
)
def test_ids_that_are_null_or_unknown(fixture_records, write_json, name, change, where, what):
    records = fixture_records(name)
    field, value = change
    records[0][field] = value
    found = one_problem(write_json(records))
    assert (found.where, found.is_error) == (where, False)
    assert what in found.what


def test_sessions_and_turns_without_an_id(fixture_records, locomo_records, write_json):
    records = fixture_records("longmemeval.json")
    records[0]["haystack_session_ids"][0] = None
    found = one_problem(write_json(records))
    assert (found.where, found.what) == ("record 0, session 0", "its id is null or empty")
    locomo_records[0]["conversation"]["session_1"][1]["dia_id"] = None
    found = one_problem(write_json(locomo_records))
    assert found.where == "record 0, session_1, turn 2"
    assert "'dia_id' is null or empty" in found.what


def test_a_context_that_is_cut_off(fixture_records, write_json):
    records = fixture_records("hotpotqa.json")
    records[0]["context"] = records[0]["context"][:60]
    found = problems(write_json(records))
    assert ("record 0", "num_docs is 4, and the context has 1 documents") in found


def test_a_record_that_is_no_object(fixture_records, write_json):
    records = [*fixture_records("hotpotqa.json"), None]
    assert problems(write_json(records))[-1] == ("record 2", "it is null")


def test_a_split_file(write_json):
    report = check_file(write_json({"train": [0, 2], "val": [1], "test": [3]}))
    assert (report.format, report.problems) == (DataFormat.SPLITS, ())
    assert report.splits == {"train": 2, "val": 1, "test": 1}


def test_a_broken_split_file(write_json):
    found = problems(write_json({"train": [0, -1, "x"], "test": [0]}))
    assert found == [
        ("train, entry 1", "-1 is no position"),
        ("train, entry 2", "'x' is no position"),
        ("val", "it is missing"),
        ("test, entry 0", "0 is in 'train' already"),
    ]


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        check_file(tmp_path / "none.json")


def test_checking_changes_nothing(locomo_records, write_json):
    path: Path = write_json(locomo_records)
    before = path.read_bytes()
    check_file(path)
    assert path.read_bytes() == before
