"""The pool of hard cases: counting, window, size, files, crashes and several writers."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.errors import ConfigError, EvolutionError
from langgraph_memskill.evolution.pool import HardCasePool
from langgraph_memskill.evolution.records import CaseMemory, HardCase

CASE = HardCase(id="q", question="Where is the key?", expected="here", prediction="there")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "evolution" / "cases.db"


@pytest.fixture
def pool(file: Path) -> Iterator[HardCasePool]:
    opened = HardCasePool(file)
    yield opened
    opened.close()


def ids(pool: HardCasePool) -> list[str]:
    return [case.id for case in pool.cases()]


def test_a_repeat_counts_and_refreshes(pool: HardCasePool) -> None:
    pool.add(CASE)
    repeated = pool.add(replace(CASE, prediction="nowhere", score=0.3, epoch=2))
    assert (repeated.fail_count, repeated.prediction, repeated.score) == (2, "nowhere", 0.3)
    assert pool.cases() == [repeated]


def test_a_repeat_from_an_earlier_epoch_only_counts(pool: HardCasePool) -> None:
    pool.add(replace(CASE, epoch=5))
    repeated = pool.add(replace(CASE, epoch=3, prediction="long ago"))
    assert (repeated.fail_count, repeated.prediction, repeated.epoch) == (2, "there", 5)


def test_a_question_without_id_is_known_by_its_words(pool: HardCasePool) -> None:
    pool.add(replace(CASE, id=""))
    pool.add(replace(CASE, id="", question=" where is the KEY? "))
    assert [case.fail_count for case in pool.cases()] == [2]


def test_what_is_older_than_the_window_goes() -> None:
    pool = HardCasePool(window_epochs=2)
    pool.add_all([replace(CASE, id=str(n), epoch=n) for n in range(3)])
    pool.move_on(4)
    assert ids(pool) == ["2"]
    pool.move_on(1)
    assert pool.epoch == 4


def test_a_full_pool_loses_the_least_important() -> None:
    pool = HardCasePool(size=2)
    pool.add_all([replace(CASE, id=f"{score}", score=score) for score in (0.1, 0.4, 0.0)])
    assert ids(pool) == ["0.1", "0.0"]


def test_an_answered_question_leaves(pool: HardCasePool) -> None:
    pool.add(CASE)
    assert pool.resolve(["unknown", "q"]) == 1
    assert len(pool) == 0


def test_all_or_none_of_several_are_added(pool: HardCasePool) -> None:
    with pytest.raises(ConfigError, match="needs a question"):
        pool.add_all([CASE, replace(CASE, id="", question=" ")])
    assert pool.cases() == []


def test_looking_at_a_pool_makes_no_file(pool: HardCasePool, file: Path) -> None:
    assert (pool.cases(), len(pool), pool.epoch, pool.resolve(["q"])) == ([], 0, 0, 0)
    pool.clear()
    assert not file.parent.exists()


def test_another_process_reads_what_was_added(pool: HardCasePool, file: Path) -> None:
    pool.add(CASE)
    assert HardCasePool(file).cases() == pool.cases()


def test_several_writers_lose_no_failure(file: Path) -> None:
    pools = [HardCasePool(file) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: pools[n % 4].add(CASE), range(40)))
    assert [case.fail_count for case in pools[0].cases()] == [40]


WITHOUT_END = """
import sys
from langgraph_memskill.evolution.pool import HardCasePool
from langgraph_memskill.evolution.records import HardCase

pool = HardCasePool(sys.argv[1])
while True:
    pool.add_all([HardCase(id=str(n), question="Who?", expected="I") for n in range(50)])
    print(flush=True)
