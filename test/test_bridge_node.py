"""arm_bridge and sim_world as real processes over DDS: every command answered once, on time, the same each time."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
import rclpy
from arm_side import ArmSide, end, spawn, stamp_ns
from domains import domain_of
from sensor_msgs.msg import JointState

from interbotix_xs_msgs.msg import JointGroupCommand
from sarl_interfaces.msg import ArmState
from sarl_interfaces.srv import ArmReset, ArmResume, SimReset
from sarl_ros.nodes.sim_world.driver import joint_state
from sarl_ros.ros import topics
from widowx_bridge.arm import CONTROL_PERIOD_S

PERIOD_NS = 200_000_000
PATIENT = "answer_timeout_s:=10"  # the computer of a test may be busy; a whole number is a number too


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    domain = domain_of(__name__)
    settings = (PATIENT, f"stop_file:={tmp_path_factory.mktemp('arm')}/arm.stop")
    processes = {
        "sim_world": spawn("sim_world", domain),
        "arm_bridge": spawn("arm_bridge", domain, *settings),
    }
    side = ArmSide(domain)
    side.processes, side.settings = processes, settings
    side.goals = []
    side.listen(JointGroupCommand, "/wx250s/commands/joint_group", side.goals.append, topics.STREAM)
    try:
        side.wait_ready(*processes)
        yield side
    finally:
        side.close()
        codes = [end(process) for process in processes.values()]
    assert codes == [0, 0]


def reset(arm: ArmSide, seed: int = 3) -> None:
    arm.clear()
    answer = arm.call(topics.ARM_RESET)
    assert answer.success, answer.message
    before = len(arm.states)
    answer = arm.call(topics.SIM_RESET, SimReset.Request(task="hammer", seed=seed))
    assert answer.success, answer.message
    newest = stamp_ns(arm.judgements[-1])
    assert arm.wait(lambda: any(stamp_ns(state) >= newest for state in arm.states[before:]))


def actions(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.column_stack(
        [rng.uniform(-0.02, 0.02, (count, 3)), rng.uniform(-0.05, 0.05, (count, 3)), rng.integers(0, 2, count)]
    )


def run(arm: ArmSide, count: int) -> list[ArmState]:
    reset(arm)
    states = [arm.step(action) for action in actions(count)]
    for state in states:
        assert state.accepted, state.refusal
    return states


def test_fifty_commands_are_answered_once_each_after_exactly_one_period(arm):
    answers = run(arm, 50)
    arm.step()  # what came twice would have come before its answer
    for answer in answers:
        assert len(arm.answers(answer.seq)) == 1
    stamps = [stamp_ns(answer) for answer in answers]
    assert set(np.diff(stamps)) == {PERIOD_NS}


def test_the_same_seed_and_commands_give_identical_arm_states(arm):
    def told(states):
        begin = stamp_ns(states[0])
        return [
            (stamp_ns(s) - begin, *s.joint_position, *s.joint_velocity, *s.joint_effort, *s.pose, *s.target, s.gripper)
            for s in states
        ]

    assert told(run(arm, 30)) == told(run(arm, 30))


def test_the_arm_goes_where_it_is_told(arm):
    reset(arm)
    for _ in range(5):
        state = arm.step([0.01, -0.01, -0.01, 0, 0, 0.05, 1])
    state = arm.step()
    assert state.target == pytest.approx([0.35, -0.05, 0.08, 0, 0, 0.25], abs=2e-3)
    assert state.pose == pytest.approx(state.target, abs=5e-3)
    assert state.proprio[:6] == pytest.approx(state.pose, abs=1e-5)
    assert state.gripper > 0.95
    assert state.header.frame_id == "wx250s/base_link"


def test_the_gripper_closes_and_opens(arm):
    reset(arm)
    for _ in range(6):
        state = arm.step([0, 0, 0, 0, 0, 0, 0])
    assert state.gripper < 0.05
    for _ in range(6):
        state = arm.step()
    assert state.gripper > 0.95


def test_a_command_with_nan_is_refused_and_the_arm_holds(arm):
    reset(arm)
    before = arm.step()
    refused = arm.step([float("nan"), 0, 0, 0, 0, 0, 1])
    assert not refused.accepted
    assert "not finite" in refused.refusal
    assert stamp_ns(refused) == stamp_ns(before)
    assert list(refused.target) == list(before.target)
    assert arm.step().accepted


def test_a_stop_holds_within_one_period_until_cleared(arm):
    reset(arm)
    arm.step([0.03, 0, 0, 0, 0, 0, 1])
    running = arm.send([0.03, 0, 0, 0, 0, 0, 1])
    assert arm.call(topics.ARM_STOP).success
    assert arm.wait(lambda: arm.answers(running))
    refused = arm.step([0.03, 0, 0, 0, 0, 0, 1])
    assert not refused.accepted
    assert refused.mode == ArmState.HOLD
    assert "/arm/clear" in refused.refusal
    assert not arm.call(topics.ARM_RESET).success
    still = arm.step()
    assert list(still.joint_position) == list(refused.joint_position)
    arm.clear()
    assert arm.step().accepted


def step_until(arm: ArmSide, answered) -> None:
    deadline = time.monotonic() + 20
    while not answered(state := arm.step()):
        assert time.monotonic() < deadline, state.refusal


def kill_bridge(arm: ArmSide) -> None:
    """SIGKILL, and its successor ready or on hold."""
    killed = arm.incarnations["arm_bridge"]
    arm.processes["arm_bridge"].send_signal(signal.SIGKILL)
    arm.processes["arm_bridge"].communicate()
    arm.processes["arm_bridge"] = spawn("arm_bridge", domain_of(__name__), *arm.settings)
    arm.wait_for_another("arm_bridge", killed)


def test_a_stop_outlives_the_death_of_the_bridge_under_its_name_until_it_is_cleared(arm):
    reset(arm)
    assert arm.step().accepted
    assert arm.call(topics.ARM_STOP).success
    assert arm.wait(lambda: arm.states[-1].stop)
    stop = arm.states[-1].stop
    kill_bridge(arm)
    assert arm.wait(lambda: arm.states[-1].stop == stop)
    arm.goals.clear()
    assert arm.step().mode == ArmState.HOLD
    assert not arm.call(topics.ARM_RESET).success
    for named in ("", "0" * 32):
        assert not arm.call(topics.ARM_RESUME, ArmResume.Request(stop=named)).success
    assert not arm.step().accepted
    assert not arm.goals
    answer = arm.call(topics.ARM_RESUME, ArmResume.Request(stop=stop))
    assert answer.success, answer.message
    assert arm.step().accepted
    kill_bridge(arm)
    assert arm.wait(lambda: arm.states[-1].stop == "")
    step_until(arm, lambda state: state.accepted)


@pytest.mark.parametrize(
    ("name", "ahead_ns"),
    [("intruder", 20 * PERIOD_NS), ("intruder", -PERIOD_NS), ("sim_world", PERIOD_NS // 10), ("sim_world", -PERIOD_NS)],
)
def test_joint_states_of_a_second_sender_put_no_far_goal_on_the_wire(arm, name, ahead_ns):
    reset(arm)
    assert arm.step().accepted
    del arm.goals[:-1]
    away = np.array(arm.states[-1].joint_position) + np.array([1.2, 0, 0, 0, 0, 0])
    intruder = rclpy.create_node(name, context=arm.context)
    sender = intruder.create_publisher(JointState, "/wx250s/joint_states", topics.STREAM)
    try:
        assert arm.wait(lambda: sender.get_subscription_count() >= 2)
        now_ns = stamp_ns(arm.states[-1])
        for number in range(40):
            for sample in range(4):
                stamp = max(0, now_ns + ahead_ns + (4 * number + sample) * 1_000_000)
                sender.publish(joint_state(stamp, away, np.zeros(6), np.zeros(6), np.full(2, 0.03)))
            state = arm.step([0.0, 0.02, 0, 0, 0, 0, 1])
        assert not state.accepted
        told = ("2 senders (intruder, sim_world)", "second sender", "try again in a moment")
        assert any(words in state.refusal for words in told), state.refusal
    finally:
        intruder.destroy_node()
    goals = np.array([message.cmd for message in arm.goals])
    assert np.abs(np.diff(goals, axis=0)).max(initial=0.0) <= np.pi * 0.2 + 1e-4
    assert np.abs(goals - goals[0]).max() < 0.6, "nor does it get there in many steps"
    assert arm.wait(lambda: arm.ready["arm_bridge"], 40.0)
    reset(arm)
    step_until(arm, lambda state: state.accepted)


def test_a_second_sender_on_the_arms_wire_keeps_commands_away_until_it_is_gone(arm):
    reset(arm)
    intruder = rclpy.create_node("intruder", context=arm.context)
    intruder.create_publisher(JointGroupCommand, "/wx250s/commands/joint_group", topics.STREAM)
    told = "/wx250s/commands/joint_group has 2 senders (arm_bridge, intruder)"
    try:
        step_until(arm, lambda state: told in state.refusal)
    finally:
        intruder.destroy_node()
    step_until(arm, lambda state: state.accepted)


def test_a_bridge_killed_in_a_period_comes_up_by_itself_where_the_arm_is(arm):
    reset(arm)
    arm.step([0.03, 0.02, 0, 0, 0, 0, 1])
    arm.send([0.03, 0.02, 0, 0, 0, 0, 1])
    kill_bridge(arm)
    state = arm.states[-1]
    assert state.mode == ArmState.IDLE
    assert state.pose[:2] != pytest.approx([0.30, 0.0], abs=0.01)
    assert state.target == pytest.approx(state.pose, abs=1e-6)
    step_until(arm, lambda state: state.accepted)
    reset(arm)


def test_a_world_killed_in_a_period_leaves_no_command_without_an_answer(arm):
    reset(arm)
    arm.step([0.03, 0.02, 0, 0, 0, 0, 1])
    world = arm.processes["sim_world"]
    world.send_signal(signal.SIGSTOP)
    running = arm.send([0.03, 0.02, 0, 0, 0, 0, 1])
    time.sleep(0.2)
    killed = arm.incarnations["sim_world"]
    world.send_signal(signal.SIGKILL)
    world.communicate()
    arm.processes["sim_world"] = spawn("sim_world", domain_of(__name__))
    assert arm.wait(lambda: arm.answers(running), 40.0)
    assert not arm.answers(running)[0].accepted
    arm.wait_for_another("sim_world", killed)
    assert arm.wait(lambda: arm.ready["arm_bridge"])
    deadline = time.monotonic() + 20
    while not arm.call(topics.ARM_RESET).success:
        assert time.monotonic() < deadline
    reset(arm)
    step_until(arm, lambda state: state.accepted)


def test_a_motor_error_is_a_fault_until_cleared_by_a_reboot():
    domain = domain_of(__name__, 1)
    processes = [spawn("sim_world", domain), spawn("arm_bridge", domain, PATIENT, "motor_poll_period_s:=0.2")]
    side = ArmSide(domain)
    try:
        side.wait_ready("sim_world", "arm_bridge")
        from interbotix_xs_msgs.srv import RegisterValues

        topic = "/wx250s/set_motor_registers"
        side.services[topic] = side.node.create_client(RegisterValues, topic)
        side.call(
            topic,
            RegisterValues.Request(cmd_type="single", name="wrist_angle", reg="Hardware_Error_Status", value=0b100000),
        )
        assert side.wait(lambda: side.states[-1].mode == ArmState.FAULT)
        refused = side.step()
        assert not refused.accepted
        assert "wrist_angle overload" in refused.refusal
        assert refused.faults[0].startswith("error_overload: wrist_angle overload")
        assert side.call(topics.ARM_STOP).success
        crossed = side.call(topics.ARM_RESUME, ArmResume.Request(stop="an earlier one"))
        assert (crossed.success, "stopped meanwhile" in crossed.message) == (False, True)
        ask = "/wx250s/get_motor_registers"
        side.services[ask] = side.node.create_client(RegisterValues, ask)
        asked = RegisterValues.Request(cmd_type="single", name="wrist_angle", reg="Hardware_Error_Status")
        assert list(side.call(ask, asked).values) == [0b100000], "a clear that is refused lets go of no motor"
        time.sleep(CONTROL_PERIOD_S)
        assert side.call(topics.ARM_CLEAR).success
        assert side.step().accepted
    finally:
        side.close()
        for process in processes:
            end(process)


def test_without_a_driver_commands_are_refused_with_the_remedy_and_the_bridge_ends_on_sigint():
    domain = domain_of(__name__, 3)
    process = spawn("arm_bridge", domain)
    side = ArmSide(domain)
    try:
        assert side.wait(lambda: "arm_bridge" in side.ready)
        deadline = time.monotonic() + 20
        while not side.commands.get_subscription_count():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.0)
        refused = side.step()
        assert not side.ready["arm_bridge"]
        assert not refused.accepted
        assert "xs_sdk driver" in refused.refusal
        answer = side.call(topics.ARM_RESET)
        assert not answer.success
        assert "xs_sdk driver" in answer.message
        resets = [side.services[topics.ARM_RESET].call_async(ArmReset.Request()) for _ in range(10)]
        assert side.call(topics.ARM_STOP).success
        assert side.wait(lambda: all(reset.done() for reset in resets))
        assert all("on hold" in reset.result().message for reset in resets), "a stop waits for no other call"
    finally:
        side.close()
        code = end(process)
    assert code == 0


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("reset_position:=[0.9, 0.0, 0.1]", "reset_position"),
        ("reset_position:=[0.30, 0.0, 0.25]", "reset_position"),
        ("workspace_low:=[0.5, 0.0, 0.1]", "workspace_low"),
        ("effort_limits:=[1000.0, 1000.0, 1000.0, 1000.0, 1000.0]", "has 5 numbers: give 6"),
        ("position_gains:=[800, 0]", "has 2 numbers: give 3"),
        ("speed_scale:=fast", "speed_scale"),
    ],
)
def test_a_bad_setting_ends_the_bridge_with_one_line(parameter, words):
    process = spawn("arm_bridge", domain_of(__name__, 2), parameter)
    output, _ = process.communicate(timeout=60)
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert process.returncode == 2
    assert len(lines) == 1
    assert words in lines[0]
