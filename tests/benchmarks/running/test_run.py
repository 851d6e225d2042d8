import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from langgraph_memskill.benchmarks.run_log import read_run_log, without_times
from langgraph_memskill.benchmarks.running import answering
from langgraph_memskill.benchmarks.running.prices import Price, PriceTable
from langgraph_memskill.benchmarks.running.workshop import LocalWorkshop
from langgraph_memskill.errors import BenchmarkError, ConfigError, ModelCallError
from tests.benchmarks.running.worlds import PLACES, Flaky, count_lines, data_file, make_run
from tests.conftest import ReadingModel

ROWS = ("none", "full", "rag", "random", "all", "similarity")


@pytest.fixture
def file(tmp_path):
    return data_file(tmp_path)


def played(tmp_path, run, name="run"):
    return run.run(tmp_path / name, tmp_path / "memories")


def row(log, name):
    return next(entry for entry in log.rows if entry.name == name)


def overall(log, name):
    return row(log, name).categories[-1]


def test_every_row_answers_every_question(tmp_path, file):
    log = played(tmp_path, make_run(file, ReadingModel(), rows=ROWS))
    assert [entry.name for entry in log.rows] == list(ROWS)
    assert {len(entry.items) for entry in log.rows} == {8}
    assert {overall(log, name).failed for name in ROWS} == {0}
    assert read_run_log(tmp_path / "run") == log


def test_skills_write_memories_that_answer(tmp_path, file):
    log = played(tmp_path, make_run(file, ReadingModel(), rows=("none", "similarity")))
    assert overall(log, "similarity").metrics["f1"].mean == 1.0
    assert overall(log, "similarity").metrics["evidence_recall@20"].mean == 1.0
    assert overall(log, "none").metrics["f1"].mean == 0.0


def test_an_item_names_what_it_recalled_and_where_that_is_from(tmp_path, file):
    log = played(tmp_path, make_run(file, ReadingModel(), rows=("similarity",)))
    item, build = row(log, "similarity").items[0], row(log, "similarity").builds[0]
    by_id = {memory.id: memory for memory in build.memories}
    best = by_id[item.recalled[0].memory_id]
    assert best.content == "Ann saw Oslo"
    assert best.evidence_ids == ("D1:1",)
    assert best.span_ids == ("0",)
    assert log.samples[0].spans[0].id == "0"
    assert "remember Ann saw Oslo" in log.samples[0].spans[0].text
    assert item.evidence == ("D1:1",)


def test_calls_and_tokens_are_counted_by_row(tmp_path, file):
    prices = PriceTable({"ReadingModel": Price(input=1.0, output=2.0)})
    log = played(tmp_path, make_run(file, ReadingModel(), prices=prices))
    building = row(log, "similarity").building
    assert building.usage.calls == 2 * len(PLACES)
    assert row(log, "rag").building.usage.calls == 0
    assert row(log, "rag").answering.usage.calls == 8
    expected = (building.usage.input_tokens + 2 * building.usage.output_tokens) / 1e6
    assert building.price == pytest.approx(expected)


def test_a_model_without_a_price_is_refused(file):
    with pytest.raises(ConfigError, match="price table has no model 'ReadingModel'"):
        make_run(file, ReadingModel(), prices=PriceTable({}))


def test_nothing_is_scored_as_retrieval_where_nothing_is_searched(tmp_path, file):
    log = played(tmp_path, make_run(file, ReadingModel(), rows=("none", "full")))
    assert overall(log, "full").metrics["mrr"].mean is None
    assert overall(log, "none").metrics["evidence_recall@20"].scored == 0


def test_recall_is_named_by_the_number_of_memories_that_were_retrieved(tmp_path, file):
    log = played(tmp_path, make_run(file, ReadingModel(), rows=("rag",), top_k=2))
    recalls = [name for name in log.metrics if "recall" in name]
    assert recalls == ["evidence_recall@2"]
    assert overall(log, "rag").metrics["evidence_recall@2"].scored == 8


