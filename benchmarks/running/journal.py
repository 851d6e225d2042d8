"""The journal of a run: every item that was played, line by line, so that a kill loses none."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from langgraph_memskill.benchmarks.run_log import ItemLog
from langgraph_memskill.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

JOURNAL_FILE = "items.jsonl"
_LOCK_FILE = ".lock"

ItemKey = tuple[str, str]
"""Name of the row, id of the item."""


class Journal:
    """The items of a run that were played, in a file of the run's folder."""

    def __init__(self, folder: Path, run_id: str) -> None:
        """Read what an earlier part of the run has written.

        Args:
            folder: The folder of the run.
            run_id: What the items belong to.

        Raises:
            ConfigError: If the folder holds another run.
            DataError: If the file cannot be read.
        """
        self._path = folder / JOURNAL_FILE
        self._run_id = run_id
        self.items: dict[ItemKey, ItemLog] = {}
        self.seconds = 0.0
        """Of the earlier parts."""
        self._file: IO[str] | None = None
        self._lock: FileLock | None = None
        self._thread: ThreadPoolExecutor | None = None
        for line in self._lines():
            self._take(line)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Keep the file open for `add`.

        Raises:
            ConfigError: If another process is working in the folder.
            DataError: If the file cannot be written.
        """
        await asyncio.to_thread(self._open)
        try:
            yield
        finally:
            await asyncio.to_thread(self._close)

    def is_open(self, row: str, item_id: str) -> bool:
        """Whether an item is still to be played: it was not, or it has failed."""
        item = self.items.get((row, item_id))
        return item is None or item.error is not None

    async def add(self, row: str, item: ItemLog) -> None:
        """Note an item that was played.

        What it cost when it was played before and failed stays counted.
        """
        earlier = self.items.get((row, item.id))
        if earlier is not None and earlier.error is not None:
            item = item.model_copy(
                update={
                    "usage": earlier.usage + item.usage,
                    "scoring_usage": earlier.scoring_usage + item.scoring_usage,
                }
            )
        self.items[row, item.id] = item
        await self._written({"row": row, "item": item.model_dump(mode="json")})

    async def add_seconds(self, seconds: float) -> None:
        """Note how long this part of the run has taken since the last note."""
        self.seconds += seconds
        await self._written({"seconds": seconds})

    async def _written(self, document: dict[str, Any]) -> None:
        """Write in the journal's own thread; a caller that is cancelled does not take it back."""
        if self._thread is not None:
            writing = self._thread.submit(self._write, document)
            await asyncio.shield(asyncio.wrap_future(writing))

    def _open(self) -> None:
        folder = self._path.parent
        with self._readable_errors():
            folder.mkdir(parents=True, exist_ok=True)
            # Taken in one thread, and released in another.
            self._lock = FileLock(folder / _LOCK_FILE, thread_local=False)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise ConfigError(
                    f"another process is running in {folder}: wait for it, or name another "
                    "folder with --out"
                ) from error
        try:
            with self._readable_errors():
                self._cut_half_line()
                self._file = self._path.open("a", encoding="utf-8")
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
            if self._file.tell() == 0:
                self._write({"run": self._run_id})
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()  # after what it still has to write
            self._thread = None
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {error}") from error

    def _write(self, document: dict[str, Any]) -> None:
        line = json.dumps(document, ensure_ascii=True) + "\n"
        with self._readable_errors():
            if self._file is not None:
                self._file.write(line)
                self._file.flush()

    def _lines(self) -> list[str]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self._path} cannot be read: {error}") from error
        lines = text.splitlines(keepends=True)
        # A kill may leave half a line at the end.
        return [line for line in lines if line.endswith("\n")]

    def _cut_half_line(self) -> None:
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            with self._path.open("r+b") as file:
                file.truncate(end)

    def _take(self, line: str) -> None:
        try:
            document = json.loads(line)
            if "run" in document:
                self._check(document["run"])
            elif "seconds" in document:
                self.seconds += float(document["seconds"])
            else:
                item = ItemLog.model_validate(document["item"])
                self.items[document["row"], item.id] = item
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            if isinstance(error, ConfigError):
                raise
            logger.warning("%s: a line cannot be read and is left out (%s)", self._path, error)

    def _check(self, found: object) -> None:
        if found != self._run_id:
            raise ConfigError(
                f"{self._path.parent} holds another run, of other data or settings: name another "
                "folder with --out, or remove it"
            )
