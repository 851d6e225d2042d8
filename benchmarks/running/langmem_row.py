"""LangMem's memory manager as a row, with the package langmem (extra `langmem`)."""

import time
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import SearchItem
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.material import Material, digest
from langgraph_memskill.benchmarks.running.systems import NAMESPACE, OnSave, OnSpans, System
from langgraph_memskill.errors import ConfigError, missing_dependency
from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.records import Memory, Source, Span, Usage
from langgraph_memskill.stores.items import aread_items


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
        names = [executor.model_name, executor.encoder.name, executor.settings.top_k]
        return digest([self.name, self.settings, material.content_key, names])

    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        """Show LangMem one span after the other; a span that it fails on is counted."""
        from langmem import create_memory_store_manager

        store = InMemoryStore(index=_index(self._executor))
        manager = create_memory_store_manager(
            self._executor.model,
            namespace=NAMESPACE,
            store=store,
            query_limit=self._executor.settings.top_k,
        )
        sources: dict[str, tuple[Source, ...]] = {}
        counter = UsageMetadataCallbackHandler()
        calls, begun = _Calls(), time.perf_counter()
        failed: dict[str, str] = {}
        known: dict[str, object] = {}
        for span in material.spans:
            message = {"role": "user", "content": span.text}
            try:
                await manager.ainvoke({"messages": [message]}, {"callbacks": [counter, calls]})
            except Exception as error:  # noqa: BLE001  # one span is no reason to stop
                failed[span.id] = f"{type(error).__name__}: {str(error)[:300]}"
            items = await aread_items(store, NAMESPACE)
            for item in items:
                if known.get(item.key) != item.value:
                    known[item.key] = item.value
                    sources[item.key] = (*sources.get(item.key, ()), _source(span))
            on_spans(1)
        memories = tuple(_memory(item, sources) for item in await aread_items(store, NAMESPACE))
        build = replace(
            start,
            done=len(material.spans),
            memories=memories,
            failed=failed,
            usage=_usage(calls.count, counter),
            seconds=time.perf_counter() - begun,
        )
        on_save(build)
        return build


class _Calls(UsageMetadataCallbackHandler):
    """Counts the calls of chat models."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.count += 1


def _index(executor: Executor) -> Any:
    # LangMem puts its text under content.content.
    return {**store_index(executor.encoder), "fields": ["content.content"]}


def _calls_tools(model: BaseChatModel) -> bool:
    from langgraph_memskill.extractive.model import ExtractiveChatModel

    bind_tools = type(model).bind_tools
    return bind_tools is not BaseChatModel.bind_tools and not isinstance(model, ExtractiveChatModel)


def _usage(calls: int, counter: UsageMetadataCallbackHandler) -> Usage:
    reported: Iterable[Any] = counter.usage_metadata.values()
    tokens = [(entry["input_tokens"], entry["output_tokens"]) for entry in reported]
    return Usage(
        calls=calls,
        input_tokens=sum(read for read, _ in tokens),
        output_tokens=sum(written for _, written in tokens),
    )


def _source(span: Span) -> Source:
    turns = tuple(turn.id for turn in span.turns)
    return Source(span_id=span.id, turn_ids=turns, session=span.session, time=span.time)


def _memory(item: SearchItem, sources: dict[str, tuple[Source, ...]]) -> Memory:
    content = item.value.get("content", item.value)
    text = content.get("content", content) if isinstance(content, dict) else content
    return Memory(
        id=item.key,
        content=str(text),
        namespace=NAMESPACE,
        created_at=item.created_at,
        updated_at=item.updated_at,
        sources=sources.get(item.key, ()),
    )
