import pytest

from langgraph_memskill.benchmarks import locomo
from langgraph_memskill.benchmarks.locomo import load_locomo, read_category, read_evidence
from langgraph_memskill.errors import ConfigError, DataError
from langgraph_memskill.records import Turn


def question(**fields):
    return {"question": "Q?", "answer": "A", "category": 4, "evidence": [], **fields}


def test_a_file(locomo_records, write_json):
    first, second = load_locomo(write_json(locomo_records))
    assert (first.id, second.id) == ("one", "two")
    (session,) = first.sessions
    assert (session.id, session.date) == ("session_1", "1:00 pm on 2 May, 2024")
    assert session.turns == (
        Turn(id="D1:1", speaker="Ann", text="I moved to Oslo yesterday."),
        Turn(id="D1:2", speaker="Ben", text="Look!", caption="a photo of a boat"),
    )
    (asked,) = first.questions
    assert asked.id == "one/q0"
    assert (asked.text, asked.answers) == ("When did Ann move?", ("1 May 2024",))
    assert (asked.category, asked.evidence, asked.date) == ("temporal", ("D1:1",), None)
    assert first.metadata.speakers == ("Ann", "Ben")
    assert first.metadata.num_sessions == 1


def test_sessions_come_by_number_and_other_keys_are_no_sessions(locomo_records):
    """QUIRK 76."""
    record = locomo_records[0]
    conversation = record["conversation"]
    for key in ("session_10", "session_2"):
        conversation[key] = [{"speaker": "Ann", "dia_id": key, "text": key}]
    conversation.update({"session_summary": "text", "events_session_3": [], "session_2_facts": 1})
    sample = locomo.read_sample(record)
    assert [session.id for session in sample.sessions] == ["session_1", "session_2", "session_10"]
    assert [session.date for session in sample.sessions] == ["1:00 pm on 2 May, 2024", "", ""]


def test_turns_without_ids_get_the_usual_ones(locomo_records):
    record = locomo_records[0]
    for turn in record["conversation"]["session_1"]:
        del turn["dia_id"]
    (session,) = locomo.read_sample(record).sessions
    assert [turn.id for turn in session.turns] == ["D1:1", "D1:2"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["D8:6", "D9:17"], ("D8:6", "D9:17")),
        (["D8:6; D9:17"], ("D8:6", "D9:17")),
        (["D9:1 D4:4 D4:6"], ("D9:1", "D4:4", "D4:6")),
        (["D:11:26"], ("D11:26",)),
        (["D30:05"], ("D30:5",)),
        (["D", "", None, 3], ()),
        (["D1:1", "D1:1"], ("D1:1",)),
        ("D2:3", ("D2:3",)),
        (None, ()),
    ],
)
def test_evidence(value, expected):
    assert read_evidence(value) == expected


def test_evidence_that_names_no_turn_is_left_out(locomo_records):
    record = locomo_records[0]
    record["qa"] = [question(evidence=["D1:2", "D1:3", "D7:1"])]
    assert locomo.read_sample(record).questions[0].evidence == ("D1:2",)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), ("3", 3), (4.7, 4), ("x", 1), (None, 1), ("4.7", 1), (float("inf"), 1), ([], 1)],
)
def test_categories_are_numbers(value, expected):
    """QUIRK 69: "3" is 3 everywhere."""
    assert read_category(value) == expected


@pytest.mark.parametrize("value", ["foo", 4.7, None, 9, True])
def test_a_file_with_an_unknown_category_is_refused(locomo_records, write_json, value):
    locomo_records[1]["qa"] = [question(), question(category=value)]
    with pytest.raises(DataError, match="record 1, question 1: the category .* is unknown"):
        locomo.load_locomo(write_json(locomo_records))


def test_gold_answers(locomo_records):
    record = locomo_records[0]
    record["qa"] = [
        question(answer=2022),
        question(answer="Psychology; maybe law", category=3),
        question(answer="Psychology; maybe law", category="3"),
        question(answer="red; blue", category=1),
        question(answer=["bus", "ferry"], category=1),
    ]
    golds = [asked.answers for asked in locomo.read_questions(record)]
    assert golds == [
        ("2022",),
        ("Psychology",),
        ("Psychology",),
        ("red; blue",),
        ("bus, ferry",),
    ]


