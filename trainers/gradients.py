"""The controller's forward and backward pass written out, faster than autograd would do them.

The network is small and a minibatch has 32 states, so that bookkeeping and fresh memory cost as
much as the arithmetic. Here every parameter's gradient is a part of one flat vector and the largest
tensors, one row for every pair of a state and a skill, are used again for every minibatch. The
tests compare the gradients with autograd's.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from langgraph_memskill.controller.distribution import log_prob_of_draws, log_probs_left
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.batches import RolloutBatch

# Shapes: B states, N candidate skills of a state, M distinct skills, K chosen skills, S state
# width, D embedding width, H hidden width.


class Evaluation(NamedTuple):
    """What a policy says about choices that were made before."""

    logits_BN: Tensor
    """With the exploration bonus that was in force."""
    log_probs_B: Tensor
    values_B: Tensor
    entropy_B: Tensor
    """Of one draw, whatever K is (QUIRK 4, kept)."""


class EvaluationGradient(NamedTuple):
    """A loss's derivatives by what a policy says."""

    log_probs_B: Tensor
    values_B: Tensor
    entropy_B: Tensor


class PolicyGradient:
    """Evaluates a policy and fills its parameters' `grad`; both without autograd."""

    def __init__(self, policy: SkillPolicy) -> None:
        """Give every parameter a part of one gradient vector.

        Args:
            policy: On its device already: its tensors may change but not be replaced.
        """
        parameters = dict(policy.named_parameters())
        sizes = [parameter.numel() for parameter in parameters.values()]
        self.flat = next(policy.parameters()).new_zeros(sum(sizes))
        parts = torch.split(self.flat, sizes)
        self._gradients = {
            name: part.view_as(parameter)
            for (name, parameter), part in zip(parameters.items(), parts, strict=True)
        }
        for name, parameter in parameters.items():
            parameter.grad = self._gradients[name]
        self._weights = {name: parameter.detach() for name, parameter in parameters.items()}
        self._hidden_dim = policy.hidden_dim
        self._room = self.flat.new_empty(2, 0)

    @torch.no_grad()
    def forward(self, batch: RolloutBatch) -> Evaluation:
        """Evaluate a minibatch's choices and remember what `backward` needs.

        Args:
            batch: At least one step.
        """
        self._states, self._skills, self._draws = batch.states_BS, batch.skills_MD, batch.draws
        self._candidates = batch.candidates_BN
        self._state_mid, self._state_out = self._encode("state_net", self._states)
        self._skill_mid, self._skill_out = self._encode("op_net", self._skills)
        values_B1 = self._critic()
        logits_BN = batch.biased(self._logits(batch.is_skill_BN))
        self._log_p = torch.log_softmax(logits_BN, dim=-1)
        self._p = self._log_p.exp()
        # 0 * -inf is NaN.
        self._log_p = self._log_p.masked_fill_(self._p == 0, 0)
        self._entropy_B1 = -(self._p * self._log_p).sum(dim=-1, keepdim=True)
        self._log_left_BKN = log_probs_left(logits_BN, self._draws)
        log_probs_B = log_prob_of_draws(self._log_left_BKN, self._draws)
        return Evaluation(
            logits_BN, log_probs_B, values_B1.squeeze(-1), self._entropy_B1.squeeze(-1)
        )

    @torch.no_grad()
    def backward(self, gradient: EvaluationGradient) -> None:
        """Write the parameters' gradients for the minibatch that was evaluated last.

        Args:
            gradient: The loss's derivatives by the evaluation.
        """
        d_logits_BN = self._through_draws(gradient)
        d_pairs_states_BH, d_pairs_skills_MH = self._through_actor(d_logits_BN)
        d_critic_BH = self._through_critic(gradient.values_B)
        weight = self._weights["actor_head.0.weight"]
        state_half, skill_half = weight[:, : self._hidden_dim], weight[:, self._hidden_dim :]
        d_states_BH = torch.mm(d_pairs_states_BH, state_half)
        d_states_BH.addmm_(d_critic_BH, self._weights["critic_head.0.weight"])
        d_skills_MH = torch.mm(d_pairs_skills_MH, skill_half)
        self._through_encoder(
            "state_net", d_states_BH, self._state_out, self._state_mid, self._states
        )
        self._through_encoder("op_net", d_skills_MH, self._skill_out, self._skill_mid, self._skills)

    @torch.no_grad()
    def clip(self, largest: float) -> Tensor:
        """Scale the whole gradient down to a length.

        Args:
            largest: The length, > 0.

        Returns:
            The length before, a scalar.
        """
        norm = self.flat.dot(self.flat).sqrt()
        self.flat.mul_((largest / (norm + 1e-6)).clamp(max=1))
        return norm

    def _layer(self, name: str, rows: Tensor) -> Tensor:
        return linear(rows, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _encode(self, name: str, rows: Tensor) -> tuple[Tensor, Tensor]:
        middle = self._layer(f"{name}.0", rows).relu_()
        return middle, self._layer(f"{name}.2", middle).relu_()

    def _critic(self) -> Tensor:
        self._critic_mid = self._layer("critic_head.0", self._state_out).relu_()
        return self._layer("critic_head.2", self._critic_mid)

    def _logits(self, is_skill_BN: Tensor | None) -> Tensor:
        """As `SkillPolicy.forward`: each half of the actor's first layer has its own rows."""
        width = self._hidden_dim
        weight = self._weights["actor_head.0.weight"]
        bias = self._weights["actor_head.0.bias"]
        from_states_B1H = linear(self._state_out, weight[:, :width], bias).unsqueeze(1)
        from_skills_MH = linear(self._skill_out, weight[:, width:])
        candidates = self._candidates
        num_candidates = len(from_skills_MH) if candidates is None else candidates.shape[1]
        shape = (len(from_states_B1H), num_candidates, width)
        if self._room.shape[1] < math.prod(shape):
            self._room = self.flat.new_empty(2, math.prod(shape))
        self._pairs_BNH, self._d_pairs_BNH = self._room[:, : math.prod(shape)].view(2, *shape)
        if candidates is None:
            torch.add(from_states_B1H, from_skills_MH, out=self._pairs_BNH)
        else:
            rows = self._pairs_BNH.view(-1, width)
            torch.index_select(from_skills_MH, 0, candidates.flatten(), out=rows)
            self._pairs_BNH.add_(from_states_B1H)
        self._pairs_BNH.relu_()
        logits_BN = self._layer("actor_head.2", self._pairs_BNH.view(-1, width)).view(shape[:2])
        return logits_BN if is_skill_BN is None else logits_BN.masked_fill(~is_skill_BN, -math.inf)

    def _through_draws(self, gradient: EvaluationGradient) -> Tensor:
        """The derivative of log p(a_1) + log p(a_2 | a_1) + ... and of the entropy."""
        draws, log_p, p = self._draws, self._log_p, self._p
        is_drawn = draws.is_drawn.to(p.dtype)
        # d log p(a | left) / d logits = [a] - p(. | left)
        expected_BN = (self._log_left_BKN.exp_() * is_drawn.unsqueeze(-1)).sum(dim=1)
        d_logits_BN = expected_BN.neg_().scatter_add_(1, draws.indices, is_drawn)
        d_logits_BN.mul_(gradient.log_probs_B.unsqueeze(-1))
        # d entropy / d logits = -p (log p + entropy)
        slope_BN = p * (log_p + self._entropy_B1)
        return d_logits_BN.sub_(slope_BN.mul_(gradient.entropy_B.unsqueeze(-1)))

    def _through_actor(self, d_logits_BN: Tensor) -> tuple[Tensor, Tensor]:
        """The derivatives by the two halves' sums, [B, H] and [M, H]."""
        width = self._hidden_dim
        self._write("actor_head.2", d_logits_BN.reshape(-1, 1), self._pairs_BNH.view(-1, width))
        # The last layer's weights are the same for all pairs: they come after the sums.
        last_H = self._weights["actor_head.2.weight"][0]
        wide = d_logits_BN.unsqueeze(-1).expand_as(self._pairs_BNH)
        torch.ops.aten.threshold_backward.grad_input(
            wide, self._pairs_BNH, 0, grad_input=self._d_pairs_BNH
        )
        d_states_BH = self._d_pairs_BNH.sum(dim=1).mul_(last_H)
        if self._candidates is None:
            d_skills_MH = self._d_pairs_BNH.sum(dim=0)
        else:
            d_skills_MH = torch.zeros_like(self._skill_out)
            rows = self._d_pairs_BNH.view(-1, width)
            d_skills_MH.index_add_(0, self._candidates.flatten(), rows)
        d_skills_MH.mul_(last_H)
        weight = self._gradients["actor_head.0.weight"]
        torch.mm(d_states_BH.t(), self._state_out, out=weight[:, :width])
        torch.mm(d_skills_MH.t(), self._skill_out, out=weight[:, width:])
        torch.sum(d_states_BH, dim=0, out=self._gradients["actor_head.0.bias"])
        return d_states_BH, d_skills_MH

    def _through_critic(self, d_values_B: Tensor) -> Tensor:
        d_values_B1 = d_values_B.unsqueeze(-1)
        self._write("critic_head.2", d_values_B1, self._critic_mid)
        d_mid_BH = torch.mm(d_values_B1, self._weights["critic_head.2.weight"])
        d_mid_BH = _through_relu(d_mid_BH, self._critic_mid)
        self._write("critic_head.0", d_mid_BH, self._state_out)
        return d_mid_BH

    def _through_encoder(
        self, name: str, d_out: Tensor, out: Tensor, middle: Tensor, rows: Tensor
    ) -> None:
        d_out = _through_relu(d_out, out)
        self._write(f"{name}.2", d_out, middle)
        d_middle = torch.mm(d_out, self._weights[f"{name}.2.weight"])
        self._write(f"{name}.0", _through_relu(d_middle, middle), rows)

    def _write(self, name: str, d_out: Tensor, rows: Tensor) -> None:
        """The gradient of a layer that saw `rows`."""
        torch.mm(d_out.t(), rows, out=self._gradients[f"{name}.weight"])
        torch.sum(d_out, dim=0, out=self._gradients[f"{name}.bias"])


def _through_relu(gradient: Tensor, output: Tensor) -> Tensor:
    found: Tensor = torch.ops.aten.threshold_backward(gradient, output, 0)
    return found
