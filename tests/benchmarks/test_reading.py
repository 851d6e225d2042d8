"""What may be wrong with a data file, and how each loader says so."""

import json

import pytest

from langgraph_memskill.benchmarks.hotpotqa import load_hotpotqa
from langgraph_memskill.benchmarks.locomo import load_locomo
from langgraph_memskill.benchmarks.longmemeval import load_longmemeval
from langgraph_memskill.benchmarks.reading import gold_text, read_json
from langgraph_memskill.errors import DataError

LOADERS = [load_locomo, load_longmemeval, load_hotpotqa]


@pytest.fixture
def files(fixture_records, locomo_records):
    """Return the records of a valid file for each loader."""
    return {
        load_locomo: locomo_records,
        load_longmemeval: fixture_records("longmemeval.json"),
        load_hotpotqa: fixture_records("hotpotqa.json"),
    }


@pytest.mark.parametrize("load", LOADERS)
def test_a_missing_file(load, tmp_path):
    with pytest.raises(DataError, match=r"cannot read the data file .*nothing\.json: No such file"):
        load(tmp_path / "nothing.json")


@pytest.mark.parametrize("load", LOADERS)
def test_a_folder(load, tmp_path):
    with pytest.raises(DataError, match="cannot read the data file"):
        load(tmp_path)


@pytest.mark.parametrize("load", LOADERS)
def test_a_truncated_file(load, files, tmp_path):
    text = json.dumps(files[load], indent=1)
    path = tmp_path / "half.json"
    path.write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match=r"half\.json is not complete JSON: .* at line \d+, column"):
        load(path)


@pytest.mark.parametrize("load", LOADERS)
def test_invalid_utf8(load, files, tmp_path):
    path = tmp_path / "bytes.json"
    content = json.dumps(files[load]).encode()
    path.write_bytes(content[:100] + b"\xff" + content[100:])
    with pytest.raises(DataError, match=r"bytes\.json is not UTF-8: byte 0xff at offset 100"):
        load(path)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("content", [{"a": 1}, "text", 5, None, []])
def test_a_file_that_is_no_list_of_records(load, content, write_json):
    with pytest.raises(DataError, match=r"records\.json holds .*; expected"):
        load(write_json(content))


@pytest.mark.parametrize("load", LOADERS)
def test_a_record_that_is_no_object(load, files, write_json):
    with pytest.raises(DataError, match=r"records\.json, record 1 is the text 'oops'"):
        load(write_json([files[load][0], "oops"]))


@pytest.mark.parametrize("load", LOADERS)
def test_each_required_field_is_missed_by_name(load, files, write_json):
    optional = {"supporting_titles", "type"}
    fields = [field for field in files[load][1] if field not in optional]
    assert len(fields) >= 3
    for field in fields:
        first, second = files[load][:2]
        lacking = {key: value for key, value in second.items() if key != field}
        with pytest.raises(
            DataError, match=rf"records\.json, record 1: the field '{field}' is mis"
        ):
            load(write_json([first, lacking]))


@pytest.mark.parametrize("load", LOADERS)
def test_an_id_that_occurs_twice(load, files, write_json):
    with pytest.raises(DataError, match=r"records\.json: 2 records have the id '.+'"):
        load(write_json([files[load][0], files[load][0]]))


@pytest.mark.parametrize("load", LOADERS)
def test_half_a_character(load, files, tmp_path):
    record = json.loads(json.dumps(files[load][0]))
    if load is load_locomo:
        record["conversation"]["session_1"][0]["text"] = "half \ud83d of it"
    else:
        record["question" if load is load_longmemeval else "input"] = "half \ud83d of it"
    path = tmp_path / "surrogate.json"
    path.write_text(json.dumps([record]))
    with pytest.raises(DataError, match="unpaired surrogate"):
        load(path)


@pytest.mark.parametrize("load", LOADERS)
def test_nothing_to_remember(load, files, write_json):
    record = dict(files[load][0])
    record.update({"conversation": {}, "haystack_sessions": [], "context": " \n"})
    with pytest.raises(DataError, match="has neither sessions nor documents"):
        load(write_json([record]))


def test_deep_nesting(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(DataError, match=r"deep\.json"):
        read_json(path)


def test_a_number_with_too_many_digits(tmp_path):
    path = tmp_path / "digits.json"
    path.write_text("[" + "9" * 5000 + "]")
    with pytest.raises(DataError, match=r"digits\.json cannot be read as JSON"):
        read_json(path)


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "bom.json"
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (2022, "2022"), (3.5, "3.5"), (True, "True"), (["bus", 2], "bus, 2"), ([], "")],
)
def test_gold_answers_become_text(value, text):
    """QUIRK 73: a list has no brackets and quotes in it."""
    assert gold_text(value, "answer", "here") == text


@pytest.mark.parametrize("value", [None, {"a": 1}, ["a", None]])
def test_gold_answers_that_are_none(value):
    """QUIRK 73: null is not the answer "None"."""
    with pytest.raises(DataError, match=r"here: the field 'answer' is (null|an object)"):
        gold_text(value, "answer", "here")
