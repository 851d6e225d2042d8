"""Writers of training metrics: what is written is read back, whatever ended the run."""

import builtins
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from langgraph_memskill.errors import (
    ConfigError,
    DataError,
    MissingDependencyError,
    TrainingError,
)
from langgraph_memskill.trainers.metrics.names import Metric
from langgraph_memskill.trainers.metrics.reading import read_metrics
from langgraph_memskill.trainers.metrics.writers import (
    METRICS_FILE,
    TENSORBOARD_FOLDER,
    JsonlWriter,
    ManyWriters,
    TensorBoardWriter,
    WandbWriter,
    open_writers,
)


def test_a_line_a_step(tmp_path: Path) -> None:
    with open_writers(tmp_path / "run") as writer:
        writer.write(0, {Metric.REWARD: 0.25})
        writer.write(2, {Metric.REWARD: 0.5, "mine/x": 3})
    lines = [
        json.loads(line)
        for line in (tmp_path / "run" / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    ]
    assert [line["step"] for line in lines] == [0, 2]
    assert lines[1]["reward/total"] == 0.5
    assert lines[1]["mine/x"] == 3.0


def test_a_line_is_on_disk_before_the_run_ends(tmp_path: Path) -> None:
    with open_writers(tmp_path) as writer:
        writer.write(0, {Metric.REWARD: 0.25})
        assert read_metrics(tmp_path / METRICS_FILE).series == {"reward/total": [(0, 0.25)]}


def test_numbers_that_are_none_are_gaps(tmp_path: Path) -> None:
    with open_writers(tmp_path) as writer:
        writer.write(0, {"a/x": float("nan"), "a/y": None, "a/z": float("inf")})
        writer.write(1, {"a/x": 1.0})
    history = read_metrics(tmp_path / METRICS_FILE)
    assert history.series == {"a/x": [(1, 1.0)]}
    assert history.steps == (0, 1)


def test_steps_grow(tmp_path: Path) -> None:
    with open_writers(tmp_path, start_step=3) as writer:
        writer.write(3, {})
        with pytest.raises(ConfigError, match="steps must grow"):
            writer.write(3, {})


def test_a_negative_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start_step=-1"):
        JsonlWriter(tmp_path / "m.jsonl", start_step=-1)


def test_a_resumed_run_repeats_its_last_steps_once(tmp_path: Path) -> None:
    file = tmp_path / METRICS_FILE
    with open_writers(tmp_path) as writer:
        for step in range(4):
            writer.write(step, {Metric.REWARD: float(step)})
    with file.open("a", encoding="utf-8") as half:
        half.write('{"step": 4, "reward/to')
    with open_writers(tmp_path, start_step=2) as writer:
        writer.write(2, {Metric.REWARD: 20.0})
    history = read_metrics(file)
    assert history.series["reward/total"] == [(0, 0.0), (1, 1.0), (2, 20.0)]
    assert history.num_broken == 0


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text('{"step": 0, "a/x": 1.5}\n{"step": 1, "a/x"', encoding="utf-8")
    history = read_metrics(file)
    assert history.series == {"a/x": [(0, 1.5)]}
    assert history.num_broken == 1


@pytest.mark.parametrize("text", ["", "hello\n", '{"a": 1}\n', '{"step": -1}\n', "[1]\n"])
def test_a_file_without_metrics(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="holds no metrics"):
        read_metrics(tmp_path / "m.jsonl")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_metrics(tmp_path / "m.jsonl")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(TrainingError, match="cannot be written"):
        JsonlWriter(tmp_path / "taken" / "m.jsonl")


def events(folder: Path, name: str) -> list[tuple[int, float]]:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    with open_writers(tmp_path, tensorboard=True) as writer:
        writer.write(0, {Metric.REWARD: 0.25, "a/x": None})
        writer.write(1, {Metric.REWARD: 0.5, "a/x": float("nan")})
    folder = tmp_path / TENSORBOARD_FOLDER
    assert events(folder, "reward/total") == [(0, 0.25), (1, 0.5)]
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    assert accumulator.Tags()["scalars"] == ["reward/total"]


def test_a_closed_tensorboard_writer_says_so(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(TrainingError, match="closed"):
        writer.write(0, {"a/x": 1.0})


class FakeWandb:
    """Stands for the package: keeps what it is given."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.options: dict[str, Any] = {}
        self.is_finished = False

    def init(self, **options: Any) -> SimpleNamespace:
        self.options = options
        return SimpleNamespace(
            id="r1",
            log=lambda values, step: self.logged.append((step, values)),
            finish=lambda: setattr(self, "is_finished", True),
        )


def test_wandb_gets_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with open_writers(tmp_path / "run", wandb_project="p", wandb_run_id="r1") as writer:
        writer.write(0, {Metric.REWARD: 0.25, "a/x": None})
    assert fake.logged == [(0, {"reward/total": 0.25})]
    assert fake.is_finished
    assert (fake.options["project"], fake.options["id"]) == ("p", "r1")


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As if the packages were not installed."""
    real = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in packages or name in packages:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_what_is_missing_is_said_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "wandb", "torch.utils.tensorboard")
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[wandb\]"):
        WandbWriter(project="p", folder=tmp_path)
    with (
        pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[tensorboard\]"),
        open_writers(tmp_path / "run", tensorboard=True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_writers_that_are_not_asked_for_are_not_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from langgraph_memskill.trainers.metrics.writers import open_writers\n"
        f"with open_writers({str(tmp_path)!r}) as w: w.write(0, {{'a/b': 1.0}})\n"
        "print([n for n in ('wandb', 'tensorboard', 'altair', 'torch') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_all_writers_are_closed_though_one_fails() -> None:
    closed: list[str] = []

    class Writer:
        def __init__(self, name: str) -> None:
            self.name = name

        def write(self, step: int, values: Any) -> None:
            pass

        def close(self) -> None:
            closed.append(self.name)
            if self.name == "b":
                raise TrainingError("disk full")

    with pytest.raises(TrainingError, match="disk full"):
        ManyWriters([Writer("a"), Writer("b"), Writer("c")]).close()
    assert sorted(closed) == ["a", "b", "c"]
