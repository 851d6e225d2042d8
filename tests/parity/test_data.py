"""README section 10, without ALFWorld: spans, records, training queries and splits."""

import re

import pytest

from langgraph_memskill.benchmarks import hotpotqa, locomo, longmemeval
from langgraph_memskill.benchmarks.splits import split_by_share
from langgraph_memskill.errors import ConfigError, DataError
from langgraph_memskill.trainers.sampling import (
    category_quotas,
    read_ratio,
    sample_questions,
    sampling_seed,
    target_count,
)

LOADERS = {"locomo": locomo, "longmemeval": longmemeval, "hotpotqa": hotpotqa}


class ParityTokenizer:
    """parity-whitespace-v1: a run of non-blanks with the blanks before it, or the last blanks."""

    def split(self, text):
        return re.findall(r"\s*\S+|\s+", text)


def spans_of(case, record):
    loader = LOADERS[case["dataset"]]
    lengths = {}
    if case["chunk_size"] is not None:
        lengths["chunk_tokens"] = case["chunk_size"]
    if case["chunk_overlap"] is not None:
        lengths["overlap"] = case["chunk_overlap"]
    sample = loader.read_sample(record)
    return loader.cut_spans(sample, case["mode"], tokenizer=ParityTokenizer(), **lengths)


def texts_of(case, record):
    return [span.text for span in spans_of(case, record)]


def foreign_session_keys(record):
    """Keys of a LoCoMo conversation that look like a session and are none (QUIRK 76)."""
    keys = record.get("conversation", {})
    return [
        key
        for key in keys
        if "session" in key and "date_time" not in key and not re.fullmatch(r"session_\d+", key)
    ]


def undated_sessions(record):
    """Sessions beyond a LongMemEval record's list of dates (QUIRK 76)."""
    if "haystack_dates" not in record:
        return []
    return record.get("haystack_sessions", [])[len(record["haystack_dates"]) :]


def without_empty_spans(chunks):
    """Chunks without those that are blank or hold only a header (QUIRK 76)."""
    header = re.compile(r"DATE: .*\n(CONVERSATION:\n)?|Session Date: .*\n\n?")
    return [chunk for chunk in chunks if chunk.strip() and not header.fullmatch(chunk)]


def chunk_mismatch(case):
    """Return what is wrong with our spans of a case, or None."""
    record, expected = case["record"], case["expected"]
    if case["chunk_size"] is not None and case["chunk_size"] < 1:  # QUIRK 74: no endless loop
        with pytest.raises(ConfigError):
            spans_of(case, record)
        return None
    if foreign_session_keys(record):  # QUIRK 76: such keys are left alone
        conversation = dict(record["conversation"])
        for key in foreign_session_keys(record):
            del conversation[key]
        got = texts_of(case, record)
        wanted = texts_of(case, {**record, "conversation": conversation})
        return None if got == wanted and got else (got, wanted)
    if expected["status"] == "error":
        with pytest.raises(ConfigError if expected["where"] == "constructor" else DataError):
            spans_of(case, record)
        return None
    got, wanted = texts_of(case, record), without_empty_spans(expected["chunks"])
    if undated_sessions(record):  # QUIRK 76: they are kept, without a date
        rest = {"haystack_sessions": undated_sessions(record)}
        wanted = wanted + texts_of(case, rest)
    elif len(wanted) == len(expected["chunks"]) and len(got) != expected["episode_length"]:
        return len(got), expected["episode_length"]
    return None if got == wanted else (got, wanted)


def test_chunks(kit):
    mismatches = []
    for case in kit.cases("data/chunks.json"):
        problem = chunk_mismatch(case)
        if problem:
            mismatches.append((case["id"], problem))
    assert mismatches == []


def test_empty_spans_are_dropped(kit):
    """QUIRK 76: the kit has chunks of only a header, and blank ones; we have none anywhere."""
    for case in kit.cases("data/chunks.json"):
        if case["expected"]["status"] == "ok":
            ours = texts_of(case, case["record"])
            assert ours == without_empty_spans(ours)


def test_spans_name_the_turns_whose_words_they_hold(kit):
    for case in kit.cases("data/chunks.json"):
        if case["expected"]["status"] == "error" or case["dataset"] == "hotpotqa":
            continue
        for span in spans_of(case, case["record"]):
            assert span.turns, (case["id"], span)
            assert all(turn.text in span.text for turn in span.turns), (case["id"], span)


def expected_questions(case):
    """The kit's questions as (text, golds); those without text are filtered (README section 9)."""
    questions = []
    for item in case["expected"]["qa_list"]:
        golds = item.get("answers", [item.get("answer")])
        if isinstance(case["record"].get("answers"), str):
            golds = [case["record"]["answers"]]
        if item["question"]:
            questions.append((item["question"], [str(gold) for gold in golds]))
    return questions


