"""Playing an episode: a construction run with sampled skills, then its queries (METHOD)."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.construction_runs import ConstructionRuns
from langgraph_memskill.controller.distribution import NewSkillBias
from langgraph_memskill.controller.files import version_of
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.selectors import ControllerSelector
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import TrainingError
from langgraph_memskill.graphs.construction import ConstructionParts, build_construction_graph
from langgraph_memskill.process_reward import process_reward
from langgraph_memskill.records import RememberResult, Usage
from langgraph_memskill.settings import METHOD
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.stores.feedback import Feedback
from langgraph_memskill.stores.in_process import in_process_store
from langgraph_memskill.stores.pending import PendingSpans
from langgraph_memskill.traces.recording import TraceRecorder
from langgraph_memskill.traces.rows import StepTrace
from langgraph_memskill.traces.writer import TraceSink
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.credit import span_shares
from langgraph_memskill.trainers.episode_kinds import (
    AnyEpisodeKind,
    AskedQuery,
    EpisodeMemories,
)
from langgraph_memskill.trainers.plans import EpisodePlan
from langgraph_memskill.trainers.returns import redistribute
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer

logger = logging.getLogger(__name__)

_NAMESPACE = ("training",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedEpisode:
    """An episode that came to its end."""

    plan: EpisodePlan
    steps: tuple[RolloutStep, ...]
    """With process and final reward."""
    score: float
    """Mean score of the queries that have one: the final reward."""
    process_reward: float
    """Sum over the steps."""
    queries: tuple[AskedQuery, ...]
    unscored: int
    """Queries that could not be answered or say nothing about the score; they are in no mean."""
    failed_spans: int
    usage: Usage
    seconds: float


class UsageCounter(BaseCallbackHandler):
    """Adds up calls and reported tokens of chat models, from several threads."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.usage = Usage()
        self._lock = Lock()

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Count a call."""
        with self._lock:
            self.usage += Usage(calls=1)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Count the tokens that the model reports."""
        for generation in response.generations[0] if response.generations else []:
            message = generation.message if isinstance(generation, ChatGeneration) else None
            if isinstance(message, AIMessage) and (reported := message.usage_metadata):
                with self._lock:
                    self.usage += Usage(
                        input_tokens=reported["input_tokens"],
                        output_tokens=reported["output_tokens"],
                    )


@dataclass(slots=True, kw_only=True)
class StepCollector:
    """Hands the recorded steps to the episodes that they belong to."""

    _steps: dict[str, list[StepTrace]] = field(default_factory=dict)

    def __call__(self, step: StepTrace) -> None:
        """Take a step."""
        self._steps.setdefault(step.episode_id, []).append(step)

    def take(self, episode_id: str) -> list[StepTrace]:
        """The steps of an episode, in order; they are forgotten here."""
        return sorted(self._steps.pop(episode_id, []), key=lambda step: step.step)


