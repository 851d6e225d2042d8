"""Tokenizers for cutting text by length; none of them ever downloads anything."""

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Protocol

import tiktoken

from langgraph_memskill.errors import ConfigError

logger = logging.getLogger(__name__)

_CL100K_URL = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
_CL100K_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"

# A byte-pair encoder may take more than linear time on one long run without blanks, so it gets the
# text in blocks of this many characters; a cut costs at most one extra token a block.
_BLOCK_CHARACTERS = 8192

_WORD_PIECE = re.compile(r" ?[A-Za-z]{1,8}| ?[0-9]{1,3}| ?[^\sA-Za-z0-9]|\s{1,16}")


class Tokenizer(Protocol):
    """Cuts text into tokens."""

    def split(self, text: str) -> Sequence[str]:
        """Return the tokens of `text`, in order, as pieces of it.

        Args:
            text: Any text, special-token text such as "<|endoftext|>" included.

        Returns:
            Pieces whose concatenation is exactly `text`; a piece may be empty where a character
            takes several tokens. Empty for an empty text.
        """
        ...


class WordPieceTokenizer:
    """An offline stand-in for a model's tokenizer that needs no vocabulary.

    A token is up to eight Latin letters, up to three digits or any other single character, with the
    blank before it, or up to sixteen blanks. Counts are about those of a model's tokenizer, not
    equal to them. Time is linear in the length of the text.
    """

    def split(self, text: str) -> list[str]:
        """Return the tokens of `text` as pieces whose concatenation is the text."""
        return _WORD_PIECE.findall(text)


class TiktokenTokenizer:
    """A tiktoken encoding, used on exact pieces of the text.

    Special-token text counts as ordinary text; by default tiktoken raises at it (QUIRK 75).

    Args:
        encoding: A loaded encoding.
    """

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding

    def split(self, text: str) -> list[str]:
        """Return the tokens of `text` as pieces whose concatenation is the text."""
        pieces: list[str] = []
        for start in range(0, len(text), _BLOCK_CHARACTERS):
            pieces.extend(self._split_block(text[start : start + _BLOCK_CHARACTERS]))
        return pieces

    def _split_block(self, block: str) -> list[str]:
        tokens = self._encoding.encode_ordinary(block)
        decoded, starts = self._encoding.decode_with_offsets(tokens)
        if len(decoded) != len(block):
            # Lone surrogates that tiktoken joined to one character: the offsets are of no use.
            return list(block)
        return [block[start:end] for start, end in pairwise([*starts, len(block)])]


def _cached_vocabulary() -> Path | None:
    """Return the file in which tiktoken keeps cl100k_base, or None if loading it would download."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":
        return None  # tiktoken reads this as "no cache"
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    name = hashlib.sha1(_CL100K_URL.encode(), usedforsecurity=False).hexdigest()
    path = Path(folder) / name
    try:
        content = path.read_bytes()
    except OSError:
        return None
    # tiktoken deletes and downloads again a file whose checksum is wrong.
    return path if hashlib.sha256(content).hexdigest() == _CL100K_SHA256 else None


@cache
def default_tokenizer() -> Tokenizer:
    """Return tiktoken's cl100k_base if its file is already on this machine, else the offline one.

    Returns:
        A tokenizer; the same object at every call in a process.
    """
    if _cached_vocabulary() is None:
        logger.debug("cl100k_base is not in tiktoken's cache: using the offline tokenizer")
        return WordPieceTokenizer()
    return TiktokenTokenizer(tiktoken.get_encoding("cl100k_base"))


@dataclass(frozen=True, slots=True)
class WindowCutter:
    """Cuts text into windows of tokens that overlap (parity kit, README section 10).

    No setting can make it loop for ever (QUIRK 74).

    Raises:
        ConfigError: A length is out of range.
    """

    chunk_tokens: int
    """Most tokens of a window, at least 1."""
    overlap: int = 0
    """How many tokens two neighbouring windows share; lowered to one less than a window has."""
    tokenizer: Tokenizer = field(default_factory=default_tokenizer)

    def __post_init__(self) -> None:
        """Check the lengths."""
        if self.chunk_tokens < 1:
            raise ConfigError(
                f"chunk_tokens is {self.chunk_tokens!r}; give a number of tokens from 1 up"
            )
        if self.overlap < 0:
            raise ConfigError(f"overlap is {self.overlap!r}; give a number of tokens from 0 up")

    def windows(
        self, text: str, reserved: Callable[[], int] | None = None
    ) -> list[tuple[int, int]]:
        """Return the windows as character ranges of `text`.

        Args:
            text: What to cut. Up to `chunk_tokens` tokens it stays as it is, untrimmed.
            reserved: Gives the number of tokens to keep free in each window; asked only if the
                text is cut.

        Returns:
            Start and end of each window; windows of a text that was cut are trimmed. None is blank.
        """
        tokens = self.tokenizer.split(text)
        if len(tokens) <= self.chunk_tokens:
            return [(0, len(text))] if text.strip() else []
        size = max(1, self.chunk_tokens - (reserved() if reserved else 0))
        step = size - min(self.overlap, size - 1)
        offsets = [0, *accumulate(map(len, tokens))]
        ranges = []
        for first in range(0, len(tokens) - size + step, step):  # up to the one that ends the text
            last = min(first + size, len(tokens))
            start, end = _trimmed(text, offsets[first], offsets[last])
            if start < end:
                ranges.append((start, end))
        return ranges

    def cut(self, text: str) -> list[str]:
        """Return the text of each window."""
        return [text[start:end] for start, end in self.windows(text)]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the range without the blanks at its ends; it is empty if it holds nothing else."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())
