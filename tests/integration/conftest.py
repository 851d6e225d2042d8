"""A model server and a local Ray cluster, for the tests of Ray."""

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.orders_server import OrdersServer, orders_server

if TYPE_CHECKING:
    from langgraph_memskill.workers.pool import WorkerPool


@pytest.fixture(scope="module")
def running_server() -> Iterator[OrdersServer]:
    """A model server for a whole module; its rule is that of the test before."""
    with orders_server() as running:
        yield running


@pytest.fixture
def model_server(running_server: OrdersServer) -> OrdersServer:
    """A model server that answers every prompt."""
    running_server.rule = lambda prompt: 200
    running_server.keys.clear()
    return running_server


@pytest.fixture(scope="module")
def ray_pool() -> "Iterator[WorkerPool]":
    """Two workers on a local cluster of their own."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
    from langgraph_memskill.workers.cluster import ClusterSettings
    from langgraph_memskill.workers.pool import WorkerPool
    from tests.integration.ray_runs import KEY

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMSKILL_API_KEY", KEY)
        with WorkerPool(ClusterSettings(address="local", workers=2)) as running:
            yield running
    gc.collect()  # now, where its warnings are ignored, and not when pytest ends