def test_a_second_run_reads_no_span_again(tmp_path, file):
    played(tmp_path, make_run(file, ReadingModel()), "first")
    model = ReadingModel()
    log = played(tmp_path, make_run(file, model, max_failures=0.5), "second")
    assert len(model.prompts) == 16
    assert log.times.reused_builds == 2
    assert row(log, "similarity").building.usage.calls == 2 * len(PLACES)


def test_only_what_changed_is_built_again(tmp_path, file):
    played(tmp_path, make_run(file, ReadingModel(), rows=("similarity",)), "first")
    records = json.loads(file.read_text(encoding="utf-8"))
    records[1]["conversation"]["session_1"][1]["text"] = "Nice."
    file.write_text(json.dumps(records), encoding="utf-8")
    log = played(tmp_path, make_run(file, ReadingModel(), rows=("similarity",)), "second")
    assert log.times.reused_builds == 1


def test_another_seed_draws_other_skills(tmp_path, file):
    run = make_run(file, ReadingModel(), rows=("random",), seed=0)
    played(tmp_path, run, "first")
    other = make_run(file, ReadingModel(), rows=("random",), seed=1)
    assert played(tmp_path, other, "second").times.reused_builds == 0


@pytest.mark.parametrize("change", [{"skills_per_span": 3}, {"span_workers": 2}, {"product": True}])
def test_other_settings_build_other_memories(tmp_path, file, change):
    played(tmp_path, make_run(file, ReadingModel(), rows=("similarity",)), "first")
    run = make_run(file, ReadingModel(), rows=("similarity",), **change)
    assert played(tmp_path, run, "second").times.reused_builds == 0


def test_rebuild_does_not_look_at_what_is_kept(tmp_path, file):
    played(tmp_path, make_run(file, ReadingModel(), rows=("similarity",)), "first")
    run = make_run(file, ReadingModel(), rows=("similarity",), rebuild=True)
    assert played(tmp_path, run, "second").times.reused_builds == 0


def test_spans_in_merged_batches_write_the_same_facts(tmp_path, file):
    one = played(tmp_path, make_run(file, ReadingModel(), rows=("all",)), "one")
    four = played(tmp_path, make_run(file, ReadingModel(), rows=("all",), span_workers=4), "four")
    assert row(four, "all").builds[0].num_memories == row(one, "all").builds[0].num_memories == 4


def test_concurrency_changes_no_result(tmp_path, file):
    logs = []
    for number in (1, 8):
        run = make_run(file, ReadingModel(), rows=ROWS, concurrency=number)
        logs.append(run.run(tmp_path / f"run{number}", tmp_path / f"memories{number}"))
    assert without_times(logs[0]) == without_times(logs[1])


def test_another_run_in_the_folder_is_refused(tmp_path, file):
    played(tmp_path, make_run(file, ReadingModel(), top_k=3))
    with pytest.raises(ConfigError, match="holds another run"):
        played(tmp_path, make_run(file, ReadingModel(), top_k=4))


def test_an_endpoint_that_fails_a_third_of_its_calls_costs_no_question(tmp_path, file):
    log = played(tmp_path, make_run(file, Flaky(), concurrency=1))
    assert overall(log, "rag").failed == 0
    assert overall(log, "similarity").failed == 0
    assert row(log, "rag").answering.usage.calls > 8
    assert row(log, "similarity").builds[0].failed_spans == 0


class DownFor(ReadingModel):
    """Cannot be reached for questions about one place."""

    place: str

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if f"Who saw {self.place}?" in messages[-1].text:
            raise ConnectionError("the endpoint is down")
        return super()._generate(messages, stop, run_manager, **kwargs)


def test_a_question_that_fails_is_recorded_and_in_no_mean(tmp_path, file):
    run = make_run(file, DownFor(place="Rome"), rows=("rag",), attempts=2, max_failures=0.25)
    log = played(tmp_path, run)
    failed = [item for item in row(log, "rag").items if item.error is not None]
    assert [item.text for item in failed] == ["Who saw Rome?"] * 2
    assert failed[0].error == "ConnectionError: the endpoint is down"
    assert failed[0].answer is None
    assert failed[0].usage.calls == 2
    assert overall(log, "rag").failed == 2
    assert overall(log, "rag").metrics["f1"].scored == 6


