"""SKILL.md in and out: the layout, what is refused, and that nothing is lost."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import ActionType, Skill, SkillStatistics
from langgraph_memskill.skills.fields import checked
from langgraph_memskill.skills.files import (
    SKILL_FILE,
    format_skill,
    parse_skill,
    read_skill,
    write_skill,
)
from langgraph_memskill.skills.lint import lint

MINIMAL = """---
name: track_dates
description: Record dates.
metadata:
  action_type: insert
---

Write the date.
"""


def write_file(folder: Path, text: str | bytes, name: str = "track_dates") -> Path:
    file = folder / name / SKILL_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_the_layout():
    skill = Skill(
        name="track_dates",
        description="Record dates: the day, the month.",
        instructions="## Purpose\nKeep dates.",
        action_type=ActionType.UPDATE,
        origin="designer",
        modified_at="2024-05-01T10:00:00+00:00",
        statistics=SkillStatistics(
            usage_count=2, mean_reward=0.25, recent_rewards=(0.5, 0.0), usage_ema=1e-05
        ),
    )
    expected = """---
name: track_dates
description: 'Record dates: the day, the month.'
metadata:
  action_type: update
  origin: designer
  created_at: initial
  modified_at: '2024-05-01T10:00:00+00:00'
  statistics:
    usage_count: 2
    mean_reward: 0.25
    recent_rewards: [0.5, 0.0]
    usage_ema: 1.0e-05
---

