"""LoCoMo conversations as material for training: where the benchmark's loader meets the trainer."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.locomo import (
    category_number,
    cut_spans,
    load_locomo,
    scorable,
    split,
)
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.scorers import (
    best_token_f1,
    best_token_f1_max,
    evidence_recall,
)
from langgraph_memskill.cli.screen import Screen
from langgraph_memskill.cli.train_tasks import EXTRACTIVE
from langgraph_memskill.errors import ConfigError, DataError
from langgraph_memskill.memory_folder import DEFAULT_PACKS
from langgraph_memskill.models import is_extractive, load_model
from langgraph_memskill.records import Answer
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.trainers.config import RewardName, read_config
from langgraph_memskill.trainers.conversation_episodes import Conversations
from langgraph_memskill.trainers.game_settings import GameSettings
from langgraph_memskill.trainers.judging import judge_scorer
from langgraph_memskill.trainers.material import Scorer, TrainingQuestion, TrainingTrace
from langgraph_memskill.trainers.run_folder import RunManifest
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec

_MULTI_HOP_NUMBER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLocomoRun:
    """A run over LoCoMo conversations that is to be started."""

    data: Path | None
    config: Path | None
    settings: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    packs: tuple[str, ...] | None = None
    model: str | None = None
    judge: str | None = None
    encoder: str | None = None

    def manifest(self) -> RunManifest:
        """What the run is started with."""
        if self.data is None:
            raise ConfigError("name the file to train on with --data, or a run with --resume")
        read = read_config(self.config, self.settings)
        traces = load_traces(self.data, self.conversations, read.span_mode)
        packs = DEFAULT_PACKS if self.packs is None else self.packs
        if read.reward == "llm_judge" and is_extractive(self.judge or self.model or EXTRACTIVE):
            raise ConfigError("reward=llm_judge needs an LLM: name one with --model or --judge")
        if read.reward == "success" or read.games != GameSettings():
            raise ConfigError(
                "reward=success and the settings games.* are those of games, and conversations "
                "have none: see memskill train alfworld"
            )
        return RunManifest(
            run_id=uuid.uuid4().hex,
            task="locomo",
            data=str(self.data.absolute()),
            data_sha256=file_hash(self.data),
            trace_ids=tuple(trace.id for trace in traces),
            model=self.model or EXTRACTIVE,
            judge=self.judge,
            encoder=self.encoder,
            packs=packs,
            bank_version=SkillBank.seed(*packs).version,
            config=read,
            package_version=version("langgraph-memskill"),
        )

    def prepare(self, folder: Path, manifest: RunManifest, screen: Screen) -> RunManifest:
        """Nothing is to be prepared."""
        return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRecipe:
    """How a worker asks about conversations and scores the answers; see `KindRecipe`."""

    reward: RewardName
    judge: ModelSpec | None
    """For the reward "llm_judge"; None is the run's model."""

    def open(self, model: ModelSpec, encoder: EncoderSpec) -> Conversations:
        """Make it; the conversations themselves come with the plans."""
        if self.reward != "llm_judge":
            return Conversations(traces=(), scorer=make_scorer(self.reward))
        return Conversations(traces=(), scorer=judge_scorer((self.judge or model).load(encoder)))


def conversation_recipe(manifest: RunManifest) -> ConversationRecipe:
    """How workers of a cluster make the episodes of a run.

    Args:
        manifest: What the run was started with.
    """
    return ConversationRecipe(
        reward=manifest.config.reward,
        judge=None if manifest.judge is None else ModelSpec(spec=manifest.judge),
    )


def conversation_episodes(manifest: RunManifest, model: BaseChatModel) -> Conversations:
    """The episodes of a run over conversations.

    Args:
        manifest: What it was started with.
        model: The run's model, which judges if no other judge was named.

    Raises:
        ConfigError: If the file is another one now.
        DataError: If it cannot be read.
    """
    data = Path(manifest.data)
    if file_hash(data) != manifest.data_sha256:
        raise ConfigError(f"{data} is not the file that the run was started with: restore it")
    return Conversations(
        traces=load_traces(data, manifest.trace_ids, manifest.config.span_mode),
        scorer=_scorer(manifest, model),
    )


def _scorer(manifest: RunManifest, model: BaseChatModel) -> Scorer:
    if manifest.config.reward != "llm_judge":
        return make_scorer(manifest.config.reward)
    return judge_scorer(model if manifest.judge is None else load_model(manifest.judge))


def load_traces(
    data: Path, conversations: Sequence[str], mode: SpanMode
) -> tuple[TrainingTrace, ...]:
    """Read the conversations to train on.

    Args:
        data: A LoCoMo file.
        conversations: Their ids; none takes the training part, conversations 0 to 5.
        mode: How to cut them into spans.

    Raises:
        DataError: If the file cannot be read.
        ConfigError: If a conversation is not in the file.
    """
    samples = load_locomo(data)
    if not conversations:
        return tuple(_trace(sample, mode) for sample in split(samples).train)
    by_id = {sample.id: sample for sample in samples}
    if missing := [name for name in conversations if name not in by_id]:
        known = ", ".join(by_id)
        raise ConfigError(f"{data} holds no conversation {missing[0]!r}; it holds {known}")
    return tuple(_trace(by_id[name], mode) for name in dict.fromkeys(conversations))


def file_hash(data: Path) -> str:
    """SHA-256 of a data file.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return hashlib.sha256(data.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the file {data}: {error.strerror or error}") from error


def make_scorer(reward: RewardName) -> Scorer:
    """The scorer of a reward that needs no model.

    Raises:
        ConfigError: If the reward is another one.
    """
    scorers: dict[RewardName, Scorer] = {"f1": _f1, "evidence_recall": _evidence_recall}
    if reward not in scorers:
        raise ConfigError(f"reward={reward!r} needs a model to judge with")
    return scorers[reward]


async def _f1(question: TrainingQuestion, answer: Answer) -> float | None:
    if question.category == _MULTI_HOP_NUMBER:
        return best_token_f1_max(answer.text, question.answers)
    return best_token_f1(answer.text, question.answers)


async def _evidence_recall(question: TrainingQuestion, answer: Answer) -> float | None:
    found = (
        turn_id
        for memory in answer.memories
        for source in memory.sources
        for turn_id in source.turn_ids
    )
    return evidence_recall(found, question.evidence)


def _trace(sample: Sample, mode: SpanMode) -> TrainingTrace:
    return TrainingTrace(
        id=sample.id,
        spans=tuple(cut_spans(sample, mode)),
        questions=tuple(map(_question, scorable(sample.questions))),
    )


def _question(question: Question) -> TrainingQuestion:
    return TrainingQuestion(
        id=question.id,
        text=question.text,
        answers=question.answers,
        category=category_number(question),
        evidence=question.evidence,
        date=question.date,
    )
