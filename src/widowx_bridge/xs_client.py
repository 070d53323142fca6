"""Client of the Interbotix xs_sdk wire: topics and services under /<robot name>, as the vendor's driver offers them.

Only streamed joint_group goals are used: the driver's own trajectory execution stops for seconds at whole-second
crossings. Motor errors are published nowhere, so they are polled from the registers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from interbotix_xs_msgs.srv import MotorGains, OperatingModes, Reboot, RegisterValues, RobotInfo, TorqueEnable
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.fast_subscription import FastSubscriptions
from widowx_bridge.arm import JointCommand
from widowx_bridge.driver import ARM_GROUP, GRIPPER, GroupInfo, ServiceSilent
from widowx_bridge.kinematics import JOINT_NAMES
from widowx_bridge.samples import JointSample

WIRE = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
FINGER = "left_finger"
# Matching is seen by each side at its own time: a command sent at once may find no reader yet.
SETTLE_S = 1.0
ASK_AGAIN_S = 0.5
LONG_CALL_S = 10.0
"""What restarts motors takes seconds, and is asked once."""


class XsClient:
    """The wire, and nothing of what the arm should do.

    Args:
        node: that the endpoints belong to.
        robot_name: namespace of the driver.
        fast: whose thread takes the joint states.
        on_sample: takes every JointSample that arrives, in that thread.
        service_timeout_s: without an answer for this long a service is silent.
    """

    def __init__(
        self,
        node: CheckedNode,
        fast: FastSubscriptions,
        robot_name: str,
        on_sample: Callable[[JointSample], None],
        service_timeout_s: float = 10.0,
    ) -> None:
        self._node = node
        topic = f"/{robot_name}/joint_states"
        take = StateReader(on_sample, lambda why: node.boundary.reject(topic, why))
        self._service_timeout_s = service_timeout_s
        self._prefix = f"/{robot_name}"
        self._group = node.create_publisher(JointGroupCommand, f"{self._prefix}/commands/joint_group", WIRE)
        self._single = node.create_publisher(JointSingleCommand, f"{self._prefix}/commands/joint_single", WIRE)
        self._connected_s: float | None = None
        fast.subscribe(JointState, topic, take, WIRE)
        services = ReentrantCallbackGroup()
        self._clients = {
            name: node.create_client(kind, f"{self._prefix}/{name}", callback_group=services)
            for name, kind in (
                ("torque_enable", TorqueEnable),
                ("set_operating_modes", OperatingModes),
                ("get_robot_info", RobotInfo),
                ("get_motor_registers", RegisterValues),
                ("set_motor_registers", RegisterValues),
                ("reboot_motors", Reboot),
                ("set_motor_pid_gains", MotorGains),
            )
        }

    def start(self) -> None:
        """The subscriptions that it was made with are started by their owner."""

    def unconnected(self) -> str | None:
        """Why commands would not arrive, in one line, or None once all endpoints have been matched for a moment."""
        missing = [
            publisher.topic_name for publisher in (self._group, self._single) if not publisher.get_subscription_count()
        ]
        if missing:
            self._connected_s = None
            return f"nobody listens to {missing[0]}: start the xs_sdk driver"
        now = time.monotonic()
        if self._connected_s is None:
            self._connected_s = now
        if now - self._connected_s < SETTLE_S:
            return f"the driver at {self._prefix} has just been found: try again in a moment"
        return None

    def restarted(self) -> None:
        self._connected_s = time.monotonic()

    def send(self, command: JointCommand) -> None:
        """One control period: the gripper's PWM first, then the joint goals."""
        self.send_pwm(command.gripper_pwm)
        self._group.publish(JointGroupCommand(name=ARM_GROUP, cmd=command.joints.astype(np.float32)))

    def send_pwm(self, pwm: float) -> None:
        self._single.publish(JointSingleCommand(name=GRIPPER, cmd=float(pwm)))

    def services_ready(self) -> bool:
        return all(client.service_is_ready() for client in self._clients.values())

    def info(self, kind: str, name: str) -> GroupInfo:
        answer = self._call("get_robot_info", RobotInfo.Request(cmd_type=kind, name=name))
        return GroupInfo(answer.mode, answer.profile_type, tuple(answer.joint_names))

    def read(self, kind: str, name: str, register: str) -> Sequence[int]:
        request = RegisterValues.Request(cmd_type=kind, name=name, reg=register)
        return list(self._call("get_motor_registers", request).values)

    def write(self, kind: str, name: str, register: str, value: int) -> None:
        request = RegisterValues.Request(cmd_type=kind, name=name, reg=register, value=value)
        self._call("set_motor_registers", request)

    def set_mode(self, kind: str, name: str, mode: str, velocity_ms: int, acceleration_ms: int) -> None:
        request = OperatingModes.Request(
            cmd_type=kind,
            name=name,
            mode=mode,
            profile_type="time",
            profile_velocity=velocity_ms,
            profile_acceleration=acceleration_ms,
        )
        self._call_once("set_operating_modes", request)

    def set_gains(self, kind: str, name: str, gains: Sequence[int]) -> None:
        kp, ki, kd = gains
        velocity = {"kp_vel": 100, "ki_vel": 1920}  # the motors' own defaults; the service sets them all
        request = MotorGains.Request(cmd_type=kind, name=name, kp_pos=kp, ki_pos=ki, kd_pos=kd, **velocity)
        self._call("set_motor_pid_gains", request)

    def torque(self, kind: str, name: str, enable: bool) -> None:
        self._call("torque_enable", TorqueEnable.Request(cmd_type=kind, name=name, enable=enable))

    def reboot(self, motor: str) -> None:
        # Its smart reboot of a group also restarts a sound motor whose error cannot be read at that moment.
        self._call_once("reboot_motors", Reboot.Request(cmd_type="single", name=motor, enable=True))

    def close(self) -> None:
        """The endpoints belong to the node."""

    def _call(self, name: str, request: Any) -> Any:
        """The response. Asks again where none comes: a server that has just discovered us may drop its first one."""
        deadline_s = time.monotonic() + self._service_timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            answer = self._ask(name, request, min(left_s, max(ASK_AGAIN_S, self._service_timeout_s / 3)))
            if answer is not None:
                return answer
        raise self._silent(name, self._service_timeout_s)

    def _call_once(self, name: str, request: Any) -> None:
        timeout_s = max(LONG_CALL_S, self._service_timeout_s)
        if self._ask(name, request, timeout_s) is None:
            raise self._silent(name, timeout_s)

    def _ask(self, name: str, request: Any, timeout_s: float) -> Any | None:
        answered = threading.Event()
        future = self._clients[name].call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if answered.wait(timeout_s):
            return future.result()
        self._clients[name].remove_pending_request(future)
        return None

    def _silent(self, name: str, timeout_s: float) -> ServiceSilent:
        return ServiceSilent(f"{self._prefix}/{name} gave no answer in {timeout_s:g} s")


