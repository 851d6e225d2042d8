"""The seeds and the packs: complete, clean, and told apart by their descriptions."""

from pathlib import Path

import pytest

import langgraph_memskill.skills.packaged
from langgraph_memskill.errors import ConfigError, SkillError
from langgraph_memskill.records import ActionType, SkillStatistics
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.files import SKILL_FILE, format_skill
from langgraph_memskill.skills.lint import lint
from langgraph_memskill.skills.packaged import pack_names, read_pack

PACKS = Path(langgraph_memskill.skills.packaged.__file__).parent / "packs"


def test_the_four_seeds_in_order():
    bank = SkillBank.seed()
    assert bank.names == ("insert", "update", "delete", "noop")
    for skill in bank:
        assert skill.action_type == ActionType(skill.name)
        assert (skill.origin, skill.created_at, skill.modified_at) == ("seed", "initial", "initial")
        assert skill.statistics == SkillStatistics()
    assert bank.capacity == 30
    assert bank.new_names == frozenset()


def test_the_packs():
    assert pack_names() == ("conversation", "embodied")
    assert len(read_pack("conversation")) >= 10
    assert len(read_pack("embodied")) >= 8
    for name in pack_names():
        pack = read_pack(name)
        assert {skill.origin for skill in pack} == {"pack"}
        assert {str(skill.action_type) for skill in pack} == {"insert", "update"}
        assert list(pack) == sorted(pack, key=lambda skill: skill.name)


def test_a_bank_with_packs_holds_the_seeds_first_and_has_room():
    bank = SkillBank.seed("embodied", "conversation", capacity=40)
    expected = [*read_pack("seed"), *read_pack("embodied"), *read_pack("conversation")]
    assert list(bank) == expected
    assert bank.capacity == 40
    assert len(bank) < 30, "all packs together must leave room in a bank of the default capacity"


def test_wrong_packs_are_named():
    with pytest.raises(ConfigError, match="no skill pack 'chat'; there are conversation, embodied"):
        SkillBank.seed("chat")
    with pytest.raises(ConfigError, match="no skill pack"):
        SkillBank.seed("../packs/seed")
    with pytest.raises(SkillError, match="occurs twice"):
        SkillBank.seed("embodied", "embodied")


@pytest.mark.parametrize("pack", ["seed", *pack_names()])
def test_the_linter_has_nothing_to_say_about_our_own(pack):
    assert lint(PACKS / pack) == []


def test_no_two_descriptions_of_all_packs_are_alike():
    assert lint(SkillBank.seed(*pack_names())) == []


def test_the_files_are_as_we_write_them():
    for pack in ("seed", *pack_names()):
        for skill in read_pack(pack):
            file = PACKS / pack / skill.name / SKILL_FILE
            assert file.read_text(encoding="utf-8") == format_skill(skill)


def test_seed_banks_are_independent():
    first, second = SkillBank.seed(), SkillBank.seed()
    first.refine("insert", description="Changed.")
    assert second["insert"].description != "Changed."
    assert SkillBank.seed().version == second.version


SPANS = {
    "possessions_and_pets": "I bought a puppy called Biscuit last week, he is a beagle.",
    "relationships": "My sister Ann and her husband have three kids.",
    "plans_and_intentions": "We are going to Lisbon next month, the hotel is booked.",
    "work_and_study": "I quit my job at the bank and started working as a baker.",
    "preferences_and_opinions": "I love spicy ramen but can't stand cilantro.",
    "events_with_dates": "Yesterday I ran a half marathon in Leeds.",
    "health_and_feelings": "The doctor said I broke my wrist; I've been in pain and quite low.",
    "activities_and_hobbies": "I play the violin every evening and go climbing on weekends.",
    "people_and_identity": "My name is Tomas, I'm 34 years old and I grew up in Prague.",
    "plan_outcomes": "That trip we planned? We had to cancel it because of the storm.",
    "reasons_and_lessons": "I became a teacher because my grandmother inspired me.",
    "shared_media_and_works": "I read a novel by Le Guin and listened to a new album.",
    "noop": "Hi! How are you? Great, thanks! Talk soon, bye.",
    "object_locations": "You arrive at drawer 3. On the drawer 3, you see a fork 1.",
    "appliance_effects": "You heat egg 1 using microwave 1.",
    "room_layouts": "Looking quickly around you, you see a cabinet 1, a drawer 2, a fridge 1.",
    "failures_and_recovery": "Nothing happens. I repeat the same command and I am stuck in a loop.",
}


@pytest.mark.slow
def test_descriptions_lie_near_the_text_that_they_are_for(minilm):
    candidates = SkillBank.seed(*pack_names()).candidates()
    descriptions = minilm.encode([skill.description for skill in candidates])
    similarities = minilm.encode(list(SPANS.values())) @ descriptions.T
    missed = []
    for (name, span), row in zip(SPANS.items(), similarities, strict=True):
        best = [candidates[index].name for index in (-row).argsort()[:3]]
        if name not in best:
            missed.append((name, span, best))
    assert missed == []