class EpisodePlayer:
    """Plays episodes with the same model, encoder and way of scoring."""

    def __init__(
        self,
        model: BaseChatModel,
        model_name: str,
        encoder: TextEncoder,
        kind: AnyEpisodeKind,
        config: TrainConfig,
        traces: Path,
        *,
        run_id: str,
        for_designer: bool = False,
        sink: TraceSink | None = None,
    ) -> None:
        """Make a player.

        Args:
            model: Reads spans and answers questions.
            model_name: Its name in traces.
            encoder: Embeds everything. For results that do not depend on the order in which
                episodes run, a text's vector must not depend on the texts beside it.
            kind: Says what the memories are put to the test with.
            config: Numbers and sizes.
            traces: Folder where all steps are recorded.
            run_id: Of the training run, for the traces.
            for_designer: Whether a designer reads the failures.
            sink: Takes what is recorded; None writes it into the folder.
        """
        self._model = model
        self._model_name = model_name
        self._encoder = encoder
        self._kind = kind
        self._config = config
        self._for_designer = for_designer
        self._slots = asyncio.Semaphore(config.concurrency)
        self._query_slots = asyncio.Semaphore(config.concurrency)
        self._collector = StepCollector()
        self.recorder = TraceRecorder(
            traces,
            encoder,
            run_id=run_id,
            process_reward=partial(process_reward, config=config.process_reward),
            on_step=self._collector,
            sink=sink,
        )

    def offer(self, bank: SkillBank, bias: NewSkillBias) -> SkillOffer:
        """The skills that the next episodes choose from."""
        skills = bank.candidates()
        return SkillOffer(
            names=tuple(skill.name for skill in skills),
            embeddings=self._encoder.encode([skill.description for skill in skills]),
            is_new=np.array([skill.name in bank.new_names for skill in skills], dtype=np.bool_),
            bias=bias,
            version=bank.version,
        )

    async def play(
        self, plan: EpisodePlan, policy: SkillPolicy, bank: SkillBank, offer: SkillOffer
    ) -> PlayedEpisode:
        """Play one episode, when there is a free place.

        Args:
            plan: What.
            policy: Chooses the skills, by chance with its probabilities; it must not change
                meanwhile.
            bank: The skills.
            offer: The same skills as `offer` gave them.

        Raises:
            TrainingError: If no query could be scored, or steps are missing.
            Exception: What the model, the encoder or the graph raised.
        """
        async with self._slots:
            started = time.perf_counter()
            counter = UsageCounter()
            store = in_process_store(self._encoder)
            result = await self._construct(plan, policy, bank, offer, store, counter)
            queries = await self._kind.ask(plan, self._memories(store, counter))
            return self._played(
                plan, offer, result, queries, counter.usage, time.perf_counter() - started
            )

    async def aclose(self) -> None:
        """Write the last traces, and end what still runs on the player's account."""
        await asyncio.to_thread(self.recorder.close)
        await self._kind.aclose()

    async def _construct(
        self,
        plan: EpisodePlan,
        policy: SkillPolicy,
        bank: SkillBank,
        offer: SkillOffer,
        store: InMemoryStore,
        counter: UsageCounter,
    ) -> RememberResult:
        selector = ControllerSelector(
            policy,
            self._encoder,
            sample=True,
            bias=offer.bias,
            seed=plan.seed,
            version=version_of(policy, encoder_name=self._encoder.name),
        )
        settings = replace(
            METHOD, skills_per_span=self._config.skills_per_span, top_k=self._config.top_k
        )
        parts = ConstructionParts(
            model=self._model,
            model_name=self._model_name,
            encoder=self._encoder,
            bank=bank,
            selector=selector,
            store=store,
            namespace=_NAMESPACE,
            settings=settings,
            recorder=self.recorder,
        )
        runs = ConstructionRuns(
            graph=build_construction_graph(parts), store=store, pending=PendingSpans(store)
        )
        return await runs.arun(
            plan.spans, _NAMESPACE, episode_id=plan.id, config={"callbacks": [counter]}
        )

    def _memories(self, store: InMemoryStore, counter: UsageCounter) -> EpisodeMemories:
        return EpisodeMemories(
            store=store,
            namespace=_NAMESPACE,
            model=self._model,
            encoder=self._encoder,
            config=self._config,
            calls=counter,
            slots=self._query_slots,
            for_designer=self._for_designer,
        )

    def _played(
        self,
        plan: EpisodePlan,
        offer: SkillOffer,
        result: RememberResult,
        asked: Sequence[AskedQuery | None],
        usage: Usage,
        seconds: float,
    ) -> PlayedEpisode:
        recorded = self._collector.take(plan.id)
        queries = tuple(query for query in asked if query is not None)
        if not queries:
            raise TrainingError(f"none of {len(asked)} queries of episode {plan.id} has a score")
        if len(recorded) != len(plan.spans):
            raise TrainingError(
                f"{len(recorded)} of {len(plan.spans)} steps of episode {plan.id} were recorded"
            )
        score = sum(query.score for query in queries) / len(queries)
        self.recorder.reward(
            Feedback(
                episode_id=plan.id, reward=score, at=datetime.now(UTC), source=self._config.reward
            )
        )
        shares = self._shares(plan, score, queries)
        return PlayedEpisode(
            plan=plan,
            steps=tuple(
                _rollout(step, offer, share) for step, share in zip(recorded, shares, strict=True)
            ),
            score=score,
            process_reward=sum(step.process_reward or 0.0 for step in recorded),
            queries=queries,
            unscored=len(asked) - len(queries),
            failed_spans=len(result.failed),
            usage=usage,
            seconds=seconds,
        )

    def _shares(
        self, plan: EpisodePlan, score: float, queries: Sequence[AskedQuery]
    ) -> list[float]:
        """What each step earns besides its process reward."""
        if self._config.credit == "span":
            asked = [(q.evidence, q.recalled) for q in queries]
            return list(map(float, np.nan_to_num(span_shares(plan.spans, asked))))
        return list(map(float, redistribute(score, len(plan.spans), self._config.redistribution)))


def _rollout(step: StepTrace, offer: SkillOffer, final_share: float) -> RolloutStep:
    return RolloutStep(
        state=step.state,
        offer=offer,
        chosen=step.chosen,
        log_prob=step.log_prob,
        value=0.0 if step.value is None else step.value,
        reward=(step.process_reward or 0.0) + final_share,
    )
