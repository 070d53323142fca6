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
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from interbotix_xs_msgs.srv import OperatingModes, Reboot, RegisterValues, RobotInfo, TorqueEnable
from sarl_ros.nodes.fast import FastSubscriptions
from widowx_bridge.arm import JointCommand
from widowx_bridge.kinematics import JOINT_NAMES
from widowx_bridge.samples import JointSample

WIRE = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
ARM_GROUP = "arm"
GRIPPER = "gripper"
FINGER = "left_finger"
# Matching is seen by each side at its own time: a command sent at once may find no reader yet.
SETTLE_S = 1.0
SERVICE_TIMEOUT_S = 3.0
SERVICE_ATTEMPTS = 3
HARDWARE_ERRORS = {0: "input voltage", 2: "overheating", 3: "encoder", 4: "electrical shock", 5: "overload"}


class XsError(Exception):
    """The driver did not do what was asked; one line with the remedy."""


class XsClient:
    """The wire, and nothing of what the arm should do.

    Args:
        node: that the endpoints belong to.
        robot_name: namespace of the driver.
        fast: whose thread takes the joint states.
        on_sample: takes every JointSample that arrives, in that thread.
    """

    def __init__(
        self, node: Node, fast: FastSubscriptions, robot_name: str, on_sample: Callable[[JointSample], None]
    ) -> None:
        self._node = node
        self._on_sample = on_sample
        self._prefix = f"/{robot_name}"
        self._group = node.create_publisher(JointGroupCommand, f"{self._prefix}/commands/joint_group", WIRE)
        self._single = node.create_publisher(JointSingleCommand, f"{self._prefix}/commands/joint_single", WIRE)
        self._names: list[str] = []
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)
        self._finger = 0
        self._connected_s: float | None = None
        fast.subscribe(JointState, f"{self._prefix}/joint_states", self._on_joint_state, WIRE)
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
            )
        }

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

    def driver_restarted(self) -> None:
        """Let new endpoints settle before the next command."""
        self._connected_s = time.monotonic()

    def send(self, command: JointCommand) -> None:
        """One control period: the gripper's PWM first, then the joint goals."""
        self.send_pwm(command.gripper_pwm)
        self._group.publish(JointGroupCommand(name=ARM_GROUP, cmd=command.joints.astype(np.float32)))

    def send_pwm(self, pwm: float) -> None:
        self._single.publish(JointSingleCommand(name=GRIPPER, cmd=float(pwm)))

    def set_up(self, profile_velocity_ms: int, profile_acceleration_ms: int, closing: threading.Event) -> None:
        """Bring the motors into position control with a time profile, and the gripper into PWM, torque on.

        Modes are set only where they differ: the driver drops the torque for a moment while it changes them. Blocks
        until the driver's services are there; call it from a thread of its own.

        Raises:
            XsError: the driver answers with other joints, or not at all.
        """
        while not closing.is_set():
            if all(client.service_is_ready() for client in self._clients.values()):
                break
            closing.wait(0.1)
        info = self._call("get_robot_info", RobotInfo.Request(cmd_type="group", name=ARM_GROUP))
        if tuple(info.joint_names) != JOINT_NAMES:
            raise XsError(
                f"{self._prefix} drives joints {', '.join(info.joint_names) or 'unknown'}: start it for a wx250s"
            )
        if (info.mode, info.profile_type) != ("position", "time"):
            self._set_mode("group", ARM_GROUP, "position", profile_velocity_ms, profile_acceleration_ms)
        for register, value in (
            ("Profile_Velocity", profile_velocity_ms),
            ("Profile_Acceleration", profile_acceleration_ms),
        ):
            self._call(
                "set_motor_registers",
                RegisterValues.Request(cmd_type="group", name=ARM_GROUP, reg=register, value=value),
            )
        if self._call("get_robot_info", RobotInfo.Request(cmd_type="single", name=GRIPPER)).mode != "pwm":
            self._set_mode("single", GRIPPER, "pwm", 0, 0)
        self._call("torque_enable", TorqueEnable.Request(cmd_type="group", name="all", enable=True))

    def motor_errors(self) -> list[str]:
        """Names and errors of motors that report one, or that do not answer.

        Raises:
            XsError: the driver does not answer.
        """
        motors = self._call("get_robot_info", RobotInfo.Request(cmd_type="group", name="all")).joint_names
        request = RegisterValues.Request(cmd_type="group", name="all", reg="Hardware_Error_Status")
        return describe_errors(motors, self._call("get_motor_registers", request).values)

    def reboot(self) -> None:
        """Restart the motors that report an error; those lose their torque for a moment.

        Raises:
            XsError: the driver does not answer.
        """
        self._call("reboot_motors", Reboot.Request(cmd_type="group", name="all", enable=True, smart_reboot=True))

    def _set_mode(self, kind: str, name: str, mode: str, velocity: int, acceleration: int) -> None:
        self._node.get_logger().warning(f"setting {name} to mode {mode}: its torque drops for a moment")
        self._call(
            "set_operating_modes",
            OperatingModes.Request(
                cmd_type=kind,
                name=name,
                mode=mode,
                profile_type="time",
                profile_velocity=velocity,
                profile_acceleration=acceleration,
            ),
        )

    def _call(self, name: str, request: Any) -> Any:
        """The response; blocks, so never from the only thread of an executor.

        Asks again where none comes: a server that has just discovered us may drop its first response.
        """
        for _ in range(SERVICE_ATTEMPTS):
            answered = threading.Event()
            future = self._clients[name].call_async(request)
            future.add_done_callback(lambda _, answered=answered: answered.set())
            if answered.wait(SERVICE_TIMEOUT_S):
                return future.result()
            self._clients[name].remove_pending_request(future)
        raise XsError(f"{self._prefix}/{name} does not answer in {SERVICE_TIMEOUT_S:g} s: restart the xs_sdk driver")

    def _on_joint_state(self, message: JointState) -> None:
        if message.name != self._names:
            try:
                self._order = np.array([message.name.index(name) for name in JOINT_NAMES])
                self._finger = message.name.index(FINGER)
            except ValueError as error:
                self._node.get_logger().error(
                    f"joint_states of {self._prefix} lacks a joint of the wx250s ({error})", throttle_duration_sec=10.0
                )
                return
            self._names = list(message.name)
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

    def _ordered(self, values: Sequence[float]) -> NDArray[np.float64]:
        """In our order; zeros from a driver that does not measure them."""
        return np.asarray(values)[self._order] if len(values) == len(self._names) else np.zeros(len(JOINT_NAMES))


def describe_errors(motors: Sequence[str], registers: Sequence[int]) -> list[str]:
    """Errors in words from the Hardware_Error_Status registers (control table of the Dynamixel X series).

    A motor that cannot be read leaves no value behind, so with fewer values than motors nobody knows whose they are.
    """
    if len(registers) < len(motors):
        return [f"{len(motors) - len(registers)} of {len(motors)} motors do not answer"]
    return [
        f"{motor} {' and '.join(text for bit, text in HARDWARE_ERRORS.items() if value >> bit & 1) or hex(value)}"
        for motor, value in zip(motors, registers, strict=False)
        if value
    ]