class StateReader:
    """The driver's JointState to a JointSample, whatever order its joints come in.

    Args:
        on_sample: takes the samples. complain: takes "name: why" of each message that lacks a joint.
    """

    def __init__(self, on_sample: Callable[[JointSample], None], complain: Callable[[str], None]) -> None:
        self._on_sample, self._complain = on_sample, complain
        self._names: list[str] | None = None  # an empty message names no joint at all
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)
        self._finger = 0

    def __call__(self, message: JointState) -> None:
        if message.name != self._names and not self._learn(list(message.name)):
            return
        stamp = message.header.stamp
        positions = np.asarray(message.position)
        self._on_sample(
            JointSample(
                stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec,
                joints=positions[self._order],
                velocity=self._ordered(message.velocity),
                effort=self._ordered(message.effort),
                finger_m=float(positions[self._finger]),
            )
        )

    def _learn(self, names: list[str]) -> bool:
        try:
            self._order = np.array([names.index(name) for name in JOINT_NAMES])
            self._finger = names.index(FINGER)
        except ValueError as error:
            self._complain(f"name: lacks a joint of the wx250s ({str(error)[:60]})")
            return False
        self._names = names
        return True

    def _ordered(self, values: Sequence[float]) -> NDArray[np.float64]:
        """In our order; zeros from a driver that does not measure them."""
        return np.asarray(values)[self._order] if len(values) else np.zeros(len(JOINT_NAMES))
