import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]


def replies(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("options", [[], ["--background"]])
def test_a_later_thread_recalls_what_was_said(run: Run, fakes: object, options: list[str]) -> None:
    first = run("chat", "--json", *options, stdin="remember the cat is grey\n")
    assert first.exit_code == 0
    assert [reply["recalled"] for reply in replies(first)] == [0]
    second = run("chat", "--json", "--thread", "other", stdin="Which colour is the cat?\n")
    [reply] = replies(second)
    assert reply["recalled"] == 1
    assert "the cat is grey" in reply["text"]


def test_a_thread_goes_on_and_belongs_to_one_user(run: Run, fakes: Any) -> None:
    for user, text in [("ann", "one"), ("ann", "two"), ("ben", "three")]:
        run("chat", "--user", user, stdin=f"{text}\n")
    seen = [[m.text for m in prompt if m.type == "human"] for prompt in fakes.prompts]
    chats = [texts for texts in seen if texts[-1] in {"one", "two", "three"}]
    assert chats == [["one"], ["one", "two"], ["three"]]


def test_commands(run: Run, fakes: Any) -> None:
    lines = ["", "/memories", "remember the cat is grey", "/memories", "/nonsense", "/quit", "more"]
    done = run("chat", stdin="\n".join(lines))
    assert done.exit_code == 0
    assert "Nothing is remembered yet." in done.stdout
    assert "  the cat is grey" in done.stdout
    assert "'/nonsense' is no command" in done.stderr
    assert "more" not in [prompt[-1].text for prompt in fakes.prompts]


def test_forget(run: Run, fakes: object) -> None:
    run("remember", "remember the cat is grey")
    listed = json.loads(run("memories", "list", "--json").stdout)["memories"]
    done = run("chat", "--json", stdin=f"/forget {listed[0]['id'][:8]}\n/memories\n")
    forgotten, after = replies(done)
    assert (forgotten["type"], forgotten["previous"]) == ("delete", "the cat is grey")
    assert after == {"memories": []}
    assert run("chat", stdin="/forget zzz\n").exit_code == 1


def test_a_model_that_fails_does_not_end_the_chat(run: Run, fakes: Any) -> None:
    fakes.failures = 1
    done = run("chat", "--json", stdin="one\ntwo\n")
    assert done.exit_code == 1
    assert "error: no reply (ConnectionError: the endpoint is down)" in done.stderr
    assert len(replies(done)) == 1


def test_bytes_that_are_no_text(run: Run, fakes: object) -> None:
    failed = run("chat", stdin=b"caf\xe9\n")
    assert failed.exit_code == 1
    assert "stdin is not UTF-8 text: byte 0xe9 at offset 3" in failed.stderr


def test_a_reply_cannot_steer_the_terminal(run: Run, fakes: Any) -> None:
    fakes.reply = "[red]hello[/red] \x1b]0;owned\x07"
    done = run("chat", stdin="hello\n")
    assert "[red]hello[/red] \\x1b]0;owned\\x07" in done.stdout


def test_the_extractive_model_answers_from_the_notes(run: Run, prepared: Path) -> None:
    folder = Path("copy")
    shutil.copytree(prepared, folder)
    done = run(
        *("chat", "--json", "--folder", folder, "--model", "extractive"),
        stdin="What is the name of Ben's cat?\n",
    )
    [reply] = replies(done)
    assert reply["recalled"] >= 1
    assert "Biscuit" in reply["text"]


@pytest.mark.parametrize(("end", "code"), [(EOFError, 0), (KeyboardInterrupt, 130)])
def test_a_person_at_a_terminal(
    run: Run,
    fakes: object,
    monkeypatch: pytest.MonkeyPatch,
    end: type[BaseException],
    code: int,
) -> None:
    typed = iter(["remember the cat is grey"])

    def ask(prompt: str) -> str:
        assert prompt.endswith("you> ")
        for line in typed:
            return line
        raise end

    monkeypatch.setattr("builtins.input", ask)
    monkeypatch.setattr("langgraph_memskill.cli.chat.is_terminal", lambda: True)
    done = run("chat")
    assert done.exit_code == code
    assert "0 notes recalled" in done.stdout
    assert "the cat is grey" in run("memories", "list").stdout


def test_a_recorded_chat_with_rewards(run: Run, fakes: object) -> None:
    lines = "/reward 1\nremember one\n/reward 0.5\nremember two\n/reward nonsense\n/reward 1\n"
    done = run("chat", "--record", "--json", stdin=lines)
    assert done.exit_code == 1
    assert "there is no turn to reward yet" in done.stderr
    assert "reward='nonsense' must be a number" in done.stderr
    said = replies(done)
    assert [entry["reward"] for entry in said if "reward" in entry] == [0.5, 1.0]
    assert said[1]["episode_id"] == said[0]["episode_id"]
    shown = json.loads(run("traces", "show", "memdir/traces", "--json").stdout)
    assert (shown["episodes"], shown["rewards"]["mean"]) == (2, 0.75)
    assert not list(Path("memdir").rglob("*.partial"))
