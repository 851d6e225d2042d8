"""Starting or joining a Ray cluster, and leaving it."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from langgraph_memskill.errors import ClusterError, ConfigError, missing_dependency

logger = logging.getLogger(__name__)

ADDRESS_VARIABLE = "RAY_ADDRESS"
LOCAL = "local"
_AUTO = "auto"
_STARTS = 4
"""Tries to start a cluster of our own: Ray gives a part 30 s, which a busy machine may exceed."""
_PROBE_SECONDS = 10.0
"""For an address to answer at all: Ray itself tries for a minute, and then says little."""
_TRIES_VARIABLE = "RAY_gcs_server_port_wait_time_s"
"""How often Ray tries an address where something else listens, most of a minute each time."""
_OBJECT_STORE_BYTES = 512 * 1024 * 1024
"""Of a cluster of our own: what goes over the wire is small, and Ray would take a third of all
memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Which cluster, and how much of it.

    Raises:
        ConfigError: If a value cannot be used.
    """

    address: str | None = None
    """"host:port" of a running cluster that this machine is part of, "auto" for RAY_ADDRESS or else
    the one that runs on this machine, "local" for one of our own that ends with the run; None takes
    RAY_ADDRESS, or else "local"."""
    workers: int | None = None
    """Processes, each with one CPU; None takes one for each CPU of the cluster."""

    def __post_init__(self) -> None:
        """Check the values."""
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers={self.workers!r} must be at least 1")
        if self.place.startswith("ray://"):
            raise ConfigError(
                f"{self.place!r} is an address for Ray Client, which is not supported: run the "
                "command on a machine of the cluster, with --ray-address HOST:PORT or auto"
            )

    @property
    def place(self) -> str:
        """The address in the end."""
        return self.address or os.environ.get(ADDRESS_VARIABLE, "").strip() or LOCAL


class Cluster:
    """A connection to Ray; a local cluster lives as long as it does."""

    def __init__(self, settings: ClusterSettings) -> None:
        """Connect, which may take a minute.

        Args:
            settings: Which cluster. If the process is connected to one already, that one is taken,
                and stays connected afterwards.

        Raises:
            MissingDependencyError: If Ray is not installed.
            ClusterError: If the cluster cannot be started or reached.
        """
        if find_spec("ray") is None:
            raise missing_dependency("ray", "ray", "Spreading work over a Ray cluster")
        # Before Ray is imported: its processes report to nobody.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        self.ray: Any = ray
        self.is_local = False
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            self._connect(settings)

    @property
    def num_cpus(self) -> int:
        """Of all machines that are part of it by now."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        if self._is_ours and self.ray.is_initialized():
            self.ray.shutdown()
        self._is_ours = False  # what the process connects to later is not

    def _connect(self, settings: ClusterSettings) -> None:
        self.is_local = settings.place == LOCAL
        if settings.place not in (LOCAL, _AUTO):
            _probe(settings.place)
        own: dict[str, Any] = {}
        tries = nullcontext() if self.is_local else _trying_once()
        if self.is_local:
            # This process only waits for its workers: they need not stand back for others.
            os.environ.setdefault("RAY_worker_niceness", "0")
            own = {
                "num_cpus": settings.workers,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
            }
        for left in reversed(range(_STARTS if self.is_local else 1)):
            try:
                with tries:
                    self.ray.init(
                        address=settings.place,
                        # What workers print would get between our own output.
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        **own,
                    )
                break
            except Exception as error:
                self.ray.shutdown()
                if not left:
                    raise _unusable(settings.place, error) from error
                logger.debug("Ray did not start: %s", error)
        logger.debug("connected to the Ray cluster %s", settings.place)


@contextmanager
def _trying_once() -> Iterator[None]:
    """Unless the user has said how often; a cluster that is started later has its usual time."""
    if _TRIES_VARIABLE in os.environ:
        yield
        return
    os.environ[_TRIES_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_TRIES_VARIABLE, None)


def _probe(place: str) -> None:
    """Make sure that somebody listens at an address."""
    try:
        address = urlsplit(f"//{place}")
        if not address.hostname or not address.port:
            raise ValueError("it is not of the form HOST:PORT")
        socket.create_connection((address.hostname, address.port), _PROBE_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _unusable(place, error) from error


def _unusable(place: str, error: Exception) -> ClusterError:
    if "InvalidAuthToken" in f"{error} {error.__cause__}":
        return ClusterError(
            f"the Ray cluster {place!r} wants its token: set RAY_AUTH_MODE=token, and have the "
            "token that `ray get-auth-token` shows on its machines in ~/.ray/auth_token or "
            "RAY_AUTH_TOKEN"
        )
    return ClusterError(
        f"the Ray cluster {place!r} cannot be used: {error}. A running one is started by "
        "`ray start --head` and joined by `ray start --address=HOST:PORT`; without --ray-address "
        "and RAY_ADDRESS a local one is started"
    )
