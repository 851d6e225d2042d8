import pytest

from langgraph_memskill.controller.selectors import SimilaritySelector
from langgraph_memskill.errors import ConfigError, ModelCallError
from langgraph_memskill.evolution.gate import GateParts, _judged, paired_interval, try_banks
from langgraph_memskill.evolution.gate_records import GateSettings
from langgraph_memskill.evolution.held_out import HeldOutEpisode, HeldOutQuestion, HeldOutSpan
from langgraph_memskill.settings import METHOD
from langgraph_memskill.skills.bank import SkillBank

FACTS = ("Ann lives in Lisbon", "Ben has a grey cat", "Cleo plays the cello", "Dan works at night")


def episode(name="e", facts=FACTS, num_questions=None):
    spans = tuple(HeldOutSpan(text=f"remember {fact}") for fact in facts)
    questions = tuple(
        HeldOutQuestion(question=f"What of {fact.rsplit(' ', 1)[0]}?", expected=(fact,))
        for fact in facts[:num_questions]
    )
    return HeldOutEpisode(id=name, spans=spans, questions=questions)


@pytest.fixture
def parts(model, encoder):
    return GateParts(
        model=model, encoder=encoder, selector=SimilaritySelector(encoder), settings=METHOD
    )


def only_noop():
    """A bank with which nothing is ever remembered."""
    return SkillBank([SkillBank.seed()["noop"]])


def settings(**changes):
    return GateSettings(**({"min_questions": 4} | changes))


def test_an_equal_bank_is_not_worse(parts):
    bank = SkillBank.seed()
    outcome = try_banks(bank, bank.copy(), [episode()], parts, settings())
    assert (outcome.verdict, outcome.is_allowed, outcome.is_forced) == ("not_worse", True, False)
    assert (outcome.before, outcome.after, outcome.difference) == (1.0, 1.0, 0.0)
    assert (outcome.low, outcome.high) == (0.0, 0.0)
    assert (outcome.num_questions, outcome.num_episodes) == (4, 1)


def test_a_bank_that_remembers_nothing_is_refused(parts):
    outcome = try_banks(SkillBank.seed(), only_noop(), [episode()], parts, settings())
    assert (outcome.verdict, outcome.is_allowed) == ("worse", False)
    assert outcome.before == 1.0
    assert outcome.after < 0.5
    assert outcome.high < 0
    assert "difference -" in outcome.reason
    assert "95% interval" in outcome.reason


def test_a_better_bank_passes(parts):
    outcome = try_banks(only_noop(), SkillBank.seed(), [episode()], parts, settings())
    assert (outcome.verdict, outcome.is_allowed) == ("not_worse", True)
    assert outcome.low > 0


def test_force_takes_a_worse_bank_and_says_so(parts):
    outcome = try_banks(SkillBank.seed(), only_noop(), [episode()], parts, settings(force=True))
    assert (outcome.verdict, outcome.is_allowed, outcome.is_forced) == ("worse", True, True)


@pytest.mark.parametrize(
    ("changes", "allowed", "forced"),
    [
        ({}, True, False),
        ({"require": True}, False, False),
        ({"require": True, "force": True}, True, True),
    ],
)
def test_without_anything_held_out(parts, model, changes, allowed, forced):
    outcome = try_banks(SkillBank.seed(), only_noop(), [], parts, settings(**changes))
    assert (outcome.verdict, outcome.is_allowed, outcome.is_forced) == (
        "not_tried",
        allowed,
        forced,
    )
    assert "nothing was tried: 0 questions" in outcome.reason
    assert outcome.difference is None
    assert model.prompts == []


def test_too_few_questions_decide_nothing(parts):
    outcome = try_banks(
        SkillBank.seed(), only_noop(), [episode(num_questions=3)], parts, settings()
    )
    assert (outcome.verdict, outcome.num_questions) == ("not_tried", 3)


def test_no_more_spans_are_read_than_allowed(parts, model):
    episodes = [episode("a"), episode("b"), episode("c", FACTS[:2])]
    outcome = try_banks(SkillBank.seed(), SkillBank.seed(), episodes, parts, settings(max_spans=6))
    assert (outcome.num_episodes, outcome.num_questions) == (2, 6)  # the second is left out
    assert len(model.prompts) == 2 * (6 + 6)


def test_a_loss_within_the_margin_passes_unless_it_is_certain(parts):
    scores = {}

    def scorer(question, answer):
        """The new bank loses a little, on one question of four."""
        scores[question.question] = scores.get(question.question, 0) + 1
        return 0.6 if scores[question.question] == 2 and "Ann" in question.question else 0.8

    bank = SkillBank.seed()
    tried = GateParts(
        model=parts.model, encoder=parts.encoder, selector=parts.selector, scorer=scorer
    )
    assert try_banks(bank, bank, [episode()], tried, settings(margin=0.1)).is_allowed
    scores.clear()
    assert not try_banks(bank, bank, [episode()], tried, settings(margin=0.04)).is_allowed


def test_an_outage_decides_nothing(parts, model):
    model.failures = 1000
    with pytest.raises(ModelCallError, match="could not try the skills"):
        try_banks(SkillBank.seed(), only_noop(), [episode()], parts, settings())


def test_the_interval_holds_the_mean_and_narrows_with_more_questions():
    few = paired_interval([[0.0, 1.0]], GateSettings())
    many = paired_interval([[0.0, 1.0]] * 50, GateSettings())
    assert few == (0.0, 1.0)
    assert many == (0.5, 0.5)  # every episode is alike, and whole episodes are drawn
    mixed = paired_interval([[0.0], [1.0]] * 50, GateSettings())
    assert 0.35 < mixed[0] < 0.5 < mixed[1] < 0.65


def test_numbers_out_of_range():
    with pytest.raises(ConfigError, match="min_questions"):
        GateSettings(min_questions=0)
    with pytest.raises(ConfigError, match="confidence"):
        GateSettings(confidence=0.0)
    with pytest.raises(ConfigError, match="margin"):
        GateSettings(margin=-0.1)


def test_equal_scores_in_another_order_are_not_worse():
    scores = [0.1, 0.7, 0.2, 0.3, 0.31, 0.9, 0.05]
    for shift in range(1, len(scores)):
        outcome = _judged([scores], [scores[shift:] + scores[:shift]], GateSettings())
        assert outcome.before == outcome.after
        assert outcome.verdict == "not_worse"
