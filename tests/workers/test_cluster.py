import pytest

from langgraph_memskill.errors import ConfigError, MissingDependencyError
from langgraph_memskill.workers import cluster
from langgraph_memskill.workers.cluster import Cluster, ClusterSettings


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
