"""Parity kit section 2: network, new-skill bias, choices and their log-probabilities."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from langgraph_memskill.controller.distribution import (
    NewSkillBias,
    choice_statistics,
    delta_max,
    entropy,
    joint_log_prob,
    new_skill_bias,
    perturbed_top_k,
    top_k,
)
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError

FOLDER = "controller"
FLOOR = 1e-8


@pytest.fixture(scope="module")
def tensors(kit):
    return kit.tensors(f"{FOLDER}/tensors.safetensors")


@pytest.fixture(scope="module")
def policy(kit):
    arrays = kit.tensors(f"{FOLDER}/weights.safetensors")
    return SkillPolicy.from_tensors({name: torch.from_numpy(a) for name, a in arrays.items()})


class Check:
    """Compares and collects what does not fit, so that one run shows all mismatches."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def that(self, is_true: bool, where: str) -> None:
        if not is_true:
            self.problems.append(where)

    def close(self, where: str, got: Any, expected: Any, *, rtol: float, atol: float) -> None:
        # A value that is not finite must be met exactly: allclose takes infinities of equal sign.
        got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
        if got.shape != expected.shape or not np.allclose(got, expected, rtol=rtol, atol=atol):
            self.problems.append(f"{where}: got {got.tolist()}, expected {expected.tolist()}")


def numbers(values: list[Any]) -> NDArray[np.float32]:
    """A list of the kit, in which minus infinity is a string."""
    return np.array(values, dtype=object).astype(np.float32)


def bias_of(case: dict[str, Any]) -> NewSkillBias:
    return NewSkillBias(
        p_min=case["new_action_p_min"],
        delta_max=case["new_action_delta_max"],
        scale=case["bias_scale"],
    )


def mask_of(tensors: dict[str, Any], name: str, like: torch.Tensor) -> torch.Tensor:
    found = tensors.get(f"{name}.new_op_mask")
    return torch.zeros_like(like) if found is None else torch.from_numpy(found)


def exact_choice(logits: list[float], actions: list[int]) -> dict[str, float]:
    """Log-probability, entropy among the chosen and their mass, in plain float64 without floors.

    `reaches_floor` says whether the reference's floors of 1e-8 (QUIRKS 3) touch this choice.
    """
    left = dict(enumerate(logits))
    log_prob, reaches_floor = 0.0, False
    total = log_sum_exp(logits)
    for action in actions:
        remaining = log_sum_exp(list(left.values()))
        reaches_floor |= remaining - total < math.log(2 * FLOOR)
        reaches_floor |= logits[action] - total < math.log(2 * FLOOR)
        log_prob += logits[action] - remaining
        del left[action]
    chosen_total = log_sum_exp([logits[a] for a in actions])
    shares = [math.exp(logits[a] - chosen_total) for a in actions]
    mass = math.exp(chosen_total - total)
    rest = math.exp(log_sum_exp(list(left.values())) - total) if left else 0.0
    return {
        "log_prob": log_prob,
        "topk_entropy": -sum(x * math.log(x) for x in shares if x > 0),
        "topk_mass": mass,
        "topk_bin_entropy": -sum(x * math.log(x) for x in (mass, rest) if x > 0),
        "reaches_floor": reaches_floor,
        "mass_reaches_floor": mass < 2 * FLOOR,
    }


