import pytest

from langgraph_memskill.benchmarks import longmemeval
from langgraph_memskill.benchmarks.longmemeval import answerable, load_longmemeval, read_sample
from langgraph_memskill.benchmarks.splits import read_split_file
from langgraph_memskill.errors import ConfigError, DataError


def test_a_file(fixture_records, write_json):
    samples = load_longmemeval(write_json(fixture_records("longmemeval.json")))
    assert [sample.id for sample in samples] == [
        *("fixture_update", "fixture_count", "fixture_none_abs")
    ]
    sample = samples[0]
    (asked,) = sample.questions
    assert asked.id == "fixture_update"
    assert (asked.text, asked.answers) == (
        "How long does my commute by bike take?",
        ("25 minutes",),
    )
    assert (asked.category, asked.evidence) == ("knowledge-update", ("bike_2",))
    assert asked.date == sample.metadata.question_date == "2024/05/20 (Mon) 09:00"
    assert [session.id for session in sample.sessions] == ["garden_1", "bike_1", "bike_2"]
    assert sample.sessions[2].date == "2024/05/06 (Mon) 20:05"
    first = sample.sessions[0].turns[0]
    assert (first.id, first.speaker) == ("garden_1:1", "user")
    assert first.text.startswith("I planted three tomato seedlings")
    assert samples[1].questions[0].answers == ("3",)


def test_questions_without_an_answer_in_the_history_are_left_out(fixture_records):
    samples = [read_sample(record) for record in fixture_records("longmemeval.json")]
    assert [sample.id for sample in answerable(samples)] == ["fixture_update", "fixture_count"]


def test_sessions_without_a_date_are_kept(fixture_records):
    """QUIRK 76."""
    record = fixture_records("longmemeval.json")[0]
    record["haystack_dates"] = record["haystack_dates"][:1] + [None]
    sample = read_sample(record)
    assert [session.date for session in sample.sessions] == ["2024/03/02 (Sat) 10:15", "", ""]
    spans = longmemeval.cut_spans(sample, "full-session")
    assert [span.time for span in spans] == ["2024/03/02 (Sat) 10:15", None, None]
    assert spans[1].text.startswith("user: My commute")


def test_evidence_that_names_no_session_is_left_out(fixture_records):
    record = fixture_records("longmemeval.json")[0]
    record["answer_session_ids"] = ["bike_2", "nowhere", None]
    assert read_sample(record).questions[0].evidence == ("bike_2",)


def test_sessions_without_ids_get_numbers(fixture_records):
    record = fixture_records("longmemeval.json")[0]
    del record["haystack_session_ids"]
    sample = read_sample(record)
    assert [session.id for session in sample.sessions] == ["session_1", "session_2", "session_3"]
    assert sample.sessions[1].turns[0].id == "session_2:1"


def test_what_is_no_session_is_left_out(fixture_records, caplog):
    record = fixture_records("longmemeval.json")[0]
    record["haystack_sessions"][1] = None
    assert [session.id for session in read_sample(record).sessions] == ["garden_1", "bike_2"]
    assert "session 1 is null: left out" in caplog.text


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"role": "user"}, "session 'garden_1', turn 1: the field 'content' is missing"),
        ({"content": "Hi"}, "session 'garden_1', turn 1: the field 'role' is missing"),
        ("Hi", "session 'garden_1', turn 1 is the text 'Hi'"),
    ],
)
def test_turns_that_cannot_be_read(turn, message, fixture_records, write_json):
    records = fixture_records("longmemeval.json")
    records[1]["haystack_sessions"][0][0] = turn
    with pytest.raises(DataError, match=rf"records\.json, record 1, {message}"):
        load_longmemeval(write_json(records))


@pytest.mark.parametrize("field", ["haystack_sessions", "haystack_dates", "haystack_session_ids"])
def test_lists_of_another_kind(field, fixture_records, write_json):
    records = fixture_records("longmemeval.json")
    records[0][field] = "text"
    with pytest.raises(DataError, match=rf"record 0: the field '{field}' is the text 'text'"):
        load_longmemeval(write_json(records))


def test_spans_of_a_history(fixture_records):
    sample = read_sample(fixture_records("longmemeval.json")[2])
    spans = longmemeval.cut_spans(sample, "turn")
    assert spans[1].text == (
        "Session Date: 2024/03/02 (Sat) 10:15\n"
        "assistant: Water them deeply two or three times a week, and more often in hot weather."
    )
    assert (spans[1].id, spans[1].session) == ("fixture_none_abs:span-1", "garden_1")
    with pytest.raises(ConfigError, match="paragraph"):
        longmemeval.cut_spans(sample, "paragraph")


def test_the_real_file(data_dir):
    path = data_dir / "longmemeval" / "longmemeval_s_cleaned.json"
    samples = load_longmemeval(path)
    assert len(samples) == 6
    for sample in samples:
        session_ids = {session.id for session in sample.sessions}
        assert set(sample.questions[0].evidence) <= session_ids
        assert len(sample.sessions) == sample.metadata.num_sessions >= 39
        assert all(session.date for session in sample.sessions)
    spans = longmemeval.cut_spans(samples[0], chunk_tokens=512, overlap=64)
    turn_ids = {turn.id for session in samples[0].sessions for turn in session.turns}
    assert {turn.id for span in spans for turn in span.turns} == turn_ids
    splits = read_split_file(path.with_name("longmemeval_s_splits.json"), samples)
    assert [len(part) for part in splits] == [0, 2, 4]
