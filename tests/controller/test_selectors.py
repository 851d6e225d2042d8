import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.distribution import NewSkillBias, joint_log_prob
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.selectors import (
    ControllerSelector,
    RandomSelector,
    SelectionRequest,
    SimilaritySelector,
)
from langgraph_memskill.controller.state import fuse_state
from langgraph_memskill.errors import CheckpointError, ConfigError
from langgraph_memskill.skills.bank import SkillBank

NAMES = ("delete", "insert", "noop", "track_dates", "update")


@pytest.fixture
def policy():
    return SkillPolicy(state_dim=12, skill_dim=6, hidden_dim=16, seed=7)


@pytest.fixture
def requests(encoder):
    """Seven spans with 0 to 6 memories."""
    return [
        SelectionRequest(
            span=encoder.encode([f"span {number}"])[0],
            memories=encoder.encode([f"memory {n} of {number}" for n in range(number)]),
        )
        for number in range(7)
    ]


@pytest.fixture(params=["controller", "sampling controller", "similarity", "random"])
def make_selector(request, policy, encoder):
    return {
        "controller": lambda: ControllerSelector(policy, encoder),
        "sampling controller": lambda: ControllerSelector(policy, encoder, sample=True, seed=4),
        "similarity": lambda: SimilaritySelector(encoder),
        "random": lambda: RandomSelector(seed=4),
    }[request.param]


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_a_selection_describes_the_choice(make_selector, requests, bank, k):
    selector = make_selector()
    selections = selector.select(requests, bank, k)
    assert len(selections) == len(requests)
    for selection in selections:
        assert selection.candidates == NAMES
        assert len(set(selection.skills)) == len(selection.skills) == min(k, 5)
        assert set(selection.skills) <= set(NAMES)
        assert sum(selection.probabilities) == pytest.approx(1.0, abs=1e-12)
        assert selection.selector == selector.name
        # Independent of how each selector computes it: the product over the draws.
        expected, left = 0.0, 1.0
        for name in selection.skills:
            probability = selection.probabilities[NAMES.index(name)]
            expected += math.log(probability / left)
            left -= probability
        assert selection.log_prob == pytest.approx(expected, abs=1e-6)


def test_batching_makes_no_difference(make_selector, requests, bank):
    together = make_selector().select(requests, bank, 3)
    selector = make_selector()
    one_by_one = [selector.select([request], bank, 3)[0] for request in requests]
    assert [s.skills for s in together] == [s.skills for s in one_by_one]
    np.testing.assert_allclose(
        [s.log_prob for s in together], [s.log_prob for s in one_by_one], rtol=1e-5
    )


def test_bad_calls_are_refused(make_selector, requests, bank):
    with pytest.raises(ConfigError, match="k=0"):
        make_selector().select(requests, bank, 0)
    with pytest.raises(ConfigError, match="empty"):
        make_selector().select(requests, SkillBank(), 3)
    assert make_selector().select([], bank, 3) == []


def test_the_controller_takes_the_highest_logits(policy, encoder, requests, bank):
    selections = ControllerSelector(policy, encoder, fusion="sim_weighted", tau=0.2).select(
        requests, bank, 3
    )
    skills = encoder.encode([bank[name].description for name in NAMES])
    for request, selection in zip(requests, selections, strict=True):
        state = fuse_state(request.span, request.memories, mode="sim_weighted", tau=0.2)
        with torch.no_grad():
            logits, values = policy(torch.tensor(state)[None], torch.tensor(skills))
        best = sorted(range(5), key=lambda i: -logits[0, i].item())[:3]
        assert selection.skills == tuple(NAMES[i] for i in best)
        expected = torch.softmax(logits[0], -1).tolist()
        assert selection.probabilities == pytest.approx(expected, abs=1e-6)
        assert selection.value == pytest.approx(values[0].item(), abs=1e-6)
        expected = joint_log_prob(logits[0], torch.tensor(best)).item()
        assert selection.log_prob == pytest.approx(expected, abs=1e-5)


def test_skills_are_encoded_once_a_call(policy, encoder, requests, bank):
    selector = ControllerSelector(policy, encoder)
    encoder.asked.clear()
    selector.select(requests, bank, 3)
    assert encoder.asked == [[bank[name].description for name in NAMES]]


def test_many_spans_are_chosen_for_like_few(policy, encoder, requests, bank):
    selector = ControllerSelector(policy, encoder)
    few = [s.skills for s in selector.select(requests, bank, 3)]
    assert [s.skills for s in selector.select(requests * 100, bank, 3)] == few * 100


def test_sampling_is_repeatable_and_varied(policy, encoder, requests, bank):
    def draws(seed):
        selector = ControllerSelector(policy, encoder, sample=True, seed=seed)
        return [s.skills for s in selector.select(requests * 5, bank, 2)]

    before = torch.get_rng_state()
    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert len(set(draws(1))) > 5
    assert torch.equal(torch.get_rng_state(), before)