def log_sum_exp(values: list[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def check_log_prob(
    check: Check,
    where: str,
    logits: torch.Tensor,
    actions: list[int],
    expected: dict[str, Any],
    *,
    key: str = "log_prob",
    atol: float = 2e-5,
    atol64: float = 2e-5,
) -> None:
    """QUIRKS 3: exact everywhere; equal to the kit where its float32 and floors do not bite."""
    chosen = torch.tensor(actions)
    if len(set(actions)) < len(actions):
        # Drawing one skill twice without replacement is impossible; the reference gives a number.
        with pytest.raises(ConfigError, match="twice"):
            joint_log_prob(logits, chosen)
        return
    exact = exact_choice(logits.double().tolist(), actions)
    in_float32 = joint_log_prob(logits, chosen).item()
    in_float64 = joint_log_prob(logits.double(), chosen).item()
    check.that(math.isfinite(in_float32) and in_float32 <= 0, f"{where}: {in_float32}")
    check.close(f"{where} float32", in_float32, exact["log_prob"], rtol=5e-5, atol=atol)
    check.close(f"{where} float64", in_float64, exact["log_prob"], rtol=1e-9, atol=1e-12)
    if exact["reaches_floor"]:
        return
    if expected["ill_conditioned"]:
        # The kit's float64 value still subtracts probabilities from 1, hence 1e-16 / 1e-8.
        reference = expected[f"{key}_float64"]
        check.close(f"{where} ill-conditioned", in_float64, reference, rtol=1e-6, atol=atol64)
    else:
        check.close(f"{where} kit", in_float32, expected[key], rtol=5e-5, atol=atol)


def check_statistics(
    check: Check, where: str, logits: torch.Tensor, actions: list[int], expected: dict[str, Any]
) -> None:
    """QUIRKS 2: the binary entropy is always finite; the rest equals the kit where it is exact."""
    chosen = torch.tensor(actions)
    if len(set(actions)) < len(actions):
        with pytest.raises(ConfigError, match="twice"):
            choice_statistics(logits, chosen)
        return
    exact = exact_choice(logits.double().tolist(), actions)
    got = choice_statistics(logits, chosen)
    reference = exact if exact["mass_reaches_floor"] else expected
    check.close(f"{where} entropy", got.entropy, reference["topk_entropy"], rtol=1e-5, atol=1e-5)
    check.close(f"{where} mass", got.mass, expected["topk_mass"], rtol=1e-5, atol=2e-6)
    binary = exact if expected["bin_entropy_unstable"] else expected
    check.close(
        f"{where} binary entropy",
        got.binary_entropy,
        binary["topk_bin_entropy"],
        rtol=1e-5,
        atol=1e-5,
    )


def test_delta_max_equals_the_kit(kit):
    check = Check()
    for case in kit.cases(f"{FOLDER}/delta_max.json"):
        got = delta_max(case["p_min"], case["p_ref"])
        check.close(case["id"], got, case["expected"], rtol=1e-9, atol=1e-12)
        # QUIRKS 11: the cap follows p_min instead of staying at the default's value.
        if case["p_ref"] == 0.01:
            cap = NewSkillBias(p_min=case["p_min"]).cap
            check.close(f"{case['id']} cap", cap, case["expected"], rtol=1e-9, atol=1e-12)
    assert check.problems == []


def test_bias_equals_the_kit(kit):
    check = Check()
    for case in kit.cases(f"{FOLDER}/bias.json"):
        logits = torch.from_numpy(numbers(case["logits"]))
        mask = torch.from_numpy(numbers(case["new_op_mask"]))
        got = new_skill_bias(logits, mask, bias_of(case))
        expected = numbers(case["expected"]["logits"])
        check.close(case["id"], got, expected, rtol=1e-5, atol=2e-5)
        if logits.ndim == 2:
            rows = [new_skill_bias(*pair, bias_of(case)) for pair in zip(logits, mask, strict=True)]
            check.close(f"{case['id']} by row", torch.stack(rows), expected, rtol=1e-5, atol=2e-5)
    assert check.problems == []


def test_joint_log_prob_and_statistics_equal_the_kit_or_are_exact(kit):
    check = Check()
    for case in kit.cases(f"{FOLDER}/joint_log_prob.json"):
        logits, actions = torch.from_numpy(numbers(case["logits"])), case["actions"]
        expected = case["expected"]
        check_log_prob(
            check, case["id"], logits, actions, expected, key="joint_log_prob", atol64=1e-12
        )
        check_statistics(check, case["id"], logits, actions, expected)
        if len(actions) == 1:
            single = torch.log_softmax(logits, -1)[actions[0]]
            joint = joint_log_prob(logits, torch.tensor(actions))
            check.close(f"{case['id']} single", joint, single, rtol=1e-6, atol=1e-6)
    assert check.problems == []


def test_network_bias_and_distribution_equal_the_kit(kit, policy, tensors):
    check = Check()
    for case in kit.cases(f"{FOLDER}/cases.json"):
        name, expected = case["id"], case["expected"]
        atol = 3e-4 if case["input_scale"] > 8 else 2e-5
        raw, value = forward(policy, tensors, name)
        mask = mask_of(tensors, name, raw)
        biased = new_skill_bias(raw, mask, bias_of(case))
        check.close(f"{name} raw", raw, expected["logits_raw"], rtol=1e-5, atol=atol)
        check.close(f"{name} biased", biased, expected["logits_biased"], rtol=1e-5, atol=atol)
        check.close(f"{name} bias", biased - raw, expected["bias_added"], rtol=1e-5, atol=atol)
        check.close(f"{name} value", value, expected["value"], rtol=1e-5, atol=atol)
        check.that(case["mask_given"] == bool(f"{name}.new_op_mask" in tensors), f"{name} mask")
        probs = torch.softmax(biased, -1)
        # The logits' own tolerance, which in the extreme group is larger than the probabilities'.
        extra = atol if case["input_scale"] > 8 else 0
        check.close(f"{name} probs", probs, expected["probs"], rtol=1e-5, atol=2e-6 + extra)
        check.close(
            f"{name} entropy", entropy(biased), expected["entropy"], rtol=1e-5, atol=1e-5 + extra
        )
    assert check.problems == []


def test_greedy_choices_equal_the_kit(kit, policy, tensors):
    check = Check()
    for case in kit.cases(f"{FOLDER}/cases.json"):
        name, expected = case["id"], case["expected"]
        atol = 3e-4 if case["input_scale"] > 8 else 2e-5
        raw, value = forward(policy, tensors, name)
        biased = new_skill_bias(raw, mask_of(tensors, name, raw), bias_of(case))
        kit_logits = numbers(expected["logits_biased"])
        for choice in expected["deterministic"]:
            where = f"{name} K={choice['K']}"
            # QUIRKS 8: always a list of min(K, N), where the reference may give an int.
            actions = choice["actions"]
            actions = [actions] if isinstance(actions, int) else actions
            got = top_k(biased, choice["K"]).tolist()
            check.that(len(got) == min(choice["K"], case["n_ops"]), f"{where}: {got}")
            # QUIRKS 9: among equal logits the lower index comes first.
            stable = sorted(range(len(raw)), key=lambda i: (-biased[i].item(), i))
            check.that(got == stable[: choice["K"]], f"{where}: {got} is not stable")
            if expected["has_equal_logits"]:
                check.close(
                    f"{where} tie", kit_logits[got], kit_logits[actions], rtol=1e-5, atol=atol
                )
            else:
                check.that(got == actions, f"{where}: {got}, expected {actions}")
            check_log_prob(check, where, biased, actions, choice, atol=atol)
            check.close(f"{where} value", value, choice["value"], rtol=1e-5, atol=atol)
    assert check.problems == []


def test_evaluated_choices_equal_the_kit(kit, policy, tensors):
    check = Check()
    for case in kit.cases(f"{FOLDER}/cases.json"):
        name, expected = case["id"], case["expected"]
        atol = 3e-4 if case["input_scale"] > 8 else 2e-5
        raw, _ = forward(policy, tensors, name)
        biased = new_skill_bias(raw, mask_of(tensors, name, raw), bias_of(case))
        kit_logits = torch.from_numpy(numbers(expected["logits_biased"]))
        for choice in expected["evaluated"]:
            where = f"{name} {choice['path']} {choice['actions']}"
            check_log_prob(check, where, biased, choice["actions"], choice, atol=atol)
            # Peaked policies magnify the logits' own tolerance: take the logits of the kit.
            check_statistics(check, where, kit_logits, choice["actions"], choice)
            if choice["path"] == "single":
                # One rule for one draw: the log-softmax entry, also where the joint rule's floor
                # would cut it (QUIRKS 3).
                single = joint_log_prob(biased, torch.tensor(choice["actions"]))
                check.close(where, single, choice["log_prob"], rtol=5e-5, atol=atol)
    assert check.problems == []


def test_sampling_with_given_noise_equals_the_kit(kit, policy, tensors):
    check = Check()
    for case in kit.cases(f"{FOLDER}/sampling.json"):
        name, expected = case["id"], case["expected"]
        raw, value = forward(policy, tensors, name)
        check.that(case["mask_given"] == bool(f"{name}.new_op_mask" in tensors), f"{name} mask")
        biased = new_skill_bias(raw, mask_of(tensors, name, raw), bias_of(case))
        noise = torch.from_numpy(numbers(case["gumbel_noise"]))
        chosen = perturbed_top_k(biased, noise, case["K"])
        check.that(chosen.tolist() == expected["actions"], f"{name}: {chosen.tolist()}")
        log_prob = joint_log_prob(biased, chosen)
        check.close(f"{name} log_prob", log_prob, expected["log_prob"], rtol=5e-5, atol=2e-5)
        check.close(f"{name} value", value, expected["value"], rtol=1e-5, atol=2e-5)
        single = joint_log_prob(biased, torch.tensor([expected["k1_action_same_torch_seed"]]))
        check.close(f"{name} K=1", single, expected["k1_log_prob"], rtol=5e-5, atol=2e-5)
    assert check.problems == []


def test_padded_batches_equal_the_kit(kit, policy, tensors):
    check = Check()
    for case in kit.cases(f"{FOLDER}/padded.json"):
        name, expected = case["id"], case["expected"]
        part = {
            key: torch.from_numpy(tensors[f"{name}.{key}"])
            for key in ("states", "ops_padded", "op_mask", "new_op_mask")
        }
        with torch.no_grad():
            output = policy(part["states"], part["ops_padded"], part["op_mask"])
        logits = new_skill_bias(output.logits, part["new_op_mask"], bias_of(case))
        chosen = torch.tensor(case["actions"])
        got = choice_statistics(logits, chosen)
        for key, values, rtol, atol in (
            ("values", output.values, 1e-5, 2e-5),
            ("log_probs", joint_log_prob(logits, chosen), 5e-5, 2e-5),
            ("entropy", entropy(logits), 1e-5, 1e-5),
            ("topk_entropy", got.entropy, 1e-5, 1e-5),
            ("topk_mass", got.mass, 1e-5, 2e-6),
        ):
            check.close(f"{name} {key}", values, expected[key], rtol=rtol, atol=atol)
        for row, is_unstable in enumerate(expected["bin_entropy_unstable"]):
            value = got.binary_entropy[row].item()
            check.that(math.isfinite(value) and value >= 0, f"{name}[{row}] {value}")
            if not is_unstable:
                reference = expected["topk_bin_entropy"][row]
                check.close(f"{name}[{row}]", value, reference, rtol=1e-5, atol=1e-5)
        is_padding = ~part["op_mask"].bool()
        check.that(bool(torch.isneginf(logits[is_padding]).all()), f"{name} padding")
        check.that(part["op_mask"].sum(-1).tolist() == case["op_counts"], f"{name} counts")
        check.that(chosen.shape[1] == case["K"], f"{name} K")
    assert check.problems == []


def forward(
    policy: SkillPolicy, tensors: dict[str, Any], name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [N] and value of one case."""
    state, skills = (torch.from_numpy(tensors[f"{name}.{key}"]) for key in ("state", "ops"))
    with torch.no_grad():
        logits, values = policy(state.unsqueeze(0), skills)
    return logits[0], values[0]
