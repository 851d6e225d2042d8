"""Records rewards beside recorded construction runs."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from langgraph_memskill.stores.feedback import Feedback
from langgraph_memskill.traces.purging import purge_texts
from langgraph_memskill.traces.rows import EpisodeTrace
from langgraph_memskill.traces.writer import TraceSink, TraceWriter

logger = logging.getLogger(__name__)


class RewardRecorder:
    """Writes rewards for what others have recorded, if there is a folder of traces at all."""

    def __init__(
        self, folder: str | Path, *, run_id: str = "", sink: TraceSink | None = None
    ) -> None:
        """Make a recorder.

        Args:
            folder: Of the traces.
            run_id: Name of the session.
            sink: Takes the rows; None writes them into the folder.
        """
        self.folder = Path(folder)
        self.run_id = run_id
        self.failures = 0
        """Writes that failed; their rows are tried again with the next one."""
        self._writer: TraceSink = TraceWriter(folder) if sink is None else sink

    def reward(self, feedback: Feedback) -> None:
        """Append a reward."""
        if self._writer.exists:
            self._add_episode(
                EpisodeTrace(
                    episode_id=feedback.episode_id,
                    run_id=self.run_id,
                    at=feedback.at,
                    reward=feedback.reward,
                    source=feedback.source,
                )
            )

    def purge(self, memory_ids: Collection[str]) -> None:
        """Remove the texts of memories from the traces, if these keep texts.

        Raises:
            StoreError: If a file cannot be read or written.
        """
        if self.folder.is_dir():
            with self._counted():
                self._writer.flush()
            purge_texts(self.folder, memory_ids)

    def close(self) -> None:
        """Flush."""
        with self._counted():
            self._writer.close()

    def _add_episode(self, row: EpisodeTrace) -> None:
        with self._counted():
            self._writer.add_episode(row)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            # Whatever goes wrong here, the memories are stored and the run goes on.
            self.failures += 1
            logger.exception(
                "a trace was not written to %s; memories are not affected", self.folder
            )
