"""What is written comes back; what cannot be read is counted."""

import json
import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.errors import ConfigError, TraceError
from langgraph_memskill.records import ActionType
from langgraph_memskill.testing.traces import START, make_bank, make_episode, make_step
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.files import METADATA_KEY, write_table
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import ActionStatus, BiasTrace
from langgraph_memskill.traces.schema import TraceKind, read_steps, steps_table
from langgraph_memskill.traces.writer import TraceWriter


def only_file(folder: Path, kind: str = "steps") -> Path:
    (path,) = (folder / kind).iterdir()
    return path


def reasons(reader: TraceReader) -> list[tuple[str, str, int]]:
    return [(entry.what, entry.reason, entry.count) for entry in reader.skipped]


def write(folder: Path, *episodes: str, steps: int = 2) -> None:
    with TraceWriter(folder) as writer:
        writer.add_bank(make_bank())
        for name in episodes:
            writer.add_steps([make_step(name, step) for step in range(steps)])
            writer.add_episode(make_episode(name, reward=0.5, source="f1"))


def test_every_field_of_a_step_comes_back(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step("e", 1)])
    (step,) = TraceReader(tmp_path).steps()
    assert (step.run_id, step.thread_id, step.episode_id, step.span_id) == ("run", "t1", "e", "e/1")
    assert step.state.dtype == np.float32
    assert step.state.tolist() == [0.5, 0.25, -1.0, 1.0]
    assert step.probabilities.tolist() == [0.25, 0.25, 0.5]
    assert step.chosen == (2, 0)
    assert step.log_prob == pytest.approx(math.log(0.25))
    assert step.bias == BiasTrace(p_min=0.3, delta_max=3.75, scale=0.5, new_skills=(1,))
    assert [action.type for action in step.actions] == [ActionType.INSERT, ActionType.DELETE]
    assert step.actions[1].status is ActionStatus.REJECTED
    assert step.stored_at == START + timedelta(seconds=1, milliseconds=500)
    assert (step.span_text, step.failure, step.actions[0].content) == (None, None, None)
    assert (step.sampled, step.value, step.process_reward) == (True, 0.125, 0.05)


def test_what_was_not_known_comes_back_as_none(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step(value=None, bias=None, thread_id=None, actions=())])
    (step,) = TraceReader(tmp_path).steps()
    assert (step.value, step.bias, step.thread_id, step.actions) == (None, None, None, ())


@given(
    states=st.lists(
        st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5), max_size=6
    ),
    start=st.integers(0, 5),
)
def test_vectors_of_any_widths_survive_slicing(states: list[list[float]], start: int) -> None:
    steps = [make_step(step=n, state=np.array(s, np.float32)) for n, s in enumerate(states)]
    table = steps_table(steps).slice(start).combine_chunks()
    read = [step for batch in table.to_batches() for step in read_steps(batch)]
    assert [step.state.tolist() for step in read] == states[start:]


def test_a_bank_version_is_stored_once_for_all_its_steps(tmp_path: Path) -> None:
    for _ in range(2):
        with TraceWriter(tmp_path) as writer:
            writer.add_bank(make_bank())
            writer.add_steps([make_step()])
    bank = TraceReader(tmp_path).banks()["bank-1", "words"]
    assert [skill.name for skill in bank.skills] == ["delete", "insert", "update"]
    assert bank.embeddings.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert only_file(tmp_path, "banks").name.startswith("bank-1-")


def test_many_flushes_become_few_files_and_no_row_is_lost_or_doubled(tmp_path: Path) -> None:
    with TraceWriter(tmp_path, join_after=4) as writer:
        for n in range(10):
            writer.add_steps([make_step(f"e{n}")])
            writer.flush()
    assert len(list((tmp_path / "steps").iterdir())) == 4
    found = [step.episode_id for step in TraceReader(tmp_path).steps()]
    assert sorted(found) == [f"e{n}" for n in range(10)]


def test_files_that_a_joined_file_contains_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "e1")
    source = only_file(tmp_path)
    joined = source.with_name("99-joined.parquet")
    write_table(joined, TraceKind.STEPS, pq.read_table(source), contains=[source.name])
    assert TraceReader(tmp_path).num_steps == 2


def test_a_value_that_does_not_fit_is_refused_and_stands_in_nobodys_way(tmp_path: Path) -> None:
    with TraceWriter(tmp_path) as writer:
        with pytest.raises(TraceError, match="cannot be written"):
            writer.add_steps([make_step(calls="many")])
        writer.add_steps([make_step()])
    assert TraceReader(tmp_path).num_steps == 1


def test_rows_wait_while_the_folder_cannot_be_written(tmp_path: Path) -> None:
    target = tmp_path / "traces"
    target.write_text("a file in the way")
    writer = TraceWriter(target)
    writer.add_steps([make_step()])
    with pytest.raises(TraceError, match="cannot be written"):
        writer.flush()
    target.unlink()
    writer.close()
    assert TraceReader(target).num_steps == 1
    assert writer.dropped == 0


@pytest.mark.parametrize("options", [{"flush_rows": 0}, {"join_after": 1}])
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least"):
        TraceWriter(tmp_path, **options)


def test_batches_hold_only_the_asked_columns_and_rows(tmp_path: Path) -> None:
    write(tmp_path, "e1", "e2")
    batches = list(TraceReader(tmp_path, batch_rows=1).step_batches(["step", "log_prob"]))
    assert [batch.num_rows for batch in batches] == [1, 1, 1, 1]
    assert batches[0].schema.names == ["step", "log_prob"]


