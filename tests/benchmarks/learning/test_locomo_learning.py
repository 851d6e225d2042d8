"""Learning on conversations: what a step earns, and a tiny run from training to table."""

from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from langgraph_memskill.benchmarks.learning.locomo import (
    LearningConfig,
    Result,
    differences,
    evaluate,
    step_rewards,
    table,
    train,
)
from langgraph_memskill.benchmarks.learning.locomo_episodes import (
    FixedSelector,
    Played,
    Setting,
    conversation_of,
    play,
    recalls,
    window,
)
from langgraph_memskill.benchmarks.locomo import load_sample_conversation
from langgraph_memskill.controller.selectors import ControllerSelector
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.search.settings import DENSE
from langgraph_memskill.skills.bank import SkillBank


def memory(*turns: str) -> SimpleNamespace:
    return SimpleNamespace(sources=[SimpleNamespace(turn_ids=turns)])


@pytest.fixture(scope="module")
def conversation():
    return conversation_of(load_sample_conversation())


def test_a_step_earns_the_share_of_its_own_evidence() -> None:
    spans = [SimpleNamespace(turns=[SimpleNamespace(id=f"D{n}:1")]) for n in (1, 2, 3)]
    questions = [
        SimpleNamespace(evidence=("D1:1", "D2:1")),
        SimpleNamespace(evidence=("D1:1",)),
    ]
    found = [[memory("D1:1"), memory("D9:9")], [memory("D2:1")]]
    earned = step_rewards(SimpleNamespace(spans=spans, questions=questions), Played([], found))
    assert earned[:2].tolist() == [0.5, 0.0]
    assert np.isnan(earned[2])


def test_a_window_asks_only_what_it_can_answer(conversation) -> None:
    part = window(conversation, 1, Random(0))
    turns = {turn.id for span in part.spans for turn in span.turns}
    assert len({span.session for span in part.spans}) == 1
    assert part.questions
    assert all(turns.issuperset(question.evidence) for question in part.questions)


def test_differences_are_paired() -> None:
    first = Result(name="a", recall=[1.0, 0.5], f1=[0.0, 0.0])
    second = Result(name="b", recall=[0.5, 0.0], f1=[0.0, 0.0])
    assert differences([first, second])["b"] == (0.5, 0.5, 0.5)
    assert "recall of a less that of b: 0.500 [0.500, 0.500]" in table([first, second])


def test_training_finds_the_skill_that_stores(conversation, encoder) -> None:
    """Of a bank in which one skill stores and two do nothing, the trained controller picks it."""
    bank = SkillBank(skill for skill in SkillBank.seed() if skill.name != "update")
    setting = Setting(
        bank=bank, encoder=encoder, model=ExtractiveChatModel(encoder=encoder), search=DENSE
    )
    config = LearningConfig(
        updates=12, windows=1, plays=4, window_sessions=1, num_skills=1, reward_k=20
    )
    policy = train([conversation], setting, config, seed=0)
    selector = ControllerSelector(policy, encoder)
    trained = evaluate("trained", [selector], [conversation], setting, num_skills=1)
    seeds = evaluate("seeds", [FixedSelector(["insert"])], [conversation], setting, num_skills=1)
    assert np.mean(seeds.recall) > 0.5
    assert trained.recall == seeds.recall


def test_the_same_seed_gives_the_same_weights(conversation, encoder) -> None:
    setting = Setting(
        bank=SkillBank.seed(),
        encoder=encoder,
        model=ExtractiveChatModel(encoder=encoder),
        search=DENSE,
    )
    config = LearningConfig(updates=1, windows=1, plays=2, window_sessions=1)
    first, second = (train([conversation], setting, config, seed=7) for _ in range(2))
    for name, tensor in first.state_dict().items():
        assert np.array_equal(tensor.numpy(), second.state_dict()[name].numpy())


def test_a_conversation_is_scored_by_the_turns_of_its_memories(conversation, encoder) -> None:
    setting = Setting(
        bank=SkillBank.seed(),
        encoder=encoder,
        model=ExtractiveChatModel(encoder=encoder),
        search=DENSE,
    )
    nothing = play(conversation, FixedSelector(["noop"]), setting, k=20)
    assert recalls(conversation, nothing.found) == [0.0] * len(conversation.questions)
    assert len(nothing.choices) == len(conversation.spans)
