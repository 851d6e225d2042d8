"""What `memskill remember` and `memskill demo` read: text, files of messages, LoCoMo files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from langgraph_memskill.errors import ConfigError, DataError

if TYPE_CHECKING:
    from langgraph_memskill.benchmarks.samples import Sample
    from langgraph_memskill.input import Rememberable
    from langgraph_memskill.records import Span
    from langgraph_memskill.spans import SpanMode

STDIN = "-"


class Reading(NamedTuple):
    """Something to remember."""

    name: str
    """Where it came from, for people."""
    content: "Rememberable"
    has_dates: bool = False
    """Whether it says itself when things were said."""


def read_inputs(text: str | None, files: Sequence[Path], conversation: str | None) -> list[Reading]:
    """Read what the command line names.

    Args:
        text: A text, or "-" for standard input.
        files: Files; a .json file holds messages or LoCoMo conversations, others are text.
        conversation: Which conversation of a LoCoMo file; None if it holds one.

    Raises:
        ConfigError: If nothing or too much is named, or a text is empty.
        DataError: If a file cannot be read; the message names it and the place.
    """
    if (text is None) == (not files):
        raise ConfigError(
            "say what to remember: a TEXT, '-' to read standard input, or --file (not both)"
        )
    if text is not None:
        typed = decoded(typer.get_binary_stream("stdin").read(), "stdin") if text == STDIN else text
        readings = [Reading("stdin" if text == STDIN else "text", typed)]
    else:
        readings = [_read_file(file, conversation) for file in files]
    for reading in readings:
        if isinstance(reading.content, str) and not reading.content.strip():
            raise ConfigError(f"there is no text in {reading.name}: nothing to remember")
    return readings


def _read_file(file: Path, conversation: str | None) -> Reading:
    if file.suffix.lower() == ".json":
        return _read_json_file(file, conversation)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the file {file}: {error.strerror or error}") from error
    return Reading(str(file), decoded(data, str(file)))


def decoded(data: bytes, name: str) -> str:
    """Read bytes as UTF-8, with or without a byte order mark.

    Args:
        data: The bytes.
        name: Where they come from, for the error message.

    Raises:
        DataError: If they are something else; the message names the offset.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 text: byte {data[error.start]:#04x} at offset {error.start}; "
            "convert it to UTF-8 first"
        ) from error


def _read_json_file(file: Path, conversation: str | None) -> Reading:
    from langgraph_memskill.benchmarks.locomo import load_locomo
    from langgraph_memskill.benchmarks.reading import read_json
    from langgraph_memskill.spans import SpanMode

    content = read_json(file)
    if _are_messages(content):
        return Reading(str(file), [{"role": m["role"], "content": m["content"]} for m in content])
    if isinstance(content, list) and any("conversation" in _keys(entry) for entry in content):
        sample = pick_sample(load_locomo(file), conversation, str(file))
        spans = spans_to_remember(sample, SpanMode.TURN_PAIR)
        return Reading(f"{file} ({sample.id})", spans, has_dates=True)
    raise DataError(
        f"{file} holds neither messages (a list of objects with 'role' and 'content') nor LoCoMo "
        "conversations (a list of objects with 'sample_id', 'conversation' and 'qa')"
    )


def spans_to_remember(sample: "Sample", mode: "SpanMode") -> "list[Span]":
    """Cut a conversation into spans whose ids belong to no earlier run.

    The ids of `cut_spans` are the same every time, and a memory takes a span that it knows for one
    that comes back from the retry queue.
    """
    from langgraph_memskill.benchmarks.locomo import cut_spans

    return [replace(span, id=str(span.index)) for span in cut_spans(sample, mode)]


def _are_messages(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all({"role", "content"} <= _keys(entry) for entry in content)
    )


def _keys(entry: Any) -> set[str]:
    return set(entry) if isinstance(entry, dict) else set()


def pick_sample(samples: "Sequence[Sample]", wanted: str | None, name: str) -> "Sample":
    """Choose a conversation of a file.

    Args:
        samples: The file's conversations.
        wanted: The id; None if there is only one.
        name: Name of the file in error messages.

    Raises:
        ConfigError: If there are several and none is named, or none has this id.
    """
    ids = ", ".join(sample.id for sample in samples)
    if wanted is None and len(samples) > 1:
        raise ConfigError(f"{name} holds {len(samples)} conversations: name one of {ids}")
    found = [sample for sample in samples if wanted in {None, sample.id}]
    if not found:
        raise ConfigError(f"{name} holds no conversation {wanted!r}; it holds {ids}")
    return found[0]
