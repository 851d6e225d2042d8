"""A real `langgraph dev` with the repository's langgraph.json, talked to through langgraph-sdk."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.ports import free_port

# Importing the server's package changes this process, so it is only looked for.
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        find_spec("langgraph_api") is None,
        reason="needs the LangGraph server: pip install 'langgraph-cli[inmem]'",
    ),
]

ROOT = Path(__file__).parents[2]
AUTH = """
from langgraph_sdk import Auth

auth = Auth()

@auth.authenticate
async def who(authorization: str | None) -> str:
    if not authorization:
        raise Auth.exceptions.HTTPException(status_code=401, detail="no token")
    return authorization.removeprefix("Bearer ")
"""


@contextmanager
def dev_server(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    """Runs the server in a folder of its own, until the block ends."""
    folder.mkdir(exist_ok=True)
    (folder / "langgraph.json").write_text(json.dumps(config))
    port = free_port()
    hidden = ("LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)} | {
        "MEMSKILL_DIR": str(folder / "memory"),
        "MEMSKILL_MODEL": "extractive",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGSMITH_TRACING": "false",
    }
    # What blocks the event loop is found by tests/test_event_loop.py; a busy machine must not end
    # the server's runs here.
    options = ["--no-browser", "--no-reload", "--allow-blocking", "--port", str(port)]
    command = Path(sys.executable).parent / "langgraph"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [command, "dev", *options],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(f"http://127.0.0.1:{port}", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(300)  # it saves everything first
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(5000):
        assert process.poll() is None, log.read_text("utf-8")
        try:
            with urlopen(f"{url}/ok", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the server does not answer:\n{log.read_text('utf-8')}")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The repository's own langgraph.json."""
    content: dict[str, Any] = json.loads((ROOT / "langgraph.json").read_text("utf-8"))
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("server")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def url(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    with dev_server(folder, config) as url:
        yield url


def connect(url: str, token: str | None = None) -> SyncLangGraphClient:
    headers = {"authorization": f"Bearer {token}"} if token else None
    return get_sync_client(url=url, headers=headers, api_key=None)


def say(url: str, text: str, *, user: str | None = None, token: str | None = None) -> str:
    """One turn on a new thread; what the assistant said."""
    with connect(url, token) as client:
        thread = client.threads.create()["thread_id"]
        final: Any = client.runs.wait(
            thread,
            "chat_agent",
            input={"messages": [{"role": "user", "content": text}]},
            context={"user_id": user} if user else None,
        )
    return str(final["messages"][-1]["content"])


def test_two_threads_of_a_user_share_a_memory_that_another_user_does_not_see(url: str) -> None:
    say(url, "I moved to Lisbon last year because of the sea.", user="ann")
    assert "Lisbon" in say(url, "Which city did I move to?", user="ann")
    assert "Lisbon" not in say(url, "Which city did I move to?", user="bob")


def test_the_servers_store_is_the_memorys_own(url: str) -> None:
    say(url, "My cat is called Miso.", user="cleo")
    with connect(url) as client:
        found = client.store.search_items(("memories", "cleo"), query="What is my cat called?")
    assert any("Miso" in item["value"]["text"] for item in found["items"])


def test_construction_and_answering_are_graphs_of_their_own(url: str) -> None:
    context = {"user_id": "dora"}
    told = {"text": "Dora: I play the cello in a quartet."}
    asked = {"question": "What does Dora play?", "style": "short"}
    with connect(url) as client:
        client.runs.wait(None, "construction", input=told, context=context)
        final: Any = client.runs.wait(None, "answering", input=asked, context=context)
    assert "cello" in final["answer"]


def test_a_run_without_a_user_says_what_is_missing(url: str) -> None:
    asked = {"question": "What?", "style": "short"}
    with connect(url) as client, pytest.raises(Exception, match="needs a value for 'user_id'"):
        client.runs.wait(None, "answering", input=asked)


def test_a_server_that_was_ended_has_everything_when_it_starts_again(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    with_auth = config | {"auth": {"path": f"{tmp_path}/who.py:auth"}}
    (tmp_path / "who.py").write_text(AUTH)
    with dev_server(tmp_path, with_auth) as url:
        say(url, "I moved to Lisbon last year because of the sea.", token="ann")
    with dev_server(tmp_path, with_auth) as url:
        assert "Lisbon" in say(url, "Which city did I move to?", token="ann")
        assert "Lisbon" not in say(url, "Which city did I move to?", token="bob")
        with pytest.raises(Exception, match="not the user who is logged in"):
            say(url, "Which city did I move to?", token="bob", user="ann")
        asked = {"question": "Where?", "style": "short", "namespace": ["memories", "ann"]}
        with connect(url, "bob") as bob, pytest.raises(Exception, match="who is logged in"):
            bob.runs.wait(None, "answering", input=asked)
