"""A trained controller against chance, similarity and the seeds on LoCoMo conversations 6 and 7.

    python -m langgraph_memskill.benchmarks.learning.locomo DATA/locomo8.json

trains on conversations 0-5 with the extractive model (K = 3 of the seeds and the conversation pack)
and prints evidence recall@20 and F1 on 6 and 7, with 95% bootstrap intervals over questions.

Training differs from METHOD in what an episode earns, because whole conversations are dear and
their one reward says little about thirty choices: an episode is a window of some sessions, played
several times; a step earns the share of the evidence in its own span that its questions' memories
bring back, less the mean of that over the other plays of the window.
"""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer

logger = logging.getLogger(__name__)

SEEDS = ("insert", "update", "delete")
TEST_K = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningConfig:
    """How the controller is trained here."""

    updates: int = 30
    windows: int = 3
    """Windows an update."""
    plays: int = 4
    """Plays of a window, at least 2: each one's reward is compared with the others'."""
    window_sessions: int = 5
    num_skills: int = NUM_SKILLS
    """K, skills a span."""
    reward_k: int = 5
    """Memories recalled for a question in training; a window holds a fraction of a conversation."""
    ppo: PPOConfig = PPOConfig(
        learning_rate=3e-3,
        epochs=6,
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
    position = {
        turn.id: number for number, span in enumerate(conversation.spans) for turn in span.turns
    }
    found = np.zeros(len(conversation.spans))
    asked = np.zeros(len(conversation.spans))
    for question, memories in zip(conversation.questions, played.found, strict=True):
        turns = {
            turn for memory in memories for source in memory.sources for turn in source.turn_ids
        }
        for turn in question.evidence:
            asked[position[turn]] += 1
            found[position[turn]] += turn in turns
    shares: NDArray[np.float64] = np.full(len(found), np.nan)
    np.divide(found, asked, out=shares, where=asked > 0)
    return shares


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
            for played, row in zip(plays, _compared(earned_PL), strict=True):
                buffer.add(_steps(played, row.tolist(), offer))
        trainer.update(buffer)
        on_update(step, float(np.mean(rewards)))
    return policy.eval()


def _compared(earned_PL: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each play's rewards less the mean of the other plays; 0 where nothing can be earned."""
    plays = len(earned_PL)
    others = (earned_PL.sum(axis=0, keepdims=True) - earned_PL) / (plays - 1)
    compared: NDArray[np.float64] = np.nan_to_num(earned_PL - others)
    return compared


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
) -> list[Result]:
    """Train with every seed, and score all selectors.

    Args:
        data: A LoCoMo file.
        seeds: Of the training, and of chance.
        config: The numbers of the training.
        search: How memories are recalled; None takes the package's default.
        encoder: None takes the bundled MiniLM.
    """
    encoder = encoder or load_encoder(None)
    setting = Setting(
        bank=SkillBank.seed("conversation"),
        encoder=encoder,
        model=ExtractiveChatModel(encoder=encoder),
        search=search or SearchSettings(),
    )
    samples = split(load_locomo(data))
    training = [conversation_of(sample) for sample in samples.train]
    test = [conversation_of(sample) for sample in samples.val]
    trained = []
    for seed in seeds:
        policy = train(
            training,
            setting,
            config or LearningConfig(),
            seed=seed,
            on_update=lambda step, reward: logger.info("update %d: reward %.3f", step, reward),
        )
        trained.append(ControllerSelector(policy, encoder))
    contenders: dict[str, Sequence[Selector]] = {
        "trained controller": trained,
        "random": [RandomSelector(seed) for seed in seeds],
        "similarity": [SimilaritySelector(encoder)],
        "always the seeds": [FixedSelector(SEEDS)],
    }
    return [evaluate(name, chosen, test, setting) for name, chosen in contenders.items()]


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
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    results = run(
        options.data,
        seeds=range(options.seeds),
        config=LearningConfig(updates=options.updates),
        search=DENSE if options.dense else None,
    )
    print(json.dumps([asdict(result) for result in results]) if options.json else table(results))


if __name__ == "__main__":
    main()
