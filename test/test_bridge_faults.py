"""Faults of the emulated arm in real time over DDS: named, held, ended as the table says; see also bench/faults.py."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import yaml
from arm_side import ArmSide, end, spawn
from domains import domain_of
from std_msgs.msg import String
from std_srvs.srv import Trigger

from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from interbotix_xs_msgs.srv import RegisterValues
from sarl_interfaces.msg import ArmCommand, ArmState
from sarl_ros.ros import topics
from widowx_bridge.arm import SLEEP_JOINTS
from widowx_bridge.faults import Fault
from widowx_bridge.kinematics import JOINT_LOWER, JOINT_UPPER
from widowx_bridge.safety import PWM_LIMIT

REGISTERS = "/wx250s/get_motor_registers"
WATCHFUL = (
    "answer_timeout_s:=3.0",
    "states_timeout_s:=2.0",
    "service_timeout_s:=2.0",
    "motor_poll_period_s:=0.2",
    "watchdog_periods:=2",
    "stuck_error_rad:=0.1",
    "effort_limits:=[20000,20000,20000,20000,20000,20000]",
)
FLOOD = 3000
ASIDE = [0.0, 0.03, 0.0, 0.0, 0.0, 0.0, 1.0]


class FaultSide(ArmSide):
    """With the emulator's faults, and what goes over the wire."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.groups_sent: list[JointGroupCommand] = []
        self.singles_sent: list[JointSingleCommand] = []
        self.begun: list[str] = []
        self.faults = self.node.create_publisher(String, topics.SIM_FAULT, topics.STREAM)
        for kind, topic, take, quality in (
            (JointGroupCommand, "/wx250s/commands/joint_group", self.groups_sent.append, topics.STREAM),
            (JointSingleCommand, "/wx250s/commands/joint_single", self.singles_sent.append, topics.STREAM),
            (String, topics.SIM_FAULT_EVENT, lambda m: self.begun.append(json.loads(m.data)["fault"]), topics.LATCHED),
        ):
            self.listen(kind, topic, take, quality)
        self.services[REGISTERS] = self.node.create_client(RegisterValues, REGISTERS)

    def inject(self, **entry) -> None:
        self.begun.clear()
        self.faults.publish(String(data=yaml.safe_dump(entry)))
        assert self.wait(lambda: entry["fault"] in self.begun), entry

    def names(self) -> list[str]:
        return [fault.split(":")[0] for fault in self.states[-1].faults]

    def registers(self, register: str) -> list[int]:
        return list(self.call(REGISTERS, RegisterValues.Request(cmd_type="group", name="all", reg=register)).values)

    def get_going(self) -> None:
        """At the start, without faults; the resets of the arm itself may have to wait for a recovery."""
        for _ in range(10):
            assert self.call(topics.ARM_CLEAR).message
            answer = self.call(topics.ARM_RESET)
            if answer.success:
                return
            time.sleep(0.5)
        raise AssertionError(answer.message)


@pytest.fixture(scope="module")
def arm():
    domain = domain_of(__name__)
    processes = [
        spawn("sim_world", domain, "time:=realtime"),
        spawn("arm_bridge", domain, *WATCHFUL),
    ]
    side = FaultSide(domain)
    side.processes = processes
    try:
        side.wait_ready("sim_world", "arm_bridge")
        deadline = time.monotonic() + 20
        while not side.faults.get_subscription_count():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        side.get_going()
        yield side
    finally:
        side.close()
        codes = [end(process) for process in processes if process.poll() is None]
    assert not any(codes)


@pytest.mark.parametrize(
    ("entry", "fault", "moving", "person"),
    [
        ({"fault": "glitch", "samples": 40}, Fault.IMPLAUSIBLE_READING, True, False),
        ({"fault": "late_states", "for_s": 3.0}, Fault.STATES_LATE, False, False),
        ({"fault": "frozen_states", "for_s": 2.0}, Fault.STATES_FROZEN, True, False),
        ({"fault": "overload", "motor": "elbow", "effort_ma": 30_000, "for_s": 1.0}, Fault.OVERLOAD, True, False),
        ({"fault": "stuck", "motor": "waist", "for_s": 6.0}, Fault.STUCK, True, True),
        ({"fault": "error_register", "motor": "gripper"}, Fault.ERROR_OVERLOAD, True, False),
        ({"fault": "motor_missing", "motor": "wrist_angle", "for_s": 2.0}, Fault.MOTOR_MISSING, True, True),
    ],
    ids=lambda value: str(value) if isinstance(value, Fault) else "",
)
def test_a_fault_is_named_holds_the_arm_and_ends_as_the_table_says(arm, entry, fault, moving, person):
    before = len(arm.states)
    arm.inject(**entry)
    refused = None
    deadline = time.monotonic() + 30
    while moving and refused is None and time.monotonic() < deadline:
        state = arm.step(ASIDE if entry["fault"] != "stuck" else [0.0, 0.04, 0, 0, 0, 0, 1])
        refused = None if state.accepted else state

    def told() -> list[ArmState]:
        return [state for state in arm.states[before:] if any(f.startswith(f"{fault}: ") for f in state.faults)]

    assert arm.wait(told), arm.states[-1]
    assert told()[0].mode == ArmState.FAULT
    assert refused is None or refused.refusal
    if person:
        arm.wait(lambda: False, 0.3)  # a stuck arm is told to hold where it is
        sent = len(arm.groups_sent)
        for _ in range(3):
            assert not arm.step(ASIDE).accepted
        assert len(arm.groups_sent) == sent
        assert fault in arm.names()
        answer = arm.call(topics.ARM_CLEAR)
        while not answer.success:
            assert time.monotonic() < deadline, answer.message
            time.sleep(0.2)
            answer = arm.call(topics.ARM_CLEAR)
    else:
        assert arm.wait(lambda: not arm.states[-1].faults, 30), arm.states[-1].faults
        assert any(words in arm.step(ASIDE).refusal for words in ("reset it", "being set up"))
    arm.get_going()
    assert arm.step().accepted


