"""The lock of readers and writers, the lock of a folder, the translation of errors."""

import threading
import time
from pathlib import Path

import pytest

from langgraph_memskill.errors import ConfigError, StoreError
from langgraph_memskill.stores.folder_lock import FolderLock
from langgraph_memskill.stores.guards import ReadWriteLock, translated


def test_readers_share_the_lock() -> None:
    lock = ReadWriteLock()
    both = threading.Barrier(2, timeout=300)

    def read() -> None:
        with lock.read():
            both.wait()

    other = threading.Thread(target=read)
    other.start()
    read()
    other.join()


def test_writer_is_alone_and_goes_before_new_readers() -> None:
    lock = ReadWriteLock()
    order: list[str] = []
    reading, may_end = threading.Event(), threading.Event()

    def first_reader() -> None:
        with lock.read():
            reading.set()
            may_end.wait(300)
            order.append("first reader")

    def write() -> None:
        with lock.write():
            order.append("writer")
            second.start()
            time.sleep(0.05)  # for the second reader to come too early, if it could
            order.append("writer done")

    def second_reader() -> None:
        with lock.read():
            order.append("second reader")

    first, writing, waiting, second = (
        threading.Thread(target=work)
        for work in (first_reader, write, second_reader, second_reader)
    )
    first.start()
    assert reading.wait(300)
    writing.start()
    while not lock._num_waiting:
        time.sleep(0.001)
    waiting.start()
    time.sleep(0.05)  # for it to come too early, if it could
    assert order == []
    may_end.set()
    for thread in (first, writing, waiting, second):
        thread.join()
    assert order == ["first reader", "writer", "writer done", *["second reader"] * 2]


def test_lock_is_free_again_after_an_error() -> None:
    lock = ReadWriteLock()
    for hold in (lock.read, lock.write):
        with pytest.raises(KeyError), hold():
            raise KeyError
    with lock.write():
        pass


def test_folder_lock_waits_and_keeps_a_note(tmp_path: Path) -> None:
    one, other = FolderLock(tmp_path, 5), FolderLock(tmp_path, 0.05)
    one.acquire()
    one.write_note("one was here")
    with pytest.raises(StoreError, match=r"locked by another process for 0.05 s"):
        other.acquire()
    one.release()
    other.acquire()
    assert other.read_note() == "one was here"
    other.write_note("x")
    assert other.read_note() == "x"
    other.release()
    for lock in (one, other, one):
        lock.close()
    with pytest.raises(StoreError, match="closed"):
        one.acquire()


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(28, "No space left on device"), "free some disk space"),
        (RuntimeError("attempt to write a readonly database"), "make it writable"),
        (ValueError("Could not connect to a Chroma server"), "check the URL"),
        (RuntimeError("(code: 14) unable to open database file"), "ulimit -n"),
        (RuntimeError("database disk image is malformed"), "restore a backup"),
        (RuntimeError("(code: 5) database is locked"), "let both use a Chroma server"),
    ],
)
def test_errors_say_what_to_do(error: Exception, advice: str) -> None:
    with (
        pytest.raises(StoreError, match=f"writing failed in the folder 'x': .*{advice}") as caught,
        translated("the folder 'x'", "writing"),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_own_errors_and_interrupts_pass() -> None:
    for error in (ConfigError("own"), KeyboardInterrupt()):
        with pytest.raises(type(error)), translated("x", "writing"):
            raise error
