import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]


def contents(run: Run, *options: object) -> list[str]:
    return [
        m["content"]
        for m in json.loads(run("memories", "list", "--json", *options).stdout)["memories"]
    ]


def test_text_is_remembered_and_shown(run: Run, fakes: object) -> None:
    done = run("remember", "remember the cat is grey")
    assert done.exit_code == 0
    first, last = done.stdout.splitlines()
    assert first.startswith("+ the cat is grey  ")
    assert last == "1 change"
    assert contents(run) == ["the cat is grey"]


def test_json_holds_what_was_done(run: Run, fakes: object) -> None:
    run("remember", "remember the cat is grey")
    done = run("remember", "change the cat is grey to the cat is white", "--json")
    [result] = json.loads(done.stdout)["results"]
    [action] = result["actions"]
    assert result["source"] == "text"
    assert (action["type"], action["previous"], action["content"]) == (
        "update",
        "the cat is grey",
        "the cat is white",
    )
    assert [memory["content"] for memory in result["memories"]] == ["the cat is white"]


@pytest.mark.parametrize("data", ["remember caf\u00e9", "\ufeffremember caf\u00e9"])
def test_standard_input(run: Run, fakes: object, data: str) -> None:
    assert run("remember", "-", stdin=data.encode()).exit_code == 0
    assert contents(run) == ["caf\u00e9"]


def test_several_files(run: Run, fakes: object) -> None:
    Path("one.txt").write_text("remember one", encoding="utf-8")
    Path("two.md").write_text("remember two", encoding="utf-8")
    done = run("remember", "--file", "one.txt", "--file", "two.md")
    assert [line for line in done.stdout.splitlines() if line.endswith((".txt", ".md"))] == [
        "one.txt",
        "two.md",
    ]
    assert sorted(contents(run)) == ["one", "two"]


def test_a_file_of_messages(run: Run, fakes: Any) -> None:
    messages = [
        {"role": "user", "content": "remember Ann lives in Lisbon", "id": 7},
        {"role": "assistant", "content": "Noted."},
    ]
    Path("chat.json").write_text(json.dumps(messages), encoding="utf-8")
    assert run("remember", "--file", "chat.json").exit_code == 0
    assert contents(run) == ["Ann lives in Lisbon"]


def locomo(*ids: str) -> list[dict[str, Any]]:
    return [
        {
            "sample_id": name,
            "conversation": {
                "session_1_date_time": "8 May, 2023",
                "session_1": [
                    {
                        "speaker": "Ann",
                        "dia_id": "D1:1",
                        "text": "\nremember Ann of " + name + "\n",
                    },
                    {"speaker": "Ben", "dia_id": "D1:2", "text": "Good."},
                ],
            },
            "qa": [],
        }
        for name in ids
    ]


def test_a_locomo_file(run: Run, fakes: Any) -> None:
    Path("two.json").write_text(json.dumps(locomo("a", "b")), encoding="utf-8")
    done = run("remember", "--file", "two.json", "--conversation", "b", "--json")
    [result] = json.loads(done.stdout)["results"]
    [source] = result["memories"][0]["sources"]
    assert result["source"] == "two.json (b)"
    assert (source["time"], source["session"]) == ("8 May, 2023", "session_1")


def test_the_same_file_twice_is_two_episodes(run: Run, fakes: Any) -> None:
    Path("one.json").write_text(json.dumps(locomo("a")), encoding="utf-8")
    for _ in range(2):
        assert run("remember", "--file", "one.json").exit_code == 0
    [memory] = json.loads(run("memories", "list", "--json").stdout)["memories"]
    first, second = memory["sources"]
    assert memory["content"] == "Ann of a"
    assert first["span_id"] != second["span_id"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to remember"),
        (["text", "--file", "one.txt"], "not both"),
        (["  \n"], "there is no text in text"),
        (["-"], "there is no text in stdin"),
        (["--file", "missing.txt"], "cannot read the file missing.txt: No such file"),
        (["--file", "."], "cannot read the file ."),
        (["--file", "empty.txt"], "there is no text in empty.txt"),
        (["--file", "latin.txt"], "latin.txt is not UTF-8 text: byte 0xe9 at offset 3"),
        (["--file", "latin.json"], "latin.json is not UTF-8: byte 0xe9 at offset 3"),
        (["--file", "cut.json"], "cut.json is not complete JSON"),
        (["--file", "other.json"], "neither messages"),
        (["--file", "two.json"], "two.json holds 2 conversations: name one of a, b"),
        (["--file", "two.json", "--conversation", "c"], "no conversation 'c'; it holds a, b"),
        (["--file", "one.json", "--time", "today"], "--time does not go with a LoCoMo file"),
        (["text", "--user", " "], "' ' cannot be part of a memory namespace"),
    ],
)
def test_what_cannot_be_remembered(
    run: Run, fakes: object, arguments: list[str], words: str
) -> None:
    Path("one.txt").write_text("x", encoding="utf-8")
    Path("empty.txt").write_text(" \n", encoding="utf-8")
    Path("latin.txt").write_bytes(b"caf\xe9")
    Path("latin.json").write_bytes(b"caf\xe9")
    Path("cut.json").write_text('[{"role": "user"', encoding="utf-8")
    Path("other.json").write_text('[{"role": "user"}]', encoding="utf-8")
    Path("one.json").write_text(json.dumps(locomo("a")), encoding="utf-8")
    Path("two.json").write_text(json.dumps(locomo("a", "b")), encoding="utf-8")
    failed = run("remember", *arguments, "--model", "x")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    [line] = failed.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_invalid_utf8_on_standard_input(run: Run, fakes: object) -> None:
    failed = run("remember", "-", stdin=b"caf\xe9")
    assert failed.exit_code == 1
    assert "stdin is not UTF-8 text: byte 0xe9 at offset 3" in failed.stderr


