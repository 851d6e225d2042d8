import os
import sys
from types import SimpleNamespace

import pytest

from langgraph_memskill.errors import ClusterError, ConfigError, MissingDependencyError
from langgraph_memskill.workers import cluster
from langgraph_memskill.workers.cluster import Cluster, ClusterSettings
from tests.ports import free_port


def test_the_address_is_the_option_or_the_variable_or_a_cluster_of_our_own(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ClusterSettings().place == "local"
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert ClusterSettings().place == "head:6379"
    assert ClusterSettings(address="auto").place == "auto"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"workers": 0}, "workers=0 must be at least 1"),
        ({"address": "ray://head:10001"}, "Ray Client, which is not supported"),
    ],
)
def test_what_cannot_work_is_refused(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        ClusterSettings(**settings)


def test_without_ray_the_message_has_the_install_line(monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'langgraph-memskill\[ray\]'"):
        Cluster(ClusterSettings())


def test_closing_twice_leaves_a_connection_of_somebody_else(monkeypatch):
    connected = []
    ray = SimpleNamespace(
        is_initialized=lambda: bool(connected),
        init=lambda **options: connected.append(options),
        shutdown=connected.clear,
    )
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ray", ray)
    ours = Cluster(ClusterSettings(address="local"))
    ours.close()
    assert connected == []
    ray.init(address="theirs")
    ours.close()
    assert connected == [{"address": "theirs"}]


@pytest.fixture
def with_ray(monkeypatch):
    """As if Ray were installed, and not yet in use."""
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))


@pytest.mark.usefixtures("with_ray")
def test_an_address_where_nobody_listens_is_named_with_what_to_do():
    place = f"127.0.0.1:{free_port()}"
    with pytest.raises(ClusterError, match=f"'{place}' cannot be used: .*refused.*ray start"):
        Cluster(ClusterSettings(address=place))


@pytest.mark.usefixtures("with_ray")
@pytest.mark.parametrize("place", ["head", "head:", "head:http", "head:99999", ":6379"])
def test_an_address_of_another_form_is_refused(place):
    with pytest.raises(ClusterError, match=f"'{place}' cannot be used: "):
        Cluster(ClusterSettings(address=place))


def test_a_cluster_that_wants_a_token_says_where_it_comes_from(monkeypatch):
    cause = RuntimeError("Last connection error: InvalidAuthToken: it is missing or incorrect")

    def init(**options):
        raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379") from cause

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ClusterError, match="wants its token: set RAY_AUTH_MODE=token"):
        Cluster(ClusterSettings(address="auto"))


@pytest.mark.parametrize("own", [None, "7"])
def test_an_address_of_something_else_is_tried_once_unless_the_user_wants_more(monkeypatch, own):
    variable = "RAY_gcs_server_port_wait_time_s"
    monkeypatch.delenv(variable, raising=False)
    if own is not None:
        monkeypatch.setenv(variable, own)
    tries = []

    def init(*, address, **options):
        tries.append(os.environ.get(variable))
        raise ConnectionError("Failed to connect")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ray", ray)
    for place in ("auto", "local"):
        with pytest.raises(ClusterError):
            Cluster(ClusterSettings(address=place))
    assert tries == [own or "1", *[own] * 4]
    assert os.environ.get(variable) == own
