"""Episodes over conversations: what was remembered is asked about (METHOD)."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.evolution.diagnosis import GivenMemories, case_memories, diagnose
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.evolution.records import Metric as CaseMetric
from langgraph_memskill.graphs.answering import answer_of, ask, build_answering_graph
from langgraph_memskill.records import Answer, Memory
from langgraph_memskill.stores.items import aread_items, memory_of
from langgraph_memskill.trainers.config import RewardName, TrainConfig
from langgraph_memskill.trainers.credit import recalled_turns
from langgraph_memskill.trainers.episode_kinds import AskedQuery, EpisodeMemories
from langgraph_memskill.trainers.material import (
    ConversationPlan,
    Scorer,
    TrainingQuestion,
    TrainingTrace,
    plan_episodes,
)

logger = logging.getLogger(__name__)

_METRICS: dict[RewardName, CaseMetric] = {
    "f1": CaseMetric.F1,
    "llm_judge": CaseMetric.JUDGE,
    "evidence_recall": CaseMetric.REWARD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """Conversations whose memories are scored by the questions about them."""

    traces: tuple[TrainingTrace, ...]
    scorer: Scorer
    """Scores answers."""

    def plans(self, config: TrainConfig, *, outer: int, inner: int) -> list[ConversationPlan]:
        """Windows of conversations; see `plan_episodes`."""
        return plan_episodes(self.traces, config, outer=outer, inner=inner)

    async def ask(
        self, plan: ConversationPlan, memories: EpisodeMemories
    ) -> list[AskedQuery | None]:
        """Ask the questions.

        Where neither the reward nor a designer looks at answers, memories are recalled and every
        answer is "".
        """
        config = memories.config
        answers = config.scores_answers or memories.for_designer
        graph = build_answering_graph(
            memories.model if answers else None,
            memories.encoder,
            store=memories.store,
            namespace=memories.namespace,
            top_k=config.top_k,
            checkpointer=False,
        )
        stored = None
        if memories.for_designer:
            stored = list(map(memory_of, await aread_items(memories.store, memories.namespace)))

        async def one(question: TrainingQuestion) -> AskedQuery | None:
            state = ask(question.text, memories.namespace, plan.style, question.date)
            async with memories.slots:
                try:
                    final = await graph.ainvoke(state, {"callbacks": [memories.calls]})
                except ModelCallError:
                    # An outage says nothing about the memories (QUIRK 63).
                    logger.warning("the query %s was not answered", question.id, exc_info=True)
                    return None
                return await self._scored(plan, question, answer_of(final), config, stored)

        return await asyncio.gather(*map(one, plan.questions))

    async def aclose(self) -> None:
        """Nothing is running."""

    async def _scored(
        self,
        plan: ConversationPlan,
        question: TrainingQuestion,
        answer: Answer,
        config: TrainConfig,
        stored: Sequence[Memory] | None,
    ) -> AskedQuery | None:
        score = await self.scorer(question, answer)
        if score is None:
            return None
        metric = _METRICS[config.reward]
        # A judge's half point is a failure, too (METHOD, "Evolution").
        is_half = metric is CaseMetric.JUDGE and score < 1
        case = None
        if score < config.success_score or is_half:
            case = _hard_case(plan, question, answer, score, metric)
            if stored is not None:
                evidence = GivenMemories(memories=stored)
                found = await asyncio.to_thread(diagnose, case, evidence)
                case = replace(case, diagnosis=found)
        return AskedQuery(
            key=_key(plan, question),
            answer=answer.text,
            score=score,
            evidence=question.evidence,
            recalled=recalled_turns(answer.memories),
            hard_case=case,
        )


def _hard_case(
    plan: ConversationPlan,
    question: TrainingQuestion,
    answer: Answer,
    score: float,
    metric: CaseMetric,
) -> HardCase:
    return HardCase(
        id=_key(plan, question),
        question=question.text,
        expected=question.answers[0] if question.answers else None,
        prediction=answer.text,
        score=min(max(score, 0.0), 1.0),
        metric=metric,
        memories=case_memories(answer.memories),
        episode_id=plan.id,
        conversation=plan.trace_id,
        needed_sources=question.evidence,
    )


def _key(plan: ConversationPlan, question: TrainingQuestion) -> str:
    return f"{plan.trace_id}:{question.id}"
