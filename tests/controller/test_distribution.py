import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.controller.distribution import (
    NewSkillBias,
    choice_statistics,
    delta_max,
    entropy,
    gumbel_noise,
    joint_log_prob,
    new_skill_bias,
    perturbed_top_k,
    top_k,
)
from langgraph_memskill.errors import ConfigError

THIRDS = torch.tensor([0.5, 0.3, 0.2]).log()


def choose(*indices: int) -> torch.Tensor:
    return torch.tensor(indices)


def test_joint_probability_is_the_product_of_the_draws():
    # 0.3, then 0.5 of the remaining 0.7.
    got = joint_log_prob(THIRDS, choose(1, 0)).item()
    assert got == pytest.approx(math.log(0.3 * 0.5 / 0.7), rel=1e-6)


@pytest.mark.parametrize("num_chosen", [1, 2, 3, 4])
def test_probabilities_of_all_ordered_choices_sum_to_one(num_chosen):
    logits = torch.tensor([2.0, -1.0, 0.5, 5.0], dtype=torch.float64)
    choices = torch.tensor(list(permutations(range(4), num_chosen)))
    log_probs = joint_log_prob(logits.expand(len(choices), 4), choices)
    assert log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_it_is_exact_where_subtracting_probabilities_gives_noise():
    # After the sure first draw, 1 against 0 is left: log of the logistic function of 1.
    got = joint_log_prob(torch.tensor([200.0, 0.0, 1.0]), choose(0, 2, 1)).item()
    assert got == pytest.approx(-math.log1p(math.exp(-1)), rel=1e-6)


def test_one_draw_is_the_log_softmax():
    logits = torch.tensor([30.0, -200.0, 3.0])
    for index in range(3):
        expected = torch.log_softmax(logits, -1)[index].item()
        assert joint_log_prob(logits, choose(index)).item() == pytest.approx(expected, rel=1e-6)


def test_minus_one_at_the_end_is_no_draw():
    batch = torch.stack([THIRDS, THIRDS])
    got = joint_log_prob(batch, torch.tensor([[1, 0], [1, -1]]))
    assert got.tolist() == pytest.approx([math.log(0.3 * 0.5 / 0.7), math.log(0.3)], rel=1e-6)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [((1, 1), "twice"), ((0, 3), "no candidate"), ((0, -2), "no candidate"), ((0, 2), "padding")],
)
def test_choices_that_cannot_be_drawn_are_refused(chosen, message):
    logits = torch.tensor([0.0, 1.0, -math.inf])
    for function in (joint_log_prob, choice_statistics):
        with pytest.raises(ConfigError, match=message):
            function(logits, choose(*chosen))


def test_its_gradient_is_right_and_finite_beside_padding():
    free = torch.tensor(
        [[0.2, 3.0, -1.0], [0.0, 0.0, 9.0]], dtype=torch.float64, requires_grad=True
    )
    choices = torch.tensor([[1, 0], [2, 1]])
    assert torch.autograd.gradcheck(lambda x: joint_log_prob(x, choices), free)
    assert torch.autograd.gradcheck(entropy, free)
    padding = torch.full((2, 1), -math.inf, dtype=torch.float64)
    padded = torch.cat([free, padding], dim=1)
    (joint_log_prob(padded, choices) + entropy(padded)).sum().backward()
    assert free.grad is not None
    assert torch.isfinite(free.grad).all()


@given(st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=12), st.integers(1, 12))
def test_log_probabilities_of_greedy_choices_are_finite_and_not_positive(values, k):
    logits = torch.tensor(values)
    chosen = top_k(logits, k)
    assert len(set(chosen.tolist())) == min(k, len(values))
    log_prob = joint_log_prob(logits, chosen).item()
    assert math.isfinite(log_prob)
    assert log_prob <= 0
    statistics = choice_statistics(logits, chosen)
    assert all(math.isfinite(part.item()) and part.item() >= -1e-6 for part in statistics)


def test_equal_logits_are_taken_in_order():
    logits = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0])
    assert [top_k(logits, k).tolist() for k in (1, 3, 9)] == [[1], [1, 3, 0], [1, 3, 0, 2, 4]]


def test_rows_with_fewer_candidates_are_filled_up():
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, -math.inf, -math.inf]])
    assert top_k(logits, 2).tolist() == [[1, 2], [0, -1]]


def test_choosing_nothing_is_refused():
    with pytest.raises(ConfigError, match="k=0"):
        top_k(THIRDS, 0)


