import inspect
import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from langgraph_memskill.benchmarks import registry
from langgraph_memskill.benchmarks.registry import get_task, register
from langgraph_memskill.cli.bench import run as bench_run
from langgraph_memskill.cli.bench_alfworld import alfworld
from langgraph_memskill.evolution.files import EvolutionFiles
from tests.benchmarks.running.worlds import data_file, record
from tests.conftest import ReadingModel, WordEncoder


@pytest.fixture
def fixture_records():
    folder = Path(__file__).parents[1] / "fixtures"
    return lambda name: json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.fixture
def fake_models(monkeypatch):
    """The command line's models by their names, without keys or network."""
    asked = []

    def load(spec, *, key_variable="MEMSKILL_API_KEY", **options):
        asked.append((spec, key_variable))
        return ReadingModel(reply='{"score": 1}') if spec == "judge" else ReadingModel()

    monkeypatch.setattr("langgraph_memskill.models.load_model", load)
    monkeypatch.setattr("langgraph_memskill.embedding.load_encoder", lambda *_, **__: WordEncoder())
    return asked


def bench(run, file, *options):
    return run("bench", "locomo", "--data", file, "--split", "all", "--model", "m", *options)


def test_the_table_shows_tokens_and_calls_beside_quality(run, fake_models, tmp_path):
    result = bench(run, data_file(tmp_path), "--rows", "none,rag,similarity")
    assert result.exit_code == 0
    head = result.output.splitlines()[1]
    for column in ("f1", "calls to build", "tokens to build", "tokens a question"):
        assert column in head
    assert [line.split()[0] for line in result.output.splitlines()[2:5]] == ["no", "RAG", "skills"]


def test_the_table_names_the_depth_of_recall(run, fake_models, tmp_path):
    result = bench(run, data_file(tmp_path), "--rows", "rag", "--top-k", "2")
    assert "evidence_recall @2 " in result.output.splitlines()[1]


def test_json_names_the_folder_and_holds_the_summary(run, fake_models, tmp_path):
    result = bench(run, data_file(tmp_path), "--rows", "rag", "--out", "run", "--json")
    document = json.loads(result.stdout)
    assert document["folder"] == "run"
    assert document["rows"][0]["categories"][-1]["items"] == 8
    assert "items" not in document["rows"][0]
    log = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert log["id"] == document["id"]


def test_reader_and_judge_have_models_and_keys_of_their_own(run, fake_models, tmp_path):
    options = ("--rows", "rag", "--reader", "reader", "--judge", "judge", "--json")
    result = bench(run, data_file(tmp_path), *options)
    assert json.loads(result.stdout)["rows"][0]["categories"][-1]["metrics"]["judge"]["mean"] == 1.0
    assert fake_models == [
        ("m", "MEMSKILL_API_KEY"),
        ("reader", "MEMSKILL_READER_API_KEY"),
        ("judge", "MEMSKILL_JUDGE_API_KEY"),
    ]


def test_a_dry_run_calls_nothing_and_counts_the_calls(run, fake_models, tmp_path):
    options = ("--rows", "none,similarity", "--dry-run", "--json", "--judge", "judge")
    result = bench(run, data_file(tmp_path), *options)
    none, similarity = json.loads(result.stdout)["rows"]
    assert (none["spans"], none["questions"], none["judgements"]) == (0, 8, 8)
    assert (similarity["spans"], similarity["questions"]) == (8, 8)
    assert similarity["tokens"] > none["tokens"] > 0
    assert not (tmp_path / "bench-runs").exists()


def test_a_dry_run_knows_what_is_kept(run, fake_models, tmp_path):
    file = data_file(tmp_path)
    bench(run, file, "--rows", "similarity")
    result = bench(run, file, "--rows", "similarity", "--dry-run", "--json")
    row = json.loads(result.stdout)["rows"][0]
    assert (row["spans"], row["cached_spans"]) == (0, 8)


def test_a_dry_run_does_not_count_what_the_run_has_answered(run, fake_models, tmp_path):
    file = data_file(tmp_path)
    options = ("--rows", "none,similarity", "--limit", "3", "--judge", "judge", "--out", "run")
    before = json.loads(bench(run, file, *options, "--dry-run", "--json").stdout)["rows"]
    assert [(row["questions"], row["answered"]) for row in before] == [(3, 0), (3, 0)]
    bench(run, file, *options)
    result = bench(run, file, *options, "--dry-run", "--json")
    for row in json.loads(result.stdout)["rows"]:
        assert (row["questions"], row["judgements"], row["answered"]) == (0, 0, 3)
        assert (row["spans"], row["tokens"]) == (0, 0)
    shown = bench(run, file, *options, "--dry-run").output
    assert "What is done already is not counted: answers in run, spans in bench-runs" in shown
    other = bench(run, file, *options, "--dry-run", "--top-k", "2")
    assert other.exit_code == 1
    assert "run holds another run" in other.stderr


