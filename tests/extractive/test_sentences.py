import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.extractive.sentences import (
    Utterance,
    content_words,
    holds_secret,
    information,
    is_question,
    read_span,
    split_sentences,
)


def test_quoted_turns_with_a_header_and_a_picture():
    span = read_span(
        "DATE: 1:56 pm on 8 May, 2023\nCONVERSATION:\n"
        'Ann said, "I read "Dune".\nTwice!" and shared a photo of a book.\n'
        'Bob said, "Nice."'
    )
    assert span.date == "1:56 pm on 8 May, 2023"
    assert span.utterances == (
        Utterance(speaker="Ann", text='I read "Dune".\nTwice!', caption="a photo of a book"),
        Utterance(speaker="Bob", text="Nice."),
    )


def test_a_quotation_inside_a_turn_is_no_picture():
    text = 'Ann said, "He said "yes" and shared the cake. Then we left."'
    (utterance,) = read_span(text).utterances
    assert utterance == Utterance(
        speaker="Ann", text='He said "yes" and shared the cake. Then we left.'
    )


def test_a_window_that_begins_inside_a_turn_loses_nothing():
    span = read_span('end of a turn."\nBob said, "I live in Oslo."')
    assert span.utterances == (
        Utterance(text='end of a turn."'),
        Utterance(speaker="Bob", text="I live in Oslo."),
    )


def test_turns_labelled_by_role():
    span = read_span(
        "Session Date: 2023/05/20 (Sat) 02:21\n\n"
        "user: How do I boil eggs?\n\nassistant: Like this.\nStep 1: boil water.\nNote: salt."
    )
    assert span.date == "2023/05/20 (Sat) 02:21"
    assert span.utterances == (
        Utterance(speaker="user", text="How do I boil eggs?"),
        Utterance(speaker="assistant", text="Like this.\nStep 1: boil water.\nNote: salt."),
    )


def test_turns_labelled_by_name():
    span = read_span("Ann Lee: I am in Rome.\nassistant: Lovely!")
    assert span.utterances == (
        Utterance(speaker="Ann Lee", text="I am in Rome."),
        Utterance(speaker="assistant", text="Lovely!"),
    )
    assert span.date is None


def test_documents_are_paragraphs_with_a_heading():
    span = read_span(
        "Document 1:\nOslo\nOslo is a city.\n\nIt is old.\n\nDocument 2:\nRome\nRome is."
    )
    assert span.utterances == (
        Utterance(text="Oslo is a city.", heading="Oslo"),
        Utterance(text="It is old.", heading="Oslo"),
        Utterance(text="Rome is.", heading="Rome"),
    )


def test_a_plain_text_is_paragraphs():
    assert [u.text for u in read_span("see this: a list\n\nmore").utterances] == [
        "see this: a list",
        "more",
    ]


@pytest.mark.parametrize("text", ["", "  \n ", 'Ann said, ""'])
def test_a_blank_span_holds_nothing(text):
    assert read_span(text).utterances == ()


@given(st.text())
def test_no_word_of_any_text_is_lost(text):
    utterances = read_span(text).utterances
    kept = " ".join(
        part for u in utterances for part in (u.speaker, u.text, u.caption, u.heading) if part
    )
    header = read_span(text).date or ""
    for word in text.replace('"', " ").split():
        plain = word.strip(":.,")
        known = plain in f"{kept} {header}" or plain in ("DATE", "Session", "Date", "said")
        assert known or plain in ("CONVERSATION", "Document", "and", "shared")


def test_sentences_end_at_full_stops_and_line_breaks():
    text = "Dr. Wu paid $3.50.  Then he left!\n- eggs\n- milk\n\n"
    assert split_sentences(text) == ["Dr. Wu paid $3.50.", "Then he left!", "eggs", "milk"]


def test_content_words_leave_out_filler_and_names():
    words = content_words("Wow, Ann's dog is a really big poodle!", frozenset({"ann"}))
    assert words == {"dog", "big", "poodle"}


@pytest.mark.parametrize(
    ("much", "little"),
    [
        ("I painted a lake at sunrise.", "Wow, that is so great!"),
        ("I have three dogs.", "I have dogs."),
        ("We met Karl in Rome.", "we met him there"),
        ("I bought a red car.", "Did you buy a red car?"),
        ("My paintings are full of life.", "Your paintings are full of life."),
    ],
)
def test_what_says_more_has_more_information(much, little):
    assert information(much) > information(little)


def test_greetings_have_no_information():
    assert information("Hey Mel, good to see you!", frozenset({"mel"})) == 0


@pytest.mark.parametrize(
    ("sentence", "asks"), [("Really?", True), ('He asked "why?"', True), ("Why not.", False)]
)
def test_questions_end_with_a_question_mark(sentence, asks):
    assert is_question(sentence) is asks


@pytest.mark.parametrize(
    "sentence",
    [
        "My password is hunter22",
        "the PIN code: 4711",
        "use sk-abcdefgh12345678 please",
        "my card is 4111 1111 1111 1111",
        "API key = abc",
    ],
)
def test_secrets_are_recognised(sentence):
    assert holds_secret(sentence)


@pytest.mark.parametrize(
    "sentence", ["I forgot my password.", "He wore a pin.", "Call 555 0199.", "It is a key fact."]
)
def test_what_only_sounds_like_a_secret_is_none(sentence):
    assert not holds_secret(sentence)
