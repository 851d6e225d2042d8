"""Pools whose workers live in this process."""

from typing import Any

import pytest

from langgraph_memskill.workers import pool as pool_module
from langgraph_memskill.workers.cluster import ClusterSettings
from langgraph_memskill.workers.pool import WorkerPool
from tests.workers.in_process_ray import InProcessRay
from tests.workers.pool_parts import MakePool


@pytest.fixture
def make_pool(monkeypatch: pytest.MonkeyPatch) -> MakePool:
    monkeypatch.setattr(pool_module, "_LOOK_SECONDS", 0.001)

    def make(num_workers: int, **options: Any) -> tuple[WorkerPool, InProcessRay]:
        ray = InProcessRay(num_workers, **options)
        monkeypatch.setattr(pool_module, "Cluster", lambda settings: ray)
        return WorkerPool(ClusterSettings(address="local")), ray

    return make
