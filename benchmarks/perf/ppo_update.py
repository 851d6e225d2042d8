"""The PPO update beside two plain ones: time of each, and the ratios.

Run `python -m langgraph_memskill.benchmarks.perf.ppo_update`. Ours updates with all steps; then it
and the plain ones, which are slow, take turns on the first `--peer-steps` of them (0 leaves them
out) in one process, so that a busy machine slows all. They start from the same weights, rollouts
and order of steps; how far apart their policies are afterwards is printed. The plain ones are what
a first version looks like: every step's skills are encoded and concatenated with its state, one
step after the other, or for a whole minibatch at once. Each time is the shortest of the rounds.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from langgraph_memskill.controller.distribution import entropy, log_prob_of
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.batches import RolloutBatch
from langgraph_memskill.trainers.gradients import Evaluation
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer, ppo_loss
from langgraph_memskill.trainers.rollout import RolloutBuffer, RolloutStep, SkillOffer

_K = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is updated."""

    steps: int = 5000
    skills: int = 30
    epochs: int = 2
    steps_each: int = 25
    """Steps of one episode."""
    dims: int = 384
    rounds: int = 5
    """Updates with all steps."""
    peer_steps: int = 320
    """Steps that the plain updates get; 0 leaves them out."""
    peer_rounds: int = 2
    """Updates with those, on each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerResult:
    """Seconds of one update with some of the steps."""

    update_s: float
    """Ours."""
    by_step_s: float
    by_step_ratio: float
    """Step by step over ours."""
    padded_s: float
    padded_ratio: float
    """Minibatch by minibatch over ours."""
    largest_difference: float
    """Between probabilities of ours and another policy after the first update; the weights
    themselves hold some that no output depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Seconds of one update with all steps."""

    update_s: float
    update_cpu_s: float
    """Of all threads; on a busy machine the steadier number."""
    threads: int
    peers: PeerResult | None
    """None if they were left out."""


def make_rollouts(sizes: Sizes, policy: SkillPolicy) -> RolloutBuffer:
    """Make rollouts of a policy on random states, the same at every run."""
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(sizes.skills, sizes.dims)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    offer = SkillOffer(
        names=tuple(f"skill_{number:02}" for number in range(sizes.skills)),
        embeddings=embeddings,
        is_new=np.zeros(sizes.skills, dtype=np.bool_),
    )
    states = generator.normal(size=(sizes.steps, 2 * sizes.dims)).astype(np.float32)
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    with torch.inference_mode():
        logits, values = policy(torch.from_numpy(states), torch.from_numpy(embeddings))
    buffer = RolloutBuffer(policy.state_dim, policy.skill_dim)
    for start in range(0, sizes.steps, sizes.steps_each):
        rows = range(start, min(start + sizes.steps_each, sizes.steps))
        buffer.add([_step(offer, states[n], logits[n], values[n], generator) for n in rows])
    return buffer


def _step(
    offer: SkillOffer,
    state: NDArray[np.float32],
    logits: Tensor,
    value: Tensor,
    generator: np.random.Generator,
) -> RolloutStep:
    chosen = tuple(generator.permutation(len(offer.names))[:_K].tolist())
    return RolloutStep(
        state=state,
        offer=offer,
        chosen=chosen,
        log_prob=_log_prob(logits, chosen).item(),
        value=value.item(),
        reward=float(generator.normal()),
    )


def _log_prob(logits: Tensor, chosen: tuple[int, ...]) -> Tensor:
    left = logits.clone()
    total = torch.zeros(())
    for index in chosen:
        total = total + torch.log_softmax(left, dim=-1)[index]
        left = left.index_fill(0, torch.tensor([index]), -torch.inf)
    return total


class PlainUpdate:
    """PPO as a loop over steps."""

    def __init__(self, policy: SkillPolicy, config: PPOConfig) -> None:
        """Train `policy` in place."""
        self.policy = policy
        self.config = config
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)

    def update(self, steps: list[RolloutStep], batch: RolloutBatch, orders: list[Tensor]) -> None:
        """Make one pass an order."""
        for order in orders:
            for rows in torch.split(order, self.config.minibatch_size):
                losses = [self._loss(steps[n], batch, n) for n in rows.tolist()]
                self.optimizer.zero_grad()
                torch.autograd.backward(torch.stack(losses).mean())
                torch.nn.utils.clip_grad_norm_(
                    self.policy.parameters(), self.config.max_gradient_norm
                )
                self.optimizer.step()

    def _loss(self, step: RolloutStep, batch: RolloutBatch, row: int) -> Tensor:
        policy, config = self.policy, self.config
        hidden = policy.state_net(torch.from_numpy(step.state))
        skills = policy.op_net(torch.from_numpy(step.offer.embeddings))
        pairs = torch.cat([hidden.expand(len(skills), -1), skills], dim=-1)
        logits = policy.actor_head(pairs).squeeze(-1)
        value = policy.critic_head(hidden).squeeze(-1)
        ratio = torch.exp(_log_prob(logits, step.chosen) - step.log_prob)
        advantage = batch.advantages_B[row]
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy_loss = -torch.minimum(ratio * advantage, clipped * advantage)
        value_loss = 0.5 * (value - batch.returns_B[row]).square()
        log_p = torch.log_softmax(logits, dim=-1)
        bonus = config.entropy_coefficient * -(log_p.exp() * log_p).sum()
        total: Tensor = policy_loss + config.value_coefficient * value_loss - bonus
        return total


class PaddedUpdate(PlainUpdate):
    """PPO by minibatches in which every step brings its own copy of the skills."""

    def update(self, steps: list[RolloutStep], batch: RolloutBatch, orders: list[Tensor]) -> None:
        """Make one pass an order."""
        for order in orders:
            for rows in torch.split(order, self.config.minibatch_size):
                part = batch.rows(rows)
                loss = ppo_loss(self._evaluate(part), part, self.config)
                self.optimizer.zero_grad()
                torch.autograd.backward(loss.total)
                torch.nn.utils.clip_grad_norm_(
                    self.policy.parameters(), self.config.max_gradient_norm
                )
                self.optimizer.step()

    def _evaluate(self, part: RolloutBatch) -> Evaluation:
        hidden = self.policy.state_net(part.states_BS)
        own_skills = part.skills_MD.expand(len(hidden), -1, -1).contiguous()
        skills = self.policy.op_net(own_skills)
        pairs = torch.cat([hidden.unsqueeze(1).expand(-1, skills.shape[1], -1), skills], dim=-1)
        logits = self.policy.actor_head(pairs).squeeze(-1)
        values = self.policy.critic_head(hidden).squeeze(-1)
        return Evaluation(logits, log_prob_of(logits, part.draws), values, entropy(logits))


class _Recorder(PPOTrainer):
    """Keeps the orders of the steps, for the other side."""

    def __init__(self, policy: SkillPolicy, config: PPOConfig) -> None:
        super().__init__(policy, config)
        self.orders: list[Tensor] = []

    def epoch_order(self, num_steps: int) -> Tensor:
        order = super().epoch_order(num_steps)
        self.orders.append(order)
        return order


def run(sizes: Sizes) -> Result:
    """Update with all steps, then beside the plain updates.

    Args:
        sizes: How much.
    """
    config = PPOConfig(epochs=sizes.epochs, target_kl=0.0)
    trainer = PPOTrainer(_policy(sizes), config)
    buffer = make_rollouts(sizes, trainer.policy)
    times = [_time(partial(trainer.update, buffer)) for _ in range(sizes.rounds)]
    return Result(
        update_s=min(wall for wall, _ in times),
        update_cpu_s=min(cpu for _, cpu in times),
        threads=torch.get_num_threads(),
        peers=_run_peers(replace(sizes, steps=sizes.peer_steps), config)
        if sizes.peer_steps
        else None,
    )


def _run_peers(sizes: Sizes, config: PPOConfig) -> PeerResult:
    ours, by_step, padded = (_policy(sizes) for _ in range(3))
    buffer = make_rollouts(sizes, ours)
    steps = list(buffer)
    trainer = _Recorder(ours, config)
    peers = PlainUpdate(by_step, config), PaddedUpdate(padded, config)
    batch = trainer.batch_of(buffer)
    times: list[list[float]] = []
    difference = 0.0
    for number in range(sizes.peer_rounds):
        trainer.orders.clear()
        times.append([_time(partial(trainer.update, buffer))[0]])
        for peer in peers:
            times[-1].append(_time(partial(peer.update, steps, batch, trainer.orders))[0])
        if number == 0:
            difference = max(_difference(batch, ours, other) for other in (by_step, padded))
    update_s, by_step_s, padded_s = np.min(times, axis=0).tolist()
    return PeerResult(
        update_s=update_s,
        by_step_s=by_step_s,
        by_step_ratio=by_step_s / update_s,
        padded_s=padded_s,
        padded_ratio=padded_s / update_s,
        largest_difference=difference,
    )


def _policy(sizes: Sizes) -> SkillPolicy:
    return SkillPolicy(state_dim=2 * sizes.dims, skill_dim=sizes.dims)


def _time(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def _difference(batch: RolloutBatch, ours: SkillPolicy, plain: SkillPolicy) -> float:
    with torch.inference_mode():
        first, second = (
            torch.softmax(policy(batch.states_BS, batch.skills_MD).logits, dim=-1)
            for policy in (ours, plain)
        )
    return float((first - second).abs().max())


def main() -> None:
    """Measure as the command line says, and print lines or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for field, default in asdict(Sizes()).items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    sizes = Sizes(**options)
    result = run(sizes)
    if as_json:
        print(json.dumps(asdict(sizes) | asdict(result), indent=2))
        return
    print(
        f"{sizes.steps} steps x {sizes.skills} skills x {sizes.epochs} epochs on {result.threads} "
        f"threads: {result.update_s:.3f} s ({result.update_cpu_s:.3f} s of the processor)"
    )
    if (peers := result.peers) is not None:
        print(
            f"{sizes.peer_steps} of these steps: {peers.update_s:.3f} s, step by step "
            f"{peers.by_step_s:.2f} s (ratio {peers.by_step_ratio:.1f}), padded minibatches "
            f"{peers.padded_s:.2f} s (ratio {peers.padded_ratio:.1f}); largest difference of a "
            f"probability: {peers.largest_difference:.1e}"
        )


if __name__ == "__main__":
    main()
