"""Opening and closing: places that cannot be used, stores made in another way."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import ConfigError, EmbeddingMismatchError, StoreError
from langgraph_memskill.stores import catalog, embedded
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.folder_lock import FolderLock


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_file_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    for place in (file, file / "below"):
        with pytest.raises(StoreError, match="give the path of a folder") as caught:
            ChromaStore(place)
        assert str(place) in str(caught.value)
        assert caught.value.__cause__ is not None
    assert file.read_text() == "precious"


def test_folder_that_cannot_be_made() -> None:
    with pytest.raises(StoreError, match="opening failed in the folder '/proc/nowhere/x'"):
        ChromaStore("/proc/nowhere/x")


def test_read_only_folder_changes_nothing(
    tmp_path: Path, index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChromaStore(tmp_path, index=index) as store:
        store.put(("x",), "k", {"text": "a"})
    before = content(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    # This test may run as root, whom permissions do not stop.
    with monkeypatch.context() as patch:
        patch.setattr(FolderLock, "__init__", refuse)
        with pytest.raises(StoreError, match="Permission denied.*make it writable.*Chroma server"):
            ChromaStore(tmp_path, index=index)
    assert content(tmp_path) == before
    with ChromaStore(tmp_path, index=index) as store:
        assert store.get(("x",), "k") is not None


def test_damaged_database(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="its database file is damaged: restore a backup"):
        ChromaStore(tmp_path)
    assert (tmp_path / "chroma.sqlite3").read_bytes() == b"no database" * 1000


def test_truncated_database(tmp_path: Path, index: dict[str, Any]) -> None:
    with ChromaStore(tmp_path, index=index) as store:
        store.put(("x",), "k", {"text": "a"})
    file = tmp_path / "chroma.sqlite3"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(StoreError, match="damaged"):
        ChromaStore(tmp_path, index=index).get(("x",), "k")


def test_server_that_is_not_there() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(StoreError, match="check the URL and that the server runs") as caught:
            ChromaStore(url)
    assert url in str(caught.value)


def test_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreError, match="connecting failed.*timed out.*check the URL"):
            ChromaStore(url, timeout_s=0.3)


def test_server_that_is_something_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            peer, _ = other.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(StoreError, match="connecting failed in the Chroma server at"):
            ChromaStore(f"http://127.0.0.1:{other.getsockname()[1]}", timeout_s=5)
        thread.join()


def test_server_without_the_database(server_url: str) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        ChromaStore(server_url, database="nowhere")


@pytest.mark.parametrize(
    "options",
    [
        {"location": ""},
        {"location": "somewhere", "client": object()},
        {"client": object()},
        {"tenant": "t"},
        {"location": "somewhere", "headers": {"a": "b"}},
        {"location": "http://user@host:1"},
        {"location": "http://host:1/path"},
        {"index": {"embed": len}},
        {"index": {"dims": 0, "embed": len}},
        {"index": {"dims": 3}},
        {"index": {"dims": 3, "embed": "no-provider-is-called-so:x"}},
    ],
)
def test_contradictory_options(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        ChromaStore(**options)
    assert list(tmp_path.iterdir()) == []


def test_closed_store(open_store: Callable[..., ChromaStore]) -> None:
    with open_store() as store:
        store.put(("x",), "k", {"text": "a"})
    store.close()
    with pytest.raises(StoreError, match="is closed: open it again"):
        store.get(("x",), "k")


async def test_async_context_manager(tmp_path: Path, index: dict[str, Any]) -> None:
    async with ChromaStore(tmp_path, index=index) as store:
        await store.aput(("x",), "k", {"text": "a"})
    with pytest.raises(StoreError, match="closed"):
        await store.aget(("x",), "k")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_closing_gives_the_files_back(tmp_path: Path, index: dict[str, Any]) -> None:
    def num_open() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(str(tmp_path) in os.readlink(link) for link in links if link.is_symlink())

    def all_closed() -> bool:
        # Chroma's own threads close the last file a moment later.
        deadline = time.monotonic() + 120
        while num_open() and time.monotonic() < deadline:
            time.sleep(0.01)
        return not num_open()

    store = ChromaStore(tmp_path, index=index)
    store.put(("x",), "k", {"text": "a"})
    assert num_open() > 0
    store.close()
    assert all_closed()
    forgotten = ChromaStore(tmp_path, index=index)
    forgotten.put(("x",), "k", {"text": "a"})
    del forgotten
    assert all_closed()


def test_another_width_or_model(
    open_place: Callable[..., ChromaStore], index: dict[str, Any]
) -> None:
    open_place(embedding_name="letters-1").put(("x",), "k", {"text": "a"})
    with pytest.raises(EmbeddingMismatchError, match=r"3 numbers.*'letters-1'.*dims=4"):
        open_place(index={**index, "dims": 4})
    with pytest.raises(EmbeddingMismatchError, match="'letters-1', not with 'letters-2'"):
        open_place(embedding_name="letters-2")
    # A model without a name is taken at its word.
    assert open_place().search(("x",), query="a")[0].score == pytest.approx(1.0)


def test_name_is_taken_from_the_embedding_model(tmp_path: Path) -> None:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    class Named(DeterministicFakeEmbedding):
        model: str = "named-1"

    with ChromaStore(tmp_path, index={"dims": 3, "embed": Named(size=3)}):
        pass
    with pytest.raises(EmbeddingMismatchError, match="'named-1', not with 'named-2'"):
        ChromaStore(tmp_path, index={"dims": 3, "embed": Named(size=3, model="named-2")})


def test_index_can_be_added_later(open_place: Callable[..., ChromaStore]) -> None:
    open_place(index=None).put(("x",), "k", {"text": "a"})
    assert open_place(index=None).search(("x",), query="a")[0].score is None
    store = open_place()
    store.put(("x",), "k2", {"text": "a"})
    found = store.search(("x",), query="a")
    assert [(item.key, item.score) for item in found] == [("k2", pytest.approx(1.0)), ("k", None)]
    with pytest.raises(EmbeddingMismatchError):
        open_place(index={"dims": 5, "embed": lambda texts: [[1.0] * 5 for _ in texts]})


def test_store_with_vectors_opened_without_index(open_place: Callable[..., ChromaStore]) -> None:
    open_place().put(("x",), "k", {"text": "a"})
    blind = open_place(index=None)
    assert [item.key for item in blind.search(("x",), filter={"text": "a"})] == ["k"]
    blind.put(("x",), "k2", {"text": "b"}, index=False)
    for use in (lambda: blind.search(("x",), query="a"), lambda: blind.put(("x",), "k3", {})):
        with pytest.raises(StoreError, match="opened without index="):
            use()
    blind.delete(("x",), "k")
    assert [item.key for item in blind.search(("x",))] == ["k2"]


def test_store_of_a_newer_version(
    tmp_path: Path, index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "FORMAT_VERSION", 3)
        with ChromaStore(tmp_path, index=index):
            pass
    with pytest.raises(StoreError, match="store format 3 and this package reads 1 to 2: upgrade"):
        ChromaStore(tmp_path, index=index)


def test_folder_that_another_process_does_not_let_go(
    tmp_path: Path, index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LOCK_WAIT_S", 0.2)
    with ChromaStore(tmp_path, index=index) as store:
        script = (
            "import sys, pathlib\n"
            "from langgraph_memskill.stores.folder_lock import FolderLock\n"
            "FolderLock(pathlib.Path(sys.argv[1]), 1).acquire()\n"
            "print('locked', flush=True)\n"
            "sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(StoreError, match="locked by another process for 0.2 s"):
                store.get(("x",), "k")
            holder.communicate()
        store.put(("x",), "k", {"text": "a"})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_store_opened_before_a_fork(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from langgraph_memskill import ChromaStore\n"
        "from langgraph_memskill.errors import StoreError\n"
        "store = ChromaStore(sys.argv[1])\n"
        "store.put(('x',), 'k', {'n': 1})\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        store.get(('x',), 'k')\n"
        "    except StoreError as error:\n"
        "        os._exit(7 if 'forked' in str(error) else 1)\n"
        "    os._exit(1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=500, check=False)
    assert done.returncode == 7


def test_importing_the_store_does_not_load_chroma() -> None:
    script = (
        "import sys\n"
        "from langgraph_memskill import ChromaStore\n"
        "from langgraph_memskill.stores import ChromaStore as Same\n"
        "assert ChromaStore is Same\n"
        "sys.exit(bool({'chromadb', 'torch'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
