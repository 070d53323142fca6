"""BridgeData action semantics and the refusals of the arm controller."""

import numpy as np
import pytest

from widowx_bridge.arm import FINGER_CLOSED_M, FINGER_OPEN_M, RESET_JOINTS, RESET_POSITION, ArmController
from widowx_bridge.kinematics import JOINT_LOWER, JOINT_UPPER, Kinematics
from widowx_bridge.poses import pose_to_vector, vector_to_pose
from widowx_bridge.safety import Limits, Refused

HALF_OPEN_M = (FINGER_CLOSED_M + FINGER_OPEN_M) / 2


def action(x=0.0, y=0.0, z=0.0, roll=0.0, pitch=0.0, yaw=0.0, gripper=1.0):
    return np.array([x, y, z, roll, pitch, yaw, gripper])


@pytest.fixture
def arm():
    return ArmController()


def test_the_reset_joints_are_the_inverse_of_the_reset_position(arm):
    assert np.array_equal(arm.reset_joints, RESET_JOINTS)
    assert pose_to_vector(Kinematics().forward(RESET_JOINTS)) == pytest.approx([*RESET_POSITION, 0, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("limits", "position", "why"),
    [
        (Limits(), (0.30, 0.0, 0.25), "outside the workspace"),
        (Limits(table_height_m=0.12), RESET_POSITION, "outside the workspace"),
        (Limits(), (0.30, 0.0), "x y z"),
    ],
)
def test_a_reset_position_that_commands_could_not_reach_is_refused(limits, position, why):
    with pytest.raises(Refused, match=f"reset_position.*{why}"):
        ArmController(limits, reset_position=position)


def test_deltas_add_to_the_previous_target_not_to_the_drooping_arm(arm):
    drooping = RESET_JOINTS + np.array([0, 0.03, 0, 0, 0, 0])
    for _ in range(5):
        arm.step(action(z=-0.01), drooping, FINGER_OPEN_M)
    assert arm.target == pytest.approx([0.30, 0, 0.08, 0, 0, 0], abs=1e-4)


def test_the_command_is_the_inverse_of_the_target(arm):
    command = arm.step(action(x=0.02, y=-0.01, yaw=0.1), RESET_JOINTS, FINGER_OPEN_M)
    assert pose_to_vector(Kinematics().forward(command.joints)) == pytest.approx(arm.target, abs=2e-4)
    assert arm.target == pytest.approx([0.32, -0.01, 0.13, 0, 0, 0.1], abs=1e-4)


def test_rotations_turn_about_the_measured_position(arm):
    kinematics = Kinematics()
    measured = kinematics.inverse(vector_to_pose([0.29, 0, 0.13, 0, 0, 0]), RESET_JOINTS)
    arm.step(action(yaw=0.2), measured, FINGER_OPEN_M)
    offset = 0.01 * np.array([np.cos(0.2), np.sin(0.2)])
    assert arm.target[:2] == pytest.approx(np.array([0.29, 0]) + offset, abs=1e-4)


def test_deltas_are_clipped_to_five_centimetres_and_a_quarter_radian(arm):
    arm.step(action(x=0.5, yaw=2.0), RESET_JOINTS, FINGER_OPEN_M)
    assert arm.target[0] == pytest.approx(0.35, abs=1e-4)
    assert arm.target[5] == pytest.approx(0.25, abs=1e-4)


def test_targets_are_clipped_to_the_workspace_box(arm):
    for _ in range(6):
        arm.step(action(z=-0.05), RESET_JOINTS, FINGER_OPEN_M)
    assert arm.target[2] == pytest.approx(arm.limits.workspace_low[2], abs=1e-4)


def test_a_target_outside_the_box_may_come_in_but_not_go_farther_out(arm):
    arm.retarget(Kinematics().inverse(vector_to_pose([0.3, 0, 0.24, 0, 0, 0]), RESET_JOINTS))
    joints = RESET_JOINTS
    arm.step(action(z=0.02), joints, FINGER_OPEN_M)
    assert arm.target[2] == pytest.approx(0.24, abs=1e-4)
    arm.step(action(z=-0.02), joints, FINGER_OPEN_M)
    assert arm.target[2] == pytest.approx(0.22, abs=1e-4)


def test_an_action_that_is_not_finite_is_refused_and_leaves_the_target(arm):
    before = arm.target
    with pytest.raises(Refused, match="not finite"):
        arm.step(action(x=float("nan")), RESET_JOINTS, FINGER_OPEN_M)
    assert np.array_equal(arm.target, before)


def test_an_action_of_the_wrong_length_is_refused(arm):
    with pytest.raises(Refused, match="7 numbers"):
        arm.step(np.zeros(6), RESET_JOINTS, FINGER_OPEN_M)


def test_an_unreachable_target_is_refused_and_leaves_the_target_and_the_gripper():
    arm = ArmController(Limits(workspace_high=np.array([1.0, 1.0, 1.0])))
    joints = RESET_JOINTS
    for _ in range(3):
        joints = arm.step(action(x=0.05), joints, HALF_OPEN_M).joints
    before = arm.target
    with pytest.raises(Refused, match="no joint angles"):
        arm.step(action(x=0.05, gripper=0), joints, HALF_OPEN_M)
    assert np.array_equal(arm.target, before)
    assert arm.step(action(x=-0.05), joints, HALF_OPEN_M).gripper_pwm > 0


def test_a_command_faster_than_the_velocity_limit_is_refused():
    arm = ArmController(Limits(joint_velocity=0.2))
    before = arm.target
    with pytest.raises(Refused, match="rad/s"):
        arm.step(action(x=0.05), RESET_JOINTS, FINGER_OPEN_M)
    assert np.array_equal(arm.target, before)


def test_an_arm_far_from_its_goal_is_not_made_to_leap(arm):
    with pytest.raises(Refused, match=r"waist stands 0.60 rad"):
        arm.step(action(), RESET_JOINTS + np.array([0.6, 0, 0, 0, 0, 0]), FINGER_OPEN_M)


def test_an_unreachable_reset_position_is_refused_in_one_line():
    with pytest.raises(Refused, match=r"reset pose.*reset_position") as error:
        ArmController(reset_position=(0.9, 0, 0.1))
    assert "\n" not in str(error.value)


def test_positive_pwm_opens_and_pressure_sets_its_size():
    arm = ArmController(gripper_pressure=0.25)
    assert arm.step(action(gripper=1), RESET_JOINTS, HALF_OPEN_M).gripper_pwm == 200
    assert arm.step(action(gripper=0), RESET_JOINTS, HALF_OPEN_M).gripper_pwm == -200


def test_no_pwm_pushes_a_finger_against_its_end_stop(arm):
    assert arm.step(action(gripper=1), RESET_JOINTS, FINGER_OPEN_M).gripper_pwm == 0
    assert arm.step(action(gripper=0), RESET_JOINTS, FINGER_OPEN_M).gripper_pwm == -250
    assert arm.step(action(gripper=0), RESET_JOINTS, FINGER_CLOSED_M).gripper_pwm == 0


def test_a_sticky_gripper_flips_after_as_many_requests_in_a_row():
    arm = ArmController(sticky_steps=2)
    signs = [np.sign(arm.step(action(gripper=g), RESET_JOINTS, HALF_OPEN_M).gripper_pwm) for g in (0, 1, 0, 0, 1, 1)]
    assert signs == [1, 1, 1, -1, -1, 1]


def test_proprio_is_pose_zero_and_opening(arm):
    proprio = arm.proprio(RESET_JOINTS, HALF_OPEN_M)
    assert proprio.dtype == np.float32
    assert proprio == pytest.approx([*RESET_POSITION, 0, 0, 0, 0, 0.5], abs=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_reset_waypoints_end_at_the_reset_joints_within_the_limits(arm, seed):
    rng = np.random.default_rng(seed)
    start = rng.uniform(JOINT_LOWER / 2, JOINT_UPPER / 2)
    waypoints = arm.reset_waypoints(start)
    assert np.array_equal(waypoints[-1].joints, RESET_JOINTS)
    path = np.array([start, *(waypoint.joints for waypoint in waypoints)])
    assert np.abs(np.diff(path, axis=0)).max() / 0.2 < arm.limits.joint_velocity
    assert (path >= JOINT_LOWER).all()
    assert (path <= JOINT_UPPER).all()
    assert all(waypoint.gripper_pwm > 0 for waypoint in waypoints)
    assert arm.target == pytest.approx([*RESET_POSITION, 0, 0, 0], abs=1e-6)


def test_a_reset_from_the_table_rises_before_it_moves_sideways(arm):
    kinematics = Kinematics()
    low = kinematics.inverse(vector_to_pose([0.35, 0.2, 0.02, 0, 0, 0]), RESET_JOINTS)
    path = np.array([kinematics.forward(waypoint.joints)[:3, 3] for waypoint in arm.reset_waypoints(low)])
    moved_sideways = np.linalg.norm(path[:, :2] - path[0, :2], axis=1) > 0.02
    assert (path[moved_sideways, 2] > 0.12).all()
