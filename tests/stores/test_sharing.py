"""Where an embedded Chroma folder cannot be shared, the error says so and names the server."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import StoreError
from langgraph_memskill.stores import folder_lock
from langgraph_memskill.stores.chroma import ChromaStore

FOREIGN = """
    import sys, chromadb
    client = chromadb.PersistentClient(sys.argv[1])
    if len(sys.argv) > 2:
        client.get_or_create_collection("foreign").add(ids=["1"], embeddings=[[1.0]])
"""


def run_foreign(folder: Path, *arguments: str) -> None:
    script = textwrap.dedent(FOREIGN)
    subprocess.run([sys.executable, "-c", script, str(folder), *arguments], check=True, timeout=500)


@pytest.mark.parametrize("arguments", [(), ("write",)])
def test_foreign_client_in_another_process(
    tmp_path: Path, index: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    with ChromaStore(tmp_path, index=index) as store:
        store.put(("x",), "k", {"text": "a"})
        run_foreign(tmp_path, *arguments)
        with pytest.raises(StoreError, match=r"not ChromaStore's used the folder .*Chroma server"):
            store.put(("x",), "k2", {"text": "b"})
        assert store.get(("x",), "k2") is None
        store.put(("x",), "k2", {"text": "b"})
        assert [item.key for item in store.search(("x",), query="b")] == ["k2", "k"]


def test_foreign_client_in_the_same_process(tmp_path: Path, index: dict[str, Any]) -> None:
    import chromadb

    with ChromaStore(tmp_path, index=index) as store:
        store.put(("x",), "k", {"text": "a"})
        chromadb.PersistentClient(tmp_path).create_collection("foreign")
        with pytest.raises(StoreError, match="Chroma server"):
            store.search(("x",), query="a")
        assert len(store.search(("x",), query="a")) == 1


def test_stores_of_ours_are_no_foreign_clients(tmp_path: Path, index: dict[str, Any]) -> None:
    script = """
        import sys
        from langgraph_memskill import ChromaStore
        with ChromaStore(sys.argv[1]) as store:
            store.put(("x",), sys.argv[2], {"n": 1}, index=False)
    """
    with ChromaStore(tmp_path, index=index) as store:
        for key in ("k1", "k2"):
            command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), key]
            subprocess.run(command, check=True, timeout=500)
            assert store.get(("x",), key) is not None


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(folder_lock, "_lock", refuse)
    with pytest.raises(StoreError, match=r"knows no locks.*local disk, or a Chroma server"):
        ChromaStore(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_store_opened_before_a_fork_can_be_opened_anew(tmp_path: Path) -> None:
    script = """
        import os, sys
        from langgraph_memskill import ChromaStore
        from langgraph_memskill.errors import StoreError
        with ChromaStore(sys.argv[1]) as store:
            store.put(("x",), "parent", {"n": 1})
        store = ChromaStore(sys.argv[1])
        child = os.fork()
        if child == 0:
            try:
                store.get(("x",), "parent")
            except StoreError as error:
                os._exit(0 if "after forking, or let all use a Chroma server" in str(error) else 1)
            os._exit(2)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert store.get(("x",), "parent").value == {"n": 1}
        sys.exit(status)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    assert subprocess.run(command, timeout=500, check=False).returncode == 0
