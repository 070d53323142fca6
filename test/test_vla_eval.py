"""The evaluation of a policy: what is counted, and that it runs a policy from images alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarl_ros.core.statistics import wilson_interval
from sarl_ros.core.task import load_task
from sarl_ros.policies.registry import load_policy
from sarl_ros.policies.still import StillPolicy
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.skills import all_skills, phrases
from sarl_ros.sim.tasks import load_sim_task
from sarl_ros.training.evaluate import LONG_TASKS, UNSEEN, describe, run_prompt


@given(st.integers(1, 200), st.data())
def test_an_interval_holds_its_share_and_stays_within_0_and_1(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_the_map_s_twenty_prompts_and_the_long_ones_are_in_no_demonstration() -> None:
    shown = {phrase for skill in all_skills() for phrase in phrases(skill)}
    assert len({prompt for prompt, _ in UNSEEN}) == 20
    assert not shown & {prompt for prompt, _ in UNSEEN}
    assert not shown & {load_task(task).instruction for task in LONG_TASKS}


@pytest.fixture(scope="module")
def env():
    torch.set_num_threads(1)
    env = TabletopEnv()
    yield env
    env.close()


def test_a_policy_that_stands_still_is_said_to_stay(env: TabletopEnv) -> None:
    env.reset(load_sim_task("hammer"), 0)
    start = env.world.gripper_position
    run_prompt(env, StillPolicy(), "move up.", 3, 0)
    assert describe(env, start, True) == "stayed"


@pytest.mark.slow
def test_the_shipped_policy_moves_up_when_told_and_its_trials_repeat_exactly(env: TabletopEnv) -> None:
    policy, ends = load_policy("mini"), []
    for _ in range(2):
        env.reset(load_sim_task("hammer"), 1)
        start = env.world.gripper_position
        run_prompt(env, policy, "move up.", 24, 5)
        ends.append(env.world.joints)
        assert env.world.gripper_position[2] - start[2] > 0.04
    assert np.array_equal(*ends)


@pytest.mark.slow
def test_the_shipped_policy_grasps_what_it_is_told_to(env: TabletopEnv) -> None:
    policy, held = load_policy("mini"), []
    for seed in range(5):
        env.reset(load_sim_task("hammer"), 500 + seed)
        run_prompt(env, policy, "grasp the mushroom.", 24, seed)
        held.append(env.world.held())
    assert held.count("mushroom") >= 3