"""


def test_a_killed_writer_leaves_whole_cases(file: Path) -> None:
    HardCasePool(file).add(CASE)
    command = [sys.executable, "-c", WITHOUT_END, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(10):
            assert process.stdout.readline(), "the writer ended by itself"
        process.kill()
    counts = {case.id: case.fail_count for case in HardCasePool(file).cases()}
    assert counts.pop("q") == 1
    assert min(counts.values()) >= 10
    assert len(set(counts.values())) == 1, "a batch is there for all of its cases or for none"


def test_a_checkpoint_brings_everything_back() -> None:
    pool, other = HardCasePool(), HardCasePool()
    pool.add_all([CASE, replace(CASE, id="r", epoch=7)])
    other.add(replace(CASE, id="gone"))
    other.restore(pool.to_json())
    assert (other.cases(), other.epoch) == (pool.cases(), 7)


@pytest.mark.parametrize("broken", [{}, {"epoch": 1, "cases": [{"id": 3}]}, {"epoch": "x"}])
def test_a_broken_checkpoint_changes_nothing(broken: dict[str, object]) -> None:
    pool = HardCasePool()
    pool.add(CASE)
    with pytest.raises(EvolutionError, match="no saved pool"):
        pool.restore(broken)  # type: ignore[arg-type]  # that is the point
    assert len(pool) == 1


def test_a_removed_text_is_gone_from_the_file(pool: HardCasePool, file: Path) -> None:
    pool.add(replace(CASE, memories=(CaseMemory(id="m", content="xylophone"),)))
    pool.rewrite(lambda case: replace(case, memories=()))
    pool.close()
    assert not any(b"xylophone" in path.read_bytes() for path in file.parent.iterdir())
    assert HardCasePool(file).cases()[0].memories == ()


def test_an_answered_question_is_kept_with_its_answer(pool: HardCasePool) -> None:
    pool.add(CASE)
    pool.answer(replace(CASE, expected=None, score=1.0))
    assert pool.cases() == []
    assert [(kept.question, kept.expected) for kept in pool.answered()] == [
        ("Where is the key?", "here")
    ]


def test_a_question_without_a_known_answer_is_not_kept(pool: HardCasePool, file: Path) -> None:
    pool.answer(replace(CASE, expected=None))
    assert pool.answered() == []
    assert not file.exists()


def test_an_answered_question_that_fails_again_is_a_case(pool: HardCasePool) -> None:
    pool.answer(CASE)
    pool.add(replace(CASE, expected=None))
    assert [case.expected for case in pool.cases()] == ["here"]
    assert pool.answered() == []


def test_only_the_latest_answered_questions_are_kept() -> None:
    pool = HardCasePool(answered_size=2)
    for name in ("a", "b", "a", "c"):
        pool.answer(replace(CASE, id=name))
    assert [kept.id for kept in pool.answered()] == ["a", "c"]


def test_answered_questions_are_rewritten_and_saved_too(pool: HardCasePool, file: Path) -> None:
    other = HardCasePool()
    pool.answer(replace(CASE, question="Where is the xylophone?"))
    other.restore(pool.to_json())
    assert other.answered() == pool.answered() != []
    assert pool.rewrite(lambda case: None) == 1
    pool.close()
    assert not any(b"xylophone" in path.read_bytes() for path in file.parent.iterdir())


def test_a_file_of_the_first_format_is_brought_up_to_date(pool: HardCasePool, file: Path) -> None:
    pool.add(CASE)
    pool.close()
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE answered")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    reopened = HardCasePool(file)
    assert [case.id for case in reopened.cases()] == ["q"]
    assert reopened.answered() == []
    reopened.close()


def test_a_newer_file_is_not_touched(pool: HardCasePool, file: Path) -> None:
    pool.add(CASE)
    pool.close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EvolutionError, match="format version 99"):
        HardCasePool(file).cases()


def test_a_file_that_is_no_database(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(EvolutionError, match="cannot be"):
        HardCasePool(file).add(CASE)


@pytest.mark.parametrize("wrong", [{"size": -1}, {"window_epochs": True}], ids=str)
def test_limits_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HardCasePool(**wrong)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9), st.floats(0, 1)), max_size=30),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_limits_hold_whatever_comes(
    failures: list[tuple[str, int, float]], size: int, window: int
) -> None:
    pool = HardCasePool(size=size, window_epochs=window)
    for name, epoch, score in failures:
        pool.add(HardCase(id=name, question=name, epoch=epoch, score=score))
    cases = pool.cases()
    assert len(cases) <= size
    assert pool.epoch == max((epoch for _, epoch, _ in failures), default=0)
    assert all(case.epoch >= pool.epoch - window for case in cases)
    assert sum(case.fail_count for case in cases) <= len(failures)
    pool.close()
