"""What memories show about the order of commands."""

from langgraph_memskill.alfworld.lessons import (
    BEGINNING,
    Command,
    Lesson,
    has_commands,
    read_command,
    read_lessons,
)

TRAJECTORY = """You are in a room. You see a desk 1 and a sinkbasin 1.

Your task is to: clean some mug and put it in shelf.


ACTION: go to desk 1
OBSERVATION: On the desk 1, you see a mug 1.
ACTION: take mug 1 from desk 1
OBSERVATION: You pick up the mug 1 from the desk 1.
ACTION: go to sinkbasin 1
ACTION: clean mug 1 with sinkbasin 1
OBSERVATION: You clean the mug 1.
ACTION: go to shelf 2
ACTION: put mug 1 in/on shelf 2


TRAJECTORY_STATUS: SUCCESS"""


def test_a_command_has_a_verb_and_things() -> None:
    assert read_command("put mug 1 in/on shelf 12") == Command(
        verb="put", things=("mug 1", "shelf 12")
    )
    assert read_command("go to desk 1").things == ("desk 1",)
    assert read_command("clean mug 1 with sinkbasin 1").kinds == ("mug", "sinkbasin")
    assert read_command("look").things == ()


def test_searching_and_looking_are_no_acts() -> None:
    acting = [text for text in ("go to a 1", "open a 1", "look", "take a 1 from b 1", "use a 1")
              if read_command(text).acts]  # fmt: skip
    assert acting == ["take a 1 from b 1", "use a 1"]


def test_a_trajectory_shows_what_is_done_after_what_and_where() -> None:
    assert read_lessons(TRAJECTORY) == [
        Lesson(before=BEGINNING, verb="take", kinds=("mug", "desk"), place="desk"),
        Lesson(before="take", verb="clean", kinds=("mug", "sinkbasin"), place="sinkbasin"),
        Lesson(before="clean", verb="put", kinds=("mug", "shelf"), place="shelf"),
    ]


def test_a_part_of_a_trajectory_does_not_say_what_was_before() -> None:
    part = "ACTION: use lamp 1 OBSERVATION: It is on. ACTION: take cd 3 from desk 1"
    assert read_lessons(part) == [
        Lesson(before=None, verb="use", kinds=("lamp",), place=""),
        Lesson(before="use", verb="take", kinds=("cd", "desk"), place=""),
    ]


def test_games_that_follow_each_other_in_a_memory_are_kept_apart() -> None:
    lessons = read_lessons(f"{TRAJECTORY}\n\n=== TRAJECTORY ===\n\n{TRAJECTORY}")
    assert [lesson.before for lesson in lessons] == [BEGINNING, "take", "clean"] * 2


def test_prose_shows_no_commands() -> None:
    assert read_lessons("Clean a mug in the sinkbasin before you put it away.") == []
    assert not has_commands("The next action: none.")
    assert has_commands(TRAJECTORY)
