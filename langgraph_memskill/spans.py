"""Cutting conversations and texts into spans, the pieces that one construction step reads.

The rules are those of the parity kit (README section 10); its QUIRKS 74 to 76 are mended here: no
setting can loop for ever, and a span without content is never made.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Span, Turn
from langgraph_memskill.tokens import Tokenizer, WindowCutter, default_tokenizer

_DOCUMENT_START = re.compile(r"(?=Document \d+:)")
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")
_MAX_SPEAKER_CHARACTERS = 80


class SpanMode(StrEnum):
    """Where one span ends and the next begins."""

    TURN = "turn"
    TURN_PAIR = "turn-pair"
    SESSION = "full-session"
    FIXED = "fixed-length"
    PARAGRAPH = "paragraph"


CONVERSATION_MODES = frozenset(
    {SpanMode.TURN, SpanMode.TURN_PAIR, SpanMode.SESSION, SpanMode.FIXED}
)
TEXT_MODES = frozenset({SpanMode.SESSION, SpanMode.FIXED, SpanMode.PARAGRAPH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sitting of a conversation."""

    id: str
    date: str = ""
    """When it took place, as the source wrote it; empty if unknown."""
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the turns of a session are written down for the executor."""

    opening: Callable[[Turn], str]
    """What stands before a turn's text: who speaks."""
    closing: Callable[[Turn], str]
    """What stands after it."""
    separator: str
    """What stands between two turns."""
    header: Callable[[str, SpanMode], str]
    """What stands before a span of a session with this (non-empty) date."""
    repeats_opening: bool = False
    """Whether a span that begins inside a turn says again who speaks."""


class _PlacedTurn(NamedTuple):
    """A turn and where it stands in its laid-out text, in characters."""

    turn: Turn
    start: int
    text_start: int
    text_end: int
    end: int


@dataclass(frozen=True, slots=True)
class _Block:
    """Turns laid out as one text, without header."""

    text: str
    placed: tuple[_PlacedTurn, ...]


class _Part(NamedTuple):
    """The text of a span, and the turns in it."""

    text: str
    turns: tuple[Turn, ...] = ()


def _checked_mode(mode: SpanMode | str, allowed: frozenset[SpanMode], subject: str) -> SpanMode:
    if mode not in allowed:
        names = ", ".join(repr(str(name)) for name in sorted(allowed))
        raise ConfigError(f"{mode!r} is no way to cut {subject}; use one of {names}")
    return SpanMode(mode)


def _lay_out(turns: Sequence[Turn], layout: Layout) -> _Block:
    pieces: list[str] = []
    placed = []
    position = 0
    for number, turn in enumerate(turns):
        if number:
            pieces.append(layout.separator)
            position += len(layout.separator)
        opening, closing = layout.opening(turn), layout.closing(turn)
        text_start = position + len(opening)
        text_end = text_start + len(turn.text)
        end = text_end + len(closing)
        placed.append(_PlacedTurn(turn, position, text_start, text_end, end))
        pieces += (opening, turn.text, closing)
        position = end
    return _Block("".join(pieces), tuple(placed))


def _clip(placed: _PlacedTurn, text: str, start: int, end: int) -> Turn:
    """Return the turn with only the part of its text inside the range."""
    if start <= placed.text_start and placed.end <= end:
        return placed.turn
    inside = text[max(start, placed.text_start) : min(end, placed.text_end)]
    return replace(
        placed.turn, text=inside, caption=placed.turn.caption if placed.end <= end else None
    )


def _touching(block: _Block, ends: Sequence[int], start: int, end: int) -> list[_PlacedTurn]:
    """Return the turns with content in the range, or else those with only their speaker there."""
    touching = []
    for index in range(bisect_right(ends, start), len(ends)):
        if block.placed[index].start >= end:
            break
        touching.append(block.placed[index])
    return [placed for placed in touching if placed.text_start < end] or touching


def _windows_of_block(block: _Block, layout: Layout, cutter: WindowCutter) -> Iterator[_Part]:
    def longest_opening() -> int:
        openings = {layout.opening(placed.turn) for placed in block.placed}
        return max(len(cutter.tokenizer.split(opening)) for opening in openings)

    ends = [placed.end for placed in block.placed]
    reserved = longest_opening if layout.repeats_opening else None
    for start, end in cutter.windows(block.text, reserved):
        touching = _touching(block, ends, start, end)
        text = block.text[start:end]
        if layout.repeats_opening and touching:
            first = touching[0]
            if end <= first.text_start:
                continue  # nothing but a speaker, whom the next window names again
            if first.start < start:
                text = layout.opening(first.turn) + block.text[max(start, first.text_start) : end]
        yield _Part(text, tuple(_clip(placed, block.text, start, end) for placed in touching))