def test_failed_spans_are_kept_and_tried_again(run: Run, fakes: Any) -> None:
    fakes.reply = "gibberish [bold]\x1b[31m"
    failed = run("remember", "remember the cat is grey")
    assert failed.exit_code == 1
    assert "! failed: ParseError" in failed.stdout
    assert "1 span failed" in failed.stdout
    assert "\x1b" not in failed.output
    assert "memskill retry" in failed.stderr
    still = run("retry")
    assert still.exit_code == 1
    assert "(attempt 2)" in still.stdout
    fakes.reply = None
    assert run("retry").exit_code == 0
    assert contents(run) == ["the cat is grey"]
    assert "Nothing waits for a retry." in run("retry").stdout


def test_retry_of_another_user_leaves_the_span(run: Run, fakes: Any) -> None:
    fakes.reply = "gibberish"
    run("remember", "remember the cat is grey", "--user", "ann")
    fakes.reply = None
    assert json.loads(run("retry", "--user", "ben", "--json").stdout)["results"][0]["actions"] == []
    run("retry", "--user", "ann")
    assert contents(run, "--user", "ann") == ["the cat is grey"]
    assert contents(run, "--user", "ben") == []


def test_retry_without_a_memory(run: Run) -> None:
    failed = run("retry", "--folder", "nowhere")
    assert failed.exit_code == 1
    assert "there is no memory in the folder 'nowhere'" in failed.stderr
    assert not Path("nowhere").exists()


def test_data_cannot_write_markup_or_escapes(run: Run, fakes: object) -> None:
    done = run("remember", "remember [red]a[/red] [link=http://x]b[/link] \x1b[31mc")
    assert "+ [red]a[/red] [link=http://x]b[/link] \\x1b[31mc  " in done.stdout


def test_recording_and_rewarding_later(run: Run, fakes: object) -> None:
    done = run("remember", "--record-texts", "remember the cat is grey")
    episode = done.stderr.split("Recorded as episode ")[1].split()[0]
    given = run("feedback", episode, "0.25")
    assert given.stdout.strip() == "reward 0.25 recorded"
    shown = json.loads(run("traces", "show", "memdir/traces", "--json").stdout)
    assert shown["rewards"]["sources"] == {"application": 1}
    assert (shown["rewards"]["mean"], shown["selectors"]) == (0.25, {"similarity": 1})
    assert run("feedback", episode, "much").exit_code == 1
    assert run("feedback", episode, "nan").exit_code == 1


def test_small_talk_is_shown_as_passed_over(run: Run, fakes: Any) -> None:
    done = run("remember", "Hi! Thanks a lot!")
    first, last = done.stdout.splitlines()
    assert first.endswith("small talk: passed over without a model call")
    assert last == "0 changes, 1 span passed over"


def test_what_is_known_already_is_shown_as_such(run: Run, fakes: Any) -> None:
    for _ in range(2):
        done = run("remember", "remember the cat is grey")
    assert done.stdout.startswith("= known already: the cat is grey")
    assert contents(run) == ["the cat is grey"]


def test_calls_are_limited_and_the_rest_waits(run: Run, fakes: Any) -> None:
    messages = [
        {"role": role, "content": text}
        for n in range(3)
        for role, text in (("user", f"remember fact {n}"), ("assistant", "Noted."))
    ]
    Path("chat.json").write_text(json.dumps(messages), encoding="utf-8")
    done = run("remember", "--file", "chat.json", "--max-calls", "2", "--json")
    assert done.exit_code == 1
    [result] = json.loads(done.stdout)["results"]
    assert result["usage"]["calls"] == 2
    assert [f["reason"] for f in result["failed"]] == [
        "budget: 2 of 2 calls for this run are used up"
    ]
    assert run("retry", "--max-tokens", "100000").exit_code == 0
    assert contents(run) == ["fact 0", "fact 1", "fact 2"]


def test_usage_is_counted_for_each_user(run: Run, fakes: Any) -> None:
    run("remember", "remember the cat is grey", "--user", "ann")
    run("remember", "thanks!", "--user", "ann")
    spent = json.loads(run("memories", "usage", "--user", "ann", "--json").stdout)
    assert spent["total"]["calls"] == 1
    assert [day["calls"] for day in spent["days"].values()] == [1]
    shown = run("memories", "usage", "--user", "ann").stdout
    assert "prompt tokens" in shown
    assert "estimated" in shown
    assert "No calls are counted" in run("memories", "usage", "--user", "bob").stdout
