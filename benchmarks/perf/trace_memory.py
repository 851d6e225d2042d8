"""What reading traces takes: peak memory and time for many steps beside a few.

Run `python -m langgraph_memskill.benchmarks.perf.trace_memory`. Every reading is a process of its
own, so that its peak is the reading's alone. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from langgraph_memskill.records import ActionType
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import BankTrace, EpisodeTrace, SkillTrace, StepTrace
from langgraph_memskill.traces.summary import summarise
from langgraph_memskill.traces.writer import TraceWriter

_STEPS_AN_EPISODE = 10
_NUM_SKILLS = 19
_NUM_CHOSEN = 3
_KIB_A_MIB = 1024
_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way of reading, over few and over many steps."""

    name: str
    few_mib: float
    """Peak memory of the process, above that of one that only imports."""
    many_mib: float
    ratio: float
    """Many over few."""
    many_s: float
    steps_a_second: float


def write_traces(folder: Path, num_steps: int, width: int) -> None:
    """Record made-up episodes of ten steps with states of 2 x `width` numbers."""
    generator = np.random.default_rng(0)
    skills = tuple(
        SkillTrace(
            name=f"s{n:02d}", description="d", instructions="i", action_type=ActionType.INSERT
        )
        for n in range(_NUM_SKILLS)
    )
    embeddings = generator.normal(size=(_NUM_SKILLS, width)).astype(np.float32)
    probabilities = np.full(_NUM_SKILLS, 1 / _NUM_SKILLS, np.float32)
    log_prob = -sum(float(np.log(_NUM_SKILLS - n)) for n in range(_NUM_CHOSEN))
    with TraceWriter(folder, flush_rows=50_000) as writer:
        writer.add_bank(BankTrace(version="b", encoder="e", skills=skills, embeddings=embeddings))
        for first in range(0, num_steps, 10_000):
            states = generator.normal(size=(min(10_000, num_steps - first), 2 * width))
            steps = [
                StepTrace(
                    run_id="r",
                    thread_id=None,
                    episode_id=f"episode-{number // _STEPS_AN_EPISODE}",
                    span_id=f"span-{number}",
                    step=number % _STEPS_AN_EPISODE,
                    num_steps=_STEPS_AN_EPISODE,
                    span_hash="0" * 32,
                    bank_version="b",
                    encoder="e",
                    selector="random",
                    controller_version="",
                    fusion="mean",
                    tau=1.0,
                    state=state,
                    chosen=(number % _NUM_SKILLS, (number + 1) % _NUM_SKILLS),
                    log_prob=log_prob,
                    probabilities=probabilities,
                    sampled=True,
                    chosen_at=_AT,
                    stored_at=_AT,
                )
                for number, state in enumerate(states.astype(np.float32), first)
            ]
            writer.add_steps(steps)
            for step in steps[:: 10 * _STEPS_AN_EPISODE]:
                writer.add_episode(
                    EpisodeTrace(
                        episode_id=step.episode_id, run_id="r", at=_AT, reward=0.5, source="f1"
                    )
                )


def read_batches(reader: TraceReader) -> int:
    """Stream record batches."""
    return sum(batch.num_rows for batch in reader.step_batches())


def read_steps(reader: TraceReader) -> int:
    """Stream typed records."""
    return sum(1 for _ in reader.steps())


def read_episodes(reader: TraceReader) -> int:
    """Stream whole episodes."""
    return sum(len(episode.steps) for episode in read_recorded(reader))


def read_summary(reader: TraceReader) -> int:
    """Count what `memskill traces show` shows."""
    return summarise(reader).steps


WAYS: dict[str, Callable[[TraceReader], int]] = {
    "record batches": read_batches,
    "steps": read_steps,
    "episodes": read_episodes,
    "summary": read_summary,
}


def measure(way: str, folder: Path) -> dict[str, float]:
    """Read in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--way", way, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report_one(way: str, folder: Path) -> dict[str, float]:
    """What this process needs for one reading."""
    reader = TraceReader(folder)
    ground = _peak_mib()
    start = time.perf_counter()
    num_steps = WAYS[way](reader)
    seconds = time.perf_counter() - start
    return {"steps": num_steps, "seconds": seconds, "mib": _peak_mib() - ground}


def _peak_mib() -> float:
    # Linux's ru_maxrss starts at the size of the process that started this one; VmHWM does not.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / _KIB_A_MIB


def main() -> None:
    """Write both folders, read them in every way, print a JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=48, help="width of the embeddings")
    parser.add_argument("--way", choices=list(WAYS))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.way is not None:
        print(json.dumps(report_one(arguments.way, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder) / "few", Path(folder) / "many"
        write_traces(few, arguments.few, arguments.width)
        write_traces(many, arguments.many, arguments.width)
        for way in WAYS:
            small, large = measure(way, few), measure(way, many)
            reading = Reading(
                name=way,
                few_mib=round(small["mib"], 1),
                many_mib=round(large["mib"], 1),
                ratio=round(large["mib"] / max(small["mib"], 1.0), 2),
                many_s=round(large["seconds"], 1),
                steps_a_second=round(large["steps"] / large["seconds"]),
            )
            print(json.dumps(asdict(reading)), flush=True)


if __name__ == "__main__":
    main()