def test_failed_questions_are_asked_again_when_the_run_goes_on(tmp_path, file):
    settings = {"rows": ("rag",), "attempts": 1, "max_failures": 0.25}
    played(tmp_path, make_run(file, DownFor(place="Rome"), **settings))
    # The same name, so that it is the same run.
    model = DownFor(place="nowhere")
    log = played(tmp_path, make_run(file, model, **settings))
    assert overall(log, "rag").failed == 0
    assert len(model.prompts) == 2
    assert log.times.resumed_items == 6
    # The calls that have failed stay counted.
    again = [item for item in row(log, "rag").items if item.text == "Who saw Rome?"]
    assert [item.usage.calls for item in again] == [2, 2]
    assert row(log, "rag").answering.usage.calls == 10


def test_what_a_question_has_cost_before_it_failed_stays_counted(tmp_path, file, monkeypatch):
    settings = {"rows": ("rag",), "attempts": 1, "max_failures": 1.0}

    def unreadable(reply, style):
        raise ValueError("an odd reply")

    with monkeypatch.context() as patched:
        patched.setattr(answering, "answer_text", unreadable)
        first = played(tmp_path, make_run(file, ReadingModel(), **settings))
    spent = row(first, "rag").answering.usage
    assert overall(first, "rag").failed == 8
    assert spent.calls == 8
    assert spent.input_tokens > 0
    log = played(tmp_path, make_run(file, ReadingModel(), **settings))
    assert overall(log, "rag").failed == 0
    assert row(log, "rag").answering.usage == spent + spent


def test_the_text_of_a_span_stands_once_in_the_log(tmp_path, file):
    log = played(tmp_path, make_run(file, ReadingModel(), rows=("full", "similarity")))
    written = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    for entry in written["rows"]:
        del entry["items"]  # the answers quote it
    assert json.dumps(written).count("Ann saw Kyoto\\nOK?") == 1
    shown = row(log, "full").builds[0].memories
    assert [(memory.content, memory.span_ids) for memory in shown[:2]] == [
        (None, ("0",)),
        (None, ("1",)),
    ]
    assert all(memory.content for memory in row(log, "similarity").builds[0].memories)


def test_too_many_failures_stop_the_run(tmp_path, file):
    run = make_run(file, DownFor(place="Rome"), rows=("rag",), attempts=1, max_failures=0.2)
    with pytest.raises(BenchmarkError, match=r"2 of 8 questions of the row 'rag' have failed"):
        played(tmp_path, run)
    assert not (tmp_path / "run" / "run.json").exists()


def test_spans_that_fail_count_too(tmp_path, file):
    reader = ReadingModel()
    run = make_run(
        file, ReadingModel(reply="Certainly!"), reader=reader, rows=("similarity",), attempts=1
    )
    with pytest.raises(BenchmarkError, match=r"^\d+ of \d+ spans of the row 'similarity' have"):
        played(tmp_path, run)


class Moody(ReadingModel):
    """Cannot be reached for spans about Rome, as long as it is in that mood."""

    is_down: bool

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if self.is_down and any("remember Ann saw Rome" in str(m.text) for m in messages):
            raise ConnectionError("the endpoint is down")
        return super()._generate(messages, stop, run_manager, **kwargs)


def test_spans_that_failed_in_a_broken_off_run_are_read_again(tmp_path, file):
    settings = {"rows": ("similarity",), "attempts": 1, "max_failures": 0.05}
    for _ in range(2):
        run = make_run(file, Moody(is_down=True), reader=ReadingModel(), **settings)
        with pytest.raises(BenchmarkError, match="spans"):
            played(tmp_path, run)
    log = played(tmp_path, make_run(file, Moody(is_down=False), reader=ReadingModel(), **settings))
    assert sum(build.failed_spans for build in row(log, "similarity").builds) == 0
    assert overall(log, "similarity").metrics["f1"].mean == 1.0


def test_a_server_that_is_down_is_not_called_an_unwritable_file(tmp_path, file, monkeypatch):
    async def refused(self, systems, materials):
        raise ConnectionRefusedError("the model's server is down")

    monkeypatch.setattr(LocalWorkshop, "start", refused)
    with pytest.raises(ConnectionRefusedError, match="server is down"):
        played(tmp_path, make_run(file, ReadingModel()))


