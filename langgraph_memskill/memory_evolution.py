"""How a memory's skills evolve from what it did not help with."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel

from langgraph_memskill.controller.selectors import Selector
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.approval import Decision
from langgraph_memskill.evolution.designer import Designer
from langgraph_memskill.evolution.evolving import start_of
from langgraph_memskill.evolution.files import EvolutionFiles
from langgraph_memskill.evolution.gate import GateParts, HeldOutGate, outcome_of
from langgraph_memskill.evolution.gate_records import GateSettings
from langgraph_memskill.evolution.held_out import HeldOutEpisode, held_out_of, read_held_out
from langgraph_memskill.evolution.nodes.gate import Gate
from langgraph_memskill.evolution.places import BankPlace, FolderBank, HeldBank
from langgraph_memskill.evolution.records import EvolutionResult, HardCase
from langgraph_memskill.evolution.runs import PendingEvolution
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.evolution.stored_evidence import StoredEvidence
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.graphs.evolution import EvolutionParts
from langgraph_memskill.models import load_model
from langgraph_memskill.observed_runs import observed
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.versions import SkillVersions
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import MemorySearch

_DEFAULTS = EvolutionSettings()
_GATE = GateSettings()


class MemoryEvolution:
    """The part of `MemSkillMemory` that lets its skills evolve.

    Hard cases come from `feedback(..., question=...)`, and keep the namespace of the user who was
    asked about. The designer's model is shown questions, answers and memories of all users whose
    cases are chosen, and nothing else of theirs; skills are shared by all users, so proposals that
    hold an answer are rejected. Ask a person (`approve=True`) where that is not enough.
    """

    model: BaseChatModel
    skills: SkillBank
    encoder: TextEncoder
    change_log: ChangeLog
    _search: MemorySearch
    _evolution: EvolutionFiles
    controller: Selector
    settings: Settings
    _skill_versions: SkillVersions | None = None
    _traces_folder: Path | None = None
    _observers: tuple[BaseCallbackHandler, ...] = ()

    def evolve(
        self,
        model: str | BaseChatModel | None = None,
        *,
        settings: EvolutionSettings = _DEFAULTS,
        approve: bool = False,
        cases: Sequence[HardCase] | None = None,
        gate: Gate | GateSettings | None = _GATE,
        held_out: str | Path | None = None,
    ) -> EvolutionResult:
        """Let the designer change the skills so that they would have served the hard cases.

        In a folder the changed bank is a new version of the skills, replaced as a whole; open
        memories of this process use it from their next run on. Killed in the middle, it goes on
        with `resume_evolution`.

        Args:
            model: The designer, as `load_model` understands it; None takes the memory's own model.
            settings: Numbers of the evolution.
            approve: Whether a person decides about the changes first: then the result is
                "waiting", and `resume_evolution` takes the decision, in this or another process.
            cases: Hard cases to choose from; None takes those that were kept.
            gate: Has the last word. Settings: the new skills must not serve held-out questions
                worse than the present ones (`evolution.gate`); they say with which margin, and
                what if nothing is held out. A function: given the bank, what it is to become and
                the cases that the designer was shown it returns why it may not be changed, or
                None. None lets everything pass. If the evolution waits, give it to
                `resume_evolution`.
            held_out: A file of spans and questions (`read_held_out`) for the gate; None takes the
                recorded texts of runs with the questions whose answers your feedback told.

        Returns:
            What was changed, or is to be decided.

        Raises:
            ConfigError: If the model is no designer (the extractive model is none).
            DataError: If the held-out file cannot be read.
            EvolutionError: If an earlier evolution is not at its end, or another process evolves.
            SkillError: If the skills in the folder are broken or cannot be written.
        """
        chosen = self.model if model is None else load_model(model, encoder=self.encoder)
        place = self._place()
        last_word = self._gate(gate, held_out)
        parts = self._evolution_parts(chosen, place, last_word)
        start = start_of(cases, designer=parts.designer.name, settings=settings, approve=approve)
        with observed(*self._observers):
            result = self._taken_over(self._evolution.runs.start(parts, start), place)
        return replace(result, gate=outcome_of(last_word))

    async def aevolve(
        self,
        model: str | BaseChatModel | None = None,
        *,
        settings: EvolutionSettings = _DEFAULTS,
        approve: bool = False,
        cases: Sequence[HardCase] | None = None,
        gate: Gate | GateSettings | None = _GATE,
        held_out: str | Path | None = None,
    ) -> EvolutionResult:
        """Like `evolve`, without blocking the event loop."""
        return await asyncio.to_thread(
            lambda: self.evolve(
                model, settings=settings, approve=approve, cases=cases, gate=gate, held_out=held_out
            )
        )

    def pending_evolutions(self) -> list[PendingEvolution]:
        """Evolutions that wait for a decision or were broken off, oldest first."""
        return self._evolution.runs.pending(self._evolution_parts(None, self._place()))

    async def apending_evolutions(self) -> list[PendingEvolution]:
        """Like `pending_evolutions`, without blocking the event loop."""
        return await asyncio.to_thread(self.pending_evolutions)

    def resume_evolution(
        self,
        evolution_id: str,
        decision: Decision | None = None,
        *,
        model: str | BaseChatModel | None = None,
        gate: Gate | GateSettings | None = _GATE,
        held_out: str | Path | None = None,
    ) -> EvolutionResult:
        """Go on with an evolution that waits for a decision or was broken off.

        Args:
            evolution_id: Its id, or first characters of it.
            decision: What a person decided about each change, if it waits for that.
            model: The designer, if it was broken off before it had asked everything; None takes
                the memory's own model.
            gate: As for `evolve`.
            held_out: As for `evolve`.

        Returns:
            What was changed, or is to be decided.

        Raises:
            EvolutionError: If there is none of that id, or the decision is missing or does not
                fit, or an edited text breaks a rule; nothing is changed then.
        """
        place = self._place()
        # A memory without an LLM may still make changes that only wait for that.
        own = None if isinstance(self.model, ExtractiveChatModel) else self.model
        chosen = own if model is None else load_model(model, encoder=self.encoder)
        last_word = self._gate(gate, held_out)
        parts = self._evolution_parts(chosen, place, last_word)
        with observed(*self._observers):
            result = self._evolution.runs.resume(parts, evolution_id, decision)
        return replace(self._taken_over(result, place), gate=outcome_of(last_word))

    async def aresume_evolution(
        self,
        evolution_id: str,
        decision: Decision | None = None,
        *,
        model: str | BaseChatModel | None = None,
        gate: Gate | GateSettings | None = _GATE,
        held_out: str | Path | None = None,
    ) -> EvolutionResult:
        """Like `resume_evolution`, without blocking the event loop."""
        return await asyncio.to_thread(
            lambda: self.resume_evolution(
                evolution_id, decision, model=model, gate=gate, held_out=held_out
            )
        )

    def discard_evolution(self, evolution_id: str) -> PendingEvolution:
        """Forget an evolution that is not at its end; the skills stay as they are.

        Raises:
            EvolutionError: If there is none of that id.
        """
        parts = self._evolution_parts(None, self._place())
        return self._evolution.runs.discard(parts, evolution_id)

    async def adiscard_evolution(self, evolution_id: str) -> PendingEvolution:
        """Like `discard_evolution`, without blocking the event loop."""
        return await asyncio.to_thread(self.discard_evolution, evolution_id)

    def _place(self) -> BankPlace:
        if self._skill_versions is None:
            return HeldBank(self.skills)
        return FolderBank(self._skill_versions, protected=self.skills.protected)

    def _gate(self, gate: Gate | GateSettings | None, held_out: str | Path | None) -> Gate | None:
        if not isinstance(gate, GateSettings):
            return gate
        if self._skill_versions is None and held_out is None:
            return None  # nothing is kept without a folder, and nothing is replaced in one
        given = None if held_out is None else read_held_out(held_out)
        parts = GateParts(
            model=self.model,
            encoder=self.encoder,
            selector=self.controller,
            settings=self.settings,
        )
        return HeldOutGate(lambda shown: self._held_out(shown, given), parts, gate)

    def _held_out(
        self, shown: Sequence[HardCase], given: list[HeldOutEpisode] | None = None
    ) -> list[HeldOutEpisode]:
        if given is not None or self._traces_folder is None:
            return given or []
        keys = {case.key for case in shown}
        pool = self._evolution.pool
        # What was answered well comes first, the latest before all: there skills can do worse.
        known = [*reversed(pool.answered()), *pool.cases()]
        return held_out_of(self._traces_folder, known, shown=keys)

    def _evolution_parts(
        self, model: BaseChatModel | None, place: BankPlace, gate: Gate | None = None
    ) -> EvolutionParts:
        pool = self._evolution.pool
        return EvolutionParts(
            designer=Designer(model),
            encoder=self.encoder,
            place=place,
            source=pool.cases,
            evidence=StoredEvidence(self._search, self.change_log),
            gate=gate,
            keep=lambda evolution_id, bank: pool.move_on(self._num_evolutions()),
        )

    def _num_evolutions(self) -> int:
        """The pool's epochs: how often the skills have evolved."""
        if self._skill_versions is None:
            return self._evolution.pool.epoch + 1
        return sum(switch.action == "evolve" for switch in self._skill_versions.switches())

    def _taken_over(self, result: EvolutionResult, place: BankPlace) -> EvolutionResult:
        if not result.no_change:
            bank = place.present()
            bank.set_new(result.after.new_names)
            self.skills.become(bank)
        return result
