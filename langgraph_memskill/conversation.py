"""What an agent's thread needs of a memory: recall for its last question, remember what is new."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage
from langgraph.config import get_config
from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from langgraph_memskill.errors import ConfigError, MemSkillError
from langgraph_memskill.namespaces import Namespace, internal_namespace
from langgraph_memskill.prompts import recall_block
from langgraph_memskill.records import Memory, RememberResult
from langgraph_memskill.settings import Settings

logger = logging.getLogger(__name__)

_NAMESPACE = internal_namespace("threads")
_FIELD = "last_message_id"

Messages = Sequence[AnyMessage | BaseMessage]


class AgentMemory(Protocol):
    """The part of `MemSkillMemory` that its ways into an agent use."""

    store: BaseStore
    settings: Settings

    def namespace_for(
        self, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> Namespace:
        """Whose memories the running graph means."""
        ...

    def recall(self, query: str, *, k: int | None = None) -> list[Memory]:
        """Find memories."""
        ...

    async def arecall(self, query: str, *, k: int | None = None) -> list[Memory]:
        """Find memories without blocking the event loop."""
        ...

    def remember(self, content: list[BaseMessage]) -> RememberResult:
        """Read messages now."""
        ...

    async def aremember(self, content: list[BaseMessage]) -> RememberResult:
        """Read messages now without blocking the event loop."""
        ...

    def remember_later(self, content: list[BaseMessage], namespace: Namespace) -> str:
        """Queue messages durably."""
        ...

    async def aremember_later(self, content: list[BaseMessage], namespace: Namespace) -> str:
        """Queue messages durably without blocking the event loop."""
        ...


class Conversation:
    """Recalls for, and remembers from, the messages of the thread that is running.

    A memory that fails must not take the agent with it: recall then gives nothing, and what could
    not be remembered is tried again with the thread's next run. Mistakes in the set-up (no user id)
    are raised.
    """

    def __init__(self, memory: AgentMemory, *, background: bool, k: int | None) -> None:
        """Make it.

        Args:
            memory: Where to.
            background: Remember after the run, in a thread of the memory's own.
            k: Memories to recall; None takes the memory's `top_k`.
        """
        self._memory = memory
        self._background = background
        self._k = k

    def recall(self, messages: Messages) -> str:
        """The notes for a system message, "" if there are none."""
        question = _last_human_text(messages)
        self._memory.namespace_for()
        try:
            return recall_block(self._memory.recall(question, k=self._k)) if question else ""
        except ConfigError:
            raise
        except MemSkillError:
            logger.exception("nothing was recalled")
            return ""

    async def arecall(self, messages: Messages) -> str:
        """Like `recall`, without blocking the event loop."""
        question = _last_human_text(messages)
        self._memory.namespace_for()
        try:
            return recall_block(await self._memory.arecall(question, k=self._k)) if question else ""
        except ConfigError:
            raise
        except MemSkillError:
            logger.exception("nothing was recalled")
            return ""

    def remember(self, messages: Messages) -> str | None:
        """Remember the messages that are new in this thread.

        Returns:
            The episode id; None if there was nothing to remember or it could not be.
        """
        namespace, thread = self._memory.namespace_for(), _thread_id()
        store = self._memory.store
        try:
            mark = store.batch([_read_mark(namespace, thread)])[0] if thread else None
            new = _new_messages(messages, thread, _marked(mark))
            if not _has_text(new):
                return None
            if self._background:
                episode_id = self._memory.remember_later(new, namespace)
            else:
                episode_id = self._memory.remember(new).episode_id
            if thread:
                store.batch([_write_mark(namespace, thread, messages[-1].id)])
        except ConfigError:
            raise
        except MemSkillError:
            logger.exception("this run's messages are remembered with the thread's next run")
            return None
        return episode_id

    async def aremember(self, messages: Messages) -> str | None:
        """Like `remember`, without blocking the event loop."""
        namespace, thread = self._memory.namespace_for(), _thread_id()
        store = self._memory.store
        try:
            mark = (await store.abatch([_read_mark(namespace, thread)]))[0] if thread else None
            new = _new_messages(messages, thread, _marked(mark))
            if not _has_text(new):
                return None
            if self._background:
                episode_id = await self._memory.aremember_later(new, namespace)
            else:
                episode_id = (await self._memory.aremember(new)).episode_id
            if thread:
                await store.abatch([_write_mark(namespace, thread, messages[-1].id)])
        except ConfigError:
            raise
        except MemSkillError:
            logger.exception("this run's messages are remembered with the thread's next run")
            return None
        return episode_id


def _thread_id() -> str | None:
    """The id of the thread whose run this code is called from, if it has one."""
    try:
        value = get_config().get("configurable", {}).get("thread_id")
    except RuntimeError:
        return None
    return None if value is None else str(value)


def _new_messages(messages: Messages, thread: str | None, last_id: str | None) -> list[BaseMessage]:
    """The messages that no earlier run has remembered.

    In a thread these are the ones after the last remembered message, or all of them if none was
    remembered yet. Without a thread, or if that message is gone (a summary replaced it), they are
    the last exchange: from the last human message on.
    """
    ids = [message.id for message in messages]
    if thread is not None and last_id is None:
        return list(messages)
    if last_id is not None and last_id in ids:
        return list(messages[ids.index(last_id) + 1 :])
    humans = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return list(messages[humans[-1] :]) if humans else []


def _has_text(messages: Messages) -> bool:
    return any(isinstance(message, HumanMessage) and message.text for message in messages)


def _last_human_text(messages: Messages) -> str:
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return str(message.text).strip()
    return ""


def _read_mark(namespace: Namespace, thread: str) -> GetOp:
    return GetOp(_NAMESPACE, _mark_key(namespace, thread))


def _write_mark(namespace: Namespace, thread: str, message_id: str | None) -> PutOp:
    return PutOp(_NAMESPACE, _mark_key(namespace, thread), {_FIELD: message_id}, index=False)


def _mark_key(namespace: Namespace, thread: str) -> str:
    return json.dumps([*namespace, thread])


def _marked(found: Any) -> str | None:
    return found.value.get(_FIELD) if isinstance(found, Item) else None
