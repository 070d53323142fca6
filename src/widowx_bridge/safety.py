"""Limits on what may be commanded, and the checks that refuse the rest with a reason and a remedy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from widowx_bridge.kinematics import JOINT_LOWER, JOINT_NAMES, JOINT_UPPER, VELOCITY_LIMIT


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
        following_error: rad, of any joint behind its goal; beyond it the arm is stuck or was moved by someone else.
    """

    workspace_low: NDArray[np.float64] = field(default_factory=lambda: np.array([0.18, -0.22, 0.015]))
    workspace_high: NDArray[np.float64] = field(default_factory=lambda: np.array([0.42, 0.22, 0.20]))
    max_translation_m: float = 0.05
    max_rotation_rad: float = 0.25
    joint_lower: NDArray[np.float64] = field(default_factory=JOINT_LOWER.copy)
    joint_upper: NDArray[np.float64] = field(default_factory=JOINT_UPPER.copy)
    joint_velocity: float = VELOCITY_LIMIT
    following_error: float = 0.5

    def clip_delta(self, delta: NDArray[np.float64]) -> NDArray[np.float64]:
        """`delta` (6,) with each component within its limit."""
        bound = np.repeat([self.max_translation_m, self.max_rotation_rad], 3)
        return np.clip(delta, -bound, bound)

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
