from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.comparing import compare_banks
from tests.skills.conftest import MakeSkill


def test_equal_banks_do_not_differ(make_skill: MakeSkill) -> None:
    bank = SkillBank([make_skill("a")])
    assert compare_banks(bank, bank.copy()).is_empty


def test_every_kind_of_difference_of_skills(make_skill: MakeSkill) -> None:
    before = SkillBank([make_skill("a"), make_skill("b"), make_skill("c")])
    after = SkillBank([make_skill("b", instructions="Write b."), make_skill("c"), make_skill("d")])
    after.record_reward("c", 1.0)
    found = {s.name: (s.kind, s.diff) for s in compare_banks(before, after).skills}
    assert {name: kind for name, (kind, _) in found.items()} == {
        "a": "removed",
        "b": "changed",
        "c": "record",
        "d": "added",
    }
    assert found["b"][1] == (
        "@@ -2,3 +2,3 @@",
        " action type: insert",
        " ",
        "-Write down b.",
        "+Write b.",
    )
    assert found["c"][1] == ()


def test_differences_of_the_bank_itself(make_skill: MakeSkill) -> None:
    skills = [make_skill("a"), make_skill("b")]
    before = SkillBank(skills, capacity=5, protected=["a"])
    after = SkillBank(reversed(skills), capacity=6, protected=["b"])
    assert compare_banks(before, after).settings == (
        "capacity: 5 → 6",
        "protected: b",
        "no longer protected: a",
        "the order of the skills",
    )


def test_a_new_skill_at_the_end_is_no_other_order(make_skill: MakeSkill) -> None:
    skills = [make_skill("a"), make_skill("b")]
    assert compare_banks(SkillBank(skills), SkillBank([*skills, make_skill("c")])).settings == ()
