"""Forward and inverse kinematics of the wx250s from its MJCF, the one description of the arm.

The inverse is damped least squares on MuJoCo's site Jacobian with a warm start: a control step moves the target by
at most a few centimetres, so the joints of the last step nearly solve the next one.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from widowx_bridge import WX250S_XML

JOINT_NAMES = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
JOINT_LOWER = np.array([-3.14158, -1.884956, -2.146755, -3.14158, -1.745329, -3.14158])
JOINT_UPPER = np.array([3.14158, 1.989675, 1.605703, 3.14158, 2.146755, 3.14158])
VELOCITY_LIMIT = np.pi
"""rad/s, all joints (register Velocity_Limit 131)."""

POSITION_TOLERANCE_M = 1e-5
ROTATION_TOLERANCE_RAD = 1e-4

_LOW_LINKS = ("upper_forearm_link", "lower_forearm_link", "wrist_link", "gripper_link")
_ITERATIONS = 60
_MAX_STEP_RAD = 0.4
_DAMPING = 1e-5
_OVER_TABLE = np.array([0.0, 0.02, 0.19, 0.0, 1.36, 0.0])
"""Gripper down at (.3, 0, .15): a start from which most of the workspace is found."""


class Unreachable(Exception):
    """No joint angles within the limits put the gripper at the pose."""


class Kinematics:
    """Kinematics of the arm's gripper frame, the site `ee_gripper`. Not for use by two threads at once."""

    def __init__(self, xml: Path = WX250S_XML) -> None:
        self._model = mujoco.MjModel.from_xml_path(str(xml))
        self._data = mujoco.MjData(self._model)
        self._site = self._model.site("ee_gripper").id
        self._qpos = np.array([self._model.joint(name).qposadr[0] for name in JOINT_NAMES])
        self._dofs = np.array([self._model.joint(name).dofadr[0] for name in JOINT_NAMES])
        self._links = np.array([self._model.body(name).id for name in _LOW_LINKS])
        self._jacobian = np.zeros((6, self._model.nv))

    def forward(self, joints: ArrayLike) -> NDArray[np.float64]:
        """Pose (4, 4) of the gripper in the base frame for joints (6,) in rad."""
        self._place(np.asarray(joints, np.float64))
        pose = np.eye(4)
        pose[:3, :3] = self._data.site_xmat[self._site].reshape(3, 3)
        pose[:3, 3] = self._data.site_xpos[self._site]
        return pose

    def lowest_link(self, joints: ArrayLike) -> float:
        """z [m] of the lowest of elbow, forearm and wrist joints, for joints (6,) in rad."""
        self._place(np.asarray(joints, np.float64))
        return float(self._data.xpos[self._links, 2].min())

    def inverse(self, target: NDArray[np.float64], guess: ArrayLike) -> NDArray[np.float64]:
        """Joints (6,) in rad, within the limits, that reach `target` (4, 4), near `guess` (6,) where possible.

        Raises:
            Unreachable: neither the guess nor a start with the waist turned to the target leads to a solution.
        """
        guess = np.clip(np.asarray(guess, np.float64), JOINT_LOWER, JOINT_UPPER)
        facing = _OVER_TABLE.copy()
        facing[0] = np.arctan2(target[1, 3], target[0, 3])
        for start in (guess, facing):
            joints = self._solve(target, start)
            if joints is not None:
                return joints
        x, y, z = target[:3, 3]
        raise Unreachable(f"no joint angles within the limits reach x {x:.3f} y {y:.3f} z {z:.3f} m at that rotation")

    def _place(self, joints: NDArray[np.float64]) -> None:
        self._data.qpos[self._qpos] = joints
        mujoco.mj_kinematics(self._model, self._data)

    def _solve(self, target: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64] | None:
        joints = start.copy()
        error = np.empty(6)
        jacobian = self._jacobian
        for _ in range(_ITERATIONS):
            self._place(joints)
            error[:3] = target[:3, 3] - self._data.site_xpos[self._site]
            error[3:] = rotation_vector(target[:3, :3] @ self._data.site_xmat[self._site].reshape(3, 3).T)
            if np.abs(error[:3]).max() < POSITION_TOLERANCE_M and np.abs(error[3:]).max() < ROTATION_TOLERANCE_RAD:
                return joints
            mujoco.mj_comPos(self._model, self._data)
            mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._site)
            step = _damped_step(jacobian[:, self._dofs], error)
            # A joint that the step would push through its limit is held, and the others solve again without it.
            blocked = ((joints <= JOINT_LOWER) & (step < 0)) | ((joints >= JOINT_UPPER) & (step > 0))
            if blocked.any():
                step = np.where(blocked, 0.0, _damped_step(np.where(blocked, 0.0, jacobian[:, self._dofs]), error))
            largest = np.abs(step).max()
            if largest > _MAX_STEP_RAD:
                step *= _MAX_STEP_RAD / largest
            joints = np.clip(joints + step, JOINT_LOWER, JOINT_UPPER)
        return None


def _damped_step(jacobian: NDArray[np.floating], error: NDArray[np.floating]) -> NDArray[np.floating]:
    """Levenberg-Marquardt step: the damping grows with the error, so that it is steady far off and quick near."""
    damping = _DAMPING + 0.01 * float(error @ error)
    return np.linalg.solve(jacobian.T @ jacobian + damping * np.eye(6), jacobian.T @ error)


def rotation_vector(rotation: NDArray[np.floating]) -> NDArray[np.floating]:
    """Axis times angle (3,) in rad of a rotation matrix (3, 3); angle in [0, pi]."""
    doubled = np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    sine = np.sqrt(doubled @ doubled) / 2
    cosine = (rotation[0, 0] + rotation[1, 1] + rotation[2, 2] - 1) / 2
    if sine < 1e-9:
        if cosine > 0:
            return doubled / 2
        axis = np.sqrt(np.maximum(np.diag(rotation) + 1, 0) / 2)
        return np.pi * axis / np.linalg.norm(axis)
    return doubled / 2 * (np.arctan2(sine, cosine) / sine)