def _parts(turns: Sequence[Turn], layout: Layout, cutter: WindowCutter | None) -> Iterator[_Part]:
    """Yield the turns as one text, or as its windows if a cutter is given; nothing if blank."""
    block = _lay_out(turns, layout)
    if cutter is not None:
        yield from _windows_of_block(block, layout, cutter)
    elif block.text.strip():
        yield _Part(block.text, tuple(turns))


def _numbered(
    parts: Iterable[_Part], id_prefix: str, time: str | None, session: str | None, first: int = 0
) -> Iterator[Span]:
    for index, part in enumerate(parts, first):
        yield Span(
            id=f"{id_prefix}span-{index}",
            index=index,
            text=part.text,
            turns=part.turns,
            time=time,
            session=session,
        )


def _grouped(turns: Sequence[Turn], mode: SpanMode) -> list[Sequence[Turn]]:
    size = {SpanMode.TURN: 1, SpanMode.TURN_PAIR: 2}.get(mode, max(1, len(turns)))
    return [turns[start : start + size] for start in range(0, len(turns), size)]


def split_sessions(
    sessions: Iterable[Session],
    mode: SpanMode | str,
    *,
    layout: Layout,
    chunk_tokens: int = 1024,
    overlap: int = 128,
    tokenizer: Tokenizer | None = None,
    id_prefix: str = "",
) -> list[Span]:
    """Cut a conversation into spans; no span crosses from one session into the next.

    Only the mode "fixed-length" looks at lengths: there a session of more than `chunk_tokens`
    tokens becomes windows of that many, and the turns of such a span hold only the part of their
    text that stands in it. The header does not count.

    Args:
        sessions: The sessions, in order.
        mode: "turn", "turn-pair", "full-session" or "fixed-length".
        layout: How turns and dates are written down.
        chunk_tokens: Length of a window, in tokens, at least 1.
        overlap: How many tokens two neighbouring windows share; lowered to `chunk_tokens` - 1.
        tokenizer: What a token is; `default_tokenizer()` if None.
        id_prefix: Start of every span id.

    Returns:
        The spans, numbered from 0. A session without turns gives none (QUIRK 76).

    Raises:
        ConfigError: The mode is another one, or a length is out of range.
    """
    mode = _checked_mode(mode, CONVERSATION_MODES, "a conversation")
    cutter = WindowCutter(chunk_tokens, overlap, tokenizer or default_tokenizer())
    spans: list[Span] = []
    for session in sessions:
        header = layout.header(session.date, mode) if session.date else ""
        parts = (
            _Part(header + part.text, part.turns)
            for group in _grouped(session.turns, mode)
            for part in _parts(group, layout, cutter if mode is SpanMode.FIXED else None)
        )
        spans += _numbered(parts, id_prefix, session.date or None, session.id, len(spans))
    return spans


def _passages(text: str, mode: SpanMode) -> list[str]:
    """Return the pieces of a text before any cutting by length; none of them is blank."""
    pieces = [text]
    if mode is SpanMode.PARAGRAPH:
        pieces = [piece.strip() for piece in _DOCUMENT_START.split(text) if piece.strip()]
        if len(pieces) <= 1:
            pieces = [piece.strip() for piece in _EMPTY_LINE.split(text)]
    return [piece for piece in pieces if piece.strip()]


def split_text(
    text: str,
    mode: SpanMode | str = SpanMode.FIXED,
    *,
    chunk_tokens: int = 1024,
    overlap: int = 128,
    tokenizer: Tokenizer | None = None,
    time: str | None = None,
    id_prefix: str = "",
) -> list[Span]:
    """Cut a text that is no conversation into spans.

    Args:
        text: The text. A blank one gives no spans (QUIRK 76).
        mode: "fixed-length"; "paragraph", which cuts before each "Document 1:" or, where there are
            no two such documents, at empty lines; or "full-session", which does not cut.
        chunk_tokens: Length of a window in the mode "fixed-length", in tokens, at least 1.
        overlap: How many tokens two neighbouring windows share; lowered to `chunk_tokens` - 1.
        tokenizer: What a token is; `default_tokenizer()` if None.
        time: When the text was written, given to every span.
        id_prefix: Start of every span id.

    Returns:
        The spans, numbered from 0.

    Raises:
        ConfigError: The mode is another one, or a length is out of range.
    """
    mode = _checked_mode(mode, TEXT_MODES, "a text")
    cutter = WindowCutter(chunk_tokens, overlap, tokenizer or default_tokenizer())
    passages = _passages(text, mode)
    if mode is SpanMode.FIXED:
        passages = cutter.cut(text)
    return list(_numbered((_Part(passage) for passage in passages), id_prefix, time, None))


