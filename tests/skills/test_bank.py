"""The skill bank: order, changes that hold entirely or not at all, eviction, statistics, JSON."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.errors import ConfigError, SkillError
from langgraph_memskill.records import ActionType, SkillStatistics
from langgraph_memskill.skills.bank import SkillBank


@pytest.fixture
def bank(make_skill):
    return SkillBank([make_skill("delta"), make_skill("alpha"), make_skill("Zeta")], capacity=3)


def used(skill, count, mean):
    return replace(skill, statistics=SkillStatistics(usage_count=count, mean_reward=mean))


def test_orders(bank, make_skill):
    assert bank.names == ("delta", "alpha", "Zeta")
    assert [skill.name for skill in bank] == ["delta", "alpha", "Zeta"]
    assert [skill.name for skill in bank.candidates()] == ["Zeta", "alpha", "delta"]
    assert len(bank) == 3
    assert "alpha" in bank
    assert "absent" not in bank
    assert bank["alpha"] == bank.get("alpha") == make_skill("alpha")
    assert bank.get("absent") is None
    assert "delta, alpha, Zeta" in repr(bank)


@pytest.mark.parametrize("capacity", [0, -1, True, 2.0, "3"])
def test_capacity_is_checked(capacity):
    with pytest.raises(ConfigError, match="capacity"):
        SkillBank(capacity=capacity)


def test_constructor_refuses_broken_and_double_skills(make_skill):
    with pytest.raises(SkillError, match="'alpha' occurs twice"):
        SkillBank([make_skill("alpha"), make_skill("alpha")])
    with pytest.raises(SkillError, match=r"skill 'alpha': description: is empty"):
        SkillBank([make_skill("alpha", description=" ")])
    with pytest.raises(ConfigError, match="protected"):
        SkillBank(protected="alpha")


def test_texts_are_trimmed_and_line_ends_unified(make_skill):
    bank = SkillBank([make_skill("alpha", description=" a \n", instructions="\r\nb\rc\n")])
    assert (bank["alpha"].description, bank["alpha"].instructions) == ("a", "b\nc")


@pytest.mark.parametrize(
    "change",
    [
        lambda bank: bank["absent"],
        lambda bank: bank[7],
        lambda bank: bank.refine("absent", description="x"),
        lambda bank: bank.remove("absent"),
        lambda bank: bank.record_reward("absent", 1.0),
    ],
)
def test_unknown_names_are_named_with_the_known_ones(bank, change):
    with pytest.raises(SkillError, match=r"no skill ('absent'|7) .*: Zeta, alpha, delta"):
        change(bank)


def test_add_appends_and_marks_as_new(make_skill):
    bank = SkillBank([make_skill("alpha")])
    assert bank.new_names == frozenset()
    assert bank.add(make_skill("beta")) is None
    assert bank.names == ("alpha", "beta")
    assert bank.new_names == {"beta"}
    bank.clear_new()
    assert bank.new_names == frozenset()


@pytest.mark.parametrize(
    ("name", "changes", "part"),
    [
        ("alpha", {}, "'alpha' is in the bank already"),
        ("", {}, "name"),
        (7, {}, "name"),
        ("fresh", {"description": None}, "description: is missing"),
        ("fresh", {"instructions": "Use {retrieved_memories}."}, "{retrieved_memories}"),
        ("fresh", {"origin": "designer", "action_type": ActionType.DELETE}, "insert, update"),
        ("fresh", {"origin": "designer", "action_type": ActionType.NOOP}, "insert, update"),
        ("fresh", {"statistics": SkillStatistics(mean_reward=math.nan)}, "statistics.mean_reward"),
    ],
)
def test_a_refused_skill_changes_nothing(bank, make_skill, name, changes, part):
    bank.set_new(["delta"])
    before = bank.to_json()
    with pytest.raises(SkillError, match=part):
        bank.add(make_skill(name, **changes))
    assert bank.to_json() == before
    assert bank.new_names == {"delta"}


def test_delete_and_noop_skills_may_come_from_people_and_packs(make_skill):
    bank = SkillBank()
    bank.add(make_skill("forget", action_type=ActionType.DELETE))
    bank.add(make_skill("rest", action_type=ActionType.NOOP, origin="pack"))
    assert bank.names == ("forget", "rest")


def test_the_used_skill_with_the_lowest_mean_reward_makes_room(make_skill):
    skills = [
        used(make_skill("never"), 0, -5.0),
        used(make_skill("good"), 9, 0.9),
        used(make_skill("bad"), 1, 0.1),
        used(make_skill("as_bad"), 7, 0.1),
    ]
    bank = SkillBank(skills, capacity=4)
    bank.set_new(["bad"])
    assert bank.add(make_skill("next")) == skills[2]
    assert bank.names == ("never", "good", "as_bad", "next")
    assert bank.new_names == {"next"}, "the name of the evicted skill must not stay"


def test_the_first_skill_makes_room_if_none_was_used(bank, make_skill):
    assert bank.add(make_skill("next")).name == "delta"
    assert bank.names == ("alpha", "Zeta", "next")


def test_protected_skills_stay(make_skill):
    skills = [used(make_skill("seed"), 3, 0.0), make_skill("other")]
    bank = SkillBank(skills, capacity=2, protected=["seed"])
    assert bank.add(make_skill("next")).name == "other"
    assert bank.names == ("seed", "next")


def test_a_bank_full_of_protected_skills_refuses(make_skill):
    bank = SkillBank([make_skill("seed")], capacity=1, protected=["seed", "absent"])
    with pytest.raises(SkillError, match="all of them are protected"):
        bank.add(make_skill("next"))
    assert bank.names == ("seed",)


def test_a_bank_above_its_capacity_replaces_one_by_one(make_skill):
    bank = SkillBank([make_skill(name) for name in "abc"], capacity=1)
    assert bank.add(make_skill("d")).name == "a"
    assert bank.names == ("b", "c", "d")


def test_refine_changes_wording_and_time_only(bank):
    bank.record_reward("alpha", 0.5)
    before = bank["alpha"]
    after = bank.refine("alpha", description="New words.", at="2024-05-01T10:00:00Z")
    assert after == bank["alpha"]
    assert after == replace(before, description="New words.", modified_at="2024-05-01T10:00:00Z")
    earlier = datetime.now(UTC).replace(microsecond=0)
    assert bank.refine("alpha", instructions="Do it.").instructions == "Do it."
    assert datetime.fromisoformat(bank["alpha"].modified_at) >= earlier
    assert bank.new_names == {"alpha"}
    assert bank.names == ("delta", "alpha", "Zeta")


def test_refine_without_a_change_marks_as_new_and_keeps_the_time(bank):
    before = bank["alpha"]
    assert bank.refine("alpha") == bank.refine("alpha", description=before.description) == before
    assert bank.new_names == {"alpha"}


@pytest.mark.parametrize(
    "changes",
    [
        {"description": ""},
        {"description": 5},
        {"instructions": "  "},
        {"instructions": "Read {span_text}."},
        {"description": "fine", "instructions": ["a"]},
        {"description": "fine", "at": "soon"},
    ],
)
def test_a_refused_refinement_changes_nothing(bank, changes):
    before = bank.to_json()
    with pytest.raises(SkillError):
        bank.refine("alpha", **changes)
    assert bank.to_json() == before
    assert bank.new_names == frozenset()


def test_remove(bank):
    bank.set_new(["alpha", "delta"])
    assert bank.remove("alpha").name == "alpha"
    assert bank.names == ("delta", "Zeta")
    assert bank.new_names == {"delta"}


def test_set_new_leaves_out_unknown_names(bank):
    bank.set_new(["alpha", "absent", "alpha"])
    assert bank.new_names == {"alpha"}


def test_rewards_running_mean_and_last_twenty(bank):
    for step in range(25):
        bank.record_reward("alpha", step / 100)
    statistics = bank["alpha"].statistics
    assert statistics.usage_count == 25
    assert statistics.mean_reward == pytest.approx(0.12)
    assert statistics.recent_rewards == tuple(step / 100 for step in range(5, 25))
    assert bank["delta"].statistics == SkillStatistics()


def test_extreme_rewards_do_not_overflow(bank):
    bank.record_reward("alpha", 1e308)
    bank.record_reward("alpha", -1e308)
    assert bank["alpha"].statistics.mean_reward == 0.0


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf, True])
def test_a_reward_must_be_a_finite_number(bank, reward):
    with pytest.raises(SkillError, match="finite number"):
        bank.record_reward("alpha", reward)
    assert bank["alpha"].statistics == SkillStatistics()


def test_usage_average_step_by_step(bank):
    bank.ema_step(["alpha"])
    bank.ema_step(["alpha", "delta"])
    bank.ema_step(["absent"])
    averages = {skill.name: skill.statistics.usage_ema for skill in bank}
    assert averages == pytest.approx({"alpha": 0.171, "delta": 0.09, "Zeta": 0.0})


def test_usage_average_in_closed_form(bank):
    bank.ema_batch({"alpha": 6, "delta": 3, "absent": 1}, 10)
    bank.ema_batch({"Zeta": 2}, 40)
    assert bank["alpha"].statistics.usage_ema == pytest.approx(0.6 * (1 - 0.9**10) * 0.9**40)
    assert bank["Zeta"].statistics.usage_ema == pytest.approx(0.05 * (1 - 0.9**40))


def test_no_steps_change_no_usage_average(bank):
    bank.ema_step(["alpha"], alpha=1.0)
    bank.ema_batch({}, 0)
    assert bank["alpha"].statistics.usage_ema == 1.0


@pytest.mark.parametrize(
    ("counts", "total", "alpha"),
    [({}, -1, 0.1), ({"alpha": 2}, 1, 0.1), ({"alpha": -1}, 1, 0.1), ({}, 1, 1.5), ({}, 1, -0.1)],
)
def test_usage_arguments_are_checked(bank, counts, total, alpha):
    with pytest.raises(ConfigError):
        bank.ema_batch(counts, total, alpha=alpha)


def test_a_single_name_is_not_taken_for_its_letters(bank):
    with pytest.raises(ConfigError, match="'alpha'"):
        bank.ema_step("alpha")


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.floats(0, 1)), max_size=30),
)
def test_the_usage_average_stays_a_share(steps):
    bank = SkillBank.seed()
    for count, total, alpha in steps:
        bank.ema_batch({"insert": min(count, total)}, total, alpha=alpha)
        assert 0.0 <= bank["insert"].statistics.usage_ema <= 1.0


def test_version_depends_on_what_skills_say_and_on_nothing_else(make_skill):
    alpha, beta = make_skill("alpha"), make_skill("beta")
    bank = SkillBank([alpha, beta])
    version = bank.version
    assert SkillBank([beta, alpha], capacity=7).version == version
    bank.record_reward("alpha", 1.0)
    assert bank.version == version
    versions = {
        SkillBank([alpha, replace(beta, **change)]).version
        for change in (
            {},
            {"name": "gamma"},
            {"description": "x"},
            {"instructions": "x"},
            {"action_type": ActionType.UPDATE},
        )
    }
    assert len(versions) == 5
    assert version in versions
    assert len(version) == 16


def test_version_does_not_mix_up_fields_and_skills(make_skill):
    first = SkillBank([make_skill("a", description="b", instructions="c\nd")])
    second = SkillBank([make_skill("a", description="b\nc", instructions="d")])
    assert first.version != second.version


def test_json_round_trip_keeps_everything_but_the_new_names(bank):
    bank.record_reward("alpha", 0.5)
    bank.ema_step(["alpha"])
    bank.refine("delta", description="New.")
    text = json.dumps(bank.to_json())
    again = SkillBank.from_json(json.loads(text))
    assert tuple(again) == tuple(bank)
    assert again.capacity == 3
    assert again.new_names == frozenset()
    assert json.dumps(again.to_json()) == text


def test_snapshots_share_nothing_with_the_bank(bank):
    snapshot = bank.to_json()
    text = json.dumps(snapshot)
    restored = SkillBank.from_json(snapshot)
    bank.record_reward("alpha", 0.5)
    assert json.dumps(snapshot) == text
    assert restored["alpha"].statistics.usage_count == 0
    snapshot["skills"][1]["statistics"]["recent_rewards"].append(9.0)
    assert bank["alpha"].statistics.recent_rewards == (0.5,)
    assert restored["alpha"].statistics.recent_rewards == ()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({}, "skills: must be a list, not None"),
        ({"skills": "x"}, "skills: must be a list"),
        ({"skills": [5]}, r"skills\[0\]: must be an object"),
        ({"skills": [{"name": "a"}]}, r"skills\[0\]\.description: is missing"),
        ({"skills": [], "capacity": "9"}, "capacity"),
        ({"skills": [], "capacity": None}, "capacity"),
        ({"skills": [], "protected": "x"}, "protected"),
    ],
)
def test_broken_json_names_the_place(content, part):
    with pytest.raises(SkillError, match=part):
        SkillBank.from_json(content)


def test_json_with_a_capacity_out_of_range():
    with pytest.raises(ConfigError, match="capacity"):
        SkillBank.from_json({"skills": [], "capacity": 0})


def test_a_copy_is_independent(bank, make_skill):
    bank.set_new(["alpha"])
    copy = bank.copy()
    assert (tuple(copy), copy.capacity, copy.new_names) == (tuple(bank), 3, {"alpha"})
    copy.refine("alpha", description="New.")
    copy.remove("delta")
    copy.clear_new()
    assert bank.names == ("delta", "alpha", "Zeta")
    assert bank["alpha"] == make_skill("alpha")
    assert bank.new_names == {"alpha"}


def test_protected_seeds_outlive_a_full_bank(make_skill):
    bank = SkillBank.seed(capacity=5)
    bank.protect(*SkillBank.seed().names)
    bank.add(make_skill("first"))
    bank.record_reward("noop", -1.0)  # by METHOD's rule it would have to go
    assert bank.add(make_skill("second")) == make_skill("first")
    bank.unprotect("noop")
    evicted = bank.add(make_skill("third"))
    assert evicted is not None
    assert evicted.name == "noop"


def test_protecting_what_is_not_there(make_skill):
    bank = SkillBank([make_skill("a")])
    with pytest.raises(SkillError, match="no skill 'b'"):
        bank.protect("a", "b")
    assert bank.protected == frozenset()


def test_a_bank_can_become_another(make_skill):
    bank, other = SkillBank([make_skill("a")]), SkillBank([make_skill("b")], capacity=3)
    other.add(make_skill("c"))
    bank.become(other)
    other.remove("b")
    assert (bank.names, bank.capacity, bank.new_names) == (("b", "c"), 3, {"c"})
