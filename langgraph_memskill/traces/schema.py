"""The columns of trace files, schema version 1, and the way between them and the typed records.

Every file carries the key `memskill_traces` in its Parquet metadata: JSON with `schema_version` and
`kind` ("steps", "episodes" or "banks"), and in a file that was made from others `contains`, their
names. Columns are named after the fields of `rows`, which say what they mean.

```
steps      run_id, thread_id?, episode_id, span_id            string
           step, num_steps                                    int32
           span_hash, span_text?                              string
           bank_version, encoder, selector, controller_version, fusion   string
           tau                                                float64
           state                                              list<float32>  [2 D]
           chosen                                             list<int32>    [K]
           log_prob                                           float64
           probabilities                                      list<float32>  [N]
           sampled                                            bool
           value?                                             float64
           bias?           struct<p_min, delta_max, scale: float64, new_skills: list<int32>>
           actions         list<struct<type, status, memory_id?, change_id?, content_hash?,
                                       content?, reason?: string>>
           failure?, failure_text?                            string
           calls, input_tokens, output_tokens                 int32
           tokens_estimated                                   bool
           chosen_at, stored_at                               timestamp[us, UTC]
           extract_s?, process_reward?                        float64
episodes   episode_id, run_id                                 string
           at                                                 timestamp[us, UTC]
           thread_id?, source?                                string
           num_steps?                                         int32
           reward?                                            float64
banks      version, encoder, name, description, instructions, action_type   string
           embedding                                          list<float32>  [D]
```
A question mark marks what may be null. A new version of this package reads the files of older
schema versions; a file of a newer version is skipped and counted. Importing this module does not
import pyarrow.
"""

from collections.abc import Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from langgraph_memskill.records import ActionType
from langgraph_memskill.traces.rows import (
    ActionStatus,
    ActionTrace,
    BankTrace,
    BiasTrace,
    EpisodeTrace,
    Floats,
    SkillTrace,
    StepTrace,
)

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1


class TraceKind(StrEnum):
    """What a trace file holds; also the name of its folder."""

    STEPS = "steps"
    EPISODES = "episodes"
    BANKS = "banks"


@cache
def arrow_schema(kind: TraceKind) -> "pa.Schema":
    """The columns of a kind of file."""
    import pyarrow as pa

    text, real, count = pa.string(), pa.float64(), pa.int32()
    time, vector = pa.timestamp("us", tz="UTC"), pa.list_(pa.float32())

    def columns(names: str, of_type: "pa.DataType") -> "list[pa.Field]":
        return [
            pa.field(name.removesuffix("?"), of_type, nullable=name.endswith("?"))
            for name in names.split()
        ]

    if kind is TraceKind.EPISODES:
        return pa.schema(
            columns("episode_id run_id thread_id? source?", text)
            + columns("at", time)
            + columns("num_steps?", count)
            + columns("reward?", real)
        )
    if kind is TraceKind.BANKS:
        names = "version encoder name description instructions action_type"
        return pa.schema(columns(names, text) + columns("embedding", vector))
    bias = pa.struct(
        columns("p_min delta_max scale", real) + columns("new_skills", pa.list_(count))
    )
    optional = "memory_id? change_id? content_hash? content? reason?"
    action = pa.struct(columns(f"type status {optional}", text))
    return pa.schema(
        columns("run_id thread_id? episode_id span_id", text)
        + columns("step num_steps", count)
        + columns("span_hash span_text?", text)
        + columns("bank_version encoder selector controller_version fusion", text)
        + columns("tau", real)
        + columns("state", vector)
        + columns("chosen", pa.list_(count))
        + columns("log_prob", real)
        + columns("probabilities", vector)
        + columns("sampled", pa.bool_())
        + columns("value?", real)
        + columns("bias?", bias)
        + columns("actions", pa.list_(action))
        + columns("failure? failure_text?", text)
        + columns("calls input_tokens output_tokens", count)
        + columns("tokens_estimated", pa.bool_())
        + columns("chosen_at stored_at", time)
        + columns("extract_s? process_reward?", real)
    )


