"""One contract for both ways to the vendor's controller, over DDS against the emulator in real time.

`modules` runs on the vendor's own library where it is installed; elsewhere on a stand-in with its published names
(test/fake_interbotix).
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
import yaml
from arm_side import end, spawn
from domains import domain_of
from rclpy.executors import MultiThreadedExecutor
from std_msgs.msg import String

from sarl_ros.ros import topics
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.fast_subscription import FastSubscriptions
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from widowx_bridge.arm import FINGER_CLOSED_M, FINGER_OPEN_M, RESET_JOINTS, JointCommand
from widowx_bridge.driver import MOTORS, DriverError, ServiceSilent
from widowx_bridge.kinematics import JOINT_NAMES
from widowx_bridge.motors import POSITION_REGISTER, TICKS, ZERO_TICKS
from widowx_bridge.xs_client import XsClient
from widowx_bridge.xs_modules import MAX_UNANSWERED, XsModules

TIMEOUT_S = 5.0
WAIT_S = 30.0
INSTALLED = importlib.util.find_spec("interbotix_xs_modules") is not None


class Side:
    """The emulator, and a node of ours that both drivers share."""

    def __init__(self):
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(bringup.SHARED_MEMORY_PROFILE)
        self.process = spawn("sim_world", domain_of(__name__), "time:=realtime")
        rclpy.init(domain_id=domain_of(__name__))
        self.node = CheckedNode("contract")
        self.changed = threading.Condition()
        self.samples = {"topics": [], "modules": []}
        self.faults = self.node.create_publisher(String, topics.SIM_FAULT, topics.STREAM)
        self.fast = FastSubscriptions(self.node)
        self.drivers = {}
        self.spinner = SpinThread(MultiThreadedExecutor(2), self.node)

    def driver(self, way):
        if way not in self.drivers:
            if way == "topics":
                made = XsClient(self.node, self.fast, topics.ROBOT_NAME, self.taker(way), TIMEOUT_S)
                self.fast.start()
            else:
                if not INSTALLED:
                    sys.path.insert(0, str(Path(__file__).parent / "fake_interbotix"))
                made = XsModules(topics.ROBOT_NAME, self.taker(way), print, TIMEOUT_S)
            made.start()
            self.drivers[way] = made
        return self.drivers[way]

    def taker(self, way):
        def take(sample):
            with self.changed:
                self.samples[way].append(sample)
                self.changed.notify_all()

        return take

    def wait(self, condition):
        with self.changed:
            return self.changed.wait_for(condition, WAIT_S)

    def inject(self, **entry):
        self.faults.publish(String(data=yaml.safe_dump(entry)))

    def close(self):
        for driver in self.drivers.values():
            driver.close()
        if "topics" in self.drivers:
            self.fast.close()
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        rclpy.try_shutdown()
        return end(self.process)


@pytest.fixture(scope="module")
def side():
    made = Side()
    try:
        yield made
    finally:
        code = made.close()
    assert code == 0


@pytest.fixture(params=["topics", "modules"])
def way(request):
    return request.param


@pytest.fixture
def driver(side, way):
    made = side.driver(way)
    deadline = time.monotonic() + WAIT_S
    while made.unconnected() is not None or not made.services_ready():
        assert time.monotonic() < deadline, made.unconnected()
        time.sleep(0.05)
    assert side.wait(lambda: side.samples[way])
    return made


def test_joint_states_come_in_our_order_with_growing_stamps(side, way, driver):
    count = len(side.samples[way])
    assert side.wait(lambda: len(side.samples[way]) > count + 20)
    stamps = [sample.stamp_ns for sample in side.samples[way]]
    assert (np.diff(stamps) > 0).all()
    newest = side.samples[way][-1]
    assert newest.joints.shape == newest.velocity.shape == newest.effort.shape == (6,)
    assert FINGER_CLOSED_M - 0.001 <= newest.finger_m <= FINGER_OPEN_M + 0.001


def test_a_command_moves_the_arm_to_its_goals(side, way, driver):
    for offset in (0.1, -0.1, 0.0):
        goal = RESET_JOINTS + np.array([offset, 0, 0, 0, 0, offset])
        driver.send(JointCommand(goal, 0.0))
        assert side.wait(lambda: np.abs(side.samples[way][-1].joints - goal).max() < 0.02), offset  # noqa: B023


def test_a_pwm_closes_and_opens_the_gripper(side, way, driver):
    driver.send_pwm(-250.0)
    assert side.wait(lambda: side.samples[way][-1].finger_m < FINGER_CLOSED_M + 0.002)
    driver.send_pwm(250.0)
    assert side.wait(lambda: side.samples[way][-1].finger_m > FINGER_OPEN_M - 0.002)
    driver.send_pwm(0.0)


def test_the_group_and_the_gripper_tell_their_modes(driver):
    arm = driver.info("group", "arm")
    assert arm.joint_names == JOINT_NAMES
    assert (arm.mode, arm.profile_type) == ("position", "time")
    assert driver.info("single", "gripper").mode == "pwm"


def test_registers_read_back_what_was_written(driver):
    driver.write("group", "arm", "Profile_Velocity", 300)
    assert list(driver.read("group", "arm", "Profile_Velocity")) == [300] * 6
    driver.write("single", "elbow", "Profile_Velocity", 250)
    assert list(driver.read("group", "arm", "Profile_Velocity")) == [300, 300, 250, 300, 300, 300]
    assert list(driver.read("single", "elbow", "Profile_Velocity")) == [250]
    driver.write("group", "arm", "Profile_Velocity", 250)


def test_the_motors_tell_where_they_stand_as_the_joint_states_do(side, way, driver):
    goal = RESET_JOINTS + np.array([0.3, 0, 0, -0.2, 0, 0.4])
    driver.send(JointCommand(goal, 0.0))
    assert side.wait(lambda: np.abs(side.samples[way][-1].joints - goal).max() < 0.02)
    ticks = np.array(driver.read("group", "arm", POSITION_REGISTER))
    assert (ticks - ZERO_TICKS) * 2 * np.pi / TICKS == pytest.approx(side.samples[way][-1].joints, abs=0.02)


def test_gains_and_modes_are_taken(driver):
    driver.set_gains("group", "arm", (640, 1, 20))
    assert list(driver.read("single", "waist", "Position_D_Gain")) == [20]
    driver.set_gains("group", "arm", (800, 0, 0))
    driver.set_mode("group", "arm", "position", 250, 100)
    assert driver.info("group", "arm").profile_type == "time"


def test_torque_is_switched_and_told(driver):
    driver.torque("single", "wrist_rotate", False)
    assert list(driver.read("group", "all", "Torque_Enable")) == [1, 1, 1, 1, 1, 0, 1]
    driver.torque("group", "all", True)
    assert list(driver.read("group", "all", "Torque_Enable")) == [1] * 7


def test_a_motor_in_error_has_no_torque_until_rebooted(side, driver):
    side.inject(fault="error_register", motor="waist", error="overload")
    deadline = time.monotonic() + WAIT_S
    while list(driver.read("group", "all", "Hardware_Error_Status")) != [32, 0, 0, 0, 0, 0, 0]:
        assert time.monotonic() < deadline
    driver.torque("group", "all", True)
    assert next(iter(driver.read("single", "waist", "Torque_Enable"))) == 0
    driver.reboot("waist")
    assert list(driver.read("group", "all", "Hardware_Error_Status")) == [0] * 7
    assert list(driver.read("group", "all", "Torque_Enable")) == [1] * 7
    assert list(driver.read("group", "arm", "Profile_Velocity")) == [0, 250, 250, 250, 250, 250]
    driver.write("single", "waist", "Profile_Velocity", 250)


def test_a_motor_that_does_not_answer_leaves_no_value_behind(side, driver):
    side.inject(fault="motor_missing", motor="elbow", for_s=3.0)
    deadline = time.monotonic() + WAIT_S
    while len(driver.read("group", "all", "Torque_Enable")) == len(MOTORS):
        assert time.monotonic() < deadline
    assert list(driver.read("single", "elbow", "Torque_Enable")) == []
    while len(driver.read("group", "all", "Torque_Enable")) < len(MOTORS):
        assert time.monotonic() < deadline


def test_a_dead_service_is_told_and_works_again_when_it_lives(side, driver):
    side.inject(fault="dead_service", for_s=TIMEOUT_S + 4.0)
    deadline = time.monotonic() + WAIT_S
    answers = []
    while not (answers and answers[-1] == len(MOTORS) and "" in answers):
        assert time.monotonic() < deadline, answers
        try:
            answers.append(len(driver.read("group", "all", "Torque_Enable")))
        except ServiceSilent:
            answers.append("")


def test_calls_that_a_dead_controller_left_unanswered_do_not_count_against_its_successor(monkeypatch):
    answering, hang = threading.Event(), threading.Event()
    core = SimpleNamespace(robot_torque_enable=lambda *_: answering.is_set() or hang.wait(10.0))
    monkeypatch.setattr(XsModules, "_start", staticmethod(lambda robot_name: core))
    driver = XsModules(topics.ROBOT_NAME, print, print, 0.02)
    for _ in range(MAX_UNANSWERED + 1):
        with pytest.raises(ServiceSilent):
            driver.torque("group", "all", True)
    answering.set()
    with pytest.raises(ServiceSilent):
        driver.torque("group", "all", True)
    driver.restarted()
    driver._service_timeout_s = TIMEOUT_S
    driver.torque("group", "all", True)
    hang.set()


@pytest.mark.skipif(INSTALLED, reason="the vendor's library is installed")
def test_without_the_library_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "fake_interbotix" not in entry])
    for name in [name for name in sys.modules if name.startswith("interbotix_") and "msgs" not in name]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(DriverError, match=r"interbotix_common_modules.*driver: topics"):
        XsModules(topics.ROBOT_NAME, print, print)
