"""Limits on what may be commanded, and the checks that refuse the rest with a reason and a remedy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from widowx_bridge.kinematics import JOINT_LOWER, JOINT_NAMES, JOINT_UPPER, VELOCITY_LIMIT

FRAME_OVER_TABLE_M = 0.015
"""Least height of the gripper frame over the table; the finger tips are 13.4 mm beyond it, at any tilt."""
LINK_OVER_TABLE_M = 0.03
"""Least height of the wrist's and forearm's joints over the table, about the thickness of the links."""
PWM_LIMIT = 350.0
"""The vendor's upper limit for the gripper; a gripper that stalls at more overloads within seconds."""
_ROUNDING_RAD = 1e-6


class Refused(Exception):
    """A command is not carried out; the message is one line with the reason and the remedy. The arm holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """What the arm may be asked to do.

    Attributes:
        workspace_low, workspace_high: (3,) m, box of the gripper frame; targets are clipped to it. At the lowest z the
            finger tips, 13.4 mm below that frame, stay just above a table at z = 0. With the gripper down all but
            .4 % of the box is within the arm's reach.
        max_translation_m, max_rotation_rad: clip of each component of a delta in one control period (BridgeData).
        joint_lower, joint_upper: (6,) rad.
        joint_velocity: rad/s, of every joint between two commands.
        joint_acceleration: rad/s^2, of every joint that gains speed between two commands; inf: no limit. Braking is
            never limited.
        speed_scale: 0 .. 1, of every delta and of the speed of resets; below 1 for first runs.
        table_height_m: z of the table's surface; it raises the box where that is lower, and keeps wrist and forearm up.
        following_error: rad, of any joint behind its goal; beyond it the arm is stuck or was moved by someone else.
    """

    workspace_low: NDArray[np.float64] = field(default_factory=lambda: np.array([0.18, -0.22, 0.015]))
    workspace_high: NDArray[np.float64] = field(default_factory=lambda: np.array([0.42, 0.22, 0.20]))
    max_translation_m: float = 0.05
    max_rotation_rad: float = 0.25
    joint_lower: NDArray[np.float64] = field(default_factory=JOINT_LOWER.copy)
    joint_upper: NDArray[np.float64] = field(default_factory=JOINT_UPPER.copy)
    joint_velocity: float = VELOCITY_LIMIT
    joint_acceleration: float = np.inf
    speed_scale: float = 1.0
    table_height_m: float = 0.0
    following_error: float = 0.5

    def __post_init__(self) -> None:
        low = np.array(self.workspace_low, np.float64)
        low[2] = max(low[2], self.table_height_m + FRAME_OVER_TABLE_M)
        object.__setattr__(self, "workspace_low", low)

    def clip_delta(self, delta: NDArray[np.float64]) -> NDArray[np.float64]:
        """`delta` (6,) with each component within its limit, shortened by `speed_scale`."""
        bound = np.repeat([self.max_translation_m, self.max_rotation_rad], 3)
        return np.clip(delta, -bound, bound) * self.speed_scale

    def clip_position(self, position: NDArray[np.float64], previous: NDArray[np.float64]) -> NDArray[np.float64]:
        """`position` (3,) within the box, or, from a `previous` target outside it, no farther out than that was."""
        return np.clip(position, np.minimum(self.workspace_low, previous), np.maximum(self.workspace_high, previous))


def check_action(action: NDArray[np.float64]) -> None:
    """Raises Refused unless `action` is seven finite numbers."""
    if action.shape != (7,):
        raise Refused(f"action has shape {action.shape}: send 7 numbers, dx dy dz droll dpitch dyaw gripper")
    if not np.isfinite(action).all():
        raise Refused(f"action {np.array2string(action, precision=4)} is not finite: check the policy's output")


def check_following(joints: NDArray[np.float64], goal: NDArray[np.float64], limits: Limits) -> None:
    """Raises Refused if measured `joints` (6,) are far from the last `goal` (6,): the next would be a leap."""
    error = np.abs(joints - goal)
    if (error > limits.following_error).any():
        worst = int(np.argmax(error))
        raise Refused(
            f"joint {JOINT_NAMES[worst]} stands {error[worst]:.2f} rad from its goal, stuck or moved by hand: "
            "free the arm and reset it"
        )


def check_joints(joints: NDArray[np.float64], previous: NDArray[np.float64], period_s: float, limits: Limits) -> None:
    """Raises Refused if `joints` (6,) leave the limits or are too far from `previous` (6,) for one period."""
    outside = (joints < limits.joint_lower) | (joints > limits.joint_upper)
    if outside.any():
        worst = int(np.argmax(outside))
        raise Refused(
            f"joint {JOINT_NAMES[worst]} would be at {joints[worst]:.3f} rad, outside "
            f"{limits.joint_lower[worst]:.3f} .. {limits.joint_upper[worst]:.3f}: command a pose nearer the base"
        )
    velocity = np.abs(joints - previous) / period_s
    if (velocity > limits.joint_velocity).any():
        worst = int(np.argmax(velocity))
        raise Refused(
            f"joint {JOINT_NAMES[worst]} would turn at {velocity[worst]:.2f} rad/s, above {limits.joint_velocity:.2f}: "
            "command smaller deltas or reset the arm"
        )


def check_table(height_m: float, limits: Limits) -> None:
    """Raises Refused if the lowest joint of wrist and forearm, at z `height_m`, would be too near the table."""
    if height_m < limits.table_height_m + LINK_OVER_TABLE_M:
        raise Refused(
            f"the wrist would be {height_m - limits.table_height_m:.3f} m over the table, less than "
            f"{LINK_OVER_TABLE_M:g}: tilt the gripper back down"
        )


def shorten(step: NDArray[np.float64], previous: NDArray[np.float64], period_s: float, limits: Limits) -> float:
    """Share, 0 .. 1, of joint step (6,) that keeps the gain of speed since the `previous` step (6,) within its limit.

    A joint may always brake to rest within one period; one that turns around comes to rest first where it must.
    """
    if not np.isfinite(limits.joint_acceleration):
        return 1.0
    gain = limits.joint_acceleration * period_s**2
    moving = np.abs(step) > _ROUNDING_RAD
    if not moving.any():
        return 1.0
    allowed = np.maximum(0.0, np.sign(step) * previous + gain)[moving] / np.abs(step[moving])
    return float(min(1.0, allowed.min()))


def check_wire(
    joints: NDArray[np.float64],
    gripper_pwm: float,
    previous: NDArray[np.float64] | None,
    measured: NDArray[np.float64],
    period_s: float,
    limits: Limits,
) -> None:
    """The last check, of what is about to go onto the wire, whoever made it.

    Args:
        joints: (6,) goals. previous: (6,) goals that were last sent, or where the motors said they stand since, None
            before the first. measured: (6,).

    Raises:
        Refused: not six finite angles within the joints' range, farther than a period at full speed from the last
            goals, or than that and the following error from the arm, or a PWM beyond `PWM_LIMIT`. Before the first
            goals: farther than a period at full speed from the arm.
    """
    if joints.shape != (6,) or not np.isfinite(joints).all() or not np.isfinite(gripper_pwm):
        raise Refused(f"joint goals {joints} with PWM {gripper_pwm} are not finite: report this as an error")
    if abs(gripper_pwm) > PWM_LIMIT:
        raise Refused(f"a gripper PWM of {gripper_pwm:g} is beyond {PWM_LIMIT:g}: lower gripper_pressure")
    reach = limits.joint_velocity * period_s + _ROUNDING_RAD
    distance = np.abs(joints - measured)
    if previous is not None:
        distance = np.maximum(np.abs(joints - previous), distance - limits.following_error)
    outside = (joints < limits.joint_lower - _ROUNDING_RAD) | (joints > limits.joint_upper + _ROUNDING_RAD)
    if outside.any() or (distance > reach).any():
        worst = int(np.argmax(np.where(outside, np.inf, distance)))
        raise Refused(
            f"joint {JOINT_NAMES[worst]} would be sent to {joints[worst]:.3f} rad, out of its range or farther than "
            f"{reach:.2f} rad away: reset the arm"
        )
