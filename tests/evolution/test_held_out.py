import json

import pytest

from langgraph_memskill.errors import DataError
from langgraph_memskill.evolution.held_out import held_out_of, read_held_out
from langgraph_memskill.evolution.records import HardCase

EPISODE = {
    "id": "e1",
    "spans": [{"text": "Ann moved.", "time": "3 May"}, {"text": "Ben slept."}],
    "questions": [{"question": "Who moved?", "expected": "Ann"}],
}


def write(path, *documents):
    path.write_text("\n".join(json.dumps(document) for document in documents), encoding="utf-8")
    return path


def test_a_file_of_episodes(tmp_path):
    [episode] = read_held_out(write(tmp_path / "h.jsonl", EPISODE))
    assert [(span.id, span.index, span.time) for span in episode.as_spans()] == [
        ("e1:0", 0, "3 May"),
        ("e1:1", 1, None),
    ]
    assert episode.questions[0].expected == ("Ann",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spans": []}, "line 2: spans: there is no text"),
        ({"spans": "x"}, "line 2: spans: "),
        ({"questions": []}, "line 2: questions: each needs"),
        ({"questions": [{"question": "?", "expected": []}]}, "line 2: questions: each needs"),
        ({"questions": [{"question": "Who?"}]}, "line 2: questions.0.expected: Field required"),
    ],
)
def test_what_is_wrong_in_a_line(tmp_path, change, words):
    file = write(tmp_path / "h.jsonl", EPISODE, EPISODE | change)
    with pytest.raises(DataError, match=words):
        read_held_out(file)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_held_out(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is empty"):
        read_held_out(write(tmp_path / "empty.jsonl"))
    (tmp_path / "text.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="line 1 is no JSON"):
        read_held_out(tmp_path / "text.jsonl")


def test_without_traces_nothing_is_held_out(tmp_path):
    case = HardCase(id="c", question="Who?", expected="Ann", episode_id="e")
    assert held_out_of(tmp_path / "traces", [case]) == []
