"""Kinematics against the published screw axes, and the conventions of poses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from widowx_bridge.kinematics import JOINT_LOWER, JOINT_UPPER, Kinematics, Unreachable, rotation_vector
from widowx_bridge.poses import (
    DEFAULT_ROTATION,
    apply_delta,
    pose_to_vector,
    rotation_to_rpy,
    rpy_to_rotation,
    vector_to_pose,
)
from widowx_bridge.safety import Limits

# Product-of-exponentials description of the wx250s as published: columns (w; v) of the space frame, and M.
SCREWS = np.array(
    [
        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, -0.11065, 0.0, 0.0],
        [0.0, 1.0, 0.0, -0.36065, 0.0, 0.04975],
        [1.0, 0.0, 0.0, 0.0, 0.36065, 0.0],
        [0.0, 1.0, 0.0, -0.36065, 0.0, 0.29975],
        [1.0, 0.0, 0.0, 0.0, 0.36065, 0.0],
    ]
)
M_POSITION = (0.458325, 0.0, 0.36065)


def skew(w):
    return np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])


def screw_forward(joints):
    pose = np.eye(4)
    for screw, angle in zip(SCREWS, joints, strict=True):
        w, v = skew(screw[:3]), screw[3:]
        square = w @ w
        motion = np.eye(4)
        motion[:3, :3] = np.eye(3) + np.sin(angle) * w + (1 - np.cos(angle)) * square
        motion[:3, 3] = (np.eye(3) * angle + (1 - np.cos(angle)) * w + (angle - np.sin(angle)) * square) @ v
        pose = pose @ motion
    end = np.eye(4)
    end[:3, 3] = M_POSITION
    return pose @ end


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics()


def test_forward_kinematics_equal_the_product_of_exponentials_over_1000_configurations(kinematics):
    joints = np.random.default_rng(0).uniform(JOINT_LOWER, JOINT_UPPER, (1000, 6))
    worst = max(np.abs(kinematics.forward(q) - screw_forward(q)).max() for q in joints)
    assert worst < 1e-6


def test_inverse_kinematics_reach_99_percent_of_the_workspace_box_with_gripper_down(kinematics):
    rng = np.random.default_rng(1)
    limits = Limits()
    reached = 0
    for _ in range(1000):
        position = rng.uniform(limits.workspace_low, limits.workspace_high)
        target = vector_to_pose([*position, 0, 0, rng.uniform(-np.pi / 2, np.pi / 2)])
        try:
            joints = kinematics.inverse(target, np.zeros(6))
        except Unreachable:
            continue
        assert (joints >= JOINT_LOWER).all()
        assert (joints <= JOINT_UPPER).all()
        assert np.abs(screw_forward(joints)[:3, 3] - position).max() < 1e-4
        assert np.linalg.norm(rotation_vector(target[:3, :3] @ screw_forward(joints)[:3, :3].T)) < 1e-3
        reached += 1
    assert reached >= 990


def test_inverse_kinematics_return_to_the_joints_they_came_from_when_warm(kinematics):
    rng = np.random.default_rng(2)
    start = np.array([0.0, 0.02, 0.19, 0.0, 1.36, 0.0])
    for _ in range(100):
        joints = start + rng.uniform(-0.3, 0.3, 6)
        found = kinematics.inverse(kinematics.forward(joints), joints + rng.uniform(-0.05, 0.05, 6))
        assert np.abs(found - joints).max() < 1e-2


def test_a_pose_out_of_reach_is_unreachable(kinematics):
    with pytest.raises(Unreachable, match=r"x 0[.]900"):
        kinematics.inverse(vector_to_pose([0.9, 0, 0.1, 0, 0, 0]), np.zeros(6))


def test_zero_rotation_is_the_gripper_straight_down():
    pose = vector_to_pose([0.3, 0, 0.1, 0, 0, 0])
    assert pose[:3, 0] == pytest.approx([0, 0, -1])
    assert np.array_equal(pose[:3, :3], DEFAULT_ROTATION)


angle = st.floats(-1.5, 1.5)


@given(roll=angle, pitch=angle, yaw=angle)
def test_pose_vectors_survive_the_round_trip(roll, pitch, yaw):
    vector = np.array([0.3, -0.1, 0.2, roll, pitch, yaw])
    assert pose_to_vector(vector_to_pose(vector)) == pytest.approx(vector, abs=1e-9)


@given(yaw=st.floats(-3, 3), sign=st.sampled_from([-1, 1]))
def test_rotations_at_the_poles_of_pitch_survive(yaw, sign):
    rotation = rpy_to_rotation([0.4, sign * np.pi / 2, yaw])
    assert rpy_to_rotation(rotation_to_rpy(rotation)) == pytest.approx(rotation, abs=1e-7)


@pytest.mark.parametrize("radians", [0.0, 1e-10, 0.3, 3.0, np.pi])
def test_rotation_vectors_hold_axis_and_angle(radians):
    rotation = rpy_to_rotation([0, radians, 0])
    assert np.abs(rotation_vector(rotation)) == pytest.approx([0, radians, 0], abs=1e-7)


def test_a_delta_applies_to_the_target_and_turns_it_about_the_measured_position():
    target = vector_to_pose([0.3, 0, 0.1, 0, 0, 0])
    moved = apply_delta(target, np.array([0.28, 0, 0.1]), [0.01, 0.02, 0.03, 0, 0, np.pi / 2])
    assert moved[:3, 3] == pytest.approx([0.28 + 0.01, 0.02 + 0.02, 0.13])
    assert pose_to_vector(moved)[3:] == pytest.approx([0, 0, np.pi / 2])
