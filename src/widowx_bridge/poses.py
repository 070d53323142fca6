"""Poses in BridgeData's form: x y z and the roll pitch yaw of the gripper relative to pointing straight down.

Conventions of bridge_data_robot (`widowx_controller`, `transformation_utils.action2transform_local`):
R = Rz(yaw) Ry(pitch) Rx(roll) in world axes, deltas on the previous target, rotated about the measured position.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_ROTATION = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""Gripper straight down: roll pitch yaw 0 0 0 in BridgeData's form."""


def rpy_to_rotation(rpy: ArrayLike) -> NDArray[np.float64]:
    """Rz(yaw) Ry(pitch) Rx(roll), (3, 3), of roll pitch yaw (3,) in rad."""
    roll, pitch, yaw = (float(angle) for angle in np.asarray(rpy, np.float64))
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (math.cos, math.sin))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def rotation_to_rpy(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Roll pitch yaw (3,) in rad of a rotation (3, 3), pitch in [-pi/2, pi/2]; at the poles roll is 0."""
    horizontal = math.hypot(rotation[0, 0], rotation[1, 0])
    pitch = math.atan2(-rotation[2, 0], horizontal)
    if horizontal < 1e-9:
        return np.array([0.0, pitch, math.atan2(-rotation[0, 1], rotation[1, 1])])
    return np.array([math.atan2(rotation[2, 1], rotation[2, 2]), pitch, math.atan2(rotation[1, 0], rotation[0, 0])])


def pose_to_vector(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """x y z [m] roll pitch yaw [rad], (6,), of a gripper pose (4, 4)."""
    return np.concatenate([pose[:3, 3], rotation_to_rpy(pose[:3, :3] @ DEFAULT_ROTATION.T)])


def vector_to_pose(vector: ArrayLike) -> NDArray[np.float64]:
    """Gripper pose (4, 4) of x y z [m] roll pitch yaw [rad], (6,)."""
    values = np.asarray(vector, np.float64)
    pose = np.eye(4)
    pose[:3, :3] = rpy_to_rotation(values[3:6]) @ DEFAULT_ROTATION
    pose[:3, 3] = values[:3]
    return pose


def apply_delta(
    target: NDArray[np.float64], measured_position: NDArray[np.float64], delta: ArrayLike
) -> NDArray[np.float64]:
    """The next target (4, 4): `delta` (6,) = dx dy dz [m] droll dpitch dyaw [rad] on the previous `target` (4, 4).

    The rotation turns the target about `measured_position` (3,), where the gripper is now, in world axes.
    """
    values = np.asarray(delta, np.float64)
    rotation = rpy_to_rotation(values[3:6])
    pose = np.eye(4)
    pose[:3, :3] = rotation @ target[:3, :3]
    pose[:3, 3] = measured_position + rotation @ (target[:3, 3] - measured_position) + values[:3]
    return pose
