"""Whatever is commanded, no joint goal outside the limits reaches the wire, and every command gets one answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widowx_bridge.arm import FINGER_OPEN_M, RESET_JOINTS, ArmController
from widowx_bridge.detectors import Watch
from widowx_bridge.kinematics import JOINT_LOWER, JOINT_UPPER, Kinematics
from widowx_bridge.reports import Mode
from widowx_bridge.safety import (
    FRAME_OVER_TABLE_M,
    LINK_OVER_TABLE_M,
    PWM_LIMIT,
    Limits,
    Refused,
    check_table,
    check_wire,
    shorten,
)
from widowx_bridge.samples import JointSample
from widowx_bridge.session import PERIOD_NS, ArmSession

PERIOD_S = 0.2
TINY = 1e-6


class Wire:
    """An arm that follows, and asserts that it was asked for nothing it must not do."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.kinematics = limits, Kinematics()
        self.joints, self.stamp_ns = RESET_JOINTS.copy(), 0
        self.goal, self.step = RESET_JOINTS.copy(), np.zeros(6)
        self.goals = self.told = 0
        self.answers: dict[int, list[bool]] = {}
        self.session = ArmSession(
            ArmController(limits), self.take, self.take_pwm, self.report, watch=Watch(idle_periods=2)
        )
        self.tell()

    def take(self, command) -> None:
        goal, limits = command.joints, self.limits
        assert goal.shape == (6,)
        assert np.isfinite(goal).all()
        assert (goal >= JOINT_LOWER - TINY).all()
        assert (goal <= JOINT_UPPER + TINY).all()
        step = goal - self.goal
        assert np.abs(step).max() <= limits.joint_velocity * PERIOD_S + TINY
        gains = (step * np.sign(step) - self.step * np.sign(step)) / PERIOD_S**2
        assert (gains[np.abs(step) > TINY] <= limits.joint_acceleration + 1e-3).all()
        position = self.kinematics.forward(goal)[:3, 3]
        assert position[2] >= limits.table_height_m + FRAME_OVER_TABLE_M - 1e-3
        assert (position >= limits.workspace_low - 5e-3).all()
        assert (position <= limits.workspace_high + 5e-3).all()
        assert self.kinematics.lowest_link(goal) >= limits.table_height_m + LINK_OVER_TABLE_M - TINY
        self.take_pwm(command.gripper_pwm)
        self.goal, self.step, self.goals = goal.copy(), step, self.goals + 1

    def take_pwm(self, pwm: float) -> None:
        assert abs(pwm) <= PWM_LIMIT

    def report(self, report) -> None:
        if report.seq:
            self.answers.setdefault(report.seq, []).append(report.accepted)

    def tell(self) -> None:
        self.session.sample(JointSample(self.stamp_ns, self.joints, np.zeros(6), np.zeros(6), FINGER_OPEN_M))

    def pass_period(self) -> None:
        if self.goals == self.told:
            self.step = np.zeros(6)
        self.told = self.goals
        self.stamp_ns += PERIOD_NS
        self.joints = self.goal.copy()
        self.tell()


def random_action(rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(10)
    action = rng.normal(size=7) * np.array([0.03, 0.03, 0.03, 0.1, 0.1, 0.1, 1.0])
    if kind == 0:
        action[rng.integers(7)] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind == 1:
        action *= 10.0 ** rng.integers(0, 300)
    elif kind == 2:
        action = rng.normal(size=rng.integers(0, 20))
    elif kind == 3:
        action = np.sign(action) * np.array([0.05, 0.05, 0.05, 0.25, 0.25, 0.25, 1.0])
    elif kind == 4:
        action[:3] = [0.0, 0.0, -0.05]
    elif kind == 5:
        action[:] = 0.0
    elif kind == 6:
        action = rng.normal(size=(1, 7))
    return action


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "commands"),
    [
        (Limits(), 3_000),
        (Limits(joint_acceleration=10.0, speed_scale=0.7, table_height_m=0.05), 10_000),
        (
            Limits(
                workspace_low=np.array([0.1, -0.3, -0.2]),
                workspace_high=np.array([0.5, 0.3, 0.4]),
                max_translation_m=0.2,
                max_rotation_rad=1.0,
            ),
            3_000,
        ),
    ],
    ids=["default", "hardware", "wide"],
)
def test_fuzzed_commands_put_nothing_outside_the_limits_on_the_wire(limits, commands):
    rng = np.random.default_rng(7)
    wire = Wire(limits)
    asked = set()
    for _ in range(commands):
        # Out of order, repeated, huge and, now and then, the forbidden 0.
        seq = (len(asked) + 1, int(rng.integers(commands)), 2**64 - 1 - int(rng.integers(100)))[rng.integers(3)]
        asked.add(seq)
        wire.session.command(seq, random_action(rng))
        if rng.random() < 0.7:
            wire.pass_period()
    wire.pass_period()
    assert wire.session.mode == Mode.IDLE
    assert set(wire.answers) == asked - {0}
    assert wire.goals > commands / 20
    wire.session.command(2**63, np.array([0.0, 0, 0, 0, 0, 0, 1]))
    wire.pass_period()
    assert wire.answers[2**63] == [True]


