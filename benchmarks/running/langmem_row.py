"""LangMem's memory manager as a row, with the package langmem (extra `langmem`)."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from threading import Lock
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable
from langgraph.store.base import SearchItem
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.material import Material, digest
from langgraph_memskill.benchmarks.running.models import number_format
from langgraph_memskill.benchmarks.running.saving import SavePace
from langgraph_memskill.benchmarks.running.systems import NAMESPACE, OnSave, OnSpans, System
from langgraph_memskill.errors import ConfigError, missing_dependency
from langgraph_memskill.records import ActionType, Memory, Source, Span, Usage
from langgraph_memskill.stores.in_process import in_process_store
from langgraph_memskill.stores.items import aread_items
from langgraph_memskill.writing.usage import usage_of

_FIELDS = ("content.content",)
"""Where LangMem puts its text."""
_KIND = "Memory"
"""LangMem's name for a memory that is plain text."""
_IDS = uuid.UUID("7b1f3f0a-6f0b-4c55-9a38-54c1f6a6f1de")


class LangMemSystem(System):
    """Memories written by LangMem, with its own prompts; searched as all others are."""

    calls_a_model = True

    def __init__(self, executor: Executor) -> None:
        """Make the row.

        Raises:
            MissingDependencyError: If langmem is not installed.
            ConfigError: If the model cannot call tools, which LangMem writes its memories with.
        """
        if find_spec("langmem") is None:
            raise missing_dependency("langmem", "langmem", "The row 'langmem'")
        if not _calls_tools(executor.model):
            raise ConfigError(
                f"the row 'langmem' needs a model that calls tools, and {executor.model_name!r} "
                "does not: choose another --model, or leave the row out of --rows"
            )
        super().__init__("langmem", "LangMem", {"langmem": version("langmem")})
        self._executor = executor

    def num_steps(self, material: Material) -> int:
        """All spans."""
        return len(material.spans)

    def key(self, material: Material) -> str:
        """Of data, model, encoder and LangMem's version."""
        executor = self._executor
        encoder = executor.encoder
        names = [executor.model_name, executor.model_spec, encoder.name, number_format(encoder)]
        top_k = executor.settings.top_k
        return digest([self.name, self.settings, material.content_key, names, top_k])

    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        """Show LangMem one span after the other, from where `start` stopped.

        A span with a call that fails is shown again, as often as the settings say, and then counted
        as failed; LangMem writes after its last call, so nothing of it was written.
        """
        notes = _Notes(in_process_store(self._executor.encoder, _FIELDS), start.memories, start.key)
        await notes.fill()
        manager = self._manager(notes.store)
        on_spans(start.done)
        build, pace, begun = start, SavePace(), time.perf_counter()
        for span in material.spans[start.done :]:
            calls = _Calls()
            failed = await _show(manager, span, calls)
            actions = Counter(build.actions) + await notes.settle(span)
            build = replace(
                build,
                done=build.done + 1,
                actions=dict(sorted(actions.items())),
                failed=build.failed | failed,
                usage=build.usage + calls.usage,
            )
            if build.is_complete or pace.is_due:
                with pace.saving():
                    seconds = start.seconds + time.perf_counter() - begun
                    build = replace(build, memories=notes.memories, seconds=seconds)
                    await on_save(build)
            on_spans(1)
        return build

    def _manager(self, store: InMemoryStore) -> Runnable[Any, Any]:
        from langmem import create_memory_store_manager

        settings = self._executor.settings
        manager: Runnable[Any, Any] = create_memory_store_manager(
            self._executor.model, namespace=NAMESPACE, store=store, query_limit=settings.top_k
        )
        return manager.with_retry(
            retry_if_exception_type=(Exception, _CallFailed),
            stop_after_attempt=settings.model_attempts,
        )


async def _show(manager: Runnable[Any, Any], span: Span, calls: "_Calls") -> dict[str, str]:
    """Let LangMem read a span; gives the reason by the span's id if it could not."""
    message = {"role": "user", "content": span.text}
    try:
        await manager.ainvoke({"messages": [message]}, {"callbacks": [calls]})
    except _CallFailed as failed:
        return {span.id: _reason(failed.error)}
    except Exception as error:  # noqa: BLE001  # one span is no reason to stop
        return {span.id: _reason(error)}
    return {}


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


