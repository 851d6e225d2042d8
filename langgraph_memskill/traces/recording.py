"""Records construction runs as traces; a trace that cannot be written never costs a memory."""

import base64
import logging
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from langgraph_memskill.controller.selectors import ControllerSelector, SelectionRequest, Selector
from langgraph_memskill.controller.state import FusionMode, fuse_state
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.process_reward import process_reward
from langgraph_memskill.records import (
    ActionType,
    MemoryAction,
    RejectedAction,
    Selection,
    Span,
    Usage,
)
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.traces.action_rows import trace_actions
from langgraph_memskill.traces.buffer import EpisodeRows
from langgraph_memskill.traces.rewards import RewardRecorder
from langgraph_memskill.traces.rows import (
    BankTrace,
    BiasTrace,
    EpisodeTrace,
    Floats,
    SkillTrace,
    StepTrace,
    text_hash,
)
from langgraph_memskill.traces.writer import TraceSink

logger = logging.getLogger(__name__)

_KIND = re.compile(r"[A-Za-z_]\w*")


class ProcessReward(Protocol):
    """Says what a step earns by itself; `process_reward` does."""

    def __call__(
        self, selected: Sequence[str], succeeded: Sequence[str], *, num_failed: int, num_steps: int
    ) -> float:
        """Compare the picked skills' action types with those of the actions that came out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is known of a step when its skills have been picked, besides the `Selection`."""

    state: str
    """The state, float32 [2 D], in base64: a checkpoint holds it until the step is stored."""
    bank_version: str
    controller_version: str
    fusion: str
    tau: float
    skill_types: tuple[ActionType, ...]
    """Of the picked skills."""
    bias: BiasTrace | None
    chosen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpan:
    """A span that has been read and stored."""

    span: Span
    selection: Selection
    choice: Choice
    actions: tuple[MemoryAction, ...]
    """What the model asked for and the checks let through."""
    rejected: tuple[RejectedAction, ...]
    failure: str | None
    usage: Usage
    extract_s: float | None