def test_empty_answers_score_nothing_and_are_no_failures(tmp_path, file):
    run = make_run(file, ReadingModel(), reader=ReadingModel(reply=""), rows=("rag",))
    log = played(tmp_path, run)
    assert overall(log, "rag").failed == 0
    assert overall(log, "rag").metrics["f1"].mean == 0.0
    assert row(log, "rag").items[0].answer == ""


def test_a_judge_that_answers_prose_leaves_answers_unscored(tmp_path, file):
    judge = ReadingModel(reply="What a lovely question!")
    log = played(tmp_path, make_run(file, ReadingModel(), judge=judge, rows=("rag",), attempts=2))
    judged = overall(log, "rag").metrics["judge"]
    assert (judged.mean, judged.scored, judged.unscored) == (None, 0, 8)
    assert "cannot be read" in row(log, "rag").items[0].scores["judge"].problem
    assert row(log, "rag").scoring.usage.calls == 16
    assert overall(log, "rag").metrics["f1"].scored == 8


def test_a_judge_of_its_own_scores(tmp_path, file):
    judge = ReadingModel(reply='{"score": 0.5}')
    log = played(tmp_path, make_run(file, ReadingModel(), judge=judge, rows=("rag",)))
    assert overall(log, "rag").metrics["judge"].mean == 0.5
    assert row(log, "rag").total.usage.calls == 8


def test_an_encoder_that_fails_fails_the_items(tmp_path, file):
    run = make_run(file, ReadingModel(), rows=("similarity",), max_failures=1.0)

    async def broken(*args):
        raise ModelCallError("no encoder")

    run.systems[0].build = broken
    log = played(tmp_path, run)
    assert {item.error for item in row(log, "similarity").items} == {"ModelCallError: no encoder"}
    assert row(log, "similarity").builds[0].error == "ModelCallError: no encoder"


def test_progress_ends_where_it_was_to_end(tmp_path, file):
    run = make_run(file, ReadingModel(), rows=ROWS)
    seen = []
    run.run(tmp_path / "run", tmp_path / "memories", on_progress=seen.append)
    # Three rows read 8 spans, six rows ask 8 questions.
    assert run.num_steps == 72
    assert seen[-1].done == seen[-1].total == 72
    assert seen[-1].usage.calls == 72


CHILD = """
import sys
from pathlib import Path
from tests.benchmarks.running.worlds import Halting, make_run
file, out = map(Path, sys.argv[1:3])
model = Halting(pattern=sys.argv[3], num_lines=int(sys.argv[4]))
make_run(file, model, rows=("rag", "random", "similarity"), concurrency=2).run(
    out / "run", out / "memories"
)
"""


def child(file, out, pattern="", num_lines=0):
    """A run that halts, if a pattern is given, where a file of that name has so many lines."""
    code = ["-c", CHILD, str(file), str(out), str(pattern), str(num_lines)]
    root = Path(__file__).parents[3]
    return subprocess.Popen([sys.executable, *code], cwd=root, start_new_session=True)


def kill_at(file, out, pattern, num_lines):
    process = child(file, out, pattern, num_lines)
    while count_lines(pattern) < num_lines:
        assert process.poll() is None, "the run came to its end before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same_log(tmp_path, file):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert child(file, whole).wait() == 0

    journal = killed / "run" / "items.jsonl"
    # First while memories are built, then among the questions.
    kill_at(file, killed, killed / "memories" / "*.json", 0)
    kill_at(file, killed, journal, 12)
    assert not (killed / "run" / "run.json").exists()
    with journal.open("a", encoding="utf-8") as torn:
        torn.write('{"row": "rag", "item": {"id": "half a li')

    assert child(file, killed).wait() == 0
    resumed, expected = read_run_log(killed / "run"), read_run_log(whole / "run")
    assert without_times(resumed) == without_times(expected)
    assert resumed.times.resumed_items >= 11
    assert resumed.times.reused_builds >= 1
