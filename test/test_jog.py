"""The policy for an arm's first motions."""

from __future__ import annotations

import numpy as np
import pytest

from sarl_ros.policies.jog import MOTIONS
from sarl_ros.policies.registry import identity, load_policy
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.tasks import Placement, SimTask


@pytest.fixture(scope="module")
def env():
    made = TabletopEnv()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("prompt", "axis", "sign"), [("move forward", 0, 1), ("Move right.", 1, -1), ("move up", 2, 1)]
)
def test_the_simulated_arm_goes_where_it_is_told(env, prompt, axis, sign):
    env.reset(SimTask(name="empty", objects={"spoon": Placement(x=0.23, y=0.15)}), 0)
    policy, before = load_policy("jog"), env.world.gripper_position
    for action in policy.plan(env.observe(), prompt).actions:
        env.step(action)
    moved = env.world.gripper_position - before
    assert np.argmax(np.abs(moved)) == axis
    assert 0.05 < sign * moved[axis] < 0.09


def test_the_gripper_closes_when_told_and_is_kept_otherwise(env):
    env.reset(None, 0)
    policy = load_policy("jog")
    for prompt, closed in (("close the gripper", True), ("move left", True), ("open the gripper", False)):
        for action in policy.plan(env.observe(), prompt).actions:
            env.step(action)
        assert bool(env.proprio()[7] < 0.5) is closed, prompt


def test_what_is_no_motion_is_refused_with_those_that_there_are(env):
    env.reset(None, 0)
    with pytest.raises(ValueError, match=r"'grasp the spoon\.' is no motion of policy jog: say move forward\."):
        load_policy("jog").plan(env.observe(), "grasp the spoon")
    assert len(MOTIONS) == 10
    assert identity("jog") == load_policy("jog").spec.identity
