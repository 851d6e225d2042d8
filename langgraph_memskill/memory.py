"""MemSkillMemory: the one object that an application adds to its agent."""

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore, TTLConfig
from langgraph.types import Checkpointer

from langgraph_memskill.agent_nodes import RecallMessagesNode, RememberMessagesNode
from langgraph_memskill.background import BackgroundWriter
from langgraph_memskill.construction_runs import ConstructionRuns, OnStep
from langgraph_memskill.controller.files import make_selector
from langgraph_memskill.controller.selectors import Selector
from langgraph_memskill.embedding import TextEncoder, load_encoder
from langgraph_memskill.evolution.files import EvolutionFiles
from langgraph_memskill.graphs.answering import answer_of, ask, build_answering_graph
from langgraph_memskill.graphs.construction import ConstructionParts, build_construction_graph
from langgraph_memskill.input import Rememberable, spans_of
from langgraph_memskill.memory_background import BackgroundRemembering
from langgraph_memskill.memory_evolution import MemoryEvolution
from langgraph_memskill.memory_folder import DEFAULT_PACKS, MemoryFolder, store_index
from langgraph_memskill.memory_lifetimes import refuse_two_lifetimes
from langgraph_memskill.memory_observing import MemoryObserving
from langgraph_memskill.memory_skills import MemorySkills
from langgraph_memskill.middleware import MemSkillMiddleware
from langgraph_memskill.models import load_model, model_name
from langgraph_memskill.namespaces import running_for
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE
from langgraph_memskill.nodes.split import number_spans
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.records import Answer, FailedSpan, RememberResult, Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.packaged import SEED_NAMES
from langgraph_memskill.stored_memories import StoredMemories
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.pending import PendingSpans
from langgraph_memskill.tools import build_tools
from langgraph_memskill.traces.recording import TraceRecorder, make_recorder
from langgraph_memskill.traces.rewards import RewardRecorder