def test_adversarial_questions_have_no_gold_and_are_left_out(locomo_records):
    record = locomo_records[0]
    trap = {"question": "T?", "adversarial_answer": "wrong", "category": 5, "evidence": []}
    record["qa"] = [question(), trap, question(category=2)]
    questions = locomo.read_questions(record)
    assert questions[1].answers == ()
    assert [asked.id for asked in locomo.scorable(questions)] == ["one/q0", "one/q2"]
    assert [locomo.category_number(asked) for asked in questions] == [4, 5, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, "question 0: the field 'answer' is null"),
        ({"question": 7}, "question 0: the field 'question' is the number 7"),
        ({"category": 6}, "question 0: the category 6 is unknown"),
    ],
)
def test_questions_that_cannot_be_used(change, message, locomo_records, write_json):
    locomo_records[1]["qa"] = [question(**change)]
    with pytest.raises(DataError, match=rf"records\.json, record 1, {message}"):
        load_locomo(write_json(locomo_records))


def test_a_question_that_is_no_object(locomo_records):
    locomo_records[0]["qa"] = ["Q?"]
    with pytest.raises(DataError, match=r"question 0 is the text 'Q\?'"):
        locomo.read_sample(locomo_records[0])


def test_a_question_without_answer(locomo_records):
    locomo_records[0]["qa"] = [{"question": "Q?", "category": 4}]
    with pytest.raises(DataError, match="question 0: the field 'answer' is missing"):
        locomo.read_sample(locomo_records[0])


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ("no list", "session_1 is the text 'no list'"),
        (["no object"], "session_1, turn 1 is the text 'no object'"),
        ([{"speaker": "Ann", "dia_id": "D1:1"}], "session_1, turn 1: the field 'text' is missing"),
        ([{"text": "Hi"}], "session_1, turn 1: the field 'speaker' is missing"),
        ([{"speaker": "Ann", "text": ["Hi"]}], "session_1, turn 1: the field 'text' is a list"),
        ([{"speaker": "A", "text": "b", "dia_id": "D1:1"}] * 2, "the dia_id 'D1:1' occurs twice"),
    ],
)
def test_turns_that_cannot_be_read(turns, message, locomo_records, write_json):
    locomo_records[0]["conversation"]["session_1"] = turns
    with pytest.raises(DataError, match=rf"records\.json, record 0(, |: ){message}"):
        load_locomo(write_json(locomo_records))


@pytest.mark.parametrize(("field", "value"), [("conversation", "text"), ("qa", {"q": 1})])
def test_fields_of_another_kind(field, value, locomo_records, write_json):
    locomo_records[0][field] = value
    with pytest.raises(DataError, match=rf"record 0: the field '{field}' is "):
        load_locomo(write_json(locomo_records))


def test_spans_of_a_conversation(locomo_records):
    sample = locomo.read_sample(locomo_records[0])
    (span,) = locomo.cut_spans(sample)
    assert span.text == (
        "DATE: 1:00 pm on 2 May, 2024\nCONVERSATION:\n"
        'Ann said, "I moved to Oslo yesterday."\n'
        'Ben said, "Look!" and shared a photo of a boat.'
    )
    assert (span.id, span.session) == ("one:span-0", "session_1")
    assert [turn.id for turn in span.turns] == ["D1:1", "D1:2"]
    with pytest.raises(ConfigError, match="paragraph"):
        locomo.cut_spans(sample, "paragraph")


def test_ten_conversations_are_divided_by_position():
    splits = locomo.split("abcdefghij")
    assert splits == (list("abcdef"), list("gh"), list("ij"))


def test_the_real_file(data_dir):
    samples = load_locomo(data_dir / "locomo" / "locomo8.json")
    assert len(samples) == 8
    asked = [item for sample in samples for item in locomo.scorable(sample.questions)]
    assert len(asked) == 1226
    assert sum(1 for item in asked if item.evidence) == 1224  # as the data's README says
    for sample in samples:
        turn_ids = {turn.id for session in sample.sessions for turn in session.turns}
        assert all(set(item.evidence) <= turn_ids for item in sample.questions)
        assert len(sample.metadata.speakers) == 2
        spans = locomo.cut_spans(sample, "turn-pair")
        assert {turn.id for span in spans for turn in span.turns} == turn_ids
        assert all(span.time for span in spans)


@pytest.mark.parametrize(
    ("category", "score"), [(1, 1 / 3), ("1", 1 / 3), (2, 0.5), (4, 0.5), (3, 1.0)]
)
def test_answers_are_scored_by_the_rule_of_their_category(category, score):
    """Multi-hop answers are lists; an open-domain answer ends at the first semicolon."""
    answer = "chess; or rowing" if category == 3 else "chess, choir, rowing"
    record = {"sample_id": "s", "qa": [question(category=category, answer=answer)]}
    [asked] = locomo.read_questions(record)
    assert locomo.answer_f1("chess", asked) == pytest.approx(score)
