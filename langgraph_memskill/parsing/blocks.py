r"""Reads action blocks (MemSkill, METHOD step 6): "ACTION: INSERT" and the fields behind it.

A block starts at a mark, and a value at the name of its field; both count only where a line starts
(behind bullets, numbers or emphasis), right behind a mark, or, in capitals and with a colon,
further on in a line. So a word that merely occurs inside a memory is never taken for either.
Everything is linear in the length of the reply: a line is looked at once, and the patterns use
possessive quantifiers.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from langgraph_memskill.parsing.values import (
    FENCE,
    LISTED,
    Target,
    clean_value,
    cut_at_fence,
    read_targets,
    unlabelled_item,
)
from langgraph_memskill.records import ActionType, ParsedAction


class _Kind(StrEnum):
    MARK = "mark"
    ITEM = "item"
    UPDATED = "updated"
    INDEX = "index"
    ID = "id"
    REASONING = "reasoning"


_KINDS = {
    "MEMORY_ITEM": _Kind.ITEM,
    "NEW_MEMORY": _Kind.ITEM,
    "CONTENT": _Kind.ITEM,
    "MEMORY": _Kind.ITEM,
    "UPDATED_MEMORY": _Kind.UPDATED,
    "MEMORY_INDEX": _Kind.INDEX,
    "MEMORY_ID": _Kind.ID,
    "REASONING": _Kind.REASONING,
}
_CONTENTS = (_Kind.ITEM, _Kind.UPDATED)
_FOREIGN = {
    ActionType.INSERT: (_Kind.UPDATED, _Kind.INDEX, _Kind.ID),
    ActionType.UPDATE: (_Kind.ITEM,),
    ActionType.DELETE: _CONTENTS,
    ActionType.NOOP: (*_CONTENTS, _Kind.INDEX, _Kind.ID),
}
"""Fields that an action has no use for: inside a line they are words of a value."""
_PROSE = (*_CONTENTS, _Kind.REASONING)

_BLANKS = r"[^\S\n]*+"
_VERBS = "INSERT|UPDATE|DELETE|NOOP"
_PREFIX = rf"(?P<prefix>(?:[^\S\n]|[>#*`•◦▪‣·+-])*+(?:\(?[0-9]{{1,3}}[.):]{_BLANKS})?+[*`]*+)"
_ACTION = rf"ACTION[*`]*+{_BLANKS}[:=-]?{_BLANKS}[*`]*+{_BLANKS}"
_MARK_PREFIX = r"[^\w\n]*+(?:[0-9]{1,3}[^\w\n]++)?+"
_MARK = re.compile(rf"{_MARK_PREFIX}{_ACTION}(?P<verb>{_VERBS})\b[*`]*+", re.IGNORECASE)
_BARE_MARK = re.compile(
    rf"{_PREFIX}(?P<verb>{_VERBS})[*`]*+{_BLANKS}[:=-]?[*`]*+{_BLANKS}$", re.IGNORECASE
)
_UNKNOWN_MARK = re.compile(rf"{_MARK_PREFIX}ACTION[*`]*+{_BLANKS}[:=](?P<word>.*+)")
_SPLIT_MARK = re.compile(
    rf"^({_MARK_PREFIX}{_ACTION})\n\s*+(?=(?:{_VERBS})\b)", re.IGNORECASE | re.MULTILINE
)
_FIELD = re.compile(
    rf"{_PREFIX}(?P<name>MEMORY[_ ](?:ITEM|INDEX|ID)|(?:UPDATED|NEW)[_ ]MEMORY|REASONING|CONTENT"
    rf"|MEMORY)(?!\w)(?P<close>[*`]*+){_BLANKS}(?P<separator>[:=-]?)",
    re.IGNORECASE,
)
_INLINE = re.compile(
    rf"(?<=[\s.,;|])(?:(?P<action>(?i:ACTION)){_BLANKS}[:=-]?{_BLANKS}(?P<verb>(?i:{_VERBS}))\b"
    rf"|(?P<name>MEMORY_(?:ITEM|INDEX|ID)|(?:UPDATED|NEW)_MEMORY|REASONING)"
    rf"{_BLANKS}(?P<separator>[:=]))"
)
_SKIP = re.compile(r"[^\S\n]*+[.,;|]?[^\S\n]*+")
_JSON = re.compile(r"\s*+(?:`{3,}+\w*+\s*+)?[\[{]\s*+[{\"]")
_ONLY_NOOP = re.compile(r"\W*+NO[-_ ]?OP(?:\s*+[:.,;!(–—-].*+|\W*+)", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class _Token:
    kind: _Kind
    start: int
    end: int
    verb: ActionType | None = None
    """The kind of action that a mark names; None for a word that names none."""
    emphasis: str = ""


@dataclass
class _Block:
    verb: ActionType | None
    head: str
    """What stands between the mark and the first field."""
    fields: list[tuple[_Kind, str]] = field(default_factory=list)

    def values(self, kind: _Kind) -> list[str]:
        return [text for found, text in self.fields if found is kind and text]

    @cached_property
    def reasoning(self) -> str:
        return next(iter(self.values(_Kind.REASONING)), "")


def parse_blocks(text: str, num_memories: int) -> tuple[ParsedAction, ...]:
    """Read the action blocks of a reply.

    Args:
        text: The reply, with LF as line break.
        num_memories: How many memories the model was shown.

    Returns:
        The actions in the order of the text, unusable ones with `.problem` set; empty if the
        reply holds no action mark at all.
    """
    text = _SPLIT_MARK.sub(r"\1 ", "\n".join(_lines_without_glued_fences(text)))
    tokens = _Tokenizer(text, _MARK).tokens()
    if not any(token.verb for token in tokens):
        tokens = _Tokenizer(text, _BARE_MARK).tokens()
    if not tokens and _ONLY_NOOP.fullmatch(text):
        return (ParsedAction(type=ActionType.NOOP),)
    return tuple(
        action for block in _blocks(text, tokens) for action in _read_block(block, num_memories)
    )


def _lines_without_glued_fences(text: str) -> Iterator[str]:
    """Give a fence that shares its line with a mark or a value a line of its own."""
    for line in text.split("\n"):
        bare = line.strip()
        if "```" not in bare or FENCE.fullmatch(bare):
            yield line
            continue
        rest = bare.lstrip("`")
        if bare.startswith("```") and any(p.match(rest) for p in (_MARK, _BARE_MARK, _FIELD)):
            yield "```"
            line = bare = rest
        if bare.endswith("```") and bare.count("```") % 2 == 1:
            yield bare.rstrip("`")
            yield "```"
        else:
            yield line


class _Tokenizer:
    """Finds marks and field names, line by line."""

    def __init__(self, text: str, mark: re.Pattern[str]) -> None:
        self._text = text
        self._mark = mark
        self._single_line = "\n" not in text.strip()
        self._tokens: list[_Token] = []
        self._verb: ActionType | None = None

    def tokens(self) -> list[_Token]:
        start = 0
        for line in self._text.split("\n"):
            end = start + len(line)
            if line:
                self._scan_line(start, end)
            start = end + 1
        return self._tokens

    def _open_kind(self) -> _Kind | None:
        return self._tokens[-1].kind if self._tokens else None

    def _scan_line(self, start: int, end: int) -> None:
        found = self._mark.match(self._text, start, end)
        if found and self._mark_fits(found, end):
            self._add_mark(found, end)
            start = self._tokens[-1].end
        elif self._add_unknown_mark(start, end):
            return
        elif self._add_field(start, end):
            start = self._tokens[-1].end
        for inline in _INLINE.finditer(self._text, start, end):
            if self._tokens and inline.start() < self._tokens[-1].end:
                continue
            if inline["action"] is None:
                kind = _KINDS[inline["name"]]
                if self._verb is not None and kind not in _FOREIGN[self._verb]:
                    self._tokens.append(_Token(kind, inline.start(), inline.end()))
            elif self._inline_mark_fits(inline, end):
                self._add_mark(inline, end)

    def _add_mark(self, found: re.Match[str], end: int) -> None:
        verb = ActionType(_upper(found["verb"]).lower())
        self._verb = verb
        self._tokens.append(_Token(_Kind.MARK, found.start(), found.end(), verb=verb))
        self._add_field(self._skip(found.end(), end), end)

    def _add_unknown_mark(self, start: int, end: int) -> bool:
        found = _UNKNOWN_MARK.match(self._text, start, end)
        if found is None or self._mark is _BARE_MARK:
            return False
        self._verb = None
        self._tokens.append(_Token(_Kind.MARK, found.start(), found.start("word")))
        return True

    def _add_field(self, start: int, end: int) -> bool:
        found = _FIELD.match(self._text, start, end)
        if found is None or not self._field_fits(found["name"], found["separator"]):
            return False
        self._tokens.append(_field_token(self._text, found))
        return True

    def _skip(self, start: int, end: int) -> int:
        found = _SKIP.match(self._text, start, end)
        return found.end() if found else start

    def _mark_fits(self, found: re.Match[str], end: int) -> bool:
        # "Action: delete old photos" may be a line of a memory; "ACTION: DELETE" may not.
        if self._open_kind() not in _PROSE or "ACTION" in found[0]:
            return True
        start = self._skip(found.end(), end)
        return not self._text[start:end][:1].isalnum() or bool(_FIELD.match(self._text, start, end))

    def _inline_mark_fits(self, found: re.Match[str], end: int) -> bool:
        """Accept a mark inside a line: only outside values, or if all blocks share one line."""
        start = self._skip(found.end(), end)
        before_field = bool(_FIELD.match(self._text, start, end))
        if self._open_kind() in _PROSE:
            return self._single_line and before_field and found["action"].isupper()
        capitals = found["action"].isupper() or found["verb"].isupper()
        return capitals and (before_field or not self._text[start:end].strip("*`.,; "))

    def _field_fits(self, name: str, separator: str) -> bool:
        """Tell a field name from prose that starts with the same words."""
        kind = self._open_kind()
        if kind is None:
            return False
        if "_" in name:
            return True
        if " " in name:
            return separator != "" or name.isupper()
        if separator in (":", "=") and _upper(name) == "REASONING":
            return True
        if kind in _CONTENTS:
            return separator in (":", "=") and name.isupper()
        return separator in (":", "=") or name.isupper()


def _upper(name: str) -> str:
    # A pattern that ignores case also matches the dotted capital I, which upper() leaves as it is.
    return name.replace("İ", "I").upper()


def _field_token(text: str, found: re.Match[str]) -> _Token:
    kind = _KINDS[_upper(found["name"]).replace(" ", "_")]
    prefix = found["prefix"]
    emphasis = prefix[len(prefix.rstrip("*`")) :]
    stop = found.end()
    if kind is _Kind.INDEX and found["separator"] == "-" and text[stop : stop + 1].isdigit():
        stop -= 1  # a sign, not a separator
    if found["close"]:
        return _Token(kind, found.start(), stop)
    if emphasis and text.startswith(emphasis, stop):
        return _Token(kind, found.start(), stop + len(emphasis))
    return _Token(kind, found.start(), stop, emphasis=emphasis)


def _blocks(text: str, tokens: Sequence[_Token]) -> list[_Block]:
    blocks: list[_Block] = []
    if not tokens:
        return blocks
    preface = text[: tokens[0].start].split("\n")
    fence_open = sum(1 for line in preface if FENCE.fullmatch(line)) % 2 == 1
    ends = [token.start for token in tokens[1:]] + [len(text)]
    for token, end in zip(tokens, ends, strict=True):
        value, fence_open = cut_at_fence(text[token.end : end], fence_open)
        if token.kind is _Kind.MARK:
            blocks.append(_Block(token.verb, value))
        else:
            blocks[-1].fields.append((token.kind, clean_value(value, token.emphasis)))
    return blocks


def _read_block(block: _Block, num_memories: int) -> list[ParsedAction]:
    if block.verb is None:
        word = block.head.split("\n")[0].strip()[:50]
        problem = f"unknown action {word!r}: use INSERT, UPDATE, DELETE or NOOP"
        return [ParsedAction(type=ActionType.NOOP, reasoning=block.reasoning, problem=problem)]
    return _READERS[block.verb](block, block.verb, num_memories)


def _read_insert(block: _Block, verb: ActionType, num_memories: int) -> list[ParsedAction]:
    items = block.values(_Kind.ITEM)
    if all(kind is _Kind.REASONING for kind, _ in block.fields):
        items = _unlabelled_items(block)
    if not items:
        problem = "INSERT without content (MEMORY_ITEM)"
        return [ParsedAction(type=verb, reasoning=block.reasoning, problem=problem)]
    return [ParsedAction(type=verb, content=item, reasoning=block.reasoning) for item in items]


def _unlabelled_items(block: _Block) -> list[str]:
    """Read an INSERT that names no item: each line behind the mark is one."""
    head = block.head.partition("\n")[2]
    if _JSON.match(head):
        return []
    lines = clean_value(head).split("\n")
    lines.extend(line for line in block.reasoning.split("\n")[1:] if LISTED.match(line))
    return [item for item in map(unlabelled_item, lines) if item]


def _read_update(block: _Block, verb: ActionType, num_memories: int) -> list[ParsedAction]:
    targets, texts = _targets(block), block.values(_Kind.UPDATED)
    if not targets and not texts:
        targets = [Target(problem="UPDATE without MEMORY_INDEX and UPDATED_MEMORY")]
    actions = []
    for number in range(max(len(targets), len(texts))):
        target = targets[number] if number < len(targets) else Target(problem=_no_target(verb))
        content = texts[number] if number < len(texts) else ""
        problem = target.problem_among(num_memories)
        if problem is None and not content:
            problem = "UPDATE without content (UPDATED_MEMORY)"
        actions.append(_change(block, verb, target, content, problem))
    return actions


def _read_delete(block: _Block, verb: ActionType, num_memories: int) -> list[ParsedAction]:
    targets = _targets(block) or [Target(problem=_no_target(verb))]
    return [
        _change(block, verb, target, "", target.problem_among(num_memories)) for target in targets
    ]


def _read_noop(block: _Block, verb: ActionType, num_memories: int) -> list[ParsedAction]:
    return [ParsedAction(type=verb, reasoning=block.reasoning)]


def _no_target(verb: ActionType) -> str:
    return f"{verb.upper()} names no memory (MEMORY_INDEX)"


def _change(
    block: _Block, verb: ActionType, target: Target, content: str, problem: str | None
) -> ParsedAction:
    return ParsedAction(
        type=verb,
        memory_index=target.index,
        memory_id=target.id,
        content=content,
        reasoning=block.reasoning,
        problem=problem,
    )


def _targets(block: _Block) -> list[Target]:
    targets: list[Target] = []
    for kind, text in block.fields:
        if kind is _Kind.INDEX and text:
            targets.extend(read_targets(text))
        elif kind is _Kind.ID and text:
            targets.append(Target(id=text.split()[0].strip("[](){}<>\"'`,;#")))
    return targets


_READERS = {
    ActionType.INSERT: _read_insert,
    ActionType.UPDATE: _read_update,
    ActionType.DELETE: _read_delete,
    ActionType.NOOP: _read_noop,
}
