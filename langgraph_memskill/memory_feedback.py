"""What an application says of how well episodes served."""

import asyncio

from langgraph.store.base import BaseStore

from langgraph_memskill.stores.feedback import (
    Feedback,
    aread_feedback,
    make_feedback,
    put_feedback,
    read_feedback,
)
from langgraph_memskill.traces.rewards import RewardRecorder


class MemoryFeedback:
    """The part of `StoredMemories` that takes rewards."""

    store: BaseStore
    _rewards: RewardRecorder | None

    def feedback(self, episode_id: str, reward: float) -> Feedback:
        """Record how well an episode (a `remember` call) served; training uses it.

        If the episode's run was recorded, the reward is appended to its traces, too.

        Args:
            episode_id: The id that `remember` returned.
            reward: Any finite number; benchmarks use [0, 1]. Of several the latest holds.

        Raises:
            ConfigError: If the id is blank or the reward is not finite.
        """
        feedback = make_feedback(episode_id, reward)
        self.store.batch([put_feedback(feedback)])
        self._record(feedback)
        return feedback

    async def afeedback(self, episode_id: str, reward: float) -> Feedback:
        """Like `feedback`, without blocking the event loop."""
        feedback = make_feedback(episode_id, reward)
        await self.store.abatch([put_feedback(feedback)])
        await asyncio.to_thread(self._record, feedback)
        return feedback

    def _record(self, feedback: Feedback) -> None:
        if self._rewards is not None:
            self._rewards.reward(feedback)

    def recorded_feedback(self, episode_id: str | None = None) -> list[Feedback]:
        """The recorded rewards of an episode, or all, oldest first."""
        return read_feedback(self.store, episode_id)

    async def arecorded_feedback(self, episode_id: str | None = None) -> list[Feedback]:
        """Like `recorded_feedback`, without blocking the event loop."""
        return await aread_feedback(self.store, episode_id)
