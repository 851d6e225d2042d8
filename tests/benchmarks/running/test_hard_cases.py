"""Questions of a run that skills can learn from."""

import pytest

from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.benchmarks.running.hard_cases import row_of_cases, run_cases
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.evolution.records import CaseOrigin, FailureCause, Metric
from tests.benchmarks.running.worlds import data_file, make_run
from tests.conftest import ReadingModel


class Unsure(ReadingModel):
    """Knows nothing about one place."""

    place: str = "Rome"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if f"Who saw {self.place}?" in messages[-1].text:
            return ReadingModel(reply="nobody")._generate(messages)
        return super()._generate(messages, stop, run_manager, **kwargs)


def played(tmp_path, **parts):
    settings = {"rows": ("rag", "similarity")} | parts
    run = make_run(data_file(tmp_path), settings.pop("model", Unsure()), **settings)
    return run.run(tmp_path / "run", tmp_path / "memories"), BuildCache(tmp_path / "memories")


def test_what_was_answered_badly_is_a_case_with_its_diagnosis(tmp_path):
    log, cache = played(tmp_path)
    found = run_cases(log, "similarity", cache)
    assert [case.id for case in found.failed] == [
        "locomo:conversations:Ann/q1",
        "locomo:conversations:Eve/q1",
    ]
    assert len(found.answered) == 6
    case = found.failed[0]
    assert (case.question, case.expected, case.prediction) == (
        "Who saw Rome?",
        "Ann saw Rome",
        "nobody",
    )
    assert (case.metric, case.score, case.origin) == (Metric.F1, 0.0, CaseOrigin.BENCHMARK)
    assert (case.conversation, case.episode_id) == ("Ann", log.id)
    assert case.needed_sources == ("D2:1",)
    assert "Ann saw Rome" in [memory.content for memory in case.memories]
    assert case.diagnosis.cause is FailureCause.NOT_USED


def test_facts_that_no_memory_holds_were_never_stored(tmp_path):
    log, cache = played(tmp_path, top_k=1, reader=ReadingModel(reply="nobody"))
    [row] = [row for row in log.rows if row.name == "similarity"]
    for build in row.builds:
        kept = cache.load(build.key)
        cache.save(type(kept)(key=kept.key, num_spans=kept.num_spans, done=kept.done))
    causes = {case.diagnosis.cause for case in run_cases(log, "similarity", cache).failed}
    assert causes == {FailureCause.NEVER_STORED}


def test_without_the_memories_nothing_is_claimed(tmp_path):
    log, _ = played(tmp_path)
    found = run_cases(log, "similarity", BuildCache(tmp_path / "nowhere"))
    assert {case.diagnosis.cause for case in found.failed} == {FailureCause.UNKNOWN}
    assert "Ann saw Rome" in [memory.content for memory in found.failed[0].memories]


def test_a_judge_decides_where_there_is_one(tmp_path):
    judge = ReadingModel(reply='{"score": 0.5}')
    log, cache = played(tmp_path, model=ReadingModel(), judge=judge)
    found = run_cases(log, "similarity", cache)
    assert len(found.failed) == 8
    assert {(case.metric, case.score) for case in found.failed} == {(Metric.JUDGE, 0.5)}


def test_a_question_whose_call_failed_is_no_case(tmp_path):
    log, cache = played(tmp_path, reader=ReadingModel(failures=10**6), attempts=1, max_failures=1.0)
    found = run_cases(log, "similarity", cache)
    assert (found.failed, found.answered) == ((), frozenset())


def test_the_row_is_the_one_most_like_a_memory_in_use():
    assert row_of_cases(("none", "random", "similarity")) == "similarity"
    assert row_of_cases(("random", "controller", "similarity")) == "controller"
    with pytest.raises(ConfigError, match="no row of none, rag writes memories with skills"):
        row_of_cases(("none", "rag"))


def test_a_row_that_the_run_lacks_is_named(tmp_path):
    log, cache = played(tmp_path, rows=("rag",))
    with pytest.raises(ConfigError, match="has no row 'similarity'"):
        run_cases(log, "similarity", cache)
