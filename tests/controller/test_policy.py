import pytest
import torch

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import CheckpointError, ConfigError

TENSOR_NAMES = {
    f"{part}.{layer}.{kind}"
    for part in ("state_net", "op_net", "actor_head", "critic_head")
    for layer in (0, 2)
    for kind in ("weight", "bias")
}


@pytest.fixture
def policy():
    return SkillPolicy(state_dim=10, skill_dim=5, hidden_dim=7, seed=3)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_tensors_have_the_papers_names_and_shapes():
    state = SkillPolicy(state_dim=768, skill_dim=384).state_dict()
    assert set(state) == TENSOR_NAMES
    assert state["actor_head.0.weight"].shape == (256, 512)
    assert state["op_net.0.weight"].shape == (256, 384)
    assert state["critic_head.2.bias"].shape == (1,)


def test_logits_are_those_of_the_concatenated_pair(policy):
    states, skills = noise(3, 10), noise(4, 5, seed=1)
    output = policy(states, skills)
    for row, state in enumerate(states):
        hidden = policy.state_net(state)
        for column, skill in enumerate(skills):
            pair = torch.cat([hidden, policy.op_net(skill)])
            expected = policy.actor_head(pair).item()
            assert output.logits[row, column].item() == pytest.approx(expected, abs=1e-6)
        expected = policy.critic_head(hidden).item()
        assert output.values[row].item() == pytest.approx(expected, abs=1e-6)


def test_a_padded_batch_scores_like_single_states(policy):
    states, skills = noise(2, 10), noise(2, 4, 5, seed=1)
    is_skill = torch.tensor([[True, True, True, True], [True, True, False, False]])
    output = policy(states, skills, is_skill)
    alone = [policy(states[i : i + 1], skills[i, : is_skill[i].sum()]) for i in range(2)]
    torch.testing.assert_close(output.logits[0], alone[0].logits[0])
    torch.testing.assert_close(output.logits[1, :2], alone[1].logits[0])
    assert torch.isneginf(output.logits[1, 2:]).all()
    torch.testing.assert_close(output.values, torch.cat([a.values for a in alone]))


def test_every_parameter_learns(policy):
    output = policy(noise(3, 10), noise(4, 5, seed=1))
    (output.logits[:, 0].sum() + output.values.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in policy.parameters())


def test_fresh_weights_depend_on_the_seed_alone():
    before = torch.get_rng_state()
    first, second, other = (
        SkillPolicy(state_dim=4, skill_dim=2, hidden_dim=3, seed=s).state_dict() for s in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["op_net.0.weight"], other["op_net.0.weight"])
    # PyTorch's default start: uniform within 1 / sqrt(inputs), so no layer starts out dead.
    assert first["state_net.0.weight"].abs().max() <= 0.5


def test_weights_are_on_the_cpu_whatever_the_default_device():
    with torch.device("meta"):
        made = SkillPolicy(state_dim=10, skill_dim=5, hidden_dim=7, seed=3)
    assert {tensor.device.type for tensor in made.state_dict().values()} == {"cpu"}


def test_weights_of_any_width_make_a_network(policy):
    twin = SkillPolicy.from_tensors(policy.state_dict())
    assert (twin.state_dim, twin.skill_dim, twin.hidden_dim) == (10, 5, 7)
    states, skills = noise(2, 10), noise(3, 5, seed=1)
    assert torch.equal(twin(states, skills).logits, policy(states, skills).logits)


def without(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: without("critic_head.2.bias", t), "'critic_head.2.bias' is missing"),
        (lambda t: without("state_net.0.weight", t), "'state_net.0.weight' is missing"),
        (lambda t: t | {"extra": torch.zeros(1)}, "unknown tensors: extra"),
        (lambda t: t | {"op_net.2.bias": torch.zeros(8)}, r"'op_net.2.bias' has shape \(8,\)"),
        (lambda t: t | {"state_net.0.weight": torch.zeros(7)}, "has shape"),
        (lambda t: t | {"op_net.2.bias": torch.zeros(7, dtype=torch.int64)}, "not floats"),
        (lambda t: t | {"op_net.2.bias": torch.full((7,), torch.nan)}, "not finite"),
    ],
)
def test_unfit_tensors_are_refused(policy, change, message):
    with pytest.raises(CheckpointError, match=message):
        SkillPolicy.from_tensors(change(dict(policy.state_dict())))


def test_a_network_needs_width():
    with pytest.raises(ConfigError, match="hidden_dim=0"):
        SkillPolicy(state_dim=2, skill_dim=1, hidden_dim=0)
