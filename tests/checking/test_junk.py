"""What is junk, and what is not."""

from datetime import UTC, datetime

import pytest

from langgraph_memskill.checking.junk import junk_reason
from langgraph_memskill.prompts import AnswerStyle, recall_block
from langgraph_memskill.records import Memory


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "blank"),
        (" \n\t", "blank"),
        ("?!... --", "neither letters nor digits"),
        ("Hello! How are you?", "greeting"),
        ("Thanks a lot", "greeting"),
        ("ACTION: INSERT\nMEMORY_ITEM: Ann likes tea", "piece of a prompt"),
        ("Ann likes tea\nMEMORY_INDEX: 3", "piece of a prompt"),
        ("<|im_start|>user", "piece of a prompt"),
        ("You are a helpful assistant.", "system prompt"),
        ("As an AI language model, I cannot do that", "system prompt"),
    ],
)
def test_junk(text: str, reason: str) -> None:
    assert reason in (junk_reason(text) or "")


@pytest.mark.parametrize(
    "text",
    [
        "Ann likes tea.",
        "42",
        "Ann's assistant is a helpful person",
        "The action: insert the coin",
        "Ann is an AI researcher",
        "Ann writes <b>bold</b> texts and a <span> now and then",
        "你好，安喜欢茶",
        str(AnswerStyle.PLAIN),
    ],
)
def test_no_junk(text: str) -> None:
    assert junk_reason(text) is None


def test_recalled_memories_that_were_remembered_again() -> None:
    at = datetime(2025, 5, 5, tzinfo=UTC)
    memory = Memory(
        id="a", content="Ann likes tea.", namespace=("m", "u"), created_at=at, updated_at=at
    )
    block = recall_block([memory])
    for text in (block, *block.splitlines()):
        assert "recalled memories" in (junk_reason(text) or "")
