"""Reads a model's reply as memory actions (MemSkill, METHOD step 6); calls no model.

One parser for every form: filled schemas (`ActionReply`), JSON objects and lists, fenced or not,
tool calls written as text, and action blocks. A reply without any action raises `ParseError`; a
single action that cannot be used comes back with `.problem` set, so that it can be recorded.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from langgraph_memskill.errors import ParseError
from langgraph_memskill.parsing.blocks import parse_blocks
from langgraph_memskill.parsing.json_reply import read_json
from langgraph_memskill.parsing.values import Target, read_targets
from langgraph_memskill.records import ActionType, ParsedAction


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


class ActionItem(BaseModel):
    """One change to the memories."""

    action: Annotated[
        Literal["INSERT", "UPDATE", "DELETE", "NOOP"],
        BeforeValidator(_upper),
        Field(description="What to do; only kinds that one of the given skills names, or NOOP."),
    ]
    memory_index: int | None = Field(
        default=None,
        description="UPDATE and DELETE: index attribute of the memory to change. Otherwise null.",
    )
    memory_item: str | None = Field(
        default=None, description="INSERT: the new memory, in full sentences. Otherwise null."
    )
    updated_memory: str | None = Field(
        default=None,
        description="UPDATE: the complete new content of the memory. Otherwise null.",
    )
    reasoning: str | None = Field(default=None, description="Why, in a few words; may be null.")


class ActionReply(BaseModel):
    """All changes to the memories that the span calls for."""

    actions: list[ActionItem] = Field(
        description="The actions; a single NOOP if there is nothing to insert, update or delete."
    )


_THINKING = re.compile(r"\s*<(think|thinking|thought|reasoning)>", re.IGNORECASE)
_THINKING_END = re.compile(r"^</think(?:ing)?>[^\S\n]*$", re.IGNORECASE | re.MULTILINE)
_STARTS_WITH_JSON = re.compile(r"\s*+(?:`{3,}+\w*+\s*+)?[\[{]")
_ONLY_EMPTY_LIST = re.compile(r"[\s`]*+(?:json)?\s*+\[\s*+\][\s`]*+", re.IGNORECASE)
_QUOTED = 200


def parse_actions(text: str, num_memories: int) -> tuple[ParsedAction, ...]:
    """Read a reply in any of the text forms.

    Args:
        text: The reply; a reasoning model's `<think>` part in front is ignored.
        num_memories: How many memories the model was shown; an index beyond is a problem.

    Returns:
        One action or more, in the order of the reply. A reply that says that there is nothing to
        do gives one NOOP.

    Raises:
        ParseError: The reply is blank, or holds neither action blocks nor JSON actions.
    """
    body = _without_thinking(text.replace("\r\n", "\n").replace("\r", "\n"))
    readers = [parse_blocks, _parse_json]
    if _STARTS_WITH_JSON.match(body):
        readers.reverse()
    # A form in which nothing is usable counts only if the other one holds no action at all.
    readings = [reader(body, num_memories) for reader in readers]
    for actions in sorted(readings, key=_without_use):
        if actions:
            return actions
    raise ParseError(
        f"no memory action could be read from the reply {text[:_QUOTED]!r}; expected blocks that "
        "start with ACTION: INSERT, UPDATE, DELETE or NOOP, or JSON with a list of actions"
    )


def _without_use(actions: Sequence[ParsedAction]) -> bool:
    return all(action.problem is not None for action in actions)


def actions_from_reply(reply: ActionReply, num_memories: int) -> tuple[ParsedAction, ...]:
    """Read a filled schema.

    Args:
        reply: What the model filled in.
        num_memories: How many memories the model was shown; an index beyond is a problem.

    Returns:
        One action or more; one NOOP for an empty list.
    """
    return actions_from_data(reply.model_dump(), num_memories)


def actions_from_data(data: object, num_memories: int) -> tuple[ParsedAction, ...]:
    """Read decoded JSON, such as the arguments of a tool call that fit no schema.

    Args:
        data: An action, a list of actions, an object with a list under "actions", or a tool call
            with one of these as its arguments.
        num_memories: How many memories the model was shown; an index beyond is a problem.

    Returns:
        One action or more; one NOOP for an empty list.

    Raises:
        ParseError: The data holds no action.
    """
    actions = _read_items(list(_items(data)), num_memories)
    if actions:
        return actions
    if data == [] or (isinstance(data, Mapping) and _first(data, "actions") == []):
        return (ParsedAction(type=ActionType.NOOP),)
    raise ParseError(
        f"no memory action could be read from {repr(data)[:_QUOTED]}; expected an object with an "
        'action, or with a list of them under "actions"'
    )


def _without_thinking(text: str) -> str:
    position = 0
    while opened := _THINKING.match(text, position):
        closing = re.compile(rf"</{opened[1]}>", re.IGNORECASE)
        closed = closing.search(text, opened.end())
        if closed is None:
            raise ParseError(
                f"the reply ends inside its <{opened[1]}> part, before any action: "
                f"{text[:_QUOTED]!r}; allow the model more output tokens"
            )
        position = closed.end()
    if position == 0 and (closed := _THINKING_END.search(text)):
        # Chat templates that write the opening tag themselves leave only the closing one.
        position = closed.end()
    return text[position:]


def _parse_json(text: str, num_memories: int) -> tuple[ParsedAction, ...]:
    reply = read_json(text)
    items: list[object] = []
    for value in reply.values:
        found = list(_items(value))
        # Braces in the prose around the reply are no actions, and not worth a report.
        if any(isinstance(item, Mapping) and _has_field(item) for item in found):
            items.extend(found)
    actions = _read_items(items, num_memories)
    if reply.partial is not None and _is_action(reply.partial, bool(actions)):
        actions += (_cut_action(reply.partial),)
    if actions:
        return actions
    if _ONLY_EMPTY_LIST.fullmatch(text) or any(
        isinstance(value, Mapping) and _first(value, "actions") == [] for value in reply.values
    ):
        return (ParsedAction(type=ActionType.NOOP),)
    return ()


def _is_action(partial: Mapping[str, object], among_actions: bool) -> bool:
    """Tell whether the object that was cut off would have become an action."""
    if not partial:
        return among_actions
    if _first(partial, "actions") is not None:
        return False
    return _has_field(partial)


def _has_field(item: Mapping[str, object]) -> bool:
    return any(_first(item, key) is not None for key in ActionItem.model_fields)


def _first(item: Mapping[str, object], key: str) -> object:
    """Give the value of a key, in lower case if that has one, else in upper case."""
    return item[key] if key in item else item.get(key.upper())


def _items(value: object) -> Iterator[object]:
    """Unpack lists, {"actions": [...]} and tool calls down to single items."""
    waiting = deque([value])
    while waiting:
        item = waiting.popleft()
        if isinstance(item, Mapping):
            arguments = _call_arguments(item)
            item = item if arguments is None else arguments
            actions = _first(item, "actions")
            item = actions if isinstance(actions, list) else item
        if isinstance(item, list | tuple):
            waiting.extendleft(reversed(item))
        else:
            yield item


def _call_arguments(item: Mapping[str, object]) -> Mapping[str, object] | None:
    """Give the arguments of a tool call that was written as text."""
    if _first(item, "action") is not None:
        return None
    arguments = item.get("arguments", item.get("args"))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            return None
    if not isinstance(arguments, Mapping):
        return None
    name = item.get("name")
    if isinstance(name, str) and name.lower() in set(ActionType):
        return {"action": name, **arguments}
    return arguments


def _read_items(items: Sequence[object], num_memories: int) -> tuple[ParsedAction, ...]:
    """Read single items; nothing if none of them names an action."""
    if not any(isinstance(item, Mapping) and _first(item, "action") is not None for item in items):
        return ()
    return tuple(action for item in items for action in _read_item(item, num_memories))


def _read_item(item: object, num_memories: int) -> list[ParsedAction]:
    if not isinstance(item, Mapping):
        return [_unusable(f"{_quote(item)} is no action: expected an object")]
    name = _first(item, "action")
    reasoning = _text(item, "reasoning")
    try:
        kind = ActionType(str(name).strip().lower())
    except ValueError:
        known = "use INSERT, UPDATE, DELETE or NOOP"
        return [_unusable(f"unknown action {_quote(name)}: {known}", reasoning)]
    if kind is ActionType.NOOP:
        return [ParsedAction(type=kind, reasoning=reasoning)]
    if kind is ActionType.INSERT:
        content = _text(item, "memory_item")
        problem = None if content else "INSERT without content (memory_item)"
        return [ParsedAction(type=kind, content=content, reasoning=reasoning, problem=problem)]
    return _read_change(kind, item, reasoning, num_memories)


def _read_change(
    kind: ActionType, item: Mapping[str, object], reasoning: str, num_memories: int
) -> list[ParsedAction]:
    targets = _targets(item)
    content = _text(item, "updated_memory") if kind is ActionType.UPDATE else ""
    if not targets:
        targets = [Target(problem=f"{kind.upper()} names no memory (memory_index)")]
    elif kind is ActionType.UPDATE and len(targets) > 1:
        targets = [Target(problem="UPDATE names several memories")]
    actions = []
    for target in targets:
        problem = target.problem_among(num_memories)
        if problem is None and kind is ActionType.UPDATE and not content:
            problem = "UPDATE without content (updated_memory)"
        actions.append(
            ParsedAction(
                type=kind,
                memory_index=target.index,
                memory_id=target.id,
                content=content,
                reasoning=reasoning,
                problem=problem,
            )
        )
    return actions


def _targets(item: Mapping[str, object]) -> list[Target]:
    index = _first(item, "memory_index")
    memory_id = _first(item, "memory_id")
    if index is None and isinstance(memory_id, str) and memory_id.strip():
        return [Target(id=memory_id.strip())]
    values = index if isinstance(index, list) else [index]
    return [target for value in values for target in _json_targets(value)]


def _json_targets(value: object) -> Sequence[Target]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return read_targets(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return (Target(problem=f"memory index {_quote(value)} is not a whole number"),)
    return (Target(index=value),)


def _text(item: Mapping[str, object], key: str) -> str:
    value = _first(item, key)
    return str(value).strip() if value else ""


def _quote(value: object) -> str:
    return repr(value)[:50]


def _unusable(problem: str, reasoning: str = "") -> ParsedAction:
    return ParsedAction(type=ActionType.NOOP, reasoning=reasoning, problem=problem)


def _cut_action(partial: Mapping[str, object]) -> ParsedAction:
    """Describe the action in whose middle the reply ends; it is never applied."""
    name = str(_first(partial, "action") or "").strip().lower()
    return ParsedAction(
        type=ActionType(name) if name in set(ActionType) else ActionType.NOOP,
        content=_text(partial, "memory_item") or _text(partial, "updated_memory"),
        reasoning=_text(partial, "reasoning"),
        problem="the reply ends inside this action",
    )
