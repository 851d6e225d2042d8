import re

import pytest

from langgraph_memskill.benchmarks import hotpotqa
from langgraph_memskill.benchmarks.hotpotqa import load_hotpotqa, read_sample
from langgraph_memskill.errors import ConfigError, DataError
from langgraph_memskill.provenance import attribute


class WordTokenizer:
    """A token is a word with the blanks before it."""

    def split(self, text):
        return re.findall(r"\s*\S+|\s+", text)


def test_a_file(fixture_records, write_json):
    records = fixture_records("hotpotqa.json")
    first, second = load_hotpotqa(write_json(records))
    assert (first.id, second.id) == ("hotpotqa_0", "hotpotqa_1")
    (asked,) = first.questions
    assert asked.id == "hotpotqa_0"
    assert asked.text == "In which town was the builder of Harlow Mill born?"
    assert asked.answers == ("Kelmouth",)
    assert (asked.category, asked.evidence) == ("bridge", ("Harlow Mill", "Agnes Boyle"))
    assert second.questions[0].answers == ("88 kilometres", "88 km")
    assert first.text == records[0]["context"]
    assert first.sessions == ()
    assert (first.metadata.num_documents, first.metadata.index) == (4, 0)


def test_evidence_that_names_no_document_is_left_out(fixture_records):
    record = fixture_records("hotpotqa.json")[0]
    record["supporting_titles"] = ["Harlow Mill", "Nowhere", None]
    assert read_sample(record).questions[0].evidence == ("Harlow Mill",)


def test_gold_answers_are_texts(fixture_records):
    """QUIRK 71: a number does not crash the score."""
    record = fixture_records("hotpotqa.json")[0]
    assert read_sample({**record, "answers": [1999, "in 1999"]}).questions[0].answers == (
        "1999",
        "in 1999",
    )
    assert read_sample({**record, "answers": "1999"}).questions[0].answers == ("1999",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "  "}, "the field 'input' is empty"),
        ({"input": None}, "the field 'input' is null"),
        ({"answers": [None]}, "the field 'answers' is null"),
        ({"answers": 5}, "the field 'answers' is the number 5"),
        ({"context": ["text"]}, "the field 'context' is a list"),
    ],
)
def test_fields_of_another_kind(change, message, fixture_records, write_json):
    records = fixture_records("hotpotqa.json")
    records[1].update(change)
    with pytest.raises(DataError, match=rf"records\.json, record 1: {message}"):
        load_hotpotqa(write_json(records))


def test_spans_of_the_documents(fixture_records):
    sample = read_sample(fixture_records("hotpotqa.json")[0])
    documents = hotpotqa.cut_spans(sample, "paragraph")
    assert [span.text.split("\n")[1] for span in documents] == [
        *("River Tenn", "Harlow Mill", "Kelmouth", "Agnes Boyle")
    ]
    assert documents[3].id == "hotpotqa_0:span-3"
    (whole,) = hotpotqa.cut_spans(sample)
    assert whole.text == sample.text
    with pytest.raises(ConfigError, match="turn-pair"):
        hotpotqa.cut_spans(sample, "turn-pair")


def test_an_overlap_as_large_as_a_window_ends(fixture_records):
    """QUIRK 74: the reference loops for ever here."""
    sample = read_sample(fixture_records("hotpotqa.json")[1])
    spans = hotpotqa.cut_spans(sample, chunk_tokens=5, overlap=5)
    assert 5 < len(spans) < len(sample.text)


def test_all_samples_are_for_training():
    assert hotpotqa.split("abc") == (list("abc"), [], [])


@pytest.mark.parametrize("count", [50, 100, 200])
def test_the_real_files(count, data_dir):
    samples = load_hotpotqa(data_dir / "hotpotqa" / f"eval_{count}.json")
    assert len(samples) == 20
    for sample in samples:
        documents = hotpotqa.cut_spans(sample, "paragraph")
        assert len(documents) == sample.metadata.num_documents == count
        titles = {document.text.split("\n")[1].strip() for document in documents}
        assert set(sample.questions[0].evidence) <= titles
        assert sample.questions[0].answers


DOCUMENTS = (
    "Document 1:\nMix Megapol\nA radio network in Sweden that plays music.\n\n"
    "Document 2:\nVIVA Media\nA company in Cologne that changed its name.\n"
)


def titles_and_texts(spans):
    return [[(turn.id, turn.text) for turn in span.turns] for span in spans]


def test_a_span_names_the_documents_in_it():
    sample = read_sample({"index": 1, "context": DOCUMENTS})
    [span] = hotpotqa.cut_spans(sample)
    first, second = DOCUMENTS.split("Document 2")
    assert titles_and_texts([span]) == [
        [("Mix Megapol", first), ("VIVA Media", "Document 2" + second)]
    ]


def test_a_piece_without_a_heading_belongs_to_the_document_before():
    sample = read_sample({"index": 1, "context": DOCUMENTS})
    spans = hotpotqa.cut_spans(sample, chunk_tokens=8, overlap=0, tokenizer=WordTokenizer())
    named = titles_and_texts(spans)
    assert [[title for title, _ in pieces] for pieces in named] == [
        ["Mix Megapol"],
        ["Mix Megapol", "VIVA Media"],
        ["VIVA Media"],
    ]
    assert named[1][0][1].strip() == "Sweden that plays music."
    for span, pieces in zip(spans, named, strict=True):
        assert "".join(text for _, text in pieces) == span.text


def test_a_memory_of_a_document_names_its_title():
    sample = read_sample({"index": 1, "context": DOCUMENTS})
    [span] = hotpotqa.cut_spans(sample)
    assert attribute("VIVA Media is in Cologne.", span).turn_ids == ("VIVA Media",)


def test_a_text_without_documents_has_no_turns():
    [span] = hotpotqa.cut_spans(read_sample({"index": 1, "context": "Just a text."}))
    assert span.turns == ()


def test_the_titles_of_real_files_are_found(data_dir):
    for sample in load_hotpotqa(data_dir / "hotpotqa/eval_50.json"):
        titles = {turn.id for span in hotpotqa.cut_spans(sample) for turn in span.turns}
        assert titles.issuperset(sample.questions[0].evidence)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("I think\n<ANSWER> the\nbridge </ANSWER>", "the\nbridge"),
        ("<answer></answer>", ""),
        ("Well. Answer: the bridge\nBye.", "the bridge"),
        ("So the answer is the bridge.", "the bridge."),
        ("Answer:", "Answer:"),
        (" the bridge ", "the bridge"),
    ],
)
def test_the_answer_inside_a_reply(reply, answer):
    assert hotpotqa.extract_answer(reply) == answer


def test_the_best_gold_answer_counts():
    question = read_sample({"input": "q", "answers": ["in 1974", "1974"]}).questions[0]
    assert hotpotqa.answer_f1("<answer>1974</answer>", question) == 1.0
    assert hotpotqa.answer_f1("1999", question) == 0.0