class _CallFailed(BaseException):
    """A call of the model failed.

    No `Exception`, because LangMem's extractor takes any for a reply that can be mended: it shows
    the model the error and asks again, 25 times, or goes on with half of a reply.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Notes:
    """What LangMem has in its store, with the spans that it is from.

    LangMem's ids are drawn by chance, and the model is shown them: new memories get ids that follow
    from their span, so that equal replies give equal runs.
    """

    def __init__(self, store: InMemoryStore, memories: Sequence[Memory], key: str) -> None:
        self.store = store
        self._key = key
        self._memories = {memory.id: memory for memory in memories}

    @property
    def memories(self) -> tuple[Memory, ...]:
        """All that there are, in the order in which they were written first."""
        return tuple(self._memories.values())

    async def fill(self) -> None:
        """Put the memories into the store as LangMem does."""
        for memory in self.memories:
            # One by one: `InMemoryStore` refuses a batch in which two items have the same text.
            value = {"kind": _KIND, "content": {"content": memory.content}}
            await self.store.aput(NAMESPACE, memory.id, value)

    async def settle(self, span: Span) -> Counter[str]:
        """Take over what LangMem has made of a span; counts its actions by type."""
        items = {item.key: item for item in await aread_items(self.store, NAMESPACE)}
        actions = Counter[str]()
        for gone in self._memories.keys() - items.keys():
            del self._memories[gone]
            actions[ActionType.DELETE.value] += 1
        for key, item in items.items():
            known = self._memories.get(key)
            if known is None:
                number = actions[ActionType.INSERT.value]
                await self._add(item, span, number)
                actions[ActionType.INSERT.value] += 1
            elif known.content != _text(item):
                sources = (*known.sources, _source(span))
                self._memories[key] = _memory(key, item, sources, known.created_at)
                actions[ActionType.UPDATE.value] += 1
        return actions

    async def _add(self, item: SearchItem, span: Span, number: int) -> None:
        new_id = uuid.uuid5(_IDS, f"{self._key}/{span.id}/{number}").hex
        await self.store.adelete(NAMESPACE, item.key)
        await self.store.aput(NAMESPACE, new_id, item.value)
        self._memories[new_id] = _memory(new_id, item, (_source(span),), item.created_at)


class _Calls(BaseCallbackHandler):
    """Counts the calls of chat models, failed ones included, and their tokens.

    A failed call ends the reading of the span; see `_CallFailed`.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        self._prompts: dict[uuid.UUID, list[BaseMessage]] = {}
        # Synchronous handlers are called in threads.
        self._lock = Lock()

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: uuid.UUID,
        **kwargs: Any,
    ) -> None:
        # A model reads the tools' descriptions like its prompt.
        tools = (kwargs.get("invocation_params") or {}).get("tools") or ()
        shown = [SystemMessage(json.dumps(tool, default=str)) for tool in tools]
        with self._lock:
            self.usage += Usage(calls=1)
            self._prompts[run_id] = [*shown, *messages[0]]

    def on_llm_error(self, error: BaseException, *, run_id: uuid.UUID, **kwargs: Any) -> None:
        with self._lock:
            self._prompts.pop(run_id, None)
        if isinstance(error, Exception):
            raise _CallFailed(error) from error

    def on_llm_end(self, response: LLMResult, *, run_id: uuid.UUID, **kwargs: Any) -> None:
        generation = response.generations[0][0]
        message = generation.message if isinstance(generation, ChatGeneration) else generation.text
        with self._lock:
            tokens = usage_of(self._prompts.pop(run_id, []), message)
            self.usage += replace(tokens, calls=0)


def _calls_tools(model: BaseChatModel) -> bool:
    from langgraph_memskill.extractive.model import ExtractiveChatModel

    bind_tools = type(model).bind_tools
    return bind_tools is not BaseChatModel.bind_tools and not isinstance(model, ExtractiveChatModel)


def _source(span: Span) -> Source:
    turns = tuple(turn.id for turn in span.turns)
    return Source(span_id=span.id, turn_ids=turns, session=span.session, time=span.time)


def _text(item: SearchItem) -> str:
    content = item.value.get("content", item.value)
    return str(content.get("content", content) if isinstance(content, dict) else content)


def _memory(
    memory_id: str, item: SearchItem, sources: tuple[Source, ...], created_at: datetime
) -> Memory:
    return Memory(
        id=memory_id,
        content=_text(item),
        namespace=NAMESPACE,
        created_at=created_at,
        updated_at=item.updated_at,
        sources=sources,
    )
