"""Runs of a program in processes of their own, forked off one that has imported it already.

Importing takes longer than most of what tests have programs do. A fork can be killed like any
process, begins with nothing but the imports, and ends as any program does.
"""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
LIMIT_S = 600
"""For one run, which then ends with the tracebacks of its threads."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has come to its end."""

    returncode: int
    """Below 0 the signal that ended it."""
    stdout: str
    stderr: str


class Forks:
    """Starts runs of a program, a module under tests/ that calls `serve` when it is run."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._num_runs = 0
        self.is_waiting = False
        """Whether runs were asked for whose end was not told yet."""

    def run(self, *arguments: object, environment: Mapping[str, str] | None = None) -> Ended:
        """Run the program once, to its end."""
        [ended] = self.run_all([arguments], environment)
        return ended

    def run_all(
        self, runs: Sequence[Sequence[object]], environment: Mapping[str, str] | None = None
    ) -> list[Ended]:
        """Run the program several times at once, each time with other arguments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert not self.is_waiting, "an earlier run was given up"
        wanted = [
            {
                "arguments": [str(argument) for argument in arguments],
                "environment": dict(environment or {}),
                "place": str(self._folder / str(self._num_runs + number)),
            }
            for number, arguments in enumerate(runs)
        ]
        self._num_runs += len(runs)
        self.is_waiting = True
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        self.is_waiting = False
        return [
            Ended(
                returncode=code,
                stdout=Path(f"{one['place']}.out").read_text(encoding="utf-8"),
                stderr=Path(f"{one['place']}.err").read_text(encoding="utf-8"),
            )
            for code, one in zip(codes, wanted, strict=True)
        ]


@contextmanager
def forks_of(module: str, **environment: str) -> Iterator[Forks]:
    """Import a program in a process of its own, and fork runs off that until the block ends.

    All runs share what the process draws at its start, such as PYTHONHASHSEED.
    """
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        forks = Forks(process, Path(folder))
        try:
            yield forks
        finally:
            if forks.is_waiting:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdin.close()  # type: ignore[union-attr]  # it ends with its standard input


@contextmanager
def two_forks_of(module: str) -> Iterator[tuple[Forks, Forks]]:
    """Like `forks_of` with two processes, in which sets have other orders."""
    with (
        forks_of(module, PYTHONHASHSEED="1") as first,
        forks_of(module, PYTHONHASHSEED="2") as second,
    ):
        yield first, second


@contextmanager
def resumable_runs_of(module: str) -> Iterator[Callable[..., int]]:
    """Gives `run(folder, *point)`: a new run of a program, or one that goes on, with its exit code.

    It goes on in a process whose sets have another order; it may end by SIGKILL, and by no error.
    """
    with two_forks_of(module) as (first, second):

        def run(folder: Path, *point: str) -> int:
            is_new = not folder.exists() or not any(folder.iterdir())
            done = (first if is_new else second).run(folder, *point)
            assert done.returncode in (0, -signal.SIGKILL), done.stderr
            return done.returncode

        yield run


def serve(main: Callable[[list[str]], None]) -> None:
    """Fork off runs of `main`, which takes the arguments, as `Forks` asks for them."""
    assert threading.active_count() == 1, "a thread that an import has started is in no fork"
    for line in sys.stdin:
        children = []
        for run in json.loads(line):
            child = os.fork()
            if child == 0:
                _leave_server(run["place"])
                faulthandler.dump_traceback_later(LIMIT_S, exit=True)
                os.environ.update(run["environment"])
                main(run["arguments"])
                return
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)  # noqa: T201


def _leave_server(place: str) -> None:
    """Read nothing, and write into files."""
    for descriptor, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, f"{place}.out", os.O_WRONLY | os.O_CREAT),
        (2, f"{place}.err", os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
