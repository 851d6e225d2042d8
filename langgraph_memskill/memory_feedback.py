"""What an application says of how well episodes served."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from langgraph.store.base import BaseStore

from langgraph_memskill.errors import ConfigError, NamespaceError
from langgraph_memskill.evolution.diagnosis import case_memories, diagnose_all
from langgraph_memskill.evolution.files import EvolutionFiles
from langgraph_memskill.evolution.records import CaseOrigin, HardCase, Metric
from langgraph_memskill.evolution.stored_evidence import StoredEvidence
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change, Memory
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.feedback import (
    Feedback,
    aread_feedback,
    make_feedback,
    put_feedback,
    read_feedback,
)
from langgraph_memskill.stores.items import MemorySearch
from langgraph_memskill.traces.rewards import RewardRecorder

MAX_TEXT_CHARS = 4000
"""Characters of a question, its right answer or the given one that feedback takes at most."""


class MemoryFeedback(ABC):
    """The part of `StoredMemories` that takes rewards."""

    store: BaseStore
    _rewards: RewardRecorder | None
    _evolution: EvolutionFiles
    _hybrid: HybridSearch
    _search: MemorySearch
    _writer: MemoryWriter
    _top_k: int

    def feedback(
        self,
        episode_id: str,
        reward: float,
        *,
        question: str | None = None,
        expected: str | None = None,
        answer: str | None = None,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
    ) -> Feedback:
        """Record how well an episode (a `remember` call) served; training uses it.

        If the episode's run was recorded, the reward is appended to its traces, too. With a
        question it also tells what the memories did not help with: below a reward of 0.5 the
        question becomes a hard case, from which skills evolve; otherwise it is none any more, and
        with its right answer it is held out: new skills must not serve it worse.

        Args:
            episode_id: The id that `remember` returned.
            reward: Any finite number; benchmarks use [0, 1]. Of several the latest holds.
            question: What was asked of the memories.
            expected: The right answer.
            answer: The answer that was given.
            user_id: Whose memories were asked; None takes those that the episode wrote to, or
                else the running graph's user.
            scope: Values of the namespace's other placeholders.

        Raises:
            ConfigError: If the id is blank, the reward is not finite, the question is blank, there
                is an answer without a question, a text is longer than `MAX_TEXT_CHARS`, or nothing
                tells whose memories were asked. Nothing is recorded then.
            EvolutionError: If the case cannot be kept.
        """
        feedback = make_feedback(episode_id, reward)
        asked = _checked_question(question, expected, answer)
        if asked is None:
            self.store.batch([put_feedback(feedback)])
            self._record(feedback)
            return feedback
        namespace = self._asked_namespace(feedback, user_id, scope)
        self.store.batch([put_feedback(feedback)])
        self._record(feedback)
        found = self._hybrid.search(namespace, asked, self._top_k)
        self._learn(_case(feedback, asked, expected, answer, namespace, found))
        return feedback

    async def afeedback(
        self,
        episode_id: str,
        reward: float,
        *,
        question: str | None = None,
        expected: str | None = None,
        answer: str | None = None,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
    ) -> Feedback:
        """Like `feedback`, without blocking the event loop."""
        feedback = make_feedback(episode_id, reward)
        asked = _checked_question(question, expected, answer)
        if asked is None:
            await self.store.abatch([put_feedback(feedback)])
            await asyncio.to_thread(self._record, feedback)
            return feedback
        namespace = await asyncio.to_thread(self._asked_namespace, feedback, user_id, scope)
        await self.store.abatch([put_feedback(feedback)])
        await asyncio.to_thread(self._record, feedback)
        found = await self._hybrid.asearch(namespace, asked, self._top_k)
        case = _case(feedback, asked, expected, answer, namespace, found)
        await asyncio.to_thread(self._learn, case)
        return feedback

    def recorded_feedback(self, episode_id: str | None = None) -> list[Feedback]:
        """The recorded rewards of an episode, or all, oldest first."""
        return read_feedback(self.store, episode_id)

    async def arecorded_feedback(self, episode_id: str | None = None) -> list[Feedback]:
        """Like `recorded_feedback`, without blocking the event loop."""
        return await aread_feedback(self.store, episode_id)

    def hard_cases(
        self,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        diagnosed: bool = False,
    ) -> list[HardCase]:
        """The questions that the memories did not help with.

        Args:
            user_id: Whose memories were asked; None is all users.
            scope: Values of the namespace's other placeholders.
            diagnosed: Whether to look at the memories as they are now, their sources and the change
                log, for what became of the needed fact. No model is asked.

        Returns:
            The cases, in the order in which they first failed.

        Raises:
            EvolutionError: If they cannot be read.
        """
        cases = self._evolution.pool.cases()
        if user_id is not None or scope is not None:
            namespace = self.namespace_for(user_id, scope)
            cases = [case for case in cases if case.namespace == namespace]
        if not diagnosed:
            return cases
        return diagnose_all(cases, StoredEvidence(self._search, self._writer.log))

    async def ahard_cases(
        self,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        diagnosed: bool = False,
    ) -> list[HardCase]:
        """Like `hard_cases`, without blocking the event loop."""
        return await asyncio.to_thread(
            lambda: self.hard_cases(user_id=user_id, scope=scope, diagnosed=diagnosed)
        )

    def add_hard_cases(self, cases: Iterable[HardCase]) -> list[HardCase]:
        """Keep failures that no feedback tells of: of a benchmark, or of tasks with trajectories.

        Args:
            cases: Their `epoch` is set to the number of evolutions so far.

        Returns:
            The cases as they are kept; a repeat counts as one failure more.

        Raises:
            ConfigError: If a case has no question; none is kept then.
            EvolutionError: If they cannot be kept.
        """
        pool = self._evolution.pool
        wanted = [
            replace(case, epoch=pool.epoch, id=case.id or _identity(case.namespace, case.question))
            for case in cases
        ]
        if not all(case.question.strip() for case in wanted):
            raise ConfigError("a hard case needs a question: what was asked, or a task's objective")
        return pool.add_all(wanted)

    async def aadd_hard_cases(self, cases: Iterable[HardCase]) -> list[HardCase]:
        """Like `add_hard_cases`, without blocking the event loop."""
        return await asyncio.to_thread(self.add_hard_cases, list(cases))

    def resolve_hard_cases(self, ids: Collection[str]) -> int:
        """Drop cases that have been answered well since.

        Args:
            ids: `HardCase.id` of each; those that are no hard cases count for nothing.

        Returns:
            How many were dropped.

        Raises:
            EvolutionError: If the cases cannot be read or written.
        """
        return self._evolution.pool.resolve(ids)

    async def aresolve_hard_cases(self, ids: Collection[str]) -> int:
        """Like `resolve_hard_cases`, without blocking the event loop."""
        return await asyncio.to_thread(self.resolve_hard_cases, ids)

    def _record(self, feedback: Feedback) -> None:
        if self._rewards is not None:
            self._rewards.reward(feedback)

    def _learn(self, case: HardCase) -> None:
        pool = self._evolution.pool
        if case.metric.is_failure(case.score):
            pool.add(replace(case, epoch=pool.epoch))
        else:
            pool.answer(case)

    def _asked_namespace(
        self,
        feedback: Feedback,
        user_id: str | int | None,
        scope: Mapping[str, object] | None,
    ) -> Namespace:
        """Whose memories were asked. Without it two users' questions would be one case."""
        if user_id is not None or scope is not None:
            return self.namespace_for(user_id, scope)
        written = self._entries(None, run_id=feedback.episode_id)
        if written:
            return written[-1].namespace
        try:
            return self.namespace_for()
        except NamespaceError as error:
            raise ConfigError(
                f"the episode {feedback.episode_id!r} wrote no memory, so it does not tell whose "
                "memories the question asked: pass user_id= (or scope=; --user on the command line)"
            ) from error

    @abstractmethod
    def namespace_for(
        self, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> Namespace:
        """The namespace of a user's memories."""

    @abstractmethod
    def _entries(
        self,
        places: Sequence[Namespace] | None,
        *,
        memory_id: str | None = None,
        run_id: str | None = None,
        change_id: str | None = None,
    ) -> list[Change]:
        """Read the change log."""


def _checked_question(question: str | None, expected: str | None, answer: str | None) -> str | None:
    if question is None:
        if expected is not None or answer is not None:
            raise ConfigError("expected and answer belong to a question: give question=, too")
        return None
    if not isinstance(question, str) or not question.strip():
        raise ConfigError(f"question={question!r} must be what was asked of the memories")
    for name, text in (("question", question), ("expected", expected), ("answer", answer)):
        if text is None:
            continue
        if not isinstance(text, str):
            raise ConfigError(f"{name}={text!r} must be a text")
        if len(text) > MAX_TEXT_CHARS:
            raise ConfigError(
                f"{name} has {len(text):,} characters; at most {MAX_TEXT_CHARS:,} are kept: "
                "shorten it to what matters"
            )
    return question.strip()


def _case(
    feedback: Feedback,
    question: str,
    expected: str | None,
    answer: str | None,
    namespace: Namespace,
    found: Sequence[Memory],
) -> HardCase:
    return HardCase(
        id=_identity(namespace, question),
        question=question,
        expected=expected,
        prediction=answer or "",
        score=min(max(feedback.reward, 0.0), 1.0),
        metric=Metric.REWARD,
        memories=case_memories(found),
        namespace=namespace,
        episode_id=feedback.episode_id,
        origin=CaseOrigin.FEEDBACK,
        at=feedback.at,
    )


def _identity(namespace: Namespace, question: str) -> str:
    """An id for a question: two users' are two cases, and it tells nothing of either.

    Versions of the skills name the cases that they come from, and outlive a purge.
    """
    identity = "\n".join([*namespace, question.strip().lower()])
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]
