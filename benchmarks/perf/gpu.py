"""Texts a second of the encoder and seconds of a PPO update: the GPU beside the CPU, in one run.

`python -m langgraph_memskill.benchmarks.perf.gpu` prints a Markdown table. Both take turns, the
best of the rounds counts, and the GPU's vectors are compared with the CPU's. Without a CUDA device
it says so and measures the CPU alone.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.benchmarks.perf.ppo_update import Sizes, make_rollouts
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.embedding import SentenceEncoder
from langgraph_memskill.sentence_models import bundled_folder, model_name
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer

_WORDS = [
    "the",
    "ferry",
    "left",
    "at",
    "ten",
    "and",
    "Clara",
    "told",
    "Ben",
    "about",
    "her",
    "new",
    "work",
    "as",
    "a",
    "nurse",
    "in",
    "Porto",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSide:
    """One way to run the encoder."""

    name: str
    device: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpeed:
    """How fast an encoder is somewhere."""

    side: EncoderSide
    texts_s: float
    """Texts a second in the best round."""
    batch_size: int
    """Texts a call that were found to fit."""
    similarity: float
    """Least cosine similarity of a vector with that of the first side."""


def make_texts(number: int) -> list[str]:
    """Distinct texts of 8 to 160 words, in a mixed order, the same at every run."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(8, 160, size=number)
    return [
        f"{index}: {' '.join(generator.choice(_WORDS, size=length))}"
        for index, length in enumerate(lengths)
    ]


def measure_encoder(
    model: Path, sides: Sequence[EncoderSide], texts: list[str], rounds: int
) -> list[EncoderSpeed]:
    """Encode all texts on each side, in turns.

    Args:
        model: Folder of a sentence-transformers model.
        sides: Where; the first is what the others' vectors are compared with.
        texts: Distinct ones.
        rounds: How often.
    """
    encoders = [
        SentenceEncoder(model, device=side.device, dtype=side.dtype, cache_size=0) for side in sides
    ]
    rows = [encoder.encode(texts) for encoder in encoders]  # loads, and finds the batch size
    seconds = _turns([partial(encoder.encode, texts) for encoder in encoders], rounds)
    return [
        EncoderSpeed(
            side=side,
            texts_s=len(texts) / took,
            batch_size=encoder.batch_size,
            similarity=_least_similarity(rows[0], found),
        )
        for side, encoder, found, took in zip(sides, encoders, rows, seconds, strict=True)
    ]


def measure_updates(devices: Sequence[str], steps: int, rounds: int) -> list[float]:
    """Seconds of a PPO update on each device, in the best of the rounds.

    Args:
        devices: "cpu", "cuda" ...
        steps: Steps of the rollouts; 30 skills, 384 dimensions, METHOD's epochs.
        rounds: How often, in turns.
    """
    calls: list[Callable[[], object]] = []
    for device in devices:
        sizes = Sizes(steps=steps)
        policy = SkillPolicy(state_dim=2 * sizes.dims, skill_dim=sizes.dims)
        buffer = make_rollouts(sizes, policy)
        trainer = PPOTrainer(policy, PPOConfig(target_kl=0.0), device=device)
        trainer.update(buffer)
        calls.append(partial(trainer.update, buffer))
    return _turns(calls, rounds)


def _turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of the fastest of each; their results are on the CPU, so that a GPU is waited for."""
    seconds = [[_seconds(call) for call in calls] for _ in range(rounds)]
    return [float(fastest) for fastest in np.min(seconds, axis=0)]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _least_similarity(exact: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    return float((exact * found).sum(axis=1).min())


def _print(encoders: Sequence[EncoderSpeed], updates: Sequence[float], steps: int) -> None:
    slow = encoders[0]
    print("| | texts/s | ratio | texts a call | least similarity to the CPU's |")
    print("|---|---|---|---|---|")
    for speed in encoders:
        print(
            f"| {speed.side.name}, {speed.side.dtype} | {speed.texts_s:.0f} | "
            f"{speed.texts_s / slow.texts_s:.1f} | {speed.batch_size} | {speed.similarity:.5f} |"
        )
    print(f"\n| PPO update, {steps} steps | seconds | ratio |\n|---|---|---|")
    names = list(dict.fromkeys(speed.side.name for speed in encoders))
    for name, seconds in zip(names, updates, strict=True):
        print(f"| {name} | {seconds:.3f} | {updates[0] / seconds:.1f} |")


def main() -> None:
    """Read the options, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, help="folder of a sentence-transformers model")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=5000, help="of the PPO update's rollouts")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    cpu = f"CPU, {torch.get_num_threads()} threads"
    sides = [EncoderSide(name=cpu, device="cpu", dtype="float32")]
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_name(0)
        sides += [
            EncoderSide(name=gpu, device="cuda", dtype=dtype) for dtype in ("float32", "bfloat16")
        ]
    else:
        print(f"no CUDA device here (torch {torch.__version__}): the CPU alone is measured\n")
    model = chosen.encoder or bundled_folder()
    print(f"torch {torch.__version__}, encoder {model_name(model, model)}\n")
    encoders = measure_encoder(model, sides, make_texts(chosen.texts), chosen.rounds)
    devices = list(dict.fromkeys(side.device for side in sides))
    updates = measure_updates(devices, chosen.steps, chosen.rounds)
    _print(encoders, updates, chosen.steps)


if __name__ == "__main__":
    main()
