"""Which proposed changes may be made, and what they make of a bank."""

from dataclasses import replace
from typing import Any

import pytest

from langgraph_memskill.evolution.checking import Checked, check
from langgraph_memskill.evolution.records import ChangeAction, HardCase, ProposedChange
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.records import ActionType, Skill
from langgraph_memskill.skills.bank import SkillBank

AT = "2026-01-31T09:30:00+00:00"
NEW = ProposedChange(
    action=ChangeAction.ADD_NEW,
    name="dated_plans",
    description="Plans that somebody makes, with the day they are for.",
    instructions="Write each plan with its absolute date.",
    action_type="insert",
)
REFINED = ProposedChange(
    action=ChangeAction.REFINE_EXISTING, name="insert", instructions="Write it differently."
)


def checked(*proposals: ProposedChange, encoder: Any, **options: Any) -> Checked:
    options = {"bank": SkillBank.seed(), "settings": EvolutionSettings(), **options}
    bank, settings = options.pop("bank"), options.pop("settings")
    return check(proposals, bank, encoder=encoder, settings=settings, at=AT, **options)


def reasons(found: Checked) -> str:
    assert found.changes == ()
    return "; ".join(reason for entry in found.rejected for reason in entry.reasons)


def test_a_new_skill_is_the_designers(encoder: Any) -> None:
    found = checked(NEW, encoder=encoder)
    assert found.bank["dated_plans"] == Skill(
        name="dated_plans",
        description="Plans that somebody makes, with the day they are for.",
        instructions="Write each plan with its absolute date.",
        action_type=ActionType.INSERT,
        origin="designer",
        created_at=AT,
        modified_at=AT,
    )
    assert found.bank.new_names == {"dated_plans"}


def test_a_refined_skill_keeps_type_statistics_and_what_is_not_given(encoder: Any) -> None:
    bank = SkillBank.seed()
    bank.record_reward("insert", 0.5)
    old = bank["insert"]
    found = checked(REFINED, encoder=encoder, bank=bank)
    new = replace(old, instructions="Write it differently.", modified_at=AT)
    assert found.bank["insert"] == new
    assert found.changes[0].before == old


def test_advice_does_not_speak_against_a_change(encoder: Any) -> None:
    [change] = checked(NEW, encoder=encoder).changes
    assert any("no section Purpose" in text for text in change.advice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a b"}, "name: must be letters"),
        ({"name": "INSERT"}, "the bank has the skill 'insert' already"),
        ({"description": None}, "description: is missing"),
        ({"description": "x" * 2000}, "description: has 2000 characters"),
        ({"instructions": " "}, "instructions: is empty"),
        ({"instructions": "Read {retrieved_memories}."}, "context placeholder"),
        ({"action_type": "delete"}, "must be one of insert, update"),
        ({"action_type": None}, "action_type: must be one of"),
        ({"problems": ("name: is 7",)}, "name: is 7"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_new_skill_that_breaks_a_rule(encoder: Any, change: Any, message: str) -> None:
    assert message in reasons(checked(replace(NEW, **change), encoder=encoder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "nothing"}, "there is no skill 'nothing'"),
        ({"instructions": None}, "neither a description nor instructions"),
        ({"instructions": SkillBank.seed()["insert"].instructions}, "nothing would change"),
        ({"instructions": "Read {span}."}, "context placeholder"),
        ({"action_type": "update"}, "stays insert"),
    ],
    ids=["unknown", "empty", "the same", "placeholder", "type"],
)
def test_a_refinement_that_breaks_a_rule(encoder: Any, change: Any, message: str) -> None:
    assert message in reasons(checked(replace(REFINED, **change), encoder=encoder))


def test_a_copy_of_a_skill_is_rejected_by_meaning(encoder: Any) -> None:
    copy = replace(NEW, description=f"{SkillBank.seed()['update'].description} Really.")
    assert "means the same as that of 'update'" in reasons(checked(copy, encoder=encoder))


def test_answers_of_the_cases_do_not_belong_into_skills(encoder: Any) -> None:
    case = HardCase(id="q", question="Where is the key?", expected="Under the red vase")
    leak = replace(NEW, instructions="Things such as: under the RED vase.")
    assert "answer of case 1" in reasons(checked(leak, encoder=encoder, cases=[case]))


def test_one_common_word_is_no_answer(encoder: Any) -> None:
    case = HardCase(id="q", question="What does she make?", expected="plans")
    assert checked(NEW, encoder=encoder, cases=[case]).changes


def test_one_change_a_skill(encoder: Any) -> None:
    again = replace(REFINED, instructions="Write it in a third way.")
    found = checked(REFINED, again, encoder=encoder)
    assert [change.after.instructions for change in found.changes] == ["Write it differently."]
    assert "one change a skill" in found.rejected[0].reasons[0]


def test_changes_that_may_not_be_made_do_not_count_for_the_limit(encoder: Any) -> None:
    bad = replace(NEW, name="insert")
    found = checked(bad, NEW, encoder=encoder, settings=EvolutionSettings(max_changes=1))
    assert [change.name for change in found.changes] == ["dated_plans"]


def test_what_is_beyond_the_limit_is_rejected(encoder: Any) -> None:
    found = checked(REFINED, NEW, encoder=encoder, settings=EvolutionSettings(max_changes=1))
    assert found.rejected[0].reasons == ("at most 1 changes are made at once",)
    assert found.accepted == (REFINED,)


def test_a_full_bank_says_which_skill_goes(encoder: Any) -> None:
    bank = SkillBank(SkillBank.seed(), capacity=4)
    bank.record_reward("update", 0.1)
    [change] = checked(NEW, encoder=encoder, bank=bank).changes
    assert change.evicted == "update"


def test_a_full_bank_of_protected_skills_takes_no_other(encoder: Any) -> None:
    seeds = SkillBank.seed()
    bank = SkillBank(seeds, capacity=4, protected=seeds.names)
    assert "all of them are protected" in reasons(checked(NEW, encoder=encoder, bank=bank))
