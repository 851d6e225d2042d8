from datetime import UTC, datetime

from langgraph_memskill.skills.version_records import SkillVersion, VersionAuthor, VersionNote
from langgraph_memskill.trainers.metrics.family import family_section, run_versions
from langgraph_memskill.trainers.metrics.reading import MetricHistory


def version(number, parent, reward, skills, reason="better"):
    author = VersionAuthor.SEED if number == 1 else VersionAuthor.DESIGNER
    return SkillVersion(
        id=f"{number:016x}",
        number=number,
        parent=None if parent is None else f"{parent:016x}",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        note=VersionNote(author=author, reason=reason, stage=number - 1, reward=reward),
        bank_version=str(number),
        skills=skills,
    )


VERSIONS = [
    version(1, None, 0.4, ("insert",)),
    version(2, 1, 0.3, ("insert", "bad_one"), "<b>tried</b>"),
    version(3, 1, 0.5, ("insert", "good_one")),
]
HISTORY = MetricHistory(
    steps=(0, 1, 2),
    series={
        "skills/usage/insert": [(0, 1.0), (1, 0.5), (2, 0.6)],
        "skills/usage/good_one": [(2, 0.4)],
    },
)


def test_every_version_is_drawn_with_its_reward():
    section = family_section(VERSIONS, HISTORY)
    for words in ("v1", "v2", "v3", "stage 3", "0.400", "0.300", "0.500", "+bad_one"):
        assert words in section
    assert section.count("<circle") == 3
    assert section.count("<path") == 2


def test_a_version_that_was_rolled_back_is_grey_and_aside():
    section = family_section(VERSIONS, HISTORY)
    circles = [part for part in section.split("<circle ")[1:]]
    assert [part.split('"')[3] for part in circles] == ["60", "156", "60"]
    assert ['fill="#c9c9c9"' in part.split("/>")[0] for part in circles] == [False, True, False]


def test_texts_of_the_designer_cannot_be_markup():
    section = family_section(VERSIONS, HISTORY)
    assert "<b>tried" not in section
    assert "&lt;b&gt;tried" in section


def test_skills_with_rewards_and_usage():
    rows = family_section(VERSIONS, HISTORY).split("<tr>")[2:]
    assert [row.split("</td>")[0].removeprefix("<td>") for row in rows] == [
        "good_one",
        "bad_one (gone)",
        "insert",
    ]
    assert "v3, designer" in rows[0]
    assert ">0.500</td>" in rows[0]  # the reward of its only stage
    assert ">0.400</td>" in rows[2]  # the mean of three
    assert ">0.700</td>" in rows[2]  # its usage
    assert rows[2].count("polyline") == 1
    assert "polyline" not in rows[1]


def test_a_skill_that_the_best_bank_lacks_is_gone():
    section = family_section(
        [*VERSIONS, version(4, 3, 0.45, ("insert", "good_one", "late"))], HISTORY
    )
    assert "<td>late (gone)</td>" in section
    assert "<td>good_one</td>" in section


def test_a_run_without_evolution_has_no_family(tmp_path):
    assert run_versions(tmp_path) == []
    assert family_section([], HISTORY) == ""
