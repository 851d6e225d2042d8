"""Parity kit sections 4 and 5: GAE, the final reward's way to the steps, process rewards."""

import numpy as np
import pytest

from langgraph_memskill.process_reward import ProcessRewardConfig, process_reward
from langgraph_memskill.trainers.returns import (
    RedistributionConfig,
    gae,
    normalised,
    redistribute,
)


def test_gae_equals_the_kit(kit):
    for case in kit.cases("returns/gae.json"):
        expected = case["expected"]
        got = gae(
            case["rewards"],
            case["values"],
            case["dones"],
            discount=case["gamma"],
            gae_lambda=case["lambda"],
            last_value=case["last_value"],
        )
        where = case["id"]
        np.testing.assert_allclose(
            got.advantages, expected["advantages"], rtol=1e-5, atol=1e-6, err_msg=where
        )
        np.testing.assert_allclose(
            got.returns, expected["returns"], rtol=1e-5, atol=1e-6, err_msg=where
        )
        np.testing.assert_allclose(
            normalised(got.advantages),
            expected["advantages_normalised"],
            rtol=1e-5,
            atol=3e-6,
            err_msg=where,
        )
        assert (got.advantages.dtype, got.returns.dtype) == (np.float32, np.float64), where


def test_the_final_reward_reaches_the_steps_as_in_the_kit(kit):
    for case in kit.cases("returns/finish_episode.json"):
        # The kit clamps the ratio; our config refuses such a value instead.
        last_share = min(1.0, max(0.0, case["final_reward_last_ratio"]))
        config = RedistributionConfig(
            enabled=case["redistribute"],
            last_share=last_share,
            decay=case["redistribution_decay"],
        )
        ends = [number for number, is_last in enumerate(case["dones"]) if is_last]
        start = ends[-1] + 1 if ends else 0
        own = case["rewards"][start:]
        got = np.array(own) + redistribute(case["final_reward"], len(own), config)
        expected = case["expected"]["rewards"]
        if own and case["calls"] == 1:
            np.testing.assert_allclose(got, expected[start:], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(case["rewards"][:start], expected[:start])
            assert case["expected"]["dones"][-1], case["id"]
        elif own:
            # QUIRK 12: what a second call gives to the last step of the episode that is over.
            again = case["final_reward"] * (case["calls"] - 1)
            assert got[-1] == pytest.approx(expected[-1] - again, rel=1e-9)
            np.testing.assert_allclose(got[:-1], expected[start:-1], rtol=1e-9, atol=1e-12)
        else:
            # QUIRK 12: an episode without steps changes no other episode's rewards.
            assert got.size == 0, case["id"]
            if case["rewards"]:
                assert expected[-1] == pytest.approx(case["rewards"][-1] + case["final_reward"])


def test_process_rewards_equal_the_kit(kit):
    for case in kit.cases("process_reward/cases.json"):
        types = case["selected_update_types"]
        # The reference takes a bare text for one skill; our records always hold tuples.
        selected = [types] if isinstance(types, str) else [t for t in types or [] if t is not None]
        results = case["results"]
        settings = case["config"]
        got = process_reward(
            selected,
            [result["action_type"] for result in results if result["success"]],
            num_failed=sum(not result["success"] for result in results),
            num_steps=int(case["episode_length"]),
            config=ProcessRewardConfig(
                budget=settings["process_budget"],
                failure_budget=settings["failure_budget"],
                noop_scale=settings["noop_match_scale"],
                scale=settings["shaping_scale"],
            ),
        )
        assert got == pytest.approx(case["expected"]["reward"], rel=1e-9, abs=1e-12), case["id"]
