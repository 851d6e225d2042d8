"""Objectives, trajectories as text, and their chunks."""

from langgraph_memskill.alfworld.records import GameStep
from langgraph_memskill.alfworld.trajectories import (
    group_trajectories,
    read_objective,
    trajectory_text,
)


class Words:
    def split(self, text: str) -> list[str]:
        return text.split()


def test_the_objective_is_found_in_any_case() -> None:
    assert read_objective("A room.\n\nyour TASK is to: heat some egg.\nMore") == "heat some egg"
    assert read_objective("A room.") == ""


def test_a_trajectory_says_how_it_ended() -> None:
    steps = [
        GameStep(action=None, observation=" A room. "),
        GameStep(action="look", observation=""),
        GameStep(action="take mug 1", observation="You take it.", reward=1.0, done=True),
    ]
    assert trajectory_text(steps) == (
        "A room.\n\n\nACTION: look\nACTION: take mug 1\nOBSERVATION: You take it.\n\n\n"
        "TRAJECTORY_STATUS: SUCCESS"
    )
    assert trajectory_text(steps[:2]).endswith("TRAJECTORY_STATUS: FAILED")


def test_chunks_split_no_trajectory() -> None:
    chunks = group_trajectories(["a b", "c d e f", " ", "g", "h i"], 3, tokenizer=Words())
    assert chunks == ["a b", "c d e f", "g\n\n=== TRAJECTORY ===\n\nh i"]
    assert group_trajectories(["a", "b"], None) == ["a", "b"]
    assert group_trajectories(["a", "b"], 0) == ["a", "b"]
