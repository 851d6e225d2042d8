"""The controller's network (MemSkill, METHOD step 3)."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from langgraph_memskill.errors import CheckpointError, ConfigError

# Shapes: B states, N candidate skills, M distinct skills, S state width (2 D), D embedding width,
# H hidden width.


class PolicyOutput(NamedTuple):
    """What the network says about a batch of states."""

    logits: Tensor
    """float32 [B, N]; -inf where a candidate is padding."""
    values: Tensor
    """Estimated returns, float32 [B]."""


class SkillPolicy(nn.Module):
    """Scores any number of skills for a state, and values the state.

    Tensor names are the paper's: `state_net`, `op_net`, `actor_head` and `critic_head`, each with
    the layers 0 and 2. Nothing in the weights depends on the number of skills.
    """

    def __init__(
        self, *, state_dim: int, skill_dim: int, hidden_dim: int = 256, seed: int = 0
    ) -> None:
        """Make a network with fresh weights.

        Args:
            state_dim: S, twice the encoder's width.
            skill_dim: D, the encoder's width.
            hidden_dim: H.
            seed: Equal seeds give equal weights; torch's global generator is left alone.

        Raises:
            ConfigError: If a width is below 1.
        """
        super().__init__()
        if min(state_dim, skill_dim, hidden_dim) < 1:
            raise ConfigError(
                f"state_dim={state_dim!r}, skill_dim={skill_dim!r} and hidden_dim={hidden_dim!r} "
                "must be at least 1"
            )
        self.state_dim = state_dim
        self.skill_dim = skill_dim
        self.hidden_dim = hidden_dim
        generator = torch.Generator().manual_seed(seed)

        def linear(width_in: int, width_out: int) -> nn.Linear:
            return _linear(width_in, width_out, generator)

        self.state_net = nn.Sequential(
            linear(state_dim, hidden_dim), nn.ReLU(), linear(hidden_dim, hidden_dim), nn.ReLU()
        )
        self.op_net = nn.Sequential(
            linear(skill_dim, hidden_dim), nn.ReLU(), linear(hidden_dim, hidden_dim), nn.ReLU()
        )
        self.actor_head = nn.Sequential(
            linear(2 * hidden_dim, hidden_dim), nn.ReLU(), linear(hidden_dim, 1)
        )
        self.critic_head = nn.Sequential(
            linear(hidden_dim, hidden_dim), nn.ReLU(), linear(hidden_dim, 1)
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "SkillPolicy":
        """Make a network from its weights; the widths are read off the shapes.

        Args:
            tensors: The state dict: exactly the paper's sixteen tensors, of floating-point numbers.

        Returns:
            The network, float32 on the CPU.

        Raises:
            CheckpointError: If a tensor is missing, unknown, of a wrong shape, or not finite.
        """
        hidden_dim, state_dim = _matrix_shape(tensors, "state_net.0.weight")
        _, skill_dim = _matrix_shape(tensors, "op_net.0.weight")
        policy = cls(state_dim=state_dim, skill_dim=skill_dim, hidden_dim=hidden_dim)
        own = policy.state_dict()
        if unknown := sorted(tensors.keys() - own.keys()):
            raise CheckpointError(f"the controller has unknown tensors: {', '.join(unknown)}")
        for name, expected in own.items():
            if name not in tensors:
                raise CheckpointError(f"the controller's tensor {name!r} is missing")
            _check_tensor(name, tensors[name], expected.shape)
        policy.load_state_dict(dict(tensors))
        return policy

    def forward(
        self,
        states_BS: Tensor,
        skills: Tensor,
        is_skill_BN: Tensor | None = None,
        candidates_BN: Tensor | None = None,
    ) -> PolicyOutput:
        """Score skills for a batch of states.

        Args:
            states_BS: float32 [B, S].
            skills: float32 [N, D] if all states share their candidates (each skill is then encoded
                once), or [B, N, D], padded; with `candidates_BN` the distinct skills, [M, D].
            is_skill_BN: bool or 0/1 numbers, [B, N], where a candidate is real; None if all are.
            candidates_BN: int64 [B, N], the row in `skills` of every candidate, so that skills that
                several states have in common are encoded once; padding may point to any row.

        Returns:
            Logits and values.
        """
        hidden_BH = self.state_net(states_BS)
        skills_H = self.op_net(skills)
        # The first layer sees [state ; skill] and is linear, so each half is multiplied once for
        # its own rows and only the sums are formed for every pair.
        weight = self.actor_head.get_parameter("0.weight")
        bias = self.actor_head.get_parameter("0.bias")
        state_half, skill_half = weight[:, : self.hidden_dim], weight[:, self.hidden_dim :]
        from_states_B1H = nn.functional.linear(hidden_BH, state_half, bias).unsqueeze(1)
        from_skills = nn.functional.linear(skills_H, skill_half)
        if candidates_BN is not None:
            from_skills = nn.functional.embedding(candidates_BN, from_skills)
        pairs_BNH = from_states_B1H + from_skills
        logits_BN = self.actor_head[1:](pairs_BNH).squeeze(-1)
        if is_skill_BN is not None:
            logits_BN = logits_BN.masked_fill(~is_skill_BN.bool(), -math.inf)
        return PolicyOutput(logits_BN, self.critic_head(hidden_BH).squeeze(-1))


def _linear(width_in: int, width_out: int, generator: torch.Generator) -> nn.Linear:
    """A layer with PyTorch's default start, drawn from the given generator."""
    layer = nn.Linear(width_in, width_out, device="meta")
    bound = 1 / math.sqrt(width_in)
    # Not by `to_empty`, for which PyTorch imports SymPy: that takes seconds.
    for name, shape in (("weight", (width_out, width_in)), ("bias", (width_out,))):
        drawn = torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=generator)
        setattr(layer, name, nn.Parameter(drawn))
    return layer


def _matrix_shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name not in tensors:
        raise CheckpointError(f"the controller's tensor {name!r} is missing")
    shape = tensors[name].shape
    if len(shape) != 2 or 0 in shape:
        raise CheckpointError(f"the controller's tensor {name!r} has shape {tuple(shape)}")
    return shape[0], shape[1]


def _check_tensor(name: str, tensor: Tensor, shape: torch.Size) -> None:
    if tensor.shape != shape:
        raise CheckpointError(
            f"the controller's tensor {name!r} has shape {tuple(tensor.shape)}, not {tuple(shape)}"
        )
    if not tensor.is_floating_point():
        raise CheckpointError(f"the controller's tensor {name!r} holds {tensor.dtype}, not floats")
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"the controller's tensor {name!r} holds numbers that are not finite")