def test_sampling_follows_the_joint_probabilities():
    num_draws = 20_000
    noise = gumbel_noise((num_draws, 3), torch.Generator().manual_seed(5))
    drawn = perturbed_top_k(THIRDS.expand(num_draws, 3), noise, 2)
    for first, second in permutations(range(3), 2):
        expected = joint_log_prob(THIRDS, choose(first, second)).exp().item()
        share = ((drawn[:, 0] == first) & (drawn[:, 1] == second)).float().mean().item()
        # Four standard deviations of a share of 20,000 draws are below 0.015.
        assert share == pytest.approx(expected, abs=0.015)


def test_sampling_never_takes_padding_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    noise = gumbel_noise((500, 3), torch.Generator().manual_seed(1))
    drawn = perturbed_top_k(torch.tensor([-math.inf, 0.0, 0.0]).expand(500, 3), noise, 3)
    assert set(drawn[:, :2].flatten().tolist()) == {1, 2}
    assert set(drawn[:, 2].tolist()) == {-1}
    assert torch.equal(torch.get_rng_state(), before)


def test_unlikely_new_skills_are_lifted():
    logits = torch.tensor([math.log(0.9), math.log(0.1)])
    got = new_skill_bias(logits, torch.tensor([False, True]), NewSkillBias())
    # 0.10 is lifted by the factor 3 that leads to 0.30.
    assert got.tolist() == pytest.approx([math.log(0.9), math.log(0.3)], rel=1e-5)


def test_the_lift_is_capped_and_scaled():
    logits = torch.tensor([50.0, 0.0])
    bias = NewSkillBias(delta_max=2.0, scale=0.5)
    assert new_skill_bias(logits, torch.tensor([0, 1]), bias).tolist() == [50.0, 1.0]


@pytest.mark.parametrize(
    ("is_new", "bias"),
    [
        ([False, False], NewSkillBias()),
        ([True, True], NewSkillBias()),
        ([False, True], NewSkillBias(scale=0)),
        ([False, True], NewSkillBias(p_min=0)),
        ([False, True], NewSkillBias(delta_max=0)),
        ([False, True], NewSkillBias(p_min=0.05)),
        # Its cap, computed from p_min, is negative.
        ([False, True], NewSkillBias(p_min=0.001)),
    ],
)
def test_nothing_is_lifted_where_it_should_not_be(is_new, bias):
    logits = torch.tensor([math.log(0.9), math.log(0.1)])
    assert torch.equal(new_skill_bias(logits, torch.tensor(is_new), bias), logits)


def test_the_lift_carries_no_gradient():
    logits = torch.tensor([2.0, 0.0], requires_grad=True)
    new_skill_bias(logits, torch.tensor([0, 1]), NewSkillBias())[1].backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 1.0]


def test_the_cap_follows_the_target():
    assert delta_max(0.30) == pytest.approx(math.log(0.30 * 0.99 / (0.01 * 0.70)))
    assert NewSkillBias(p_min=0.6).cap == pytest.approx(math.log(0.6 * 0.99 / (0.01 * 0.4)))
    assert NewSkillBias(p_min=0.6, delta_max=1.5).cap == 1.5


def test_the_scale_falls_linearly_to_zero():
    scales = [NewSkillBias().after(n, decay_updates=25).scale for n in (0, 5, 25, 60)]
    assert scales == [1.0, 0.8, 0.0, 0.0]
    assert NewSkillBias().after(0, decay_updates=0).is_off


def test_entropy_of_a_uniform_choice():
    padded = torch.tensor([0.0, 0.0, 0.0, 0.0, -math.inf])
    assert entropy(padded).item() == pytest.approx(math.log(4), rel=1e-6)


def test_statistics_of_a_choice():
    got = choice_statistics(THIRDS, choose(0, 2))
    within = [5 / 7, 2 / 7]
    assert got.mass.item() == pytest.approx(0.7, rel=1e-6)
    assert got.entropy.item() == pytest.approx(-sum(p * math.log(p) for p in within), rel=1e-5)
    binary = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    assert got.binary_entropy.item() == pytest.approx(binary, rel=1e-5)


def test_choosing_everything_leaves_no_binary_entropy():
    got = choice_statistics(THIRDS, choose(2, 1, 0))
    assert got.mass.item() == pytest.approx(1.0)
    assert got.binary_entropy.item() == 0.0
