"""The bridge on the vendor's own simulator, where that is installed: the same client code, another controller.

Set XS_SDK_SIM to a command that starts it, such as "ros2 launch interbotix_xsarm_control xsarm_control.launch.py
robot_model:=wx250s use_sim:=true use_rviz:=false". Its motors have no registers, so nothing is read back.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess

import pytest
from arm_side import ArmSide, end, spawn
from domains import domain_of

from sarl_ros.ros import topics
from sarl_ros.runs import bringup

COMMAND = os.environ.get("XS_SDK_SIM", "")

pytestmark = pytest.mark.skipif(not COMMAND, reason="XS_SDK_SIM names no command for the vendor's simulator")


@pytest.fixture(scope="module")
def arm():
    domain = domain_of(__name__)
    simulator = subprocess.Popen(shlex.split(COMMAND), env=bringup.environment(domain), start_new_session=True)
    bridge = spawn("arm_bridge", domain, "verify_registers:=false", "watchdog_periods:=2", "answer_timeout_s:=5.0")
    side = ArmSide(domain)
    try:
        side.wait_ready("arm_bridge")
        yield side
    finally:
        side.close()
        code = end(bridge)
        os.killpg(simulator.pid, signal.SIGTERM)
        simulator.wait(20)
    assert code == 0


def test_the_arm_resets_from_sleep_and_goes_where_it_is_told(arm):
    answer = arm.call(topics.ARM_RESET)
    assert answer.success, answer.message
    for _ in range(5):
        state = arm.step([0.01, -0.01, -0.01, 0, 0, 0.05, 1])
        assert state.accepted, state.refusal
    state = arm.step()
    assert state.target == pytest.approx([0.35, -0.05, 0.08, 0, 0, 0.25], abs=2e-3)
    assert state.pose == pytest.approx(state.target, abs=5e-3)


def test_the_gripper_closes_and_opens(arm):
    for _ in range(8):
        state = arm.step([0, 0, 0, 0, 0, 0, 0])
    assert state.gripper < 0.2
    for _ in range(8):
        state = arm.step()
    assert state.gripper > 0.8


def test_a_stop_holds_until_cleared(arm):
    assert arm.call(topics.ARM_STOP).success
    assert "/arm/clear" in arm.step([0.02, 0, 0, 0, 0, 0, 1]).refusal
    assert arm.call(topics.ARM_CLEAR).success
    assert arm.step().accepted


def test_it_sleeps_on_request(arm):
    answer = arm.call(topics.ARM_SLEEP)
    assert answer.success, answer.message
