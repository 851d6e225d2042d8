import io
import json

import pytest
from rich.text import Text

from langgraph_memskill.cli.screen import Screen, counted, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]text[/bold] :smile:", "plain [bold]text[/bold] :smile:"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("title \x1b]0;owned\x07", "title \\x1b]0;owned\\x07"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
        ("back\x08space", "back\\x08space"),
        ("windows\r\nline", "windows\nline"),
        ("over\rwrite", "over\\rwrite"),
        ("reversed \u202egnp.exe", "reversed \\u202egnp.exe"),
        ("half \ud83d", "half \\ud83d"),
        ("whole \U0001f600 日本", "whole \U0001f600 日本"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_cuts_at_the_limit() -> None:
    assert one_line("a\nb  c", 5) == "a b c"
    assert one_line("abcdef", 5) == "abcd…"


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "span", "0 spans"), (1, "span", "1 span"), (2, "memory", "2 memories")],
)
def test_counted(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_people_see_text_and_machines_see_json(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        screen = Screen(as_json=as_json)
        screen.show(Text("for people"), "and more  ")
        screen.emit({"for": "machines \x1b é"})
    printed = capsys.readouterr().out
    people, _, machines = printed.partition("{")
    assert people == "for people\nand more\n"
    assert json.loads("{" + machines) == {"for": "machines \x1b é"}
    assert printed.isascii()


def test_markup_in_a_string_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(as_json=False).show("[red]a[/red] [link=http://x]b[/link]")
    assert capsys.readouterr().out == "[red]a[/red] [link=http://x]b[/link]\n"


def test_notes_and_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    screen.note("a note \x1b[2J")
    screen.error("a long line " * 40)
    printed = capsys.readouterr()
    assert printed.out == ""
    note, error = printed.err.splitlines()
    assert note == "a note \\x1b[2J"
    assert error == "error: " + "a long line " * 40


def test_a_bar_is_drawn_on_terminals_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen(as_json=False).progress() as advance, Screen(as_json=False).busy("x"):
        advance("remembering", 1, 2)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Screen(as_json=False).progress() as advance:
        advance("remembering", 1, 2)
        advance("asking", 3, 4)
    drawn = capsys.readouterr().out
    assert "asking" in drawn
    assert "3/4" in drawn


def test_a_pipe_gets_long_lines_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    Screen(as_json=False).show(Text("word " * 100))
    assert out.getvalue() == ("word " * 100).rstrip() + "\n"