## Purpose
Keep dates.
"""
    assert format_skill(skill) == expected
    assert parse_skill(expected, folder_name="track_dates").skill == skill


def test_a_minimal_file_written_by_a_person(tmp_path):
    skill = read_skill(write_file(tmp_path, MINIMAL))
    assert skill == Skill(
        name="track_dates",
        description="Record dates.",
        instructions="Write the date.",
        action_type=ActionType.INSERT,
        origin="person",
    )
    assert read_skill(tmp_path / "track_dates") == skill


def test_windows_line_ends_byte_order_mark_and_unquoted_times(tmp_path):
    text = MINIMAL.replace("insert\n", "insert\n  created_at: 2024-05-01T10:00:00Z\n")
    text = text.replace("  action_type", "  modified_at: 2024-05-02\n  action_type")
    file = write_file(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    skill = read_skill(file)
    assert skill.instructions == "Write the date."
    assert (skill.created_at, skill.modified_at) == ("2024-05-01T10:00:00+00:00", "2024-05-02")


@pytest.mark.parametrize(
    ("old", "new", "field", "part"),
    [
        (MINIMAL, "", "front matter", "is missing"),
        ("---\nname", "name", "front matter", "is missing"),
        ("\n---\n\n", "\n\n", "front matter", "has no end"),
        ("name: track_dates", "name: [", "front matter", "not valid YAML"),
        ("name: track_dates", "name track_dates", "front matter", "not valid YAML"),
        ("name: track_dates", "name: a\nname: track_dates", "front matter", "given twice (line 3)"),
        ("name: track_dates", f"x: {'y' * 33_000}", "front matter", "at most 32768"),
        ("name: track_dates", "name: &x track_dates", "front matter", "anchors"),
        ("name: track_dates", "name: !!python/name:os.system a", "front matter", "tags"),
        ("name: track_dates", "x: " + "[" * 5000, "front matter", "not valid YAML"),
        ("action_type: insert", "created_at: 2024-02-31", "front matter", "day is out of range"),
        (
            re.search("name.*insert", MINIMAL, re.S)[0],
            "- a\n- b",
            "front matter",
            "must hold fields",
        ),
        ("name: track_dates\n", "", "name", "must be text"),
        ("name: track_dates", "name: 5", "name", "must be text"),
        ("name: track_dates", "name: Track Dates", "name", "letters"),
        ("name: track_dates", "name: trackdates", "name", "folder is called 'track_dates'"),
        ("description: Record dates.\n", "", "description", "is missing"),
        ("description: Record dates.", "description:", "description", "is missing"),
        ("description: Record dates.", "description: [a, b]", "description", "must be text"),
        ("description: Record dates.", "description: ' '", "description", "is empty"),
        ("Record dates.", "d" * 1025, "description", "1025 characters"),
        ("Write the date.", "", "instructions", "is empty"),
        ("Write the date.", "Use {memories}.", "instructions", "{memories}"),
        ("  action_type: insert", "", "metadata", "must be a mapping"),
        ("metadata:\n  action_type: insert\n", "", "metadata.action_type", "must be one of"),
        ("insert", "merge", "metadata.action_type", "'merge'"),
        ("insert", "delete\n  origin: designer", "metadata.action_type", "designer"),
        ("insert", "insert\n  origin: [a]", "metadata.origin", "one word"),
        ("insert", "insert\n  created_at: soon", "metadata.created_at", "ISO time"),
        ("insert", "insert\n  statistics: 5", "metadata.statistics", "must be a mapping"),
        (
            "insert",
            "insert\n  statistics: {mean_reward: .nan}",
            "metadata.statistics.mean_reward",
            "finite number, not nan",
        ),
        (
            "insert",
            "insert\n  statistics: {usage_count: many}",
            "metadata.statistics.usage_count",
            "whole number",
        ),
    ],
)
def test_a_broken_file_names_file_and_field(tmp_path, old, new, field, part):
    assert old in MINIMAL
    file = write_file(tmp_path, MINIMAL.replace(old, new))
    with pytest.raises(SkillError) as caught:
        read_skill(file)
    assert str(caught.value).startswith(f"{file}: {field}: ")
    assert part in str(caught.value)


def test_several_problems_of_a_file_are_told_at_once(tmp_path):
    text = (
        MINIMAL.replace("insert", "merge").replace("Record dates.", "").replace("Write", "{span}")
    )
    with pytest.raises(SkillError) as caught:
        read_skill(write_file(tmp_path, text))
    for field in ("description", "instructions", "metadata.action_type"):
        assert f"{field}: " in str(caught.value)


def test_a_merge_key_bomb_is_refused_quickly(tmp_path):
    lines = ["a0: &a0 {k: v}"] + [
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 30)
    ]
    text = MINIMAL.replace("name: track_dates", "name: track_dates\n" + "\n".join(lines))
    with pytest.raises(SkillError, match="anchors"):
        read_skill(write_file(tmp_path, text))


def test_bytes_that_are_not_utf8(tmp_path):
    file = write_file(tmp_path, MINIMAL.encode().replace(b"Record", b"R\xe9cord"))
    with pytest.raises(SkillError, match=r"file: is not UTF-8 text \(byte 36\)"):
        read_skill(file)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with pytest.raises(SkillError, match="at most 1048576 are read"):
        read_skill(write_file(tmp_path, b" " * 1_048_577))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SkillError, match="file: cannot be read: No such file"):
        read_skill(tmp_path / "absent" / SKILL_FILE)


def test_unknown_keys_of_other_programs_stay(tmp_path, make_skill):
    text = MINIMAL.replace("---\nname", "---\nlicense: MIT\ncontent: 2024-05-01\nname").replace(
        "insert", "insert\n  author: Ann\n  statistics: {clicks: 4, usage_count: 1}"
    )
    file = write_file(tmp_path, text)
    write_skill(tmp_path, make_skill(description="Changed."))
    written = file.read_text()
    assert "license: MIT\ncontent: 2024-05-01\n" in written
    assert "  author: Ann\n" in written
    assert "    usage_count: 0\n" in written
    assert "    clicks: 4\n" in written
    assert read_skill(file).description == "Changed."
    write_skill(tmp_path, make_skill(description="Changed."))
    assert file.read_text() == written


def test_an_unknown_key_that_cannot_be_written_again(tmp_path, make_skill):
    file = write_file(tmp_path, MINIMAL.replace("---\nname", f"---\nx: 0x{'f' * 9000}\nname"))
    before = file.read_bytes()
    with pytest.raises(SkillError, match="cannot be kept"):
        write_skill(tmp_path, make_skill(description="Changed."))
    assert file.read_bytes() == before


def test_writing_does_not_replace_a_broken_file(tmp_path, make_skill):
    file = write_file(tmp_path, "somebody is editing")
    with pytest.raises(SkillError, match="is broken, so it is not replaced"):
        write_skill(tmp_path, make_skill())
    assert file.read_text() == "somebody is editing"


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, make_skill, monkeypatch):
    file = write_skill(tmp_path, make_skill())
    before = file.read_bytes()

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SkillError, match="disk full"):
        write_skill(tmp_path, make_skill(description="Changed."))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [SKILL_FILE]


def test_lint_of_a_file_a_skill_folder_and_a_bank_folder(tmp_path):
    good = write_file(tmp_path, MINIMAL)
    broken = write_file(tmp_path, MINIMAL.replace("insert", "merge"), "broken")
    of_file = lint(good)
    assert {str(issue.level) for issue in of_file} == {"advice"}
    assert lint(tmp_path / "track_dates") == of_file
    of_bank = lint(tmp_path)
    assert [str(issue) for issue in of_bank if issue.level == "error"] == [
        f"error: {broken}: metadata.action_type: must be one of insert, update, delete, noop "
        "(lower case), not 'merge'",
    ]
    assert [issue for issue in of_bank if issue.level == "advice"] == of_file
    (tmp_path / "bank.json").write_text("{")
    (last,) = lint(tmp_path)[len(of_bank) :]
    assert (last.level, last.field, last.file) == ("error", "file", tmp_path / "bank.json")


def test_lint_of_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SkillError, match="No such file"):
        lint(tmp_path / "absent")


TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t-#:'\"{}[]&*!|>%@`"),
    min_size=1,
    max_size=200,
).filter(lambda text: bool(text.strip()) and "{" not in text)
REWARDS = st.lists(st.floats(-1e9, 1e9), max_size=20)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True),
    description=TEXT,
    instructions=TEXT,
    kind=st.sampled_from(ActionType),
    rewards=REWARDS,
    ema=st.floats(0, 1),
)
def test_what_is_written_is_read_again(name, description, instructions, kind, rewards, ema):
    statistics = SkillStatistics(
        usage_count=len(rewards), mean_reward=1 / 3, recent_rewards=tuple(rewards), usage_ema=ema
    )
    skill = checked(
        Skill(
            name=name,
            description=description,
            instructions=instructions,
            action_type=kind,
            origin="person",
            statistics=statistics,
        )
    )
    text = format_skill(skill)
    reading = parse_skill(text, folder_name=name)
    assert reading.problems == ()
    assert reading.skill == skill
    assert format_skill(skill, keep=reading.front_matter) == text


@given(st.text(max_size=300), st.integers(0, 120))
def test_no_text_breaks_the_reader(junk, position):
    reading = parse_skill(MINIMAL[:position] + junk + MINIMAL[position:])
    assert (reading.skill is None) == bool(reading.problems)


def test_statistics_survive_exactly(make_skill):
    statistics = SkillStatistics(mean_reward=0.1 + 0.2, usage_ema=1e-17)
    skill = replace(make_skill(), statistics=statistics)
    assert parse_skill(format_skill(skill)).skill == skill
