import logging
import pickle

import pytest

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.workers.outcomes import (
    LogCollector,
    RemoteCallError,
    failed,
    reason_of,
    relay,
)


class AwkwardError(Exception):
    """Cannot be unpickled, as many clients' errors."""

    def __init__(self, text, *, response):
        super().__init__(text)
        self.response = response


def caught(error):
    try:
        raise error
    except Exception as found:  # noqa: BLE001  # as a worker does
        return failed(found)


def test_an_error_of_this_package_arrives_as_itself():
    outcome = pickle.loads(pickle.dumps(caught(ConfigError("top_k=0 must be at least 1"))))
    error = outcome.error()
    assert type(error) is ConfigError
    assert str(error) == "top_k=0 must be at least 1"
    assert "in caught" in error.__notes__[0]


@pytest.mark.parametrize("text", ["the endpoint\nis down", "x" * 600])
def test_any_other_error_gives_the_same_reason_as_where_it_was_raised(text):
    original = AwkwardError(text, response=open)
    error = pickle.loads(pickle.dumps(caught(original))).error()
    assert isinstance(error, RemoteCallError)
    assert reason_of(error) == reason_of(original)
    assert reason_of(original).startswith("AwkwardError: ")


def test_warnings_of_a_worker_are_logged_here_once(caplog):
    collector = LogCollector()
    source = logging.getLogger("langgraph_memskill.some.part")
    source.addHandler(collector)
    try:
        source.warning("the query %s was not answered", "q1")
        source.debug("not for others")
    finally:
        source.removeHandler(collector)
    lines = collector.take()
    caplog.clear()
    relay(lines, "worker 7 on node")
    assert [record.getMessage() for record in caplog.records] == [
        "the query q1 was not answered (worker 7 on node)"
    ]
    assert caplog.records[0].name == "langgraph_memskill.some.part"
    assert collector.take() == ()
