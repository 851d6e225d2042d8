import hashlib
import subprocess
import sys

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill import tokens
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.tokens import (
    TiktokenTokenizer,
    WindowCutter,
    WordPieceTokenizer,
    default_tokenizer,
)


class Words:
    def split(self, text):
        return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]


@pytest.fixture
def byte_encoding():
    """A tiktoken encoding whose tokens are single bytes, with a special token."""
    return tiktoken.Encoding(
        name="bytes",
        pat_str=r"\S+|\s+",
        mergeable_ranks={bytes([value]): value for value in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )


@pytest.fixture
def no_cached_default():
    default_tokenizer.cache_clear()
    yield
    default_tokenizer.cache_clear()


def test_word_pieces_of_a_sentence():
    pieces = WordPieceTokenizer().split("Ann's flat, no. 1234:\n  extraordinarily big é")
    assert pieces == [
        *("Ann", "'", "s", " flat", ",", " no", ".", " 123", "4", ":", "\n  "),
        *("extraord", "inarily", " big", " é"),
    ]


@given(st.text())
def test_word_pieces_put_together_are_the_text(text):
    pieces = WordPieceTokenizer().split(text)
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize("character", ["a", " ", "\n", "7", "。", "'"])
def test_word_pieces_of_a_million_equal_characters(character):
    pieces = WordPieceTokenizer().split(character * 1_000_000)
    assert sum(map(len, pieces)) == 1_000_000
    assert max(map(len, pieces)) <= 16


def test_tiktoken_pieces_are_exact_also_inside_characters(byte_encoding):
    pieces = TiktokenTokenizer(byte_encoding).split("é 😀!")
    assert "".join(pieces) == "é 😀!"
    assert len(pieces) == 2 + 1 + 4 + 1  # UTF-8 bytes


def test_tiktoken_takes_special_tokens_as_text(byte_encoding):
    """QUIRK 75."""
    text = "before <|endoftext|> after"
    with pytest.raises(ValueError, match="disallowed special token"):
        byte_encoding.encode(text)
    assert "".join(TiktokenTokenizer(byte_encoding).split(text)) == text


def test_tiktoken_keeps_lone_surrogates(byte_encoding):
    text = "a\ud83db \ud83d\ude00"
    assert "".join(TiktokenTokenizer(byte_encoding).split(text)) == text


def test_tiktoken_gets_long_text_in_blocks(byte_encoding):
    text = "word " * 10_000
    assert "".join(TiktokenTokenizer(byte_encoding).split(text)) == text


@pytest.mark.usefixtures("no_cached_default")
def test_default_tokenizer_is_offline_without_a_cached_vocabulary(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert isinstance(default_tokenizer(), WordPieceTokenizer)


@pytest.mark.usefixtures("no_cached_default")
def test_default_tokenizer_does_not_trust_a_damaged_vocabulary(monkeypatch, tmp_path):
    name = hashlib.sha1(tokens._CL100K_URL.encode()).hexdigest()
    (tmp_path / name).write_bytes(b"IQ== 0\n")
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path))
    assert isinstance(default_tokenizer(), WordPieceTokenizer)
    assert (tmp_path / name).exists()


@pytest.mark.usefixtures("no_cached_default")
def test_default_tokenizer_is_offline_when_caching_is_switched_off(monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert isinstance(default_tokenizer(), WordPieceTokenizer)


@pytest.mark.usefixtures("no_cached_default")
def test_default_tokenizer_is_tiktoken_with_a_cached_vocabulary(
    monkeypatch, tmp_path, byte_encoding
):
    content = b"the vocabulary"
    name = hashlib.sha1(tokens._CL100K_URL.encode()).hexdigest()
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tokens, "_CL100K_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: byte_encoding)
    assert isinstance(default_tokenizer(), TiktokenTokenizer)


def test_windows_overlap_and_end_with_the_text():
    cutter = WindowCutter(3, 1, Words())
    assert cutter.cut("a b c d e f g") == ["a b c", "c d e", "e f g"]


def test_a_short_text_stays_untrimmed():
    assert WindowCutter(3, 1, Words()).cut(" a b") == [" a b"]


def test_a_blank_text_has_no_window():
    assert WindowCutter(9, 1, WordPieceTokenizer()).cut(" \n ") == []


def test_overlap_is_lowered_so_that_windows_advance():
    """QUIRK 74."""
    assert WindowCutter(2, 5, Words()).cut("a b c d") == ["a b", "b c", "c d"]


@pytest.mark.parametrize(("chunk_tokens", "overlap"), [(0, 0), (-3, 0), (5, -1)])
def test_lengths_out_of_range_are_refused(chunk_tokens, overlap):
    with pytest.raises(ConfigError, match=r"give a number of tokens"):
        WindowCutter(chunk_tokens, overlap)


@given(
    st.text(alphabet="ab \n.é", max_size=200),
    st.integers(min_value=1, max_value=20),
    st.integers(min_value=0, max_value=30),
)
def test_windows_hold_every_character_that_is_not_blank(text, chunk_tokens, overlap):
    tokenizer = WordPieceTokenizer()
    covered = set()
    windows = WindowCutter(chunk_tokens, overlap, tokenizer).windows(text)
    for start, end in windows:
        assert text[start:end].strip()
        assert len(tokenizer.split(text[start:end])) <= chunk_tokens
        covered.update(range(start, end))
    assert covered >= {index for index, character in enumerate(text) if not character.isspace()}
    assert windows == sorted(windows)


def test_tokens_loads_neither_torch_nor_chromadb():
    code = (
        "import sys, langgraph_memskill.spans, langgraph_memskill.tokens;"
        "assert not {'torch', 'chromadb'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