def test_new_skills_get_the_bonus_only_where_it_is_asked_for(policy, encoder, requests, bank):
    bank.refine("track_dates", instructions="Write every date down in full, as it was said.")
    assert bank.new_names == {"track_dates"}
    plain = ControllerSelector(policy, encoder).select(requests, bank, 3)
    bias = NewSkillBias(p_min=0.9)
    lifted = ControllerSelector(policy, encoder, bias=bias).select(requests, bank, 3)
    index = NAMES.index("track_dates")
    for before, after in zip(plain, lifted, strict=True):
        assert after.probabilities[index] > before.probabilities[index] + 0.1


def test_a_controller_for_another_width_is_refused(encoder, requests, bank):
    wide = SkillPolicy(state_dim=16, skill_dim=8, hidden_dim=4)
    with pytest.raises(ConfigError, match="width 6"):
        ControllerSelector(wide, encoder)
    fitting = SkillPolicy(state_dim=12, skill_dim=6, hidden_dim=4)
    short = SelectionRequest(span=np.ones(3, np.float32), memories=np.zeros((0, 3), np.float32))
    with pytest.raises(ConfigError, match="width 3"):
        ControllerSelector(fitting, encoder).select([short], bank, 2)
    with pytest.raises(ConfigError, match="width 3"):
        SimilaritySelector(encoder).select([short], bank, 2)


def test_broken_weights_do_not_choose(policy, encoder, requests, bank):
    with torch.no_grad():
        policy.actor_head[2].weight.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="not finite"):
        ControllerSelector(policy, encoder, version="v9").select(requests, bank, 2)


def request_for(vector):
    return SelectionRequest(span=vector, memories=np.zeros((0, vector.size), np.float32))


def test_similarity_ranks_by_description_and_keeps_the_seeds(encoder, bank):
    span = encoder.encode([bank["track_dates"].description])[0]
    skills = encoder.encode([bank[name].description for name in NAMES])
    ranked = [NAMES[i] for i in np.argsort(-(skills @ span))]
    selector = SimilaritySelector(encoder)
    assert ranked[0] == "track_dates"
    [all_of_them] = selector.select([request_for(span)], bank, 5)
    assert list(all_of_them.skills) == ranked
    [three] = selector.select([request_for(span)], bank, 3)
    assert set(three.skills) == {"track_dates", "insert", "update"}
    assert list(three.skills) == [name for name in ranked if name in three.skills]
    [two] = selector.select([request_for(span)], bank, 2)
    assert set(two.skills) == {"insert", "update"}
    [one] = selector.select([request_for(span)], bank, 1)
    assert one.skills == ("insert",)


def test_similarity_probabilities_are_a_softmax_of_cosines(encoder, bank):
    span = encoder.encode(["a span"])[0]
    cosines = encoder.encode([bank[name].description for name in NAMES]) @ span
    weights = np.exp(cosines.astype(float) / 0.5)
    # The span's length makes no difference.
    [got] = SimilaritySelector(encoder, temperature=0.5).select([request_for(7 * span)], bank, 3)
    assert got.probabilities == pytest.approx(weights / weights.sum(), abs=1e-6)
    assert got.value is None


def test_similarity_without_a_direction_goes_by_name(encoder, bank):
    [got] = SimilaritySelector(encoder).select([request_for(np.zeros(6, np.float32))], bank, 3)
    assert got.skills == ("delete", "insert", "update")
    assert got.probabilities == pytest.approx([0.2] * 5)


def test_a_bank_without_the_seeds_is_ranked_plainly(encoder, bank):
    bank = SkillBank([bank["track_dates"], bank["noop"]])
    span = encoder.encode([bank["noop"].description])[0]
    [got] = SimilaritySelector(encoder).select([request_for(span)], bank, 1)
    assert got.skills == ("noop",)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_must_be_positive(encoder, temperature):
    with pytest.raises(ConfigError, match="temperature"):
        SimilaritySelector(encoder, temperature=temperature)


def test_chance_gives_every_ordered_choice_the_same_probability(requests, bank):
    [got] = RandomSelector(seed=0).select(requests[:1], bank, 2)
    assert got.log_prob == pytest.approx(-math.log(5 * 4))
    assert got.probabilities == pytest.approx([0.2] * 5)
    first = [s.skills[0] for s in RandomSelector(seed=0).select(requests * 100, bank, 2)]
    # 700 draws of 5: 140 each, give or take four standard deviations of 10.6.
    assert all(abs(first.count(name) - 140) < 43 for name in NAMES)


def test_the_selectors_load_no_torch_until_a_controller_is_used_and_then_no_more():
    code = (
        "import sys; import langgraph_memskill.controller.selectors; "
        "import langgraph_memskill.controller.files; "
        "assert not {'torch', 'transformers', 'chromadb'} & set(sys.modules); "
        "from langgraph_memskill.controller.policy import SkillPolicy; "
        "SkillPolicy(state_dim=2, skill_dim=1); "
        "assert not {'sympy', 'torch._dynamo'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
