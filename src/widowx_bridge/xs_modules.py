"""The driver through the vendor's Python library `interbotix_xs_modules`, for those who run it.

It uses the library's core class alone, by its published methods: its arm class checks limits of its own, against
moving times of its own, and its trajectories stop for seconds at whole-second crossings. What the library lacks is
added here: a time-out on every service call (its own waits have none), and joint states as they come.
"""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sarl_ros.core.message_checks import CHECKS
from widowx_bridge.arm import JointCommand
from widowx_bridge.driver import ARM_GROUP, GRIPPER, DriverError, GroupInfo, ServiceSilent
from widowx_bridge.samples import JointSample
from widowx_bridge.xs_client import LONG_CALL_S, SETTLE_S, StateReader

MODEL = "wx250s"
POLL_S = 0.003
START_S = 30.0
MAX_UNANSWERED = 4
"""Calls that may wait at a time; while so many do, no further one is sent."""
REMEDY = "install the vendor's interbotix_ros_toolboxes and source its workspace, or set `driver: topics`"


class XsModules:
    """A Driver on an InterbotixRobotXSCore. One a process: the library has one global node.

    Args:
        robot_name: namespace of the controller.
        on_sample: takes every JointSample, in a thread of ours.
        complain: takes "FIELD: why" of each of the joint states that cannot be taken.
        service_timeout_s: without an answer for this long a service is silent.

    Raises:
        DriverError: the library is not installed, or finds no controller within `START_S`.
    """

    def __init__(
        self,
        robot_name: str,
        on_sample: Callable[[JointSample], None],
        complain: Callable[[str], None],
        service_timeout_s: float = 10.0,
    ) -> None:
        self._name, self._service_timeout_s = robot_name, service_timeout_s
        self._take, self._complain = StateReader(on_sample, complain), complain
        self._core = self._start(robot_name)
        self._connected_s: float | None = None
        self._closing = threading.Event()
        self._unanswered: set[object] = set()
        self._reader = threading.Thread(target=self._read_states, name="interbotix states", daemon=True)

    @staticmethod
    def _start(robot_name: str) -> Any:
        """The library's core, spun by its own executor. Its constructor waits for the controller without end."""
        try:
            robot = importlib.import_module("interbotix_common_modules.common_robot.robot")
            core = importlib.import_module("interbotix_xs_modules.xs_robot.core")
        except ImportError as error:
            raise DriverError(f"driver modules needs {error.name or error}: {REMEDY}") from None
        made: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def make() -> None:
            try:
                node = robot.create_interbotix_global_node()
                found = core.InterbotixRobotXSCore(MODEL, robot_name=robot_name, node=node)
                robot.robot_startup(node)
                made.put(found)
            except Exception as error:
                made.put(error)

        threading.Thread(target=make, name="interbotix start", daemon=True).start()
        try:
            found = made.get(timeout=START_S)
        except queue.Empty:
            raise DriverError(f"no xs_sdk driver at /{robot_name} within {START_S:g} s: start it first") from None
        if isinstance(found, Exception):
            raise DriverError(f"interbotix_xs_modules failed to start ({found}): restart the node") from found
        return found

    def start(self) -> None:
        self._reader.start()

    def unconnected(self) -> str | None:
        missing = [
            publisher.topic_name
            for publisher in (self._core.pub_group, self._core.pub_single)
            if not publisher.get_subscription_count()
        ]
        if missing:
            self._connected_s = None
            self._unanswered.clear()
            return f"nobody listens to {missing[0]}: start the xs_sdk driver"
        if self._connected_s is None:
            self._connected_s = time.monotonic()
        if time.monotonic() - self._connected_s < SETTLE_S:
            return f"the driver at /{self._name} has just been found: try again in a moment"
        return None

    def restarted(self) -> None:
        self._connected_s = time.monotonic()
        self._unanswered.clear()  # nobody will answer those

    def services_ready(self) -> bool:
        core = self._core
        clients = (core.srv_set_op_modes, core.srv_set_reg, core.srv_get_reg, core.srv_get_info, core.srv_torque)
        return all(client.service_is_ready() for client in clients)

    def send(self, command: JointCommand) -> None:
        self.send_pwm(command.gripper_pwm)
        self._core.robot_write_commands(ARM_GROUP, command.joints.tolist())

    def send_pwm(self, pwm: float) -> None:
        self._core.robot_write_joint_command(GRIPPER, float(pwm))

    def info(self, kind: str, name: str) -> GroupInfo:
        answer = self._call("get_robot_info", lambda: self._core.robot_get_robot_info(kind, name))
        return GroupInfo(answer.mode, answer.profile_type, tuple(answer.joint_names))

    def read(self, kind: str, name: str, register: str) -> Sequence[int]:
        return list(
            self._call("get_motor_registers", lambda: self._core.robot_get_motor_registers(kind, name, register))
        )

    def write(self, kind: str, name: str, register: str, value: int) -> None:
        self._call(
            "set_motor_registers", lambda: self._core.robot_set_motor_registers(kind, name, register, int(value))
        )

    def set_mode(self, kind: str, name: str, mode: str, velocity_ms: int, acceleration_ms: int) -> None:
        self._call(
            "set_operating_modes",
            lambda: self._core.robot_set_operating_modes(kind, name, mode, "time", velocity_ms, acceleration_ms),
            max(LONG_CALL_S, self._service_timeout_s),
        )

    def set_gains(self, kind: str, name: str, gains: Sequence[int]) -> None:
        kp, ki, kd = gains
        self._call(
            "set_motor_pid_gains", lambda: self._core.robot_set_motor_pid_gains(kind, name, kp, ki_pos=ki, kd_pos=kd)
        )

    def torque(self, kind: str, name: str, enable: bool) -> None:
        self._call("torque_enable", lambda: self._core.robot_torque_enable(kind, name, enable))

    def reboot(self, motor: str) -> None:
        self._call(
            "reboot_motors",
            lambda: self._core.robot_reboot_motors("single", motor, True),
            max(LONG_CALL_S, self._service_timeout_s),
        )

    def close(self) -> None:
        """The library's shutdown would end rclpy for the whole process; its threads end with that."""
        self._closing.set()
        if self._reader.is_alive():
            self._reader.join(timeout=1.0)

    def _call(self, service: str, call: Callable[[], Any], timeout_s: float | None = None) -> Any:
        """What `call` returns, made in a thread of its own: the library waits for an answer without end."""
        timeout_s = timeout_s or self._service_timeout_s
        silent = ServiceSilent(f"/{self._name}/{service} gave no answer in {timeout_s:g} s")
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise silent
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def make() -> None:
            try:
                answer.put(call())
            except Exception as error:
                answer.put(DriverError(f"/{self._name}/{service} failed ({error}): restart the node"))
            finally:
                self._unanswered.discard(answer)

        self._unanswered.add(answer)
        threading.Thread(target=make, name=f"interbotix {service}", daemon=True).start()
        try:
            result = answer.get(timeout=timeout_s)
        except queue.Empty:
            raise silent from None
        if isinstance(result, DriverError):
            raise result
        return result

    def _read_states(self) -> None:
        """Hand on each joint state once; the library keeps only the newest."""
        newest, heard_s = None, time.monotonic()
        while not self._closing.wait(POLL_S):
            message = self._core.joint_states
            if message is not None and message is not newest:
                if time.monotonic() - heard_s > SETTLE_S:  # the controller was away
                    self._unanswered.clear()
                newest, heard_s = message, time.monotonic()
                if why := CHECKS["sensor_msgs/msg/JointState"](message):
                    self._complain(why)
                else:
                    self._take(message)
