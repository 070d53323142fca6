"""sim_world as a real process over DDS: the wires of the arm and of the cameras, resets, time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from arm_side import ArmSide, end, spawn, stamp_ns
from domains import domain_of
from std_msgs.msg import String

from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from interbotix_xs_msgs.srv import RegisterValues, RobotInfo, TorqueEnable
from sarl_interfaces.srv import SimReset
from sarl_ros.ros import topics
from widowx_bridge.arm import RESET_JOINTS


@pytest.fixture(scope="module")
def world():
    process = spawn("sim_world", domain_of(__name__))
    side = ArmSide(domain_of(__name__))
    for topic, kind in (
        ("/wx250s/get_robot_info", RobotInfo),
        ("/wx250s/torque_enable", TorqueEnable),
        ("/wx250s/get_motor_registers", RegisterValues),
    ):
        side.services[topic] = side.node.create_client(kind, topic)
    side.groups = side.node.create_publisher(JointGroupCommand, "/wx250s/commands/joint_group", topics.STREAM)
    side.singles = side.node.create_publisher(JointSingleCommand, "/wx250s/commands/joint_single", topics.STREAM)
    side.faults = side.node.create_publisher(String, topics.SIM_FAULT, topics.STREAM)
    try:
        side.wait_ready("sim_world")
        assert side.wait(lambda: side.joint_states and len(side.infos) == 2 and all(side.image_stamps.values()))
        deadline = time.monotonic() + 20
        while not all(each.get_subscription_count() for each in (side.groups, side.singles, side.faults)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield side
    finally:
        side.close()
        code = end(process)
    assert code == 0


def period(world: ArmSide, joints=RESET_JOINTS, pwm: float | None = 0.0, group_first: bool = False):
    """The joint state after one period."""
    newest = stamp_ns(world.joint_states[-1])
    group = JointGroupCommand(name="arm", cmd=[float(angle) for angle in joints])
    if pwm is not None and not group_first:
        world.singles.publish(JointSingleCommand(name="gripper", cmd=pwm))
    world.groups.publish(group)
    if pwm is not None and group_first:
        world.singles.publish(JointSingleCommand(name="gripper", cmd=pwm))
    assert world.wait(lambda: stamp_ns(world.joint_states[-1]) > newest)
    return world.joint_states[-1]


def sim_reset(world: ArmSide, task: str = "hammer", seed: int = 1, wide: bool = False):
    """Its answer, once the joint state of the new layout has come too."""
    before = stamp_ns(world.joint_states[-1])
    answer = world.call(topics.SIM_RESET, SimReset.Request(task=task, seed=seed, wide=wide))
    assert not answer.success or world.wait(lambda: stamp_ns(world.joint_states[-1]) > before)
    return answer


def finger_m(state) -> float:
    return state.position[state.name.index("left_finger")]


def test_joint_states_have_the_vendors_names_with_velocity_and_effort(world):
    state = world.joint_states[-1]
    assert list(state.name) == [
        "waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper", "left_finger",
        "right_finger",
    ]  # fmt: skip
    assert len(state.position) == len(state.velocity) == len(state.effort) == 9


def test_a_pair_of_commands_runs_one_period_and_everything_carries_its_stamp(world):
    assert sim_reset(world).success
    before = stamp_ns(world.joint_states[-1])
    state = period(world)
    after = stamp_ns(state)
    assert after - before == 200_000_000
    assert world.wait(lambda: all(after in stamps for stamps in world.image_stamps.values()))
    assert world.wait(lambda: stamp_ns(world.judgements[-1]) == after)
    time.sleep(0.3)
    assert stamp_ns(world.joint_states[-1]) == after


def test_a_late_pwm_belongs_to_the_period_of_its_joint_group(world):
    assert sim_reset(world).success
    for number in range(6):
        state = period(world, pwm=-250.0, group_first=number % 2 == 0)
    assert finger_m(state) < 0.017
    state = period(world, pwm=250.0, group_first=True)
    assert finger_m(state) > 0.018


def test_without_a_pwm_the_last_one_is_kept(world):
    assert sim_reset(world).success
    for _ in range(2):
        period(world, pwm=-250.0)
    for _ in range(4):
        state = period(world, pwm=None)
    assert finger_m(state) < 0.017


def test_everything_is_repeated_with_its_stamp_while_nothing_runs(world):
    newest = stamp_ns(world.joint_states[-1])
    counts = len(world.joint_states), len(world.judgements), *(len(s) for s in world.image_stamps.values())
    world.wait(lambda: False, 2.0)
    now = len(world.joint_states), len(world.judgements), *(len(s) for s in world.image_stamps.values())
    assert all(later > earlier for later, earlier in zip(now, counts, strict=True))
    assert stamp_ns(world.joint_states[-1]) == newest


def test_a_reset_lays_the_task_out_in_time_that_goes_on(world):
    before = stamp_ns(world.joint_states[-1])
    assert sim_reset(world, "banana", 5).success
    assert world.wait(lambda: world.judgements[-1].task == "banana")
    judgement = world.judgements[-1]
    assert judgement.seed == 5
    assert not judgement.success
    assert len(judgement.subgoals) == len(judgement.reached) > 0
    assert judgement.suitable_prompts
    assert stamp_ns(judgement) > before
    assert world.wait(lambda: stamp_ns(world.joint_states[-1]) == stamp_ns(judgement))
    assert list(world.joint_states[-1].position[:6]) == pytest.approx(RESET_JOINTS, abs=0.01)


@pytest.mark.parametrize("task", ["no_such_task", ""])
def test_a_reset_to_an_unknown_task_fails_with_one_line_and_leaves_the_world_working(world, task):
    answer = sim_reset(world, task)
    assert not answer.success
    assert answer.message
    assert "\n" not in answer.message
    assert sim_reset(world).success


def test_bad_commands_are_ignored(world):
    before = stamp_ns(world.joint_states[-1])
    for name, joints in (("arm", [0.0] * 5), ("legs", [0.0] * 6), ("arm", [float("nan")] * 6), ("x" * 10**6, [])):
        world.groups.publish(JointGroupCommand(name=name, cmd=joints))
    world.wait(lambda: False, 0.5)
    assert stamp_ns(world.joint_states[-1]) == before


def test_camera_info_is_a_pinhole_of_the_cameras_size(world):
    for name, (height, width) in {"front": (480, 640), "wrist": (240, 320)}.items():
        info = world.infos[name]
        assert (info.height, info.width) == (height, width)
        assert info.k[0] == info.k[4] > 0
        assert info.header.frame_id == f"camera_{name}_color_optical_frame"


def test_the_services_answer_as_the_vendors_driver_does(world):
    info = world.call("/wx250s/get_robot_info", RobotInfo.Request(cmd_type="group", name="arm"))
    assert info.num_joints == 6
    assert (info.mode, info.profile_type) == ("position", "time")
    assert info.joint_names[0] == "waist"
    assert info.joint_upper_limits[1] == pytest.approx(1.989675)
    registers = RegisterValues.Request(cmd_type="group", name="all", reg="Hardware_Error_Status")
    assert list(world.call("/wx250s/get_motor_registers", registers).values) == [0] * 7


def test_an_arm_without_torque_does_not_follow(world):
    assert sim_reset(world).success
    world.call("/wx250s/torque_enable", TorqueEnable.Request(cmd_type="group", name="all", enable=False))
    state = period(world, RESET_JOINTS + np.array([0.2, 0, 0, 0, 0, 0]))
    assert abs(state.position[0]) < 0.02
    world.call("/wx250s/torque_enable", TorqueEnable.Request(cmd_type="group", name="all", enable=True))
    state = period(world, RESET_JOINTS + np.array([0.2, 0, 0, 0, 0, 0]))
    assert abs(state.position[0]) > 0.05


def inject(world: ArmSide, text: str) -> None:
    world.faults.publish(String(data=text))


def test_a_camera_that_drops_out_sends_nothing_until_it_returns_and_a_stale_one_repeats_its_stamp(world):
    assert sim_reset(world).success
    inject(world, "{fault: camera_drop, camera: front, for_s: 5.0}")
    world.wait(lambda: False, 1.0)
    before = {name: len(stamps) for name, stamps in world.image_stamps.items()}
    state = period(world)
    assert world.wait(lambda: stamp_ns(state) in world.image_stamps["wrist"])
    assert len(world.image_stamps["front"]) == before["front"]
    assert world.wait(lambda: stamp_ns(state) in world.image_stamps["front"])
    inject(world, "{fault: stale_frames, camera: wrist, for_s: 4.0}")
    world.wait(lambda: False, 1.0)
    later = period(world)
    assert world.wait(lambda: stamp_ns(later) in world.image_stamps["front"])
    assert stamp_ns(later) not in world.image_stamps["wrist"]
    assert world.wait(lambda: stamp_ns(later) in world.image_stamps["wrist"])


def test_in_lockstep_a_glitch_is_told_once_under_its_stamp_and_then_the_truth(world):
    assert sim_reset(world).success
    inject(world, "{fault: glitch, samples: 1, on_command: 0}")
    inject(world, "{fault: nonsense}")
    world.wait(lambda: False, 1.2)
    readings = [state.position[0] for state in world.joint_states[-4:]]
    assert any(reading == pytest.approx(-np.pi) for reading in [s.position[0] for s in world.joint_states])
    assert readings[-1] == pytest.approx(0.0, abs=0.05)
    assert period(world).position[0] == pytest.approx(0.0, abs=0.05)


def test_a_bad_fault_script_ends_the_world_with_one_line(tmp_path):
    script = tmp_path / "faults.yaml"
    script.write_text("- {fault: fire}")
    process = spawn("sim_world", domain_of(__name__, 2), f"fault_script:={script}")
    output, _ = process.communicate(timeout=60)
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert process.returncode == 2, output
    assert len(lines) == 1
    assert "fire" in lines[0]


def test_in_realtime_states_and_images_come_by_themselves_and_the_bridge_is_answered():
    domain = domain_of(__name__, 1)
    processes = [spawn("sim_world", domain, "time:=realtime"), spawn("arm_bridge", domain, "answer_timeout_s:=10.0")]
    side = ArmSide(domain)
    try:
        side.wait_ready("sim_world", "arm_bridge")
        assert side.call(topics.ARM_RESET).success
        assert sim_reset(side).success
        side.wait(lambda: False, 1.0)
        first = side.step([0.02, 0, 0, 0, 0, 0, 1])
        for _ in range(5):
            last = side.step([0.02, 0, 0, 0, 0, 0, 0])
        assert last.accepted, last.refusal
        assert stamp_ns(last) - stamp_ns(first) >= 5 * 200_000_000
        assert side.wait(lambda: abs(side.states[-1].pose[0] - 0.42) < 0.01), side.states[-1]
        assert side.wait(lambda: side.states[-1].gripper < 0.1), side.states[-1]
        stamps = np.array([stamp_ns(state) for state in side.joint_states])
        assert (np.diff(stamps) > 0).all()
        assert side.wait(lambda: len(set(side.image_stamps["front"])) > 3)
    finally:
        side.close()
        codes = [end(process) for process in processes]
    assert codes == [0, 0]


@pytest.mark.parametrize(
    ("parameter", "words"), [("time:=sideways", "'lockstep' or 'realtime'"), ("task:=no_such_task", "no_such_task")]
)
def test_a_bad_setting_ends_the_world_with_one_line(parameter, words):
    process = spawn("sim_world", domain_of(__name__, 2), parameter)
    output, _ = process.communicate(timeout=60)
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert process.returncode == 2, output
    assert len(lines) == 1
    assert words in lines[0]
