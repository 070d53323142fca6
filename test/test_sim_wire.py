"""The simulated driver's rules: which PWM goes with which period, the motion profile, the gripper's crank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarl_ros.nodes.sim_world.driver import gripper_angle
from sarl_ros.sim.command_queue import LONG_WAIT_S, CommandQueue
from sarl_ros.sim.profile import Profile, profile_share
from widowx_bridge.kinematics import VELOCITY_LIMIT

WAIT_S = 0.05


def group(number):
    return np.full(6, float(number))


def test_the_kth_pwm_goes_with_the_kth_joint_group_whatever_their_order():
    queue = CommandQueue(WAIT_S)
    queue.add_pwm(1.0)
    queue.add_pwm(2.0)
    queue.add_group(group(1), 0.0)
    first = queue.take(0.0)
    queue.add_group(group(2), 0.0)
    queue.add_group(group(3), 0.0)
    second = queue.take(0.0)
    assert queue.take(0.0) is None
    queue.add_pwm(3.0)
    third = queue.take(0.0)
    assert [(p.joints[0], p.gripper_pwm, p.kept) for p in (first, second, third)] == [
        (1, 1, False),
        (2, 2, False),
        (3, 3, False),
    ]


@given(st.permutations([True] * 6 + [False] * 6))
def test_pairs_are_kept_for_any_interleaving(order):
    queue = CommandQueue(WAIT_S)
    pairs, pwms, groups = [], 0, 0
    for is_pwm in order:
        if is_pwm:
            pwms += 1
            queue.add_pwm(float(pwms))
        else:
            groups += 1
            queue.add_group(group(groups), 0.0)
        while (period := queue.take(0.0)) is not None:
            pairs.append((period.joints[0], period.gripper_pwm))
    assert pairs == [(k, k) for k in range(1, 7)]


def test_without_a_pwm_the_last_one_is_kept_after_the_wait():
    queue = CommandQueue(WAIT_S, gripper_pwm=250.0)
    queue.add_group(group(1), 10.0)
    assert queue.take(10.0) is None
    assert queue.wait_s(10.01) == pytest.approx(LONG_WAIT_S - 0.01)
    period = queue.take(10.0 + LONG_WAIT_S)
    assert (period.gripper_pwm, period.kept) == (250.0, True)


def test_who_sends_few_pwms_is_waited_for_only_briefly():
    queue = CommandQueue(WAIT_S)
    queue.add_group(group(1), 0.0)
    assert queue.take(LONG_WAIT_S).kept
    queue.add_group(group(2), 10.0)
    assert queue.wait_s(10.0) == pytest.approx(WAIT_S)
    assert queue.take(10.0 + WAIT_S).kept
    queue.add_pwm(1.0)
    queue.add_group(group(3), 20.0)
    assert not queue.take(20.0).kept
    queue.add_group(group(4), 20.0)
    assert queue.wait_s(20.0) == pytest.approx(LONG_WAIT_S)


def test_nothing_runs_without_a_joint_group():
    queue = CommandQueue(WAIT_S)
    queue.add_pwm(1.0)
    assert queue.wait_s(0.0) is None
    assert queue.take(100.0) is None


def test_a_late_pwm_is_dropped_for_its_successor_so_that_pairs_fall_into_step_again():
    queue = CommandQueue(WAIT_S)
    queue.add_group(group(1), 0.0)
    assert queue.take(LONG_WAIT_S).kept
    queue.add_pwm(1.0)
    queue.add_pwm(2.0)
    queue.add_group(group(2), 1.0)
    assert queue.take(1.0).gripper_pwm == 2.0
    queue.add_pwm(3.0)
    queue.add_group(group(3), 2.0)
    assert queue.take(2.0).gripper_pwm == 3.0


def test_a_reset_forgets_what_was_queued():
    queue = CommandQueue(WAIT_S)
    queue.add_pwm(1.0)
    queue.add_group(group(1), 0.0)
    queue.clear()
    assert queue.wait_s(0.0) is None
    queue.add_group(group(2), 0.0)
    assert queue.take(LONG_WAIT_S).gripper_pwm == 0.0


def test_a_profile_starts_and_ends_at_rest_and_arrives_on_time():
    times = np.linspace(0, 0.25, 251)
    shares = np.array([profile_share(t, 0.25, 0.1) for t in times])
    velocity = np.diff(shares) / np.diff(times)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert velocity[0] < 0.1
    assert velocity[-1] < 0.1
    assert velocity.max() == pytest.approx(1 / 0.15, rel=1e-3)
    assert shares[125] == pytest.approx(0.5)


def test_a_new_goal_starts_from_where_the_profile_is():
    profile = Profile(group(0), 0.25, 0.1)
    profile.go(group(1), 0.0)
    before = profile.at(0.125)
    profile.go(group(0), 0.125)
    assert profile.at(0.125) == pytest.approx(before)
    assert profile.at(10.0) == pytest.approx(group(0))


def test_a_new_goal_keeps_the_speed_that_the_profile_has():
    profile = Profile(group(0), 0.25, 0.1)
    profile.go(group(1), 0.0)
    before = (profile.at(0.15) - profile.at(0.149)) / 0.001
    profile.go(group(1.5), 0.15)
    after = (profile.at(0.151) - profile.at(0.15)) / 0.001
    assert after == pytest.approx(before, rel=0.05)
    assert profile.at(0.4) == pytest.approx(group(1.5))


def test_without_a_profile_the_arm_goes_as_fast_as_it_can():
    profile = Profile(group(0), 0.0, 0.0)
    profile.go(group(1), 0.0)
    times = np.linspace(0, 0.5, 501)
    way = np.array([profile.at(t)[0] for t in times])
    assert np.diff(way).max() / 0.001 == pytest.approx(VELOCITY_LIMIT, rel=1e-3)
    assert way[int(1000 / VELOCITY_LIMIT) + 1] == 1
    profile.go(group(1), 0.5)
    assert profile.at(0.6) == pytest.approx(group(1))


def test_the_gripper_crank_agrees_with_the_published_angles():
    assert gripper_angle(0.015) == pytest.approx(-0.378, abs=2e-3)
    assert gripper_angle(0.037) == pytest.approx(1.268, abs=2e-3)
    assert gripper_angle(0.01949) == pytest.approx(0.0, abs=1e-3)