class TraceRecorder(RewardRecorder):
    """Writes the steps of construction runs, and rewards, into a folder of traces."""

    def __init__(
        self,
        folder: str | Path,
        encoder: TextEncoder,
        *,
        keep_texts: bool = False,
        run_id: str | None = None,
        process_reward: ProcessReward | None = None,
        on_step: Callable[[StepTrace], None] | None = None,
        sink: TraceSink | None = None,
    ) -> None:
        """Make a recorder; nothing is written before the first step.

        Args:
            folder: Of the traces; other processes may write into it, too.
            encoder: Embeds spans, memories and skills.
            keep_texts: Whether spans, memories and error texts are kept; otherwise their hashes.
            run_id: Name of the training run or session; None makes one up.
            process_reward: Computes the steps' own rewards; None leaves them out.
            on_step: Called with every step as well, in a training run for example.
            sink: Takes the rows; None writes them into the folder.
        """
        super().__init__(folder, run_id=run_id or uuid.uuid4().hex, sink=sink)
        self._encoder = encoder
        self._keep_texts = keep_texts
        self._process_reward = process_reward
        self._on_step = on_step

    @property
    def dropped(self) -> int:
        """Rows that were given up because the folder could not be written for too long."""
        return self._writer.dropped

    def take_over(self, rows: EpisodeRows) -> None:
        """Write what the recorder of another process has kept."""
        with self._counted():
            rows.write(self._writer)

    def choices(
        self,
        requests: Sequence[SelectionRequest],
        bank: SkillBank,
        selector: Selector,
        selections: Sequence[Selection],
    ) -> list[Choice]:
        """Note what the selector saw, right after it chose; writes the bank version if it is new.

        Args:
            requests: What it was asked.
            bank: The skills on offer.
            selector: What chose.
            selections: What it chose, one a request.

        Returns:
            One a request; none if something went wrong, which is counted.
        """
        with self._counted():
            if not self._writer.has_bank(bank.version, self._encoder.name):
                self._writer.add_bank(self._bank(bank))
        with self._counted():
            return [
                self._choice(request, bank, selector, selection)
                for request, selection in zip(requests, selections, strict=True)
            ]
        return []

    def record(
        self,
        spans: Sequence[RecordedSpan],
        applied: Sequence[MemoryAction],
        *,
        span_ids: Sequence[str],
        thread_id: str | None,
        is_end: bool,
    ) -> None:
        """Append the steps of a batch; at the end of a run everything is flushed.

        Args:
            spans: The batch, without spans for which no skills were chosen.
            applied: The actions that changed something.
            span_ids: Of all spans of the run.
            thread_id: The LangGraph thread.
            is_end: Whether these were the run's last spans.
        """
        by_change = {action.change_id: action for action in applied}
        lengths = Counter(map(_episode_of, span_ids))
        with self._counted():
            now = datetime.now(UTC)
            rows = [self._step(entry, by_change, lengths, thread_id, now) for entry in spans]
            if self._on_step is not None:
                for row in rows:
                    self._on_step(row)
            self._writer.add_steps(rows)
        if not is_end:
            return
        for episode_id, num_steps in lengths.items():
            self._add_episode(
                EpisodeTrace(
                    episode_id=episode_id,
                    run_id=self.run_id,
                    at=datetime.now(UTC),
                    thread_id=thread_id,
                    num_steps=num_steps,
                )
            )

    def _bank(self, bank: SkillBank) -> BankTrace:
        skills = bank.candidates()
        return BankTrace(
            version=bank.version,
            encoder=self._encoder.name,
            skills=tuple(
                SkillTrace(
                    name=skill.name,
                    description=skill.description,
                    instructions=skill.instructions,
                    action_type=skill.action_type,
                )
                for skill in skills
            ),
            embeddings=self._encoder.encode([skill.description for skill in skills]),
        )

    @staticmethod
    def _choice(
        request: SelectionRequest, bank: SkillBank, selector: Selector, selection: Selection
    ) -> Choice:
        fusion: FusionMode = "mean"
        tau = 1.0
        if isinstance(selector, ControllerSelector):
            fusion, tau = selector.fusion, selector.tau
        return Choice(
            state=_packed(fuse_state(request.span, request.memories, mode=fusion, tau=tau)),
            bank_version=bank.version,
            controller_version=selector.version,
            fusion=fusion,
            tau=tau,
            skill_types=tuple(bank[name].action_type for name in selection.skills),
            bias=_bias(selector, bank, selection),
            chosen_at=datetime.now(UTC),
        )

    def _step(
        self,
        entry: RecordedSpan,
        applied: Mapping[str | None, MemoryAction],
        lengths: Mapping[str, int],
        thread_id: str | None,
        stored_at: datetime,
    ) -> StepTrace:
        span, selection, choice = entry.span, entry.selection, entry.choice
        episode_id = _episode_of(span.id)
        places = {name: place for place, name in enumerate(selection.candidates)}
        num_steps = max(lengths[episode_id], span.index + 1)
        return StepTrace(
            run_id=self.run_id,
            thread_id=thread_id,
            episode_id=episode_id,
            span_id=span.id,
            step=span.index,
            num_steps=num_steps,
            span_hash=text_hash(span.text),
            span_text=span.text if self._keep_texts else None,
            bank_version=choice.bank_version,
            encoder=self._encoder.name,
            selector=selection.selector,
            controller_version=choice.controller_version,
            fusion=choice.fusion,
            tau=choice.tau,
            state=_unpacked(choice.state),
            chosen=tuple(places[name] for name in selection.skills),
            log_prob=selection.log_prob,
            probabilities=np.array(selection.probabilities, np.float32),
            sampled=selection.sampled,
            value=selection.value,
            bias=choice.bias,
            actions=trace_actions(
                entry.actions,
                entry.rejected,
                applied,
                has_failed=entry.failure is not None,
                keep_texts=self._keep_texts,
            ),
            failure=None if entry.failure is None else _kind(entry.failure),
            failure_text=entry.failure if self._keep_texts else None,
            calls=entry.usage.calls,
            input_tokens=entry.usage.input_tokens,
            output_tokens=entry.usage.output_tokens,
            tokens_estimated=entry.usage.estimated_calls > 0,
            chosen_at=choice.chosen_at,
            stored_at=stored_at,
            extract_s=entry.extract_s,
            process_reward=self._reward_of(entry, num_steps),
        )

    def _reward_of(self, entry: RecordedSpan, num_steps: int) -> float | None:
        if self._process_reward is None:
            return None
        came_out = [str(action.type) for action in entry.actions]
        if entry.failure is None and not entry.rejected and not came_out:
            came_out = [str(ActionType.NOOP)]
        return self._process_reward(
            [str(kind) for kind in entry.choice.skill_types],
            came_out,
            num_failed=len(entry.rejected) + (entry.failure is not None),
            num_steps=num_steps,
        )


def make_recorder(
    traces: TraceRecorder | str | Path | None, encoder: TextEncoder, settings: Settings
) -> TraceRecorder | None:
    """Make the recorder that a memory was asked for.

    Args:
        traces: A folder, a recorder, or None.
        encoder: The memory's.
        settings: The memory's.

    Raises:
        ConfigError: If the settings ask for recording and no folder was named.
    """
    if traces is None and settings.record_traces:
        raise ConfigError(
            "record_traces=True needs a folder for the traces: pass traces=..., or open a memory "
            "folder with MemSkillMemory.open"
        )
    if traces is None or isinstance(traces, TraceRecorder):
        return traces
    return TraceRecorder(
        traces, encoder, keep_texts=settings.keep_trace_texts, process_reward=process_reward
    )


def _episode_of(span_id: str) -> str:
    """The episode that a span was first met in; its id is part of the span's.

    A run that empties the retry queue reads spans of several episodes.
    """
    return span_id.rpartition("/")[0] or span_id


def _kind(failure: str) -> str:
    """What a failure's text begins with; the rest may quote what was said."""
    found = _KIND.match(failure)
    return found[0] if found else "failure"


def _bias(selector: Selector, bank: SkillBank, selection: Selection) -> BiasTrace | None:
    if not isinstance(selector, ControllerSelector) or selector.bias is None:
        return None
    bias = selector.bias
    new = tuple(n for n, name in enumerate(selection.candidates) if name in bank.new_names)
    if bias.is_off or not new:
        return None
    return BiasTrace(p_min=bias.p_min, delta_max=bias.cap, scale=bias.scale, new_skills=new)


def _packed(state: Floats) -> str:
    return base64.b64encode(state.astype("<f4").tobytes()).decode("ascii")


def _unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
