"""The choices of the agent without an LLM, in scenes that are written down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.alfworld.acting import Scene
from langgraph_memskill.alfworld.records import GameState, GameStep, TaskType
from langgraph_memskill.alfworld.similarity_agent import SimilarityAgent
from tests.conftest import WordEncoder

CLEANING = """Your task is to: wash some plate and put it in cabinet.
ACTION: go to table 1
ACTION: take plate 1 from table 1
ACTION: go to basin 1
ACTION: wash plate 1 with basin 1
ACTION: go to cabinet 1
ACTION: put plate 1 in/on cabinet 1
TRAJECTORY_STATUS: SUCCESS"""


@pytest.fixture
def agent() -> SimilarityAgent:
    return SimilarityAgent(WordEncoder())


def scene(
    objective: str,
    admissible: tuple[str, ...],
    *steps: tuple[str, str],
    memories: tuple[str, ...] = (),
    carried: tuple[str, ...] = (),
) -> Scene:
    played = [GameStep(action=None, observation="You are in a room."),
              *(GameStep(action=action, observation=seen) for action, seen in steps)]  # fmt: skip
    return Scene(
        first_observation="You are in a room.",
        memories=memories,
        steps=tuple(played),
        state=GameState(
            observation=played[-1].observation,
            admissible=admissible,
            inventory=carried,
            objective=objective,
            task_type=TaskType.PICK,
            num_steps=len(steps),
            reward=0.0,
            is_done=False,
            is_won=False,
        ),
    )


def test_it_takes_what_the_task_names(agent: SimilarityAgent) -> None:
    commands = ("go to bed 1", "look", "take mug 1 from desk 1", "take pen 1 from desk 1")
    now = scene("put a mug in shelf", commands, ("go to desk 1", "you see a mug 1, and a pen 1."))
    assert agent.choose(now) == "take mug 1 from desk 1"


def test_it_leaves_what_the_task_does_not_name_and_goes_on(agent: SimilarityAgent) -> None:
    commands = ("examine desk 1", "go to bed 1", "inventory", "look", "take pen 1 from desk 1")
    now = scene("put a mug in shelf", commands, ("go to desk 1", "you see a pen 1."))
    assert agent.choose(now) == "go to bed 1"


def test_it_looks_at_new_places_and_into_what_is_closed(agent: SimilarityAgent) -> None:
    steps = [("go to bed 1", "you see a pen 1."), ("go to box 1", "The box 1 is closed.")]
    commands = ("go to bed 1", "go to desk 1", "open box 1")
    assert agent.choose(scene("put a mug in shelf", commands, *steps)) == "open box 1"
    steps.append(("open box 1", "In it, you see nothing."))
    commands = ("close box 1", "go to bed 1", "go to desk 1")
    assert agent.choose(scene("put a mug in shelf", commands, *steps)) == "go to desk 1"


def test_what_it_carries_goes_where_the_task_says(agent: SimilarityAgent) -> None:
    steps = (("go to desk 1", "you see a mug 1."), ("take mug 1 from desk 1", "You take it."))
    commands = ("go to bed 1", "go to shelf 1", "put mug 1 in/on desk 1")
    now = scene("put a mug in shelf", commands, *steps, carried=("mug 1",))
    assert agent.choose(now) == "go to shelf 1"


def test_memories_show_what_comes_before_that(agent: SimilarityAgent) -> None:
    steps = (("go to desk 1", "you see a mug 1."), ("take mug 1 from desk 1", "You take it."))
    commands = ("go to basin 1", "go to shelf 1", "put mug 1 in/on desk 1")

    def choice(*memories: str) -> str:
        now = scene("put a spotless mug in shelf", commands, *steps, memories=memories,
                    carried=("mug 1",))  # fmt: skip
        return agent.choose(now)

    assert choice() == "go to shelf 1"
    assert choice(CLEANING) == "go to basin 1"


def test_a_tool_is_used_as_memories_show(agent: SimilarityAgent) -> None:
    steps = (("take mug 1 from desk 1", "You take it."), ("go to basin 1", "you see nothing."))
    commands = ("go to shelf 1", "put mug 1 in/on basin 1", "wash mug 1 with basin 1")
    now = scene("put a spotless mug in shelf", commands, *steps, memories=(CLEANING,),
                carried=("mug 1",))  # fmt: skip
    assert agent.choose(now) == "wash mug 1 with basin 1"


def test_what_it_has_put_away_stays_there(agent: SimilarityAgent) -> None:
    steps = (("take mug 1 from desk 1", "You take it."), ("put mug 1 in/on shelf 1", "You put it."))
    commands = ("go to desk 1", "take mug 1 from shelf 1", "take mug 2 from shelf 1")
    now = scene("put two mug in shelf", commands, *steps)
    assert agent.choose(now) == "take mug 2 from shelf 1"


def test_it_goes_back_to_what_it_has_seen(agent: SimilarityAgent) -> None:
    steps = (
        ("go to desk 1", "you see a mug 2, and a mug 1."),
        ("take mug 1 from desk 1", "You take it."),
        ("go to shelf 1", "you see nothing."),
        ("put mug 1 in/on shelf 1", "You put it."),
    )
    now = scene("put two mug in shelf", ("go to bed 1", "go to desk 1"), *steps)
    assert agent.choose(now) == "go to desk 1"


def test_memories_in_prose_count_too(agent: SimilarityAgent) -> None:
    commands = ("go to bed 1", "go to desk 1")
    prose = scene("put a mug in shelf", commands, memories=("There is a mug on desk 1.",))
    assert agent.choose(prose) == "go to desk 1"


def test_where_nothing_is_new_it_goes_where_it_was_least(agent: SimilarityAgent) -> None:
    commands = ("go to bed 1", "go to desk 1", "inventory", "use lamp 1")
    steps = [("go to bed 1", "."), ("go to desk 1", "."), ("use lamp 1", "Nothing happens.")]
    going = []
    for _ in range(4):
        going.append(agent.choose(scene("look at mug under the lamp", commands, *steps)))
        steps.append((going[-1], "."))
    assert sorted(going[:2]) == sorted(going[2:])
    assert len(set(going[:2])) == 2
    assert "inventory" not in going


words = st.text("abcde ACTION:/'", max_size=30)


@given(st.lists(words, min_size=1, max_size=6), words, st.lists(words, max_size=3), st.data())
def test_it_chooses_one_of_the_commands_whatever_the_texts(
    commands: list[str], objective: str, memories: list[str], data: st.DataObject
) -> None:
    steps = data.draw(st.lists(st.tuples(st.sampled_from(commands), words), max_size=4))
    now = scene(objective, tuple(commands), *steps, memories=tuple(memories))
    assert SimilarityAgent(WordEncoder()).choose(now) in commands