def steps_table(steps: Sequence[StepTrace]) -> "pa.Table":
    """Steps as a table."""
    import pyarrow as pa

    schema = arrow_schema(TraceKind.STEPS)
    columns = []
    for field in schema:
        values = [getattr(step, field.name) for step in steps]
        if field.name in ("state", "probabilities"):
            columns.append(_vectors(values))
            continue
        if field.name == "bias":
            values = [None if bias is None else asdict(bias) for bias in values]
        elif field.name == "actions":
            values = [[asdict(action) for action in actions] for actions in values]
        columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def read_steps(batch: "pa.RecordBatch") -> list[StepTrace]:
    """The steps of a batch that has all columns of the schema."""
    vectors = {name: read_vectors(batch.column(name)) for name in ("state", "probabilities")}
    names = [field.name for field in fields(StepTrace) if field.name not in vectors]
    columns = {name: batch.column(name).to_pylist() for name in names}
    columns["chosen"] = [tuple(chosen) for chosen in columns["chosen"]]
    columns["bias"] = [None if bias is None else _bias(bias) for bias in columns["bias"]]
    columns["actions"] = [tuple(map(_action, actions)) for actions in columns["actions"]]
    everything = columns | vectors
    rows = zip(*everything.values(), strict=True)
    return [StepTrace(**dict(zip(everything, row, strict=True))) for row in rows]


def episodes_table(episodes: Sequence[EpisodeTrace]) -> "pa.Table":
    """Episodes as a table."""
    import pyarrow as pa

    schema = arrow_schema(TraceKind.EPISODES)
    return pa.Table.from_pylist([asdict(episode) for episode in episodes], schema=schema)


def read_episodes(batch: "pa.RecordBatch") -> list[EpisodeTrace]:
    """The episodes of a batch."""
    return [EpisodeTrace(**row) for row in batch.to_pylist()]


def bank_table(bank: BankTrace) -> "pa.Table":
    """A bank version as a table."""
    import pyarrow as pa

    schema = arrow_schema(TraceKind.BANKS)
    num_skills = len(bank.skills)
    columns = [[bank.version] * num_skills, [bank.encoder] * num_skills]
    columns += [[str(getattr(s, name)) for s in bank.skills] for name in schema.names[2:-1]]
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.Table.from_arrays([*arrays, _vectors(list(bank.embeddings))], schema=schema)


def read_bank(batch: "pa.RecordBatch") -> BankTrace:
    """The bank version of a batch that holds one.

    Raises:
        ValueError: If the batch is empty, or its skills are of several versions, out of order, of
            unknown action types or of several widths.
    """
    rows = batch.select(batch.schema.names[:-1]).to_pylist()
    versions = {(row["version"], row["encoder"]) for row in rows}
    names = [row["name"] for row in rows]
    if len(versions) != 1 or names != sorted(set(names)):
        raise ValueError("its rows are not the skills of one bank version, sorted by name")
    version, encoder = versions.pop()
    skills = tuple(
        SkillTrace(
            name=row["name"],
            description=row["description"],
            instructions=row["instructions"],
            action_type=ActionType(row["action_type"]),
        )
        for row in rows
    )
    embeddings = np.stack(read_vectors(batch.column("embedding")))
    return BankTrace(version=version, encoder=encoder, skills=skills, embeddings=embeddings)


def read_vectors(column: "pa.ListArray") -> list[Floats]:
    """The rows of a list column as arrays of their own."""
    values = column.values.to_numpy()
    offsets = column.offsets.to_numpy()
    pairs = zip(offsets[:-1], offsets[1:], strict=True)
    # Copies, because a view of one row would keep the whole batch in memory.
    return [values[start:end].copy() for start, end in pairs]


def _vectors(rows: Sequence[Floats]) -> "pa.ListArray":
    import pyarrow as pa

    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    values = np.concatenate([*rows, np.zeros(0, np.float32)]).astype(np.float32, copy=False)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _bias(values: dict[str, Any]) -> BiasTrace:
    return BiasTrace(**values | {"new_skills": tuple(values["new_skills"])})


def _action(values: dict[str, Any]) -> ActionTrace:
    kinds = {"type": ActionType(values["type"]), "status": ActionStatus(values["status"])}
    return ActionTrace(**values | kinds)
