"""A trained controller against chance, similarity and the seeds on LoCoMo conversations 6 and 7.

    python -m langgraph_memskill.benchmarks.learning.locomo DATA/locomo8.json

trains on conversations 0-5 with the extractive model (K = 3 of the seeds and the conversation pack)
and prints evidence recall@20 and F1 on 6 and 7, with 95% bootstrap intervals over questions.

A span is a whole session, of which each picked skill takes four notes: so a choice of skills is a
choice of sentences (without that limit any choice with `insert` keeps 97% of the evidence, and
there is next to nothing to learn). `headroom.py` measures what there is to win, on the training
conversations.

Training differs from METHOD in what an episode earns, because whole conversations are dear and
their one reward says little about thirty choices: an episode is a window of some sessions, played
several times; a step earns the share of the evidence in its own span that its questions' memories
bring back, less the mean of that over the other plays of the window (`trainers.credit`; the same as
`memskill train` with credit=span and baseline=plays). `--method` adds a row with METHOD's reward
and numbers on as many episodes.
"""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.benchmarks.intervals import Interval, mean_interval
from langgraph_memskill.benchmarks.learning.locomo_episodes import (
    NUM_SKILLS,
    Conversation,
    FixedSelector,
    MostSimilar,
    Played,
    Setting,
    conversation_of,
    f1_scores,
    play,
    recalls,
    window,
)
from langgraph_memskill.benchmarks.locomo import load_locomo, split
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.selectors import (
    ControllerSelector,
    RandomSelector,
    Selector,
    SimilaritySelector,
)
from langgraph_memskill.embedding import TextEncoder, load_encoder
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.search.settings import DENSE, SearchSettings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.credit import less_other_plays, recalled_turns, span_shares
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer
from langgraph_memskill.trainers.returns import redistribute
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer

logger = logging.getLogger(__name__)

SEEDS = ("insert", "update", "delete")
TEST_K = 20
NOTES_PER_SKILL = 4
"""Chosen by the headroom on the training conversations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningConfig:
    """How the controller is trained here."""

    updates: int = 16
    windows: int = 3
    """Windows an update."""
    plays: int = 4
    """Plays of a window, at least 2: each one's reward is compared with the others'."""
    window_sessions: int = 5
    num_skills: int = NUM_SKILLS
    """K, skills a span."""
    reward_k: int = 10
    """Memories recalled for a question in training; a window holds a fraction of a conversation."""
    method: bool = False
    """Whether METHOD's final reward, shared out over the steps, takes the place of credit by span;
    its process reward is left out of both."""
    ppo: PPOConfig = PPOConfig(
        learning_rate=1e-3,
        epochs=10,
        minibatch_size=64,
        discount=0.0,
        gae_lambda=0.0,
        entropy_coefficient=0.02,
        target_kl=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One selector on the test conversations."""

    name: str
    recall: list[float]
    """Evidence recall@20, one a question, the mean over seeds."""
    f1: list[float]


def step_rewards(conversation: Conversation, played: Played) -> NDArray[np.float64]:
    """What each span earns: the share of its evidence that its questions' memories bring back.

    Returns:
        float64 [spans], NaN for a span that holds no evidence.
    """
    pairs = zip(conversation.questions, played.found, strict=True)
    return span_shares(
        conversation.spans, [(q.evidence, recalled_turns(found)) for q, found in pairs]
    )


def train(
    conversations: Sequence[Conversation],
    setting: Setting,
    config: LearningConfig,
    *,
    seed: int,
    on_update: Callable[[int, float], None] = lambda step, reward: None,
) -> SkillPolicy:
    """Train a controller.

    Args:
        conversations: What to train on.
        setting: Bank, encoder, model and search.
        config: The numbers.
        seed: Of everything that is drawn.
        on_update: Called with each update's number and mean reward.
    """
    encoder = setting.encoder
    policy = SkillPolicy(state_dim=2 * encoder.dim, skill_dim=encoder.dim, seed=seed)
    trainer = PPOTrainer(policy, config.ppo, seed=seed)
    skills = setting.bank.candidates()
    offer = SkillOffer(
        names=tuple(skill.name for skill in skills),
        embeddings=encoder.encode([skill.description for skill in skills]),
        is_new=np.zeros(len(skills), dtype=np.bool_),
        version=setting.bank.version,
    )
    generator = Random(seed)
    for step in range(config.updates):
        buffer = trainer.new_buffer()
        rewards = []
        for conversation in generator.choices(conversations, k=config.windows):
            part = window(conversation, config.window_sessions, generator)
            policy.eval()
            plays = []
            for _ in range(config.plays):
                selector = ControllerSelector(
                    policy, encoder, sample=True, seed=generator.randrange(2**31)
                )
                plays.append(
                    play(
                        part,
                        selector,
                        setting,
                        k=config.reward_k,
                        num_skills=config.num_skills,
                    )
                )
            earned_PL = np.stack([step_rewards(part, played) for played in plays])
            rewards.append(float(np.nanmean(earned_PL)))
            rewards_PL = _rewards(part, plays, earned_PL, method=config.method)
            for played, row in zip(plays, rewards_PL, strict=True):
                buffer.add(_steps(played, row.tolist(), offer))
        trainer.update(buffer)
        on_update(step, float(np.mean(rewards)))
    return policy.eval()


