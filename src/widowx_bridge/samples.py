"""Measured joints, and the filter that keeps readings out which no arm can have made.

A failed sync read of the servos comes through the driver as zero raw ticks, that is joints near -pi, with an
ordinary stamp. Believing one would throw the gripper's pose across the room for a control period.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from widowx_bridge.kinematics import JOINT_LOWER, JOINT_UPPER, VELOCITY_LIMIT

LIMIT_MARGIN_RAD = 0.15
JUMP_MARGIN_RAD = 0.1
JUMP_CONFIRMATIONS = 3


@dataclass(frozen=True, slots=True, eq=False)
class JointSample:
    """One joint state.

    Attributes:
        stamp_ns: the driver's time.
        joints: (6,) rad. velocity: (6,) rad/s. effort: (6,) mA on hardware.
        finger_m: left finger, measured.
    """

    stamp_ns: int
    joints: NDArray[np.float64]
    velocity: NDArray[np.float64]
    effort: NDArray[np.float64]
    finger_m: float


class SampleFilter:
    """Tells plausible samples from failed reads.

    A jump that stays where it went, for `JUMP_CONFIRMATIONS` samples, is believed: then the arm was moved while nobody
    looked. So is any plausible sample with a stamp before the last one: the driver was restarted.

    Attributes:
        leapt: the sample that was believed last had jumped.
    """

    def __init__(self) -> None:
        self._last: JointSample | None = None
        self._jumped: JointSample | None = None
        self._confirmations = 0
        self.leapt = False

    def reject(self, sample: JointSample) -> str | None:
        """Why `sample` cannot be true, or None; then later samples are compared with it."""
        if not (np.isfinite(sample.joints).all() and np.isfinite(sample.finger_m)):
            return "joint_states holds numbers that are not finite"
        outside = (sample.joints < JOINT_LOWER - LIMIT_MARGIN_RAD) | (sample.joints > JOINT_UPPER + LIMIT_MARGIN_RAD)
        if outside.any():
            return f"joint_states outside the joint limits, as after a failed read: {_in_words(sample)}"
        last, leapt = self._last, False
        if last is not None and sample.stamp_ns >= last.stamp_ns and _jumps(last, sample):
            steady = self._jumped is not None and not _jumps(self._jumped, sample)
            self._confirmations = self._confirmations + 1 if steady else 1
            self._jumped = sample
            if self._confirmations < JUMP_CONFIRMATIONS:
                return f"joint_states jumped to {_in_words(sample)}"
            leapt = True
        self.leapt = leapt
        self._last, self._jumped, self._confirmations = sample, None, 0
        return None


def _jumps(before: JointSample, after: JointSample) -> bool:
    seconds = max(0, after.stamp_ns - before.stamp_ns) * 1e-9
    allowed = JUMP_MARGIN_RAD + 1.5 * VELOCITY_LIMIT * seconds
    return bool(np.abs(after.joints - before.joints).max() > allowed)


def _in_words(sample: JointSample) -> str:
    return np.array2string(sample.joints, precision=2, suppress_small=True)