def test_a_single_failed_read_is_passed_over(arm):
    arm.step(ASIDE)
    arm.inject(fault="glitch", samples=1)
    for _ in range(3):
        state = arm.step()
        assert state.accepted, state.refusal
        assert abs(state.pose[2] - state.target[2]) < 0.05


def test_a_motor_without_torque_fails_the_reset_before_it_moves(arm):
    arm.inject(fault="torque_lost", motor="elbow")
    sent = len(arm.groups_sent)
    answer = arm.call(topics.ARM_RESET)
    assert not answer.success
    assert "elbow without torque" in answer.message
    assert len(arm.groups_sent) == sent
    arm.get_going()


def test_a_motor_that_was_rebooted_moves_with_its_profile_again(arm):
    arm.inject(fault="error_register", motor="shoulder")
    assert arm.wait(lambda: Fault.ERROR_OVERLOAD in arm.names())
    assert arm.call(topics.ARM_CLEAR).success
    assert arm.registers("Profile_Velocity")[:6] == [250] * 6
    assert arm.registers("Profile_Acceleration")[:6] == [100] * 6
    assert arm.step().accepted
    arm.get_going()


def test_a_stop_is_not_undone_by_a_clear_that_was_under_way(arm):
    arm.inject(fault="slow_service", delay_s=0.5, for_s=3.0)
    arm.inject(fault="torque_lost", motor="elbow")
    assert arm.wait(lambda: Fault.TORQUE_LOST in arm.names())
    clearing = arm.services[topics.ARM_CLEAR].call_async(Trigger.Request())
    arm.wait(lambda: False, 0.3)
    assert not clearing.done()
    assert arm.call(topics.ARM_STOP).success
    assert arm.wait(clearing.done)
    assert "stopped meanwhile" in clearing.result().message
    assert not arm.step().accepted
    arm.get_going()


def test_a_forgotten_arm_is_told_once_to_stay_where_it_is(arm):
    arm.step([0, 0, 0, 0, 0, 0, 0])
    arm.step([0, 0, 0, 0, 0, 0, 0])
    sent = len(arm.groups_sent)
    assert arm.wait(lambda: len(arm.groups_sent) > sent)
    arm.wait(lambda: False, 1.5)
    assert len(arm.groups_sent) == sent + 1
    assert list(arm.groups_sent[-1].cmd) == list(arm.groups_sent[-2].cmd)
    assert arm.step().accepted


def test_a_flood_of_fuzzed_commands_puts_nothing_outside_the_limits_on_the_wire(arm):
    rng = np.random.default_rng(3)
    arm.groups_sent.clear()
    arm.singles_sent.clear()
    for number in range(FLOOD):
        action = rng.normal(size=7) * 10.0 ** rng.integers(-3, 4)
        if number % 10 == 0:
            action[rng.integers(7)] = rng.choice([np.nan, np.inf, -np.inf])
        seq = int(rng.choice([0, number, FLOOD - number, 2**62]))
        arm.commands.publish(ArmCommand(seq=seq, action=action))
        time.sleep(0.001)  # 1 kHz
    assert arm.wait(lambda: len(arm.groups_sent) > 5)
    goals = np.array([message.cmd for message in arm.groups_sent])
    assert np.isfinite(goals).all()
    assert (goals >= JOINT_LOWER - 1e-5).all()
    assert (goals <= JOINT_UPPER + 1e-5).all()
    assert np.abs(np.diff(goals, axis=0)).max() <= np.pi * 0.2 + 1e-4
    assert all(np.isfinite(m.cmd) and abs(m.cmd) <= PWM_LIMIT for m in arm.singles_sent)
    arm.seq = 2**52
    arm.get_going()
    assert arm.step().accepted


def test_the_arm_sleeps_on_request_and_keeps_its_torque_when_the_bridge_ends(arm):
    answer = arm.call(topics.ARM_SLEEP)
    assert answer.success, answer.message
    sent = len(arm.groups_sent)
    assert end(arm.processes[1]) == 0
    assert len(arm.groups_sent) == sent
    assert arm.registers("Torque_Enable") == [1] * 7
    assert list(arm.joint_states[-1].position[:6]) == pytest.approx(SLEEP_JOINTS, abs=0.1)