def test_a_dry_run_counts_failed_questions_as_open(run, fake_models, tmp_path, monkeypatch):
    file = data_file(tmp_path)
    options = ("--rows", "none", "--attempts", "1", "--max-failures", "1", "--out", "run")
    down = ReadingModel(failures=3)
    with monkeypatch.context() as patched:
        patched.setattr("langgraph_memskill.models.load_model", lambda *_, **__: down)
        bench(run, file, *options)
    [row] = json.loads(bench(run, file, *options, "--dry-run", "--json").stdout)["rows"]
    assert (row["questions"], row["answered"]) == (3, 5)


def pooled(folder):
    with closing(EvolutionFiles(folder / "evolution")) as files:
        return {case.id: case.fail_count for case in files.pool.cases()}


def test_bad_answers_become_hard_cases_of_a_memory_folder(
    run, fake_models, prepared, tmp_path, monkeypatch
):
    folder = shutil.copytree(prepared, tmp_path / "own")
    file = data_file(tmp_path, ("Ann",))
    options = ("--rows", "rag,similarity", "--hard-cases", folder, "--out", "run")
    with monkeypatch.context() as patched:
        nobody = ReadingModel(reply="nobody")
        patched.setattr("langgraph_memskill.models.load_model", lambda *_, **__: nobody)
        result = bench(run, file, *options, "--max-failures", "1")
        assert result.exit_code == 0, result.output
        assert "4 hard cases of the row similarity in" in result.output
        cases = {f"locomo:{file.stem}:Ann/q{number}": 1 for number in range(4)}
        assert pooled(folder) == cases
        # The same run once more is no further failure.
        bench(run, file, *options, "--max-failures", "1")
        assert pooled(folder) == cases
    better = bench(run, file, *options[:-1], "better", "--skills-per-span", "4", "--json")
    assert json.loads(better.stdout)["hard_cases"] == {
        "row": "similarity",
        "failed": 0,
        "resolved": 4,
    }
    assert pooled(folder) == {}


def test_hard_cases_need_a_memory_and_a_row_with_skills(run, fake_models, prepared, tmp_path):
    file = data_file(tmp_path)
    nowhere = bench(run, file, "--rows", "similarity", "--hard-cases", "nope", "--out", "run")
    assert "there is no memory in the folder 'nope'" in nowhere.stderr
    no_row = bench(run, file, "--rows", "none,rag", "--hard-cases", prepared, "--out", "run")
    assert "no row of none, rag writes memories with skills" in no_row.stderr
    assert not Path("run").exists()


def test_a_limit_leaves_out_samples_without_a_question(run, fake_models, tmp_path):
    result = bench(run, data_file(tmp_path), "--rows", "rag", "--limit", "3", "--json")
    document = json.loads(result.stdout)
    assert document["data"]["samples"] == ["Ann"]
    assert document["rows"][0]["categories"][-1]["items"] == 3


def test_options_of_ray_are_refused_without_it(run, fake_models, tmp_path):
    result = bench(run, data_file(tmp_path), "--ray-address", "head:6379")
    assert result.exit_code == 1
    assert "--ray-address and --ray-workers are for --executor ray" in result.stderr


def test_one_sample_can_be_named(run, fake_models, tmp_path):
    result = bench(run, data_file(tmp_path), "--rows", "rag", "--sample", "Eve", "--json")
    assert json.loads(result.stdout)["data"]["samples"] == ["Eve"]


def test_any_task_can_be_named_by_its_place(run, fake_models, tmp_path):
    place = "langgraph_memskill.benchmarks.locomo_task:TASK"
    options = ("--split", "all", "--model", "m", "--rows", "none", "--json")
    result = run("bench", "task", place, "--data", data_file(tmp_path), *options)
    assert json.loads(result.stdout)["data"]["task"] == "locomo"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--rows", "none,chess"), "there is no row 'chess'; there are none, full"),
        (("--rows", "controller"), "needs the folder of a trained controller"),
        (("--sample", "Bob"), "has no sample 'Bob'; it has Ann, Eve"),
        (("--span-mode", "paragraph"), "cannot be cut by"),
        (("--span-mode", "page"), "--span-mode 'page' is unknown"),
        (("--split", "rest"), "must be one of train, val, test, all"),
        (("--split", "test"), "has no test split (samples: train 2): choose another --split"),
        (("--prices", "none.json"), "price table none.json cannot be read"),
    ],
)
def test_wrong_options_get_one_line(run, fake_models, tmp_path, options, problem):
    result = bench(run, data_file(tmp_path), *options)
    assert result.exit_code == 1
    assert problem in result.stderr
    assert not (tmp_path / "bench-runs").exists()