_MESSAGE_LAYOUT = Layout(
    opening=lambda turn: f"{turn.speaker}: ",
    closing=lambda turn: "",
    separator="\n",
    header=lambda date, mode: "",  # the date is in `Span.time`, and the prompt writes it down
    repeats_opening=True,
)


def _message_turns(messages: Sequence[BaseMessage]) -> tuple[list[Turn], set[int]]:
    """Return the turns that were spoken, and the positions among them of the assistant's."""
    turns: list[Turn] = []
    assistant = set()
    for message in messages:
        text = str(message.text)
        if not isinstance(message, HumanMessage | AIMessage) or not text.strip():
            continue
        is_assistant = isinstance(message, AIMessage)
        if is_assistant:
            assistant.add(len(turns))
        # A name is one short line: a line break in it could pass for another speaker's turn.
        name = " ".join((message.name or "").split())[:_MAX_SPEAKER_CHARACTERS]
        speaker = name or ("assistant" if is_assistant else "user")
        turns.append(Turn(id=message.id or str(len(turns) + 1), speaker=speaker, text=text))
    return turns, assistant


def _exchanges(turns: Sequence[Turn], assistant: set[int]) -> list[Sequence[Turn]]:
    """Return pairs of turns that keep a question and its reply together.

    A pair also ends, with one turn, after a turn of the assistant that a person's turn follows: an
    opening line or a second reply would shift every later pair otherwise.
    """
    pairs = []
    start = 0
    for end in range(1, len(turns) + 1):
        is_reply = end - 1 in assistant and end not in assistant
        if end - start == 2 or is_reply or end == len(turns):
            pairs.append(turns[start:end])
            start = end
    return pairs


def spans_from_messages(
    messages: Sequence[BaseMessage],
    *,
    mode: SpanMode | str = SpanMode.TURN_PAIR,
    chunk_tokens: int = 512,
    overlap: int = 64,
    tokenizer: Tokenizer | None = None,
    time: str | None = None,
) -> list[Span]:
    """Cut a chat into spans, none of them longer than `chunk_tokens`.

    Only what people and the assistant said counts: system messages, tool calls and tool results
    are left out, and of content blocks the text is taken. Each turn is written as "user: ...",
    with the message's name in place of the role if it has one. A turn that is cut begins with its
    speaker in every span, and the turns of a span hold the part of their text that stands in it.

    Args:
        messages: The messages, oldest first.
        mode: "turn", "turn-pair", "full-session" or "fixed-length".
        chunk_tokens: Most tokens of one span, at least 1 (METHOD: spans of 512 tokens).
        overlap: How many tokens two windows of a text that was cut share; at most half a window.
        tokenizer: What a token is; `default_tokenizer()` if None.
        time: When the chat took place, given to every span.

    Returns:
        The spans, numbered from 0. Turn ids are message ids, or running numbers from 1.

    Raises:
        ConfigError: The mode is another one, or a length is out of range.
    """
    mode = _checked_mode(mode, CONVERSATION_MODES, "a conversation")
    cutter = WindowCutter(
        chunk_tokens, min(overlap, chunk_tokens // 2), tokenizer or default_tokenizer()
    )
    turns, assistant = _message_turns(messages)
    pairs = mode is SpanMode.TURN_PAIR
    groups = _exchanges(turns, assistant) if pairs else _grouped(turns, mode)
    parts = (part for group in groups for part in _parts(group, _MESSAGE_LAYOUT, cutter))
    return list(_numbered(parts, "", time, None))


def spans_from_text(
    text: str,
    *,
    mode: SpanMode | str = SpanMode.FIXED,
    chunk_tokens: int = 512,
    overlap: int = 64,
    tokenizer: Tokenizer | None = None,
    time: str | None = None,
) -> list[Span]:
    """Cut a text into spans, none of them longer than `chunk_tokens`.

    Args:
        text: The text. A short one is one span, a blank one none.
        mode: "fixed-length", or "paragraph" to cut at documents or empty lines first.
        chunk_tokens: Most tokens of one span, at least 1.
        overlap: How many tokens two neighbouring windows share; at most half a window.
        tokenizer: What a token is; `default_tokenizer()` if None.
        time: When the text was written, given to every span.

    Returns:
        The spans, numbered from 0.

    Raises:
        ConfigError: The mode is another one, or a length is out of range.
    """
    mode = _checked_mode(mode, TEXT_MODES, "a text")
    cutter = WindowCutter(
        chunk_tokens, min(overlap, chunk_tokens // 2), tokenizer or default_tokenizer()
    )
    passages = _passages(text, mode)
    parts = (_Part(piece) for passage in passages for piece in cutter.cut(passage))
    return list(_numbered(parts, "", time, None))