def record_mismatch(case):
    """Return what is wrong with our reading of a case, or None."""
    record, expected = case["record"], case["expected"]
    loader = LOADERS[case["dataset"]]
    if foreign_session_keys(record):  # QUIRK 76: a summary is no session
        numbered = [key for key in record["conversation"] if re.fullmatch(r"session_\d+", key)]
        ours = loader.read_metadata(record)
        return None if ours.num_sessions == len(numbered) and ours.speakers else ours
    questions = loader.read_questions(record)
    if [(question.text, list(question.answers)) for question in questions] != expected_questions(
        case
    ):
        return questions
    dates = [item.get("question_date") or None for item in expected["qa_list"] if item["question"]]
    if [question.date for question in questions] != dates:
        return dates
    metadata, ours = expected["metadata"], loader.read_metadata(record)
    pairs = {
        "speakers": list(ours.speakers),
        "num_sessions": ours.num_sessions,
        "question_date": ours.question_date,
        "num_docs": ours.num_documents,
        "index": -1 if ours.index is None else ours.index,
        # What the kit calls metadata of a HotpotQA record is our default setting (QUIRK 78, kept).
        "chunk_size": loader.cut_spans.__kwdefaults__["chunk_tokens"],
        "chunk_mode": loader.cut_spans.__defaults__[0].value,
    }
    wrong = {key: pairs[key] for key in metadata if pairs[key] != metadata[key]}
    return wrong or None


def test_records(kit):
    mismatches = []
    for case in kit.cases("data/records.json"):
        problem = record_mismatch(case)
        if problem:
            mismatches.append((case["id"], problem))
    assert mismatches == []


def test_sample_ids(kit):
    """QUIRK 38: where the reference's id differs in every process, ours comes from the content."""
    for case in kit.cases("data/records.json"):
        read_id = LOADERS[case["dataset"]].read_id
        record, expected = case["record"], case["expected"]
        if expected.get("sample_id_is_salted_hash"):
            assert re.fullmatch(rf"{case['dataset']}_[0-9a-f]{{16}}", read_id(record))
            assert read_id(dict(reversed(record.items()))) == read_id(record)
            assert read_id({**record, "unrelated": 1}) != read_id(record)
        else:
            assert read_id(record) == str(expected.get("sample_id", record.get("sample_id")))


def has_unreadable_turns(case):
    record, fields = case["record"], {"speaker", "text"}
    if case["dataset"] == "longmemeval":
        fields = {"role", "content"}
        sessions = [item for item in record.get("haystack_sessions", []) if isinstance(item, list)]
    else:
        numbered = record.get("conversation", {}).items()
        sessions = [content for key, content in numbered if re.fullmatch(r"session_\d+", key)]
    return any(
        not isinstance(session, list) or any(not fields <= turn.keys() for turn in session)
        for session in sessions
    )


def test_a_record_whose_turns_cannot_be_read_is_refused(kit):
    """The kit reads the id and questions of such records too, and fails at their chunks."""
    for case in kit.cases("data/records.json"):
        read_sample = LOADERS[case["dataset"]].read_sample
        if has_unreadable_turns(case):
            with pytest.raises(DataError, match="session"):
                read_sample(case["record"])
        else:
            assert read_sample(case["record"]).questions == LOADERS[case["dataset"]].read_questions(
                case["record"]
            )


def test_locomo_sampling(kit):
    """QUIRK 77, kept: also a ratio of 0 asks one question of each category."""
    mismatches = []
    for case in kit.cases("data/locomo_sampling.json"):
        expected = case["expected"]
        categories = [locomo.read_category(value) for value in case["categories"]]
        valid = [index for index, category in enumerate(categories) if category != 5]
        epochs = {"outer_epoch": case["outer_epoch"], "inner_epoch": case["inner_epoch"]}
        chosen = sample_questions(
            [categories[index] for index in valid],
            case["ratio"],
            seed=case["seed"],
            conversation_id=case["conversation_id"],
            **epochs,
        )
        got = {
            "effective_ratio": read_ratio(case["ratio"]),
            "valid_indices": valid,
            "sampled_indices": [valid[position] for position in chosen],
        }
        if "target_total" in expected:
            got["target_total"] = target_count(len(valid), got["effective_ratio"])
        if "quotas" in expected:
            sizes = {}
            for index in valid:
                sizes[categories[index]] = sizes.get(categories[index], 0) + 1
            quotas = category_quotas(sizes, expected["target_total"])
            got["quotas"] = {str(category): quota for category, quota in quotas.items()}
        if "rng_seed" in expected:
            seed = sampling_seed(case["seed"], case["conversation_id"], **epochs)
            got["rng_seed"] = str(seed)
        if got != expected:
            mismatches.append((case["id"], got))
    assert mismatches == []


def test_split(kit):
    splitters = {
        "locomo": locomo.split,
        "hotpotqa": hotpotqa.split,
        "alfworld": lambda items: split_by_share(items, 0.8, 0.9),
    }
    mismatches = []
    for case in kit.cases("data/split.json"):
        got = splitters[case["dataset"]](range(case["n"]))._asdict()
        if got != case["expected"]:
            mismatches.append((case["id"], got))
    assert mismatches == []
