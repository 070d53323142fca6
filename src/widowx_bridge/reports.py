"""What is told of the arm: its modes and the report that becomes an ArmState."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from widowx_bridge.arm import ArmController, opening
from widowx_bridge.samples import JointSample


class Mode(enum.IntEnum):
    """Modes of the arm; the numbers are those of `sarl_interfaces/ArmState`."""

    IDLE = 0
    MOVING = 1
    HOLD = 2
    FAULT = 3


@dataclass(frozen=True, slots=True, eq=False)
class ArmReport:
    """What is published as ArmState. Poses are x y z [m] roll pitch yaw [rad], (6,); faults are "name: words".

    `stop` is the identity of the stop that holds the arm, empty for none.
    """

    seq: int
    mode: Mode
    accepted: bool
    refusal: str
    faults: tuple[str, ...]
    sample: JointSample
    pose: NDArray[np.float64]
    target: NDArray[np.float64]
    gripper: float
    proprio: NDArray[np.float32]
    stop: str


def make_report(
    controller: ArmController,
    sample: JointSample | None,
    seq: int,
    mode: Mode,
    refusal: str,
    faults: tuple[str, ...],
    stop: str,
) -> ArmReport:
    """The report on `sample`; before the first one all measurements are NaN. A refusal makes it not accepted."""
    if sample is None:
        nothing = np.full(6, np.nan)
        sample = JointSample(0, nothing, nothing, nothing, float("nan"))
        pose, proprio, gripper = nothing, np.full(8, np.nan, np.float32), float("nan")
    else:
        pose = controller.pose(sample.joints)
        gripper = opening(sample.finger_m)
        proprio = np.array([*pose, 0.0, gripper], np.float32)
    return ArmReport(seq, mode, not refusal, refusal, faults, sample, pose, controller.target, gripper, proprio, stop)
