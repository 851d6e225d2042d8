from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from langgraph_memskill.errors import TraceError
from langgraph_memskill.testing.traces import make_bank, make_episode, make_step
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.files import write_table
from langgraph_memskill.traces.merging import merge_traces
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import BankTrace
from langgraph_memskill.traces.schema import TraceKind
from langgraph_memskill.traces.writer import TraceWriter


def record(folder: Path, *names: str) -> None:
    with TraceWriter(folder) as writer:
        writer.add_bank(make_bank())
        for name in names:
            writer.add_steps([make_step(name, 0), make_step(name, 1)])
            writer.add_episode(make_episode(name, reward=1.0, source="f1"))


def episode_ids(folder: Path) -> list[str]:
    return sorted(episode.id for episode in read_recorded(TraceReader(folder)))


def num_files(folder: Path, kind: str = "steps") -> int:
    return len(list((folder / kind).iterdir()))


def test_two_folders_become_one_with_few_files(tmp_path: Path) -> None:
    record(tmp_path / "a", "a1", "a2", "a3")
    record(tmp_path / "b", "b1")
    report = merge_traces([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert (report.files, report.steps, report.episode_rows, report.banks) == (8, 8, 4, 1)
    assert episode_ids(tmp_path / "all") == ["a1", "a2", "a3", "b1"]
    assert num_files(tmp_path / "all") == 2
    assert num_files(tmp_path / "a") == 3


def test_a_second_merge_takes_only_what_is_new(tmp_path: Path) -> None:
    record(tmp_path / "a", "a1")
    merge_traces([tmp_path / "a"], tmp_path / "all")
    record(tmp_path / "a", "a2")
    report = merge_traces([tmp_path / "a"], tmp_path / "all")
    assert (report.steps, report.known, report.banks) == (2, 2, 0)
    assert TraceReader(tmp_path / "all").num_steps == 4


def test_rows_of_many_files_share_a_row_group(tmp_path: Path) -> None:
    record(tmp_path, *"abcdef")
    merge_traces([tmp_path], tmp_path)
    (path,) = (tmp_path / "steps").iterdir()
    assert pq.ParquetFile(path).num_row_groups == 1


def test_a_folder_can_be_merged_into_itself(tmp_path: Path) -> None:
    record(tmp_path, "a", "b", "c")
    merge_traces([tmp_path], tmp_path)
    assert (num_files(tmp_path), num_files(tmp_path, "episodes")) == (1, 1)
    assert episode_ids(tmp_path) == ["a", "b", "c"]


def test_a_folder_that_holds_a_copy_of_a_merged_one_is_not_doubled(tmp_path: Path) -> None:
    record(tmp_path / "a", "a1", "a2")
    merge_traces([tmp_path / "a"], tmp_path / "b")
    merge_traces([tmp_path / "a", tmp_path / "b"], tmp_path / "b")
    assert TraceReader(tmp_path / "b").num_steps == 4


def test_leftovers_of_a_killed_merge_are_removed(tmp_path: Path) -> None:
    record(tmp_path, "a")
    (source,) = (tmp_path / "steps").iterdir()
    joined = source.with_name("99-joined.parquet")
    write_table(joined, TraceKind.STEPS, pq.read_table(source), contains=[source.name])
    merge_traces([tmp_path], tmp_path)
    assert num_files(tmp_path) == 1
    assert TraceReader(tmp_path).num_steps == 2


def test_names_outside_of_the_folder_are_never_removed(tmp_path: Path) -> None:
    record(tmp_path / "a", "a")
    outside = tmp_path / "a" / "kept.parquet"
    outside.write_text("mine")
    (source,) = (tmp_path / "a" / "steps").iterdir()
    table = pq.read_table(source)
    write_table(source, TraceKind.STEPS, table, contains=["../kept.parquet"])
    merge_traces([tmp_path / "a"], tmp_path / "a")
    assert outside.read_text() == "mine"


def test_a_damaged_file_is_left_out_and_counted(tmp_path: Path) -> None:
    record(tmp_path / "a", "a1", "a2")
    damaged = sorted((tmp_path / "a" / "steps").iterdir())[0]
    content = bytearray(damaged.read_bytes())
    group = pq.ParquetFile(damaged).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    start = columns["state.list.element"].data_page_offset
    content[start : start + 30] = bytes(30)
    damaged.write_bytes(content)
    report = merge_traces([tmp_path / "a"], tmp_path / "all")
    assert [entry.examples for entry in report.skipped] == [(damaged.name,)]
    assert episode_ids(tmp_path / "all") == ["a2"]


def test_two_banks_of_one_version_with_other_embeddings_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "a", "a1")
    bank = make_bank()
    other = BankTrace(
        version=bank.version, encoder="words", skills=bank.skills, embeddings=np.ones((3, 2), "f4")
    )
    with TraceWriter(tmp_path / "b") as writer:
        writer.add_bank(other)
    with pytest.raises(TraceError, match="different embeddings"):
        merge_traces([tmp_path / "b"], tmp_path / "a")


def test_nothing_to_merge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="nothing to merge"):
        merge_traces([], tmp_path)