def broken(change):
    def text():
        records = [record("Ann"), record("Eve")]
        change(records)
        return json.dumps(records)

    return text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: json.dumps([record("Ann")])[:-9], "is the file truncated?"),
        (lambda: json.dumps([record("Ann")])[:-9], "memskill data check data.json tells all"),
        (lambda: json.dumps({"a": 1}), "expected a list of records"),
        (lambda: '[{"context": "", "input": "?"}]', "the field 'sample_id' is missing"),
        (lambda: '[{"context": "", "input": "?"}]', "looks like hotpotqa, not locomo"),
        (broken(lambda r: r[0]["qa"][1].update(category="x")), "question 1: the category 'x' is"),
        (broken(lambda r: r[1].pop("qa")), "record 1: the field 'qa' is missing"),
        (broken(lambda r: r[1].update(sample_id="Ann")), "2 records have the id 'Ann'"),
        (broken(lambda r: r[0]["qa"][0].update(category=9)), "the category 9 is unknown"),
    ],
    ids=[
        *("truncated", "advice", "no list", "hotpotqa", "another", "unreadable category"),
        *("no questions", "ids twice", "category"),
    ],
)
def test_a_wrong_file_gets_one_line_with_the_place(run, fake_models, tmp_path, content, problem):
    file = Path("data.json")
    file.write_text(content(), encoding="utf-8")
    result = bench(run, file)
    assert result.exit_code == 1
    assert problem in result.stderr


def test_a_folder_without_the_files_names_them(run, fake_models, tmp_path):
    result = bench(run, tmp_path)
    assert "holds none of the files of locomo (locomo10.json, locomo8.json)" in result.stderr


def test_a_file_that_is_not_there_says_where_data_come_from(run, fake_models):
    result = bench(run, "nope.json")
    assert result.exit_code == 1
    assert "there is no file or folder nope.json" in result.stderr
    assert "memskill data get locomo" in result.stderr


def test_without_data_the_folder_of_data_get_is_taken(run, fake_models, tmp_path):
    options = ("bench", "locomo", "--split", "all", "--model", "m", "--rows", "none", "--json")
    missing = run(*options)
    assert missing.exit_code == 1
    assert "there is no folder data/locomo" in missing.stderr
    assert "memskill data get locomo" in missing.stderr
    Path("data/locomo").mkdir(parents=True)
    data_file(tmp_path).rename("data/locomo/locomo10.json")
    assert json.loads(run(*options).stdout)["data"]["file"] == "locomo10.json"


def test_a_benchmark_without_a_data_set_is_not_said_to_be_fetchable(run, fake_models, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    register(replace(get_task("locomo"), name="diary"))
    result = run("bench", "task", "diary", "--model", "m")
    assert "there is no folder data/diary" in result.stderr
    assert "memskill data get" not in result.stderr


def test_hotpotqa_has_no_test_split(run, fake_models, fixture_records, tmp_path):
    file = tmp_path / "eval_50.json"
    file.write_text(json.dumps(fixture_records("hotpotqa.json")), encoding="utf-8")
    result = run("bench", "hotpotqa", "--data", file, "--split", "test", "--model", "m")
    assert result.exit_code == 1
    assert "has no test split (samples: train 2): choose another --split, or all" in result.stderr


def test_both_kinds_of_benchmarks_have_the_same_options():
    ours, games = (inspect.signature(one).parameters for one in (bench_run, alfworld))
    shared = ours.keys() & games.keys() - {
        "data",
        "split",
        "rows",
        "sample",
        "skills",
        "span_tokens",
    }
    assert {"controller", "top_k", "seed", "attempts", "max_failures", "out", "cache"} <= shared
    for name in shared:
        assert ours[name].annotation == games[name].annotation, name
        assert ours[name].default == games[name].default, name


def test_too_many_failures_exit_with_one_line(run, fake_models, tmp_path, monkeypatch):
    down = ReadingModel(failures=1000)
    monkeypatch.setattr("langgraph_memskill.models.load_model", lambda *_, **__: down)
    result = bench(run, data_file(tmp_path), "--rows", "rag", "--attempts", "1")
    assert result.exit_code == 1
    assert "questions of the row 'rag' have failed" in result.stderr
    assert "the endpoint is down" in result.stderr
