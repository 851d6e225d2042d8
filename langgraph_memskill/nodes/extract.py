"""The extract node: one model call reads a span with its memories and skills (METHOD step 6)."""

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.actions import resolve_actions
from langgraph_memskill.errors import ModelCallError, ParseError
from langgraph_memskill.models.structured import refuses_structure, structured_output
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.parsing import (
    ActionReply,
    actions_from_data,
    actions_from_reply,
    parse_actions,
)
from langgraph_memskill.prompts import extraction_messages
from langgraph_memskill.records import (
    ActionType,
    Memory,
    ParsedAction,
    Selection,
    Span,
    Usage,
)
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import ExtractTask, Outcome, dump, load, load_all
from langgraph_memskill.writing.budget import BudgetKeeper
from langgraph_memskill.writing.usage import usage_of

logger = logging.getLogger(__name__)

_CHANGE_IDS = uuid.UUID("6f6f5a3e-0c56-4a53-9f0a-9a1a5d7f9c11")

_LOST_SKILLS = "every picked skill has left the bank meanwhile: choose again"

# Extraction runs beside somebody's chat: its tokens must not show up in that chat's stream.
_CONFIG = RunnableConfig(tags=[TAG_NOSTREAM], run_name="memskill_extract")


class ExtractNode(Node[ExtractTask]):
    """Reads `span`, `memories` and `selection`, appends an `Outcome` to `outcomes`.

    Structured output is asked for where the model has it; any other reply goes through the one text
    parser. A reply that cannot be read is a failed outcome, and so is a call that fails at the last
    attempt: an earlier one raises `ModelCallError`, for the graph's retry policy. What the calls
    cost is added to `usage` and counted against the budgets.
    """

    def __init__(
        self,
        model: BaseChatModel,
        bank: SkillBank,
        *,
        attempts: int = 1,
        budgets: BudgetKeeper | None = None,
        store: BaseStore | None = None,
    ) -> None:
        """Make the node.

        Args:
            model: Any chat model.
            bank: Where the picked skills' texts are.
            attempts: How often the graph's retry policy runs the node at most, >= 1.
            budgets: Says before every call whether it may be made; None counts nothing.
            store: Where a user's usage is counted; None takes the graph's store.
        """
        self._model = model
        self._bank = bank
        self._attempts = attempts
        self._budgets = budgets or BudgetKeeper(())
        self._store = store
        self._structured = structured_output(model, ActionReply)

    def __call__(self, state: ExtractTask, runtime: Runtime[Any]) -> dict[str, Any]:
        """Read one span."""
        task = _Task(state, self._bank, runtime)
        if task.lost_skills:
            return task.outcome((), called=False, failure=_LOST_SKILLS)
        if task.nothing_to_do:
            return task.outcome((), called=False)
        counted = self._budgets.counts_users
        store = store_of(self._store, runtime) if counted else None
        if store is not None and (reason := self._budgets.take(store, task.namespace)):
            return task.outcome((), called=False, failure=reason)
        start = time.perf_counter()
        try:
            reply, prompt = self._call(task)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001
            return self._failed(task, error)
        task.extract_s = time.perf_counter() - start
        usage = usage_of(prompt, reply)
        if store is not None:
            self._budgets.add_tokens(store, task.namespace, usage)
        return task.read(reply, usage)

    async def acall(self, state: ExtractTask, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        task = _Task(state, self._bank, runtime)
        if task.lost_skills:
            return task.outcome((), called=False, failure=_LOST_SKILLS)
        if task.nothing_to_do:
            return task.outcome((), called=False)
        counted = self._budgets.counts_users
        store = store_of(self._store, runtime) if counted else None
        if store is not None and (reason := await self._budgets.atake(store, task.namespace)):
            return task.outcome((), called=False, failure=reason)
        start = time.perf_counter()
        try:
            reply, prompt = await self._acall(task)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001
            return self._failed(task, error)
        task.extract_s = time.perf_counter() - start
        usage = usage_of(prompt, reply)
        if store is not None:
            await self._budgets.aadd_tokens(store, task.namespace, usage)
        return task.read(reply, usage)

    def _call(self, task: "_Task") -> tuple[object, list[BaseMessage]]:
        """The reply, and the prompt that it answers."""
        if self._structured is not None:
            prompt = task.messages(structured=True)
            try:
                return self._structured.invoke(prompt, _CONFIG), prompt
            except Exception as error:  # noqa: BLE001
                self._give_up_structure(error)
        prompt = task.messages(structured=False)
        return self._model.invoke(prompt, _CONFIG), prompt

    async def _acall(self, task: "_Task") -> tuple[object, list[BaseMessage]]:
        """The reply, and the prompt that it answers."""
        if self._structured is not None:
            prompt = task.messages(structured=True)
            try:
                return await self._structured.ainvoke(prompt, _CONFIG), prompt
            except Exception as error:  # noqa: BLE001
                self._give_up_structure(error)
        prompt = task.messages(structured=False)
        return await self._model.ainvoke(prompt, _CONFIG), prompt

    def _give_up_structure(self, error: Exception) -> None:
        """Go on with text if the server refused the request's form; raise anything else again."""
        if not refuses_structure(error):
            raise error
        logger.info("the model has no structured output (%s): using text", type(error).__name__)
        self._structured = None

    def _failed(self, task: "_Task", error: Exception) -> dict[str, Any]:
        last = self._attempts if task.calls_left is None else min(self._attempts, task.calls_left)
        message = f"{type(error).__name__}: {str(error)[:500]}"
        if task.attempt < last:
            raise ModelCallError(f"the model call for span {task.span.id!r} failed") from error
        logger.warning("span %s was not read: %s", task.span.id, message)
        return task.outcome((), failure=message)


class _Task:
    """One span with everything that reading it takes."""

    def __init__(self, state: ExtractTask, bank: SkillBank, runtime: Runtime[Any]) -> None:
        self.position = state.get("position", 0)
        self.namespace = tuple(state.get("namespace") or ())
        self.calls_left = state.get("calls_left")
        self.extract_s: float | None = None
        self._marked = frozenset(state.get("marked", []))
        info = runtime.execution_info
        self.attempt = info.node_attempt if info is not None else 1
        self.span = load(Span, state["span"])
        self.memories = load_all(Memory, state.get("memories", []))
        selection = load(Selection, state["selection"])
        # The bank may have evolved since the choice, and a skill may have made room for another.
        present = [skill for name in selection.skills if (skill := bank.get(name)) is not None]
        # A picked noop skill means "nothing to store here"; there is nothing to execute in it.
        self.skills = [skill for skill in present if skill.action_type is not ActionType.NOOP]
        self.lost_skills = bool(selection.skills) and not present

    @property
    def nothing_to_do(self) -> bool:
        return not self.skills or not self.span.text.strip()

    def messages(self, *, structured: bool) -> list[BaseMessage]:
        return extraction_messages(
            self.span, self.skills, self.memories, structured=structured, close=self._marked
        )

    def read(self, reply: object, usage: Usage) -> dict[str, Any]:
        try:
            parsed = _parse(reply, len(self.memories))
        except ParseError as error:
            logger.warning("the reply for span %s was not readable", self.span.id)
            return self.outcome((), failure=f"ParseError: {error}", usage=usage)
        if parsed and all(action.problem is not None for action in parsed):
            # Nothing of the reply can be used, so the span has not been read.
            return self.outcome(parsed, failure=f"ParseError: {parsed[0].problem}", usage=usage)
        return self.outcome(parsed, usage=usage)

    def outcome(
        self,
        parsed: Sequence[ParsedAction],
        *,
        failure: str | None = None,
        called: bool = True,
        usage: Usage | None = None,
    ) -> dict[str, Any]:
        checked = resolve_actions(parsed, self.memories, self.skills, span_id=self.span.id)
        shown: dict[str | None, str] = {memory.id: memory.content for memory in self.memories}
        # The attempts that failed have cost a call each; only the last one got a reply.
        cost = replace(usage or Usage(), calls=self.attempt if called else self.attempt - 1)
        outcome = Outcome(
            position=self.position,
            actions=tuple(
                replace(
                    action,
                    change_id=uuid.uuid5(_CHANGE_IDS, f"{self.span.id}/{n}").hex,
                    previous=shown.get(action.memory_id),
                )
                for n, action in enumerate(checked.actions)
            ),
            rejected=checked.rejected,
            failure=failure,
            called=called,
            usage=cost,
            extract_s=self.extract_s,
        )
        return {"outcomes": [dump(outcome)], "usage": dump(cost)}


def _parse(reply: object, num_memories: int) -> tuple[ParsedAction, ...]:
    if isinstance(reply, dict):  # what with_structured_output(include_raw=True) gives
        parsed = reply.get("parsed")
        if isinstance(parsed, ActionReply):
            return actions_from_reply(parsed, num_memories)
        reply = reply.get("raw")
    if not isinstance(reply, AIMessage):
        raise ParseError(f"the model returned {type(reply).__name__} instead of a message")
    if reply.tool_calls:
        # Its arguments are JSON but do not fit the schema: one bad action must not cost the others.
        return actions_from_data(reply.tool_calls[0]["args"], num_memories)
    broken_calls = [call["args"] or "" for call in reply.invalid_tool_calls]
    return parse_actions("\n".join([str(reply.text), *broken_calls]), num_memories)