class MemSkillMemory(
    BackgroundRemembering, MemoryEvolution, MemorySkills, MemoryObserving, StoredMemories
):
    """A long-term memory that an agent, a graph or a plain program can use.

    Every operation has an async twin with an "a" in front, which never blocks the event loop.
    """

    def __init__(
        self,
        model: str | BaseChatModel | None = None,
        *,
        store: BaseStore | None = None,
        skills: SkillBank | None = None,
        controller: Selector | str | Path | None = None,
        encoder: str | Path | Embeddings | TextEncoder | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        settings: Settings | None = None,
        checkpointer: Checkpointer = False,
        change_log: ChangeLog | str | Path | None = None,
        ttl: TTLConfig | None = None,
        traces: TraceRecorder | str | Path | None = None,
    ) -> None:
        """Put a memory together from parts.

        Args:
            model: A chat model, or what `load_model` understands: "openai:gpt-4.1-mini",
                "http://host:8000/v1#name", "local", "extractive". None takes the environment's
                MEMSKILL_MODEL, or else the extractive model, which is no LLM.
            store: Any LangGraph store; None keeps the memories in this process only.
            skills: The skill bank; None takes the seeds and the conversation pack.
            controller: A selector, or the folder of a trained controller; None ranks the skills by
                similarity.
            encoder: A sentence-transformers name or folder, or embeddings; None takes the bundled
                MiniLM.
            namespace: Template of the memories' namespace.
            settings: Numbers of the construction step; None takes METHOD's.
            checkpointer: A LangGraph checkpointer for construction runs that can be resumed.
            change_log: Where every change is logged: a ChangeLog or a file for one; None logs in
                memory only.
            ttl: How long memories live, as LangGraph's stores take it: "default_ttl" in minutes
                from the last writing and, unless "refresh_on_read" is false, the last recall;
                "sweep_interval_minutes". A store that is passed brings its own.
            traces: Where every run is recorded, for training: a folder, or a recorder; None records
                nothing.

        Raises:
            MemSkillError: One of its children, if a part is missing or does not fit.
        """
        refuse_two_lifetimes(ttl, store)
        self.settings = settings or Settings()
        text_encoder = load_encoder(encoder)
        recorder = make_recorder(traces, text_encoder, self.settings)
        super().__init__(
            ChromaStore(index=store_index(text_encoder), ttl=ttl) if store is None else store,
            text_encoder,
            namespace,
            self.settings.top_k,
            search=self.settings.search,
            owns_store=store is None,
            change_log=change_log,
            rewards=recorder,
        )
        self._recorder = recorder
        self.model = load_model(model, encoder=text_encoder)
        self.skills = skills if skills is not None else SkillBank.seed(*DEFAULT_PACKS)
        if self.settings.protect_seeds:
            self.skills.protect(*(name for name in SEED_NAMES if name in self.skills))
        self.controller = make_selector(controller, text_encoder, explore=self.settings.explore)
        self._graph = build_construction_graph(self._parts(namespace), checkpointer=checkpointer)
        self._answering = build_answering_graph(
            self.model,
            self.encoder,
            store=self.store,
            namespace=namespace,
            top_k=self.settings.top_k,
            search=self.settings.search,
            change_log=self.change_log,
            checkpointer=False,
        )
        self._pending = PendingSpans(self.store)
        self._runs = ConstructionRuns(
            graph=self._graph,
            store=self.store,
            pending=self._pending,
            rereads=0 if any(b.per == "run" for b in self.settings.budgets) else 2,
        )
        self._background = BackgroundWriter(self._drain_queued)
        if store is None:
            self._start_sweeping()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        model: str | BaseChatModel | None = None,
        *,
        store: str | None = None,
        encoder: str | Path | Embeddings | TextEncoder | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        settings: Settings | None = None,
        checkpointer: Checkpointer = False,
        ttl: TTLConfig | None = None,
        record_traces: bool | None = None,
        traces: TraceRecorder | str | Path | None = None,
    ) -> Self:
        """Open the memory in a folder, or make a new one there.

        The folder holds chroma/ (the memories), changes.db (the log of all their changes), skills/
        (one SKILL.md a skill, to be read and edited), evolution/ (hard cases), controller/ (a
        trained controller, if there is one), traces/ (if runs are recorded) and memory.json. What a
        crash left half done is brought to its end.

        Args:
            folder: Where; it is created if it is not there.
            model: As in the constructor.
            store: Where the memories are, if not in chroma/: "postgresql://user@host/database" or
                the "http://host:port" of a Chroma server. memory.json notes it without password,
                so later openings need not name it.
            encoder: As in the constructor; it must be the one that the folder was made with.
            namespace: As in the constructor.
            settings: As in the constructor.
            checkpointer: As in the constructor.
            ttl: As in the constructor; the folder keeps it for everybody who opens it. None takes
                what it has; {"default_ttl": None} lets new writings live for ever.
            record_traces: Whether every run is recorded in traces/; None takes the settings' word.
            traces: As in the constructor; instead of traces/.

        Raises:
            StoreError: If the folder cannot be used.
            EmbeddingMismatchError: If it was made with another embedding model.
            SkillError: If one of its SKILL.md files is broken.
            CheckpointError: If its controller is damaged or does not fit.
        """
        paths = MemoryFolder(Path(folder), store)
        settings = settings or Settings()
        if record_traces is None:
            record_traces = settings.record_traces
        if record_traces and traces is None:
            traces = paths.traces
        text_encoder = load_encoder(encoder)
        chat_model = load_model(model, encoder=text_encoder)
        paths.prepare(text_encoder, ttl)
        skills = paths.load_bank()
        controller = paths.load_selector(text_encoder, explore=settings.explore)
        memories, log = paths.open_memories(text_encoder)
        memory = cls(
            chat_model,
            store=memories,
            skills=skills,
            controller=controller,
            encoder=text_encoder,
            namespace=namespace,
            settings=settings,
            checkpointer=checkpointer,
            change_log=log,
            traces=traces,
        )
        memory._owns_store = memory._owns_log = True
        memory._skill_versions = paths.skill_versions
        memory._traces_folder = Path(traces) if isinstance(traces, str | Path) else paths.traces
        memory._evolution = EvolutionFiles(paths.evolution)
        memory._start_sweeping()
        if memory._rewards is None:
            # Rewards may be for what an earlier session, or another process, has recorded.
            memory._rewards = RewardRecorder(paths.traces)
        return memory

    @classmethod
    async def aopen(
        cls, folder: str | Path, model: str | BaseChatModel | None = None, **options: Any
    ) -> Self:
        """Like `open`, with the same options, without blocking the event loop."""
        return await asyncio.to_thread(cls.open, folder, model, **options)

    @property
    def graph(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The compiled construction graph."""
        return self._graph

    @property
    def answering_graph(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The compiled answering graph."""
        return self._answering

    def remember(
        self,
        content: Rememberable,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        time: str | None = None,
        config: RunnableConfig | None = None,
        on_step: OnStep | None = None,
    ) -> RememberResult:
        """Read text or messages and write what is worth remembering.

        Args:
            content: A text, messages (LangChain's, (role, text) pairs or dicts), or spans.
            user_id: Whose memories.
            scope: Values of the namespace's other placeholders.
            time: When it was said or written, for "yesterday" and the like; None is today,
                "" unknown.
            config: A LangGraph config; a memory with a checkpointer needs a thread id in it.
            on_step: Called after every span.

        Returns:
            The applied actions, the written memories, and the spans that failed: these are kept,
            and `retry_failed()` takes them up again.

        Raises:
            ConfigError: If there is no text in the content.
            NamespaceError: If a placeholder of the namespace has no value.
            StoreError: If the store cannot be written.
        """
        namespace = self.namespace_for(user_id, scope)
        episode_id, spans = self._episode(content, time)
        return self._runs.run(
            spans, namespace, episode_id=episode_id, config=config, on_step=on_step
        )

    async def aremember(
        self,
        content: Rememberable,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        time: str | None = None,
        config: RunnableConfig | None = None,
        on_step: OnStep | None = None,
    ) -> RememberResult:
        """Like `remember`, without blocking the event loop."""
        namespace = self.namespace_for(user_id, scope)
        episode_id, spans = self._episode(content, time)
        return await self._runs.arun(
            spans, namespace, episode_id=episode_id, config=config, on_step=on_step
        )

    @property
    def trace_failures(self) -> int:
        """Writes of traces that failed; the memories themselves are not affected."""
        return 0 if self._recorder is None else self._recorder.failures

    def answer(
        self,
        question: str,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        style: AnswerStyle = AnswerStyle.PLAIN,
        date: str | None = None,
    ) -> Answer:
        """Answer a question from the memories.

        Args:
            question: Not blank.
            user_id: Whose memories.
            scope: Values of the namespace's other placeholders.
            style: A sentence, a short phrase, or a phrase inside of answer tags (METHOD).
            date: When the question is asked, for questions about "last week" and the like.

        Returns:
            The answer's text and the memories that the model was given.

        Raises:
            ConfigError: If the question is blank.
            ModelCallError: If the model cannot be called.
        """
        namespace = self.namespace_for(user_id, scope)
        with running_for(namespace):
            return answer_of(self._answering.invoke(ask(question, namespace, style, date)))

    async def aanswer(
        self,
        question: str,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        style: AnswerStyle = AnswerStyle.PLAIN,
        date: str | None = None,
    ) -> Answer:
        """Like `answer`, without blocking the event loop."""
        namespace = self.namespace_for(user_id, scope)
        with running_for(namespace):
            return answer_of(await self._answering.ainvoke(ask(question, namespace, style, date)))

    def failed(self, *, user_id: str | int | None = None) -> list[FailedSpan]:
        """The spans that wait for `retry_failed` or for the background writer, oldest first."""
        namespace = None if user_id is None else self.namespace_for(user_id)
        return self._pending.waiting(namespace)

    async def afailed(self, *, user_id: str | int | None = None) -> list[FailedSpan]:
        """Like `failed`, without blocking the event loop."""
        namespace = None if user_id is None else self.namespace_for(user_id)
        return await self._pending.awaiting(namespace)

    def retry_failed(self, *, user_id: str | int | None = None) -> RememberResult:
        """Try again every span that failed, of one user or of all.

        Returns:
            What was done; `failed` holds the spans that failed again and stay in the queue.
        """
        return self._runs.drain(self.failed(user_id=user_id))

    async def aretry_failed(self, *, user_id: str | int | None = None) -> RememberResult:
        """Like `retry_failed`, without blocking the event loop."""
        return await self._runs.adrain(await self.afailed(user_id=user_id))

    def middleware(self, **options: Any) -> MemSkillMiddleware:
        """Middleware for `create_agent`; the options are those of `MemSkillMiddleware`."""
        return MemSkillMiddleware(self, **options)

    def tools(self) -> list[BaseTool]:
        """The tools `search_memory` and `save_memory`, for agents that decide themselves."""
        return build_tools(self, merge=self.settings.merge_duplicates)

    def recall_node(self, **options: Any) -> RecallMessagesNode:
        """A node for a StateGraph over messages; options: see `RecallMessagesNode`."""
        return RecallMessagesNode(self, **options)

    def remember_node(self, **options: Any) -> RememberMessagesNode:
        """A node for a StateGraph over messages; options: see `RememberMessagesNode`."""
        return RememberMessagesNode(self, **options)

    def close(self) -> None:
        """Drain the background writer and close the store if this memory opened it."""
        self._background.close()
        if self._recorder is not None:
            self._recorder.close()
        super().close()

    def _parts(self, namespace: tuple[str, ...]) -> ConstructionParts:
        return ConstructionParts(
            model=self.model,
            model_name=model_name(self.model),
            encoder=self.encoder,
            bank=self.skills,
            selector=self.controller,
            store=self.store,
            writer=self._writer,
            namespace=namespace,
            settings=self.settings,
            recorder=self._recorder,
        )

    def _episode(self, content: Rememberable, time: str | None) -> tuple[str, list[Span]]:
        episode_id = uuid.uuid4().hex
        return episode_id, number_spans(spans_of(content, self.settings, time), episode_id)
