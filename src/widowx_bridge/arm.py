"""BridgeData's 7-D actions to joint commands: the arm's state between two control periods, free of ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from widowx_bridge.kinematics import Kinematics, Unreachable
from widowx_bridge.poses import apply_delta, pose_to_vector, vector_to_pose
from widowx_bridge.safety import (
    Limits,
    Refused,
    check_action,
    check_following,
    check_joints,
    check_table,
    shorten,
)

CONTROL_PERIOD_S = 0.2
FINGER_CLOSED_M = 0.015
FINGER_OPEN_M = 0.037
FINGER_TOLERANCE_M = 0.0005
RESET_POSITION = (0.30, 0.0, 0.13)
"""m, gripper straight down: where an episode starts."""

RESET_JOINTS = np.array([0.0, 0.040977069949, 0.242096700571, 0.0, 1.287722556275, 0.0])
"""rad, the inverse of RESET_POSITION."""

NEUTRAL_JOINTS = np.array([-0.13192235, -0.76238847, 0.44485444, -0.01994175, 1.7564081, -0.15953401])
"""rad, high over the base (BridgeData's neutral pose): what a slow move after a fault passes."""

SLEEP_JOINTS = np.array([0.0, -1.80, 1.55, 0.0, 0.8, 0.0])
"""rad, folded onto the base: here the arm may be switched off (the vendor's sleep pose)."""

_RESET_SPEED_RAD_S = 1.0
_SLOW_SPEED_RAD_S = 0.4
_OPENING_PERIODS = 4
_AT_POSE_RAD = 0.1
_SHORTENINGS = 5
_SHORTER = 0.98
"""Joint angles are not quite linear in the delta: a little less than what would just do."""
_PEAK_ACCELERATION = 5.7735  # of a minimum-jerk move, over its way / time^2


@dataclass(frozen=True, slots=True, eq=False)
class JointCommand:
    """One control period: position goals (6,) in rad, and a constant gripper PWM, positive opens."""

    joints: NDArray[np.float64]
    gripper_pwm: float


def opening(finger_m: float) -> float:
    """Gripper opening 0 closed .. 1 open of the measured finger position in m."""
    return float(np.clip((finger_m - FINGER_CLOSED_M) / (FINGER_OPEN_M - FINGER_CLOSED_M), 0.0, 1.0))


def finger_at_limit(finger_m: float, gripper_pwm: float) -> bool:
    """True where the PWM would push the finger on against its end stop."""
    if gripper_pwm > 0:
        return finger_m >= FINGER_OPEN_M - FINGER_TOLERANCE_M
    return gripper_pwm < 0 and finger_m <= FINGER_CLOSED_M + FINGER_TOLERANCE_M


class ArmController:
    """Turns actions into joint commands. The target is what was commanded, not what was reached.

    Args:
        limits: what may be commanded.
        gripper_pressure: 0 .. 1, PWM 150 .. 350 as in the Interbotix interface.
        sticky_steps: requests in a row that it takes to flip the gripper (BridgeData: 1 or 2).
        reset_position: (3,) m, start of an episode with the gripper straight down.

    Raises:
        Refused: the reset position cannot be reached, is outside the workspace box, or too near the table.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        gripper_pressure: float = 0.5,
        sticky_steps: int = 1,
        reset_position: Sequence[float] = RESET_POSITION,
    ) -> None:
        self.limits = limits or Limits()
        self._kinematics = Kinematics()
        self._pwm = 150.0 + 200.0 * gripper_pressure
        self._sticky_steps = sticky_steps
        if len(reset_position) != 3:
            raise Refused(f"reset_position {list(reset_position)} is no x y z: give three numbers")
        self._reset_pose = vector_to_pose([*np.asarray(reset_position, np.float64), 0.0, 0.0, 0.0])
        try:
            self.reset_joints = self._kinematics.inverse(self._reset_pose, RESET_JOINTS)
        except Unreachable as error:
            raise Refused(f"reset pose: {error}: set reset_position to a point over the table") from error
        self._check_reset_pose()
        self._gripper_open = True
        self._flip_requests = 0
        self.retarget(self.reset_joints)

    def _check_reset_pose(self) -> None:
        """Raises Refused."""
        position, limits = self._reset_pose[:3, 3], self.limits
        if ((position < limits.workspace_low) | (position > limits.workspace_high)).any():
            low, high = limits.workspace_low.tolist(), limits.workspace_high.tolist()
            raise Refused(f"reset_position {position.tolist()} is outside the workspace, {low} to {high}: move either")
        check_table(self._kinematics.lowest_link(self.reset_joints), limits)

    def retarget(self, joints: ArrayLike) -> None:
        """Takes joints (6,) as where the arm was told to be."""
        self._target_joints = np.clip(np.asarray(joints, np.float64), self.limits.joint_lower, self.limits.joint_upper)
        self._target = self._kinematics.forward(self._target_joints)
        self.rest()

    def rest(self) -> None:
        """Take note that the arm has come to rest at its target: the next command gains speed from nothing."""
        self._last_step = np.zeros(6)

    @property
    def target(self) -> NDArray[np.float64]:
        """Commanded x y z [m] roll pitch yaw [rad], (6,)."""
        return pose_to_vector(self._target)

    @property
    def target_joints(self) -> NDArray[np.float64]:
        """Commanded joints (6,), rad."""
        return self._target_joints

    def step(self, action: ArrayLike, joints: ArrayLike, finger_m: float) -> JointCommand:
        """The command of one control period.

        Args:
            action: (7,) dx dy dz [m] droll dpitch dyaw [rad] on the previous target; gripper > .5 open.
            joints: (6,) measured, rad. finger_m: measured finger position.

        Raises:
            Refused: not finite, unreachable, beyond a joint or velocity limit, with the wrist on the table, or the arm
                does not follow; the target stays as it was.
        """
        values = np.asarray(action, np.float64)
        check_action(values)
        joints = np.asarray(joints, np.float64)
        check_following(joints, self._target_joints, self.limits)
        measured = self._kinematics.forward(joints)[:3, 3]
        target, goal = self._follow(self.limits.clip_delta(values[:6]), measured)
        check_table(self._kinematics.lowest_link(goal), self.limits)
        self._last_step = goal - self._target_joints
        self._target, self._target_joints = target, goal
        self._request_gripper(bool(values[6] > 0.5))
        return JointCommand(goal.copy(), self._gripper_pwm(finger_m))

    def _follow(
        self, delta: NDArray[np.float64], measured: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Target (4, 4) and joints (6,) after as much of `delta` (6,) as the limit of acceleration lets through.

        Raises:
            Refused: the whole of it is unreachable or too fast.
        """
        for _ in range(_SHORTENINGS):
            target = apply_delta(self._target, measured, delta)
            target[:3, 3] = self.limits.clip_position(target[:3, 3], self._target[:3, 3])
            try:
                goal = self._kinematics.inverse(target, self._target_joints)
            except Unreachable as error:
                raise Refused(f"{error}: command a pose nearer the middle of the workspace") from error
            check_joints(goal, self._target_joints, CONTROL_PERIOD_S, self.limits)
            share = shorten(goal - self._target_joints, self._last_step, CONTROL_PERIOD_S, self.limits)
            if share == 1.0:
                return target, goal
            delta = delta * _SHORTER * share
        return self._target, self._target_joints  # come to rest, which is always allowed

    def pose(self, joints: ArrayLike) -> NDArray[np.float64]:
        """x y z [m] roll pitch yaw [rad], (6,), of joints (6,)."""
        return pose_to_vector(self._kinematics.forward(joints))

    def proprio(self, joints: ArrayLike, finger_m: float) -> NDArray[np.float32]:
        """What policies see, float32 (8,): x y z roll pitch yaw 0 gripper."""
        return np.array([*self.pose(joints), 0.0, opening(finger_m)], np.float32)

    def reset_waypoints(
        self, joints: ArrayLike, finger_m: float | None = None, slow: bool = False
    ) -> list[JointCommand]:
        """From joints (6,), one command a control period: open the gripper, rise, go to `reset_joints`.

        With `finger_m` given, an open gripper is not opened again. The target becomes the reset pose. A `slow` move, as
        after a fault, passes the neutral pose.
        """
        speed = self._speed(slow)
        joints = np.clip(np.asarray(joints, np.float64), self.limits.joint_lower, self.limits.joint_upper)
        path = [joints]
        if finger_m is None or not finger_at_limit(finger_m, self._pwm):
            path += [joints] * _OPENING_PERIODS
        path += self._rise(joints, speed)
        if slow:
            path += self._interpolate(path[-1], NEUTRAL_JOINTS, speed)
        path += self._interpolate(path[-1], self.reset_joints, speed)
        self.retarget(self.reset_joints)
        self._gripper_open, self._flip_requests = True, 0
        return [JointCommand(goal.copy(), self._pwm) for goal in path[1:]]

    def sleep_waypoints(self, joints: ArrayLike) -> list[JointCommand]:
        """From joints (6,), one slow command a control period: rise, neutral pose, sleep pose; the gripper rests.

        The target becomes the sleep pose.
        """
        joints = np.clip(np.asarray(joints, np.float64), self.limits.joint_lower, self.limits.joint_upper)
        path, speed = [joints], self._speed(slow=True)
        if np.abs(joints - SLEEP_JOINTS).max() > _AT_POSE_RAD:
            path += self._rise(joints, speed)
            path += self._interpolate(path[-1], NEUTRAL_JOINTS, speed)
        path += self._interpolate(path[-1], SLEEP_JOINTS, speed)
        self.retarget(SLEEP_JOINTS)
        return [JointCommand(goal.copy(), 0.0) for goal in path[1:]]

    def _speed(self, slow: bool) -> float:
        """Mean speed [rad/s] of the farthest joint in a move of our own."""
        speed = _RESET_SPEED_RAD_S * self.limits.speed_scale
        return min(speed, _SLOW_SPEED_RAD_S) if slow else speed

    def _rise(self, joints: NDArray[np.float64], speed: float) -> list[NDArray[np.float64]]:
        """Waypoints straight up to the height of the reset pose; none where that is too far out or not needed."""
        above = self._kinematics.forward(joints)
        if above[2, 3] >= self._reset_pose[2, 3]:
            return []
        above[2, 3] = self._reset_pose[2, 3]
        try:
            return self._interpolate(joints, self._kinematics.inverse(above, joints), speed)
        except Unreachable:
            return []  # The move to the next pose itself goes up and inwards.

    def _interpolate(
        self, start: NDArray[np.float64], end: NDArray[np.float64], speed: float
    ) -> list[NDArray[np.float64]]:
        """Waypoints after `start` up to `end`, minimum jerk, so that the arm starts and ends at rest."""
        way = float(np.abs(end - start).max())
        speed = min(speed, self.limits.joint_velocity / 1.875)
        least_s = math.sqrt(_PEAK_ACCELERATION * way / self.limits.joint_acceleration)
        periods = max(1, math.ceil(way / (speed * CONTROL_PERIOD_S)), math.ceil(least_s / CONTROL_PERIOD_S))
        times = np.arange(1, periods + 1) / periods
        blend = times**3 * (10 - 15 * times + 6 * times**2)
        return [end - (1 - share) * (end - start) for share in blend]

    def _request_gripper(self, open_it: bool) -> None:
        self._flip_requests = self._flip_requests + 1 if open_it != self._gripper_open else 0
        if self._flip_requests >= self._sticky_steps:
            self._gripper_open, self._flip_requests = open_it, 0

    def _gripper_pwm(self, finger_m: float) -> float:
        pwm = self._pwm if self._gripper_open else -self._pwm
        return 0.0 if finger_at_limit(finger_m, pwm) else pwm
