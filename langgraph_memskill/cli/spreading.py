"""The options for spreading work over a Ray cluster, and the workers that they name."""

import sys
from collections.abc import Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    redirect_stdout,
)
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from langgraph_memskill.cli.screen import Screen
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.workers.pool import WorkerPool

ExecutorName = Literal["local", "ray"]
ExecutorOption = Annotated[
    ExecutorName,
    typer.Option(
        "--executor", help="Where to work: in this process, or on a Ray cluster (extra ray)."
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="HOST:PORT of a cluster that this machine is part of, or auto.",
        show_default="RAY_ADDRESS, or else a local cluster for the run",
    ),
]
RayWorkersOption = Annotated[
    int | None,
    typer.Option(
        "--ray-workers",
        min=1,
        help="Worker processes, one CPU each.",
        show_default="one for each CPU of the cluster",
    ),
]


@contextmanager
def workers(
    executor: ExecutorName, address: str | None, count: int | None, screen: Screen
) -> "Iterator[WorkerPool | None]":
    """The workers that the options name, as long as a block lasts; None works here.

    Args:
        executor: "local" or "ray".
        address: Of the cluster.
        count: Of workers.
        screen: Says that starting takes a moment.

    Raises:
        ConfigError: If an option has no use.
        MissingDependencyError: If Ray is not installed.
        ClusterError: If the cluster cannot be used.
    """
    if executor == "local":
        if address is not None or count is not None:
            raise ConfigError("--ray-address and --ray-workers are for --executor ray")
        yield None
        return
    from langgraph_memskill.workers.cluster import ClusterSettings
    from langgraph_memskill.workers.pool import WorkerPool

    settings = ClusterSettings(address=address, workers=count)
    with screen.busy("starting Ray"), printing_aside(is_needed=True):
        pool = WorkerPool(settings)
    with ExitStack() as ends:
        running = ends.enter_context(pool)
        try:
            yield running
        finally:
            with printing_aside(is_needed=True):  # what Ray has to say about machines that are gone
                ends.close()


def printing_aside(*, is_needed: bool) -> AbstractContextManager[object]:
    """Ray's messages, which it prints on stdout, go to stderr for as long as a block lasts."""
    return redirect_stdout(sys.stderr) if is_needed else nullcontext()
