"""A run blocks the event loop nowhere: files, locks and intervals are in worker threads."""

import asyncio

import pytest
from blockbuster import BlockingError

from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.errors import ConfigError
from tests.benchmarks.running.worlds import data_file, make_run
from tests.blocking import nothing_blocks
from tests.conftest import ReadingModel

ROWS = ("none", "full", "rag", "random", "all", "similarity")


@pytest.mark.parametrize("settings", [{}, {"product": True}, {"context_tokens": 40}])
async def test_building_asking_and_writing(tmp_path, settings):
    judge = ReadingModel(reply='{"score": 1}')
    file = data_file(tmp_path)
    run = await asyncio.to_thread(
        make_run, file, ReadingModel(), judge=judge, rows=ROWS, **settings
    )
    with nothing_blocks():
        log = await run.arun(tmp_path / "run", tmp_path / "memories")
    assert {len(row.items) for row in log.rows} == {8}
    again = await asyncio.to_thread(
        make_run, file, ReadingModel(), judge=judge, rows=ROWS, **settings
    )
    with nothing_blocks():
        resumed = await again.arun(tmp_path / "run", tmp_path / "memories")
    assert resumed.times.resumed_items == 8 * len(ROWS)


async def test_the_guard_sees_a_run_that_blocks(tmp_path, monkeypatch):
    run = await asyncio.to_thread(make_run, data_file(tmp_path), ReadingModel(), rows=("none",))
    monkeypatch.setattr(asyncio, "to_thread", _in_the_loop)
    with nothing_blocks(), pytest.raises(BlockingError):
        await run.arun(tmp_path / "run", tmp_path / "memories")


async def _in_the_loop(function, *arguments):
    return function(*arguments)


async def test_a_second_process_is_refused_and_the_first_one_goes_on(tmp_path):
    async with Journal(tmp_path, "run").writing():
        with pytest.raises(ConfigError, match="another process is running"):
            async with Journal(tmp_path, "run").writing():
                pass
    async with Journal(tmp_path, "run").writing():
        pass