def _rewards(
    part: Conversation, plays: Sequence[Played], earned_PL: NDArray[np.float64], *, method: bool
) -> NDArray[np.float64]:
    """What the steps of all plays are rewarded with, [P, L]."""
    if not method:
        return less_other_plays(earned_PL)
    finals = [float(np.mean(recalls(part, played.found))) for played in plays]
    return np.stack([redistribute(final, len(part.spans)) for final in finals])


def _steps(played: Played, rewards: Sequence[float], offer: SkillOffer) -> list[RolloutStep]:
    return [
        RolloutStep(
            state=choice.state,
            offer=offer,
            chosen=tuple(offer.names.index(name) for name in choice.selection.skills),
            log_prob=choice.selection.log_prob,
            value=choice.selection.value or 0.0,
            reward=reward,
        )
        for choice, reward in zip(played.choices, rewards, strict=True)
    ]


def evaluate(
    name: str,
    selectors: Sequence[Selector],
    conversations: Sequence[Conversation],
    setting: Setting,
    *,
    num_skills: int = NUM_SKILLS,
) -> Result:
    """Score selectors of one kind on whole conversations; each question gets their mean."""
    rows = []
    for selector in selectors:
        recall: list[float] = []
        f1: list[float] = []
        for conversation in conversations:
            found = play(conversation, selector, setting, k=TEST_K, num_skills=num_skills).found
            recall += recalls(conversation, found)
            f1 += f1_scores(conversation, found, setting.model)
        rows.append((recall, f1))
        logger.info("%s: recall %.3f, F1 %.3f", name, np.mean(recall), np.mean(f1))
    return Result(
        name=name,
        recall=np.mean([row[0] for row in rows], axis=0).tolist(),
        f1=np.mean([row[1] for row in rows], axis=0).tolist(),
    )


def run(
    data: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    config: LearningConfig | None = None,
    search: SearchSettings | None = None,
    encoder: TextEncoder | None = None,
    method: bool = False,
) -> list[Result]:
    """Train with every seed, and score all selectors.

    Args:
        data: A LoCoMo file.
        seeds: Of the training, and of chance.
        config: The numbers of the training.
        search: How memories are recalled; None takes the package's default.
        encoder: None takes the bundled MiniLM.
        method: Whether to train with METHOD's reward and numbers too, as the last result.
    """
    encoder = encoder or load_encoder(None)
    setting = Setting(
        bank=SkillBank.seed("conversation"),
        encoder=encoder,
        model=ExtractiveChatModel(encoder=encoder, notes_per_skill=NOTES_PER_SKILL),
        search=search or SearchSettings(),
    )
    samples = split(load_locomo(data))
    training = [conversation_of(sample) for sample in samples.train]
    test = [conversation_of(sample) for sample in samples.val]
    config = config or LearningConfig()

    def learnt(chosen: LearningConfig) -> list[Selector]:
        policies = [_trained(training, setting, chosen, seed) for seed in seeds]
        return [ControllerSelector(policy, encoder) for policy in policies]

    contenders: dict[str, Sequence[Selector]] = {
        "trained controller": learnt(config),
        "random": [RandomSelector(seed) for seed in seeds],
        "similarity": [SimilaritySelector(encoder)],
        "similarity, no seeds": [MostSimilar(encoder)],
        "always the seeds": [FixedSelector(SEEDS)],
    }
    results = [evaluate(name, chosen, test, setting) for name, chosen in contenders.items()]
    if method:
        logger.info("\n%s", table(results))
        chosen = learnt(replace(config, method=True, ppo=PPOConfig()))
        results.append(evaluate("METHOD's numbers", chosen, test, setting))
    return results


def _trained(
    training: Sequence[Conversation], setting: Setting, config: LearningConfig, seed: int
) -> SkillPolicy:
    def on_update(step: int, reward: float) -> None:
        logger.info("seed %d, update %d: reward %.3f", seed, step, reward)

    return train(training, setting, config, seed=seed, on_update=on_update)


def differences(results: Sequence[Result]) -> dict[str, Interval]:
    """Recall of the first result less that of each other, question by question."""
    first, *others = results
    return {
        other.name: mean_interval(np.subtract(first.recall, other.recall).tolist())
        for other in others
    }


def table(results: Sequence[Result]) -> str:
    """The results for people."""
    lines = [f"{'':20} {'evidence recall@20':24} F1"]
    lines += [f"{r.name:20} {mean_interval(r.recall)!s:24} {mean_interval(r.f1)}" for r in results]
    lines += [
        f"recall of {results[0].name} less that of {name}: {interval}"
        for name, interval in differences(results).items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=LearningConfig().updates)
    parser.add_argument("--dense", action="store_true", help="recall as METHOD has it")
    parser.add_argument("--method", action="store_true", help="a row with METHOD's numbers too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    results = run(
        options.data,
        seeds=range(options.seeds),
        config=LearningConfig(updates=options.updates),
        search=DENSE if options.dense else None,
        method=options.method,
    )
    print(json.dumps([asdict(result) for result in results]) if options.json else table(results))


if __name__ == "__main__":
    main()