def test_a_flood_during_one_period_moves_the_arm_once():
    wire = Wire(Limits())
    for seq in range(1, 1001):
        wire.session.command(seq, [0.01, 0, 0, 0, 0, 0, 1])
    wire.pass_period()
    assert wire.goals == 1
    assert sum(sum(answers) for answers in wire.answers.values()) == 1


joint_vectors = st.lists(st.floats(-10, 10), min_size=6, max_size=6).map(np.array)


offsets = st.lists(st.floats(-1.3, 1.3), min_size=6, max_size=6).map(np.array)


@given(joint_vectors, st.none() | offsets, offsets, st.floats(-1000, 1000))
@settings(max_examples=500, deadline=None)
def test_the_last_check_lets_only_goals_near_the_last_and_the_arm_and_within_the_range_through(goal, last, off, pwm):
    limits, previous, measured = Limits(), None if last is None else goal + last, goal + off
    try:
        check_wire(goal, pwm, previous, measured, PERIOD_S, limits)
    except Refused:
        return
    reach = limits.joint_velocity * PERIOD_S + TINY * 2
    assert (goal >= JOINT_LOWER - TINY * 2).all()
    assert (goal <= JOINT_UPPER + TINY * 2).all()
    assert previous is None or np.abs(goal - previous).max() <= reach
    assert np.abs(goal - measured).max() <= reach + (0.0 if previous is None else limits.following_error)
    assert abs(pwm) <= PWM_LIMIT


@pytest.mark.parametrize("bad", [np.full(6, np.nan), np.zeros(5), np.zeros((1, 6)), np.full(6, np.inf)])
def test_the_last_check_stops_what_is_no_six_angles(bad):
    with pytest.raises(Refused):
        check_wire(bad, 0.0, None, np.zeros(6), PERIOD_S, Limits())


steps = st.lists(st.floats(-0.6, 0.6), min_size=6, max_size=6).map(np.array)


@given(steps, steps, st.floats(1.0, 30.0))
@settings(max_examples=300, deadline=None)
def test_shortened_steps_gain_no_more_speed_than_allowed_and_braking_is_free(step, previous, acceleration):
    limits = Limits(joint_acceleration=acceleration)
    share = shorten(step, previous, PERIOD_S, limits)
    assert 0 <= share <= 1
    gained = np.sign(step) * (share * step - previous)
    assert (gained[np.abs(share * step) > TINY] <= acceleration * PERIOD_S**2 + 1e-9).all()
    assert shorten(np.zeros(6), previous, PERIOD_S, limits) == 1.0
    assert shorten(0.5 * previous, previous, PERIOD_S, limits) == pytest.approx(1.0)


def test_a_higher_table_raises_the_box_and_keeps_the_wrist_up():
    limits = Limits(table_height_m=0.04)
    assert limits.workspace_low[2] == pytest.approx(0.055)
    check_table(0.08, limits)
    with pytest.raises(Refused, match="over the table"):
        check_table(0.06, limits)


def test_speed_scale_shortens_every_delta_alike():
    delta = np.array([0.1, -0.02, 0, 0.5, 0, -0.1])
    assert Limits(speed_scale=0.3).clip_delta(delta) == pytest.approx(0.3 * Limits().clip_delta(delta))


def test_the_way_to_sleep_ends_folded_slowly_and_stays_off_the_table():
    controller, kinematics = ArmController(), Kinematics()
    waypoints = [command.joints for command in controller.sleep_waypoints(RESET_JOINTS)]
    assert np.abs(np.diff([RESET_JOINTS, *waypoints], axis=0)).max() / PERIOD_S < 1.0
    assert min(kinematics.forward(joints)[2, 3] for joints in waypoints) > 0.04
    assert waypoints[-1] == pytest.approx([0.0, -1.80, 1.55, 0.0, 0.8, 0.0])
