"""What the gate passes over, and what it never does."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langgraph_memskill.records import Span, Turn
from langgraph_memskill.spans import spans_from_messages
from langgraph_memskill.writing.gate import is_small_talk
from langgraph_memskill.writing.phrases import PHRASES


def text(said: str) -> Span:
    return Span(id="s", index=0, text=said)


def turns(*said: str, caption: str | None = None) -> Span:
    made = tuple(
        Turn(id=str(n), speaker=f"Speaker {n}", text=words, caption=caption)
        for n, words in enumerate(said)
    )
    return Span(id="s", index=0, text="\n".join(f"{t.speaker}: {t.text}" for t in made), turns=made)


@pytest.mark.parametrize(
    "said",
    [
        "Hi!",
        "hello there :)",
        "Thanks a lot, that's great!",
        "thaaaanks!!!",
        "THANK YOU SO MUCH 😀🎉",
        "ok 👍🏽",
        "❤️",
        "...",
        "",
        "hahahaha lol",
        "Yes.",
        "no thanks",
        "You’re welcome! Let me know if you need anything else.",
        "ok https://example.org/page",
        "Guten Morgen! Wie geht's?",
        "Vielen Dank, bis bald",
        "Merci beaucoup, à bientôt !",
        "¡Muchas gracias! Hasta luego",
        "谢谢你！好的",
        "ありがとうございます。",
        "감사합니다!",
        "धन्यवाद",
        "Спасибо большое",
        "شكراً جزيلاً",
        "user: hi\nassistant: Hello! How can I help you today?",
    ],
)
def test_small_talk_is_passed_over(said: str) -> None:
    assert is_small_talk(text(said))


@pytest.mark.parametrize(
    "said",
    [
        "I have a dog",
        "I'm not coming",
        "Hi Ann!",
        "thanks, see you at 5",
        "see you tomorrow",
        "Bye, I moved to Oslo",
        "no sugar please",
        "yes, Rex",
        "My name is Hope",
        "thanks for the bike",
        "great, Friday works",
        "https://example.org/2024",
        "ich habe einen Hund",
        "我有一只狗",
        "谢谢，我住在北京",
        "犬がいます",
        "hi " * 900,
    ],
)
def test_anything_else_is_read(said: str) -> None:
    assert not is_small_talk(text(said))


def test_a_yes_counts_only_behind_a_question_that_asks_for_something() -> None:
    assert not is_small_talk(turns("Do you have any pets?", "Yes"))
    assert not is_small_talk(turns("Yes", "So you did quit your job?"))
    assert is_small_talk(turns("Anything else?", "No, thanks!"))


def test_a_picture_says_something() -> None:
    assert is_small_talk(turns("Thanks!"))
    assert not is_small_talk(turns("Thanks!", caption="a photo of a dog"))


def test_speakers_and_dates_of_the_layout_do_not_count() -> None:
    turn = Turn(id="D1:1", speaker="Caroline", text="Take care, bye!")
    said = 'DATE: 1:56 pm on 8 May, 2023\nCONVERSATION:\nCaroline said, "Take care, bye!"'
    span = Span(id="s", index=0, text=said, turns=(turn,), time="1:56 pm on 8 May, 2023")
    assert is_small_talk(span)


def test_text_that_no_turn_accounts_for_is_read() -> None:
    turn = Turn(id="1", speaker="Ann", text="Hi!")
    assert not is_small_talk(Span(id="s", index=0, text="Ann: Hi! My dog is Rex.", turns=(turn,)))


def test_a_live_exchange_is_passed_over_only_if_both_sides_say_nothing() -> None:
    thanks = HumanMessage("thanks!")
    [polite] = spans_from_messages([thanks, AIMessage("You're welcome! Have a great day!")])
    [telling] = spans_from_messages([thanks, AIMessage("Sure! The dentist is on Oak Street.")])
    assert is_small_talk(polite)
    assert not is_small_talk(telling)


@given(
    st.lists(st.sampled_from(PHRASES), max_size=4),
    st.sampled_from(["42", "Zoe", "I quit", "May", "didn't", "never", "Mom", "٣", "Berlin", "ill"]),
    st.integers(0, 4),
)
def test_one_word_that_says_something_opens_the_gate(
    phrases: list[str], word: str, place: int
) -> None:
    assert is_small_talk(text("! ".join(phrases)))
    phrases.insert(place, word)
    assert not is_small_talk(text("! ".join(phrases)))


def test_no_turn_with_evidence_is_passed_over() -> None:
    path = Path(os.environ.get("MEMSKILL_DATA_DIR", "")) / "locomo" / "locomo8.json"
    if not path.is_file():
        pytest.skip("MEMSKILL_DATA_DIR names no folder with locomo/locomo8.json")
    gated, lost = 0, []
    for record in json.loads(path.read_text(encoding="utf-8")):
        evidence = {turn_id for question in record["qa"] for turn_id in question["evidence"]}
        sessions = [v for v in record["conversation"].values() if isinstance(v, list)]
        for turn in (turn for session in sessions for turn in session):
            said = Turn(
                id=turn["dia_id"],
                speaker=turn["speaker"],
                text=turn["text"],
                caption=turn.get("blip_caption"),
            )
            span = Span(id="s", index=0, text=f"{said.speaker}: {said.text}", turns=(said,))
            if is_small_talk(span):
                gated += 1
                lost += [said] * (said.id in evidence)
    assert lost == []
    assert gated > 20