def test_an_unknown_column_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, "e1")
    with pytest.raises(TraceError, match="'reward'"):
        list(TraceReader(tmp_path).step_batches(["reward"]))


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_missing_folder_is_refused(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "traces"
    if exists:
        folder.mkdir()
    with pytest.raises(TraceError, match="there are no traces"):
        TraceReader(folder)


def test_a_folder_with_nothing_but_damage_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "x.parquet").write_bytes(b"PAR1 no footer")
    with pytest.raises(TraceError, match="truncated, or no Parquet file"):
        TraceReader(tmp_path)


def test_a_truncated_file_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    write(tmp_path, "e1")
    cut = only_file(tmp_path)
    cut.write_bytes(cut.read_bytes()[:-20])
    write(tmp_path, "e2")
    reader = TraceReader(tmp_path)
    assert [step.episode_id for step in reader.steps()] == ["e2", "e2"]
    assert reasons(reader) == [("file", "truncated, or no Parquet file", 1)]
    assert cut.name in str(reader.skipped[0])


def test_damage_behind_an_intact_footer_costs_only_the_episodes_in_it(tmp_path: Path) -> None:
    write(tmp_path, "e1", steps=50)
    damaged = only_file(tmp_path)
    content = bytearray(damaged.read_bytes())
    group = pq.ParquetFile(damaged).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    column = columns["state.list.element"]
    start = column.data_page_offset
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    damaged.write_bytes(content)
    write(tmp_path, "e2")
    reader = TraceReader(tmp_path)
    assert [episode.id for episode in read_recorded(reader)] == ["e2"]
    assert ("file", "damaged: not all of its rows can be read", 1) in reasons(reader)


def test_another_schema_version_is_counted_by_number(tmp_path: Path) -> None:
    write(tmp_path, "e1")
    path = only_file(tmp_path)
    about = json.dumps({"schema_version": 2, "kind": "steps"}).encode()
    table = pq.read_table(path).replace_schema_metadata({METADATA_KEY: about})
    pq.write_table(table, path)
    reader = TraceReader(tmp_path)
    assert list(reader.steps()) == []
    assert "schema version 2, and this package reads version 1" in str(reader.skipped[0])


def test_a_parquet_file_of_another_program_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "e1")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "steps" / "other.parquet")
    reader = TraceReader(tmp_path)
    assert reasons(reader) == [("file", "not written by langgraph-memskill", 1)]
    assert reader.num_steps == 2


def test_columns_of_another_kind_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "e1")
    (tmp_path / "steps" / "x.parquet").write_bytes(only_file(tmp_path, "episodes").read_bytes())
    assert reasons(TraceReader(tmp_path)) == [("file", "its columns are not those of steps", 1)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"log_prob": math.nan}, "its log-probability is not a finite number of at most 0"),
        ({"log_prob": 0.5}, "its log-probability is not a finite number of at most 0"),
        ({"log_prob": -math.inf}, "its log-probability is not a finite number of at most 0"),
        ({"state": np.array([1, np.nan], np.float32)}, "its state is not an even number"),
        ({"state": np.zeros(3, np.float32)}, "its state is not an even number"),
        ({"state": np.zeros(0, np.float32)}, "its state is not an even number"),
        ({"chosen": (0, 3)}, "it chose a skill that was no candidate"),
        ({"chosen": (0, -1)}, "it chose a skill that was no candidate"),
        ({"chosen": (1, 1)}, "it chose no skill, or one twice"),
        ({"chosen": ()}, "it chose no skill, or one twice"),
        ({"probabilities": np.array([0.5, 0.1, 0.1], np.float32)}, "do not sum to 1"),
        ({"probabilities": np.array([1.5, -0.5, 0], np.float32)}, "are not finite numbers of"),
        ({"value": math.inf}, "its value or process reward is not a finite number"),
        ({"process_reward": math.nan}, "its value or process reward is not a finite number"),
    ],
)
def test_a_step_that_makes_no_sense_is_counted(
    tmp_path: Path, fields: dict[str, object], reason: str
) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step("e1", **fields), make_step("e2")])
    reader = TraceReader(tmp_path)
    assert [step.episode_id for step in reader.steps()] == ["e2"]
    (entry,) = reader.skipped
    assert (entry.what, entry.count) == ("row", 1)
    assert reason in entry.reason


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_reward_that_is_no_number_is_counted_and_no_reward(tmp_path: Path, reward: float) -> None:
    with TraceWriter(tmp_path) as writer:
        writer.add_steps([make_step(num_steps=1)])
        writer.add_episode(make_episode(reward=reward, source="f1"))
    reader = TraceReader(tmp_path)
    (episode,) = read_recorded(reader)
    assert episode.reward is None
    assert reasons(reader) == [("row", "its reward is not a finite number", 1)]


def test_a_bank_file_with_skills_out_of_order_is_no_bank(tmp_path: Path) -> None:
    write(tmp_path, "e1")
    path = only_file(tmp_path, "banks")
    write_table(path, TraceKind.BANKS, pq.read_table(path).take([2, 1, 0]))
    reader = TraceReader(tmp_path)
    assert reader.banks() == {}
    assert "sorted by name" in reader.skipped[0].reason


def test_importing_the_traces_does_not_import_pyarrow() -> None:
    import subprocess
    import sys

    modules = "reader, writer, episodes, summary, merging"
    program = (
        f"import sys; from langgraph_memskill.traces import {modules}; "
        "print([name for name in ('pyarrow', 'torch', 'chromadb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
