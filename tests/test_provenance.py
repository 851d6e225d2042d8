from langgraph_memskill.provenance import attribute
from langgraph_memskill.records import Span, Turn


def _span(*texts: str) -> Span:
    turns = tuple(
        Turn(id=f"D1:{n}", speaker="Ann" if n % 2 else "Bob", text=text)
        for n, text in enumerate(texts, 1)
    )
    return Span(id="e/0", index=0, text="\n".join(texts), turns=turns, time="1 May", session="1")


def test_the_turn_that_shares_the_rare_words_is_named() -> None:
    span = _span("How was the trip?", "The trip to Lisbon was rainy.", "I bought a bike.")
    source = attribute("Bob had a rainy trip to Lisbon (1 May).", span)
    assert source.turn_ids == ("D1:2",)
    assert (source.span_id, source.session, source.time) == ("e/0", "1", "1 May")


def test_two_turns_that_weigh_about_the_same_are_both_named_in_order() -> None:
    span = _span("My cat is Milo.", "Nice weather.", "My dog is Rex.")
    assert attribute("The cat is called Milo, the dog Rex.", span).turn_ids == ("D1:1", "D1:3")


def test_no_shared_word_names_no_turn() -> None:
    assert attribute("zzz", _span("alpha", "beta")).turn_ids == ()
    assert attribute("zzz", Span(id="s", index=0, text="alpha")).turn_ids == ()
