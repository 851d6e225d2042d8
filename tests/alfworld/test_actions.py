"""Replies and the commands that they are taken for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.alfworld.actions import MatchKind, match_action, safe_command

COMMANDS = ("go to desk 1", "go to desk 10", "look", "take mug 1 from desk 1")


@pytest.mark.parametrize(
    ("reply", "command", "kind"),
    [
        ("look", "look", MatchKind.EXACT),
        ("  'Go to Desk 10'\nbecause", "go to desk 10", MatchKind.EXACT),
        ("ACTION: take mug 1 from desk 1", "take mug 1 from desk 1", MatchKind.EXACT),
        ("I will go to desk 10 now.", "go to desk 10", MatchKind.CONTAINED),
        ("Thinking.\nThen go to desk 1!", "go to desk 1", MatchKind.CONTAINED),
        ("take the mug 1 from desk 1", "take mug 1 from desk 1", MatchKind.CLOSEST),
        ("go to desk 2", "look", MatchKind.MISS),
        ("dance", "look", MatchKind.MISS),
        ("overlook it", "look", MatchKind.MISS),
        ("", "look", MatchKind.MISS),
        (None, "look", MatchKind.MISS),
    ],
)
def test_replies(reply: str | None, command: str, kind: MatchKind) -> None:
    match = match_action(reply, COMMANDS)
    assert (match.command, match.kind) == (command, kind)


def test_without_a_list_the_line_is_taken() -> None:
    assert match_action("action: dance\nnow", ()).command == "dance"
    assert match_action(" ", ()).kind is MatchKind.MISS


def test_the_safe_command_changes_nothing_if_it_can() -> None:
    assert safe_command(("go to desk 1", "inventory")) == "inventory"
    assert safe_command(("go to desk 1",)) == "go to desk 1"


@given(st.text(), st.lists(st.text(min_size=1), min_size=1))
def test_the_command_is_always_admissible(reply: str, admissible: list[str]) -> None:
    assert match_action(reply, admissible).command in admissible
