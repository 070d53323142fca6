"""The `widowx_bridge` node: 7-D actions on /arm/command to a WidowX 250 S behind xs_sdk, one ArmState for each.

It knows no simulation. See `session` for the rules, `faults` for what can go wrong, `driver` for the way to the arm.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from sarl_interfaces.msg import ArmCommand, ArmState
from sarl_interfaces.srv import ArmReset, ArmResume
from sarl_ros.ros import topics
from sarl_ros.ros.convert import to_time
from sarl_ros.ros.fast_subscription import FastSubscriptions
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from widowx_bridge.arm import RESET_POSITION, ArmController
from widowx_bridge.detectors import UsbWatch, Watch
from widowx_bridge.driver import Driver, DriverError
from widowx_bridge.faults import Fault
from widowx_bridge.motors import MotorKeeper, MotorSettings
from widowx_bridge.reports import ArmReport
from widowx_bridge.rivals import Rivals
from widowx_bridge.safety import Limits, Refused
from widowx_bridge.samples import JointSample
from widowx_bridge.session import ArmSession
from widowx_bridge.stop_file import StopFile
from widowx_bridge.xs_client import XsClient
from widowx_bridge.xs_modules import XsModules

WATCHDOG_PERIOD_S = 0.1
SERVICES_CHECK_S = 0.1
THREADS = 6
FAULT_NAMES = frozenset(Fault)


class WidowxBridge(SarlNode):
    """Parameters, topics and services around an ArmSession."""

    def __init__(self) -> None:
        super().__init__("widowx_bridge")
        robot_name = self._declare("robot_name", topics.ROBOT_NAME, "namespace of the xs_sdk driver")
        way = self._declare("driver", "topics", "topics: the driver's own wire; modules: interbotix_xs_modules")
        pressure = self._declare("gripper_pressure", 0.5, "0..1 for PWM 150..350; high pressure overloads the motor")
        sticky_steps = self._declare("sticky_steps", 1, "requests in a row that flip the gripper")
        reset_position = self._declare(
            "reset_position", list(RESET_POSITION), "x y z [m] of the gripper, straight down"
        )
        rate_hz = self._declare("idle_rate_hz", 10.0, "of arm states that answer no command")
        service_timeout_s = self._declare("service_timeout_s", 10.0, "without an answer a driver's service is dead [s]")
        self._poll_s = self._declare("motor_poll_period_s", 1.0, "of the motors' registers [s]; 0: never")
        self._usb = UsbWatch(
            self._declare("usb_device", "", "file that is there while USB is; empty: not watched"), os.path.exists
        )
        self._stop_file = self._open_stop_file()
        watch, settings = self._watch_settings(), self._motor_settings()
        try:
            controller = ArmController(self._limits(), pressure, sticky_steps, reset_position)
        except Refused as error:
            raise SetupError(str(error)) from None
        self._states = self.create_publisher(ArmState, topics.ARM_STATE, topics.STREAM)
        self._fast = FastSubscriptions(self)
        self._stopper = FastSubscriptions(self, "stop")
        self._driver = self._make_driver(way, robot_name, service_timeout_s)
        self._session = ArmSession(
            controller,
            self._driver.send,
            self._driver.send_pwm,
            self._publish,
            self._unconnected,
            watch,
            rate_hz,
            stop=self._stop_file.read(),
        )
        sent_once = (f"/{robot_name}/commands/joint_group", f"/{robot_name}/joint_states", topics.ARM_COMMAND)
        self._rivals = Rivals(sent_once, self._senders)
        self._rival: str | None = None
        self._motors = MotorKeeper(
            self._driver, self._session, settings, self.get_logger().warning, alone=lambda: not self._rivals.several()
        )
        self._newest_ns = 0
        self._is_set_up = False
        self._registers = threading.Lock()
        self._closing = threading.Event()
        self._session.set_up_again.set()
        self._connect()
        self._setter = threading.Thread(target=self._tend_motors, name="motors", daemon=True)
        self._setter.start()

    def _declare(self, name: str, default: Any, description: str) -> Any:
        """The setting, of its default's type; a number may be written without its decimal point. Raises SetupError."""
        descriptor = ParameterDescriptor(description=description, read_only=True, dynamic_typing=True)
        try:
            return _like(default, self.declare_parameter(name, default, descriptor).value)
        except ValueError:
            raise SetupError(f"{name} is not of the kind of {default!r}, {description}: write it like that") from None

    def _open_stop_file(self) -> StopFile:
        path = self._declare("stop_file", "", "where a stop outlives this process; empty: it does not")
        if not path:
            self.get_logger().warning("stop_file is empty: a stop does not outlive this process; name a file")
        try:
            return StopFile(path)
        except RuntimeError:
            raise SetupError(f"stop_file {path} needs a home folder: set HOME, or give a whole path") from None

    def _limits(self) -> Limits:
        default = Limits()
        low = self._declare("workspace_low", default.workspace_low.tolist(), "corner x y z [m] of the workspace box")
        high = self._declare("workspace_high", default.workspace_high.tolist(), "opposite corner x y z [m]")
        table_m = self._declare("table_height", 0.0, "z [m] of the table's surface; it raises the box where needed")
        scale = self._declare("speed_scale", 1.0, "0..1, of every delta and of resets; below 1 for first runs")
        acceleration = self._declare("joint_acceleration", 0.0, "limit of gaining speed [rad/s^2]; 0: none")
        if len(low) != 3 or len(high) != 3 or not np.less(low, high).all():
            raise SetupError(f"workspace_low {list(low)} is not below workspace_high {list(high)}: give x y z of each")
        if not 0 < scale <= 1:
            raise SetupError(f"speed_scale is {scale:g}: set it above 0 and at most 1")
        if scale < 1:
            self.get_logger().warning(f"speed_scale {scale:g}: every motion is that much shorter; 1.0 after first runs")
        limits = Limits(
            workspace_low=np.array(low),
            workspace_high=np.array(high),
            max_translation_m=self._declare("max_translation_m", default.max_translation_m, "clip of dx dy dz [m]"),
            max_rotation_rad=self._declare("max_rotation_rad", default.max_rotation_rad, "clip of rotations [rad]"),
            joint_velocity=self._declare("joint_velocity", float(default.joint_velocity), "limit [rad/s]"),
            joint_acceleration=acceleration if acceleration > 0 else math.inf,
            speed_scale=scale,
            table_height_m=table_m,
        )
        if limits.workspace_low[2] >= high[2]:
            raise SetupError(f"table_height {table_m:g} leaves nothing of the workspace below {high[2]:g}: measure it")
        return limits

    def _watch_settings(self) -> Watch:
        efforts = self._declare("effort_limits", [0.0], "of the six joints, in mA; one 0 turns the watch off")
        return Watch(
            answer_timeout_s=self._declare("answer_timeout_s", 1.0, "from a command to its joint state [s]"),
            states_timeout_s=self._declare("states_timeout_s", 0.0, "without a new joint state [s]; 0: not watched"),
            effort_limits=_of_length(efforts, "effort_limits", 6),
            stuck_error_rad=self._declare("stuck_error_rad", 0.3, "of a joint that does not move [rad]; 0: never"),
            idle_periods=self._declare(
                "watchdog_periods", 0, "without a command, then the arm is told to stay; 0: off"
            ),
        )

    def _motor_settings(self) -> MotorSettings:
        gains = self._declare("position_gains", [0], "P, I and D of the arm's motors; one 0: as they are")
        limits = self._declare("current_limits", [0], "register Current_Limit from the waist on; one 0: as they are")
        return MotorSettings(
            profile_velocity_ms=self._declare("profile_velocity_ms", 250, "of a motion profile; 1.25 control periods"),
            profile_acceleration_ms=self._declare("profile_acceleration_ms", 100, "its acceleration; half a period"),
            gains=_of_length(gains, "position_gains", 3),
            current_limits=_of_length(limits, "current_limits", *range(1, 6)),
            verify=self._declare("verify_registers", True, "read back and watch; off for a driver without motors"),
        )

    def _make_driver(self, way: str, robot_name: str, service_timeout_s: float) -> Driver:
        if way == "topics":
            return XsClient(self, self._fast, robot_name, self._on_sample, service_timeout_s)
        if way != "modules":
            raise SetupError(f"driver is {way!r}: set it to topics or modules")
        try:
            complain = partial(self.boundary.reject, f"/{robot_name}/joint_states")
            return XsModules(robot_name, self._on_sample, complain, service_timeout_s)
        except DriverError as error:
            raise SetupError(str(error)) from None

    def _connect(self) -> None:
        self._fast.subscribe(ArmCommand, topics.ARM_COMMAND, self._on_command, topics.STREAM)
        self._fast.start()
        self._driver.start()
        services = ReentrantCallbackGroup()
        self.create_service(ArmReset, topics.ARM_RESET, self._on_reset, callback_group=services)
        self._stopper.serve(Trigger, topics.ARM_STOP, self._on_stop)
        self._stopper.start()
        self.create_service(Trigger, topics.ARM_CLEAR, self._on_clear, callback_group=services)
        self.create_service(Trigger, topics.ARM_PAUSE, self._on_pause, callback_group=services)
        self.create_service(ArmResume, topics.ARM_RESUME, self._on_resume, callback_group=services)
        self.create_service(Trigger, topics.ARM_SLEEP, self._on_sleep, callback_group=services)
        self.create_steady_timer(WATCHDOG_PERIOD_S, self._watch)

    def _senders(self, topic: str) -> list[str]:
        if self.count_publishers(topic) < 2:
            return []
        return [sender.node_name for sender in self.get_publishers_info_by_topic(topic)]

    def _unconnected(self) -> str | None:
        reason = self._rival or self._driver.unconnected()
        if reason is None and (not self._is_set_up or self._session.set_up_again.is_set()):
            if not self._driver.services_ready():  # a recorder listens to the commands too
                return "the services of the xs_sdk driver are not there: start the driver"
            return self.faults.get("set_up") or "the motors are being set up: try again in a moment"
        return reason

    def _on_command(self, message: ArmCommand) -> None:
        self._session.command(message.seq, message.action)

    def _on_sample(self, sample: JointSample) -> None:
        if sample.stamp_ns < self._newest_ns:
            self._look_for_rivals()
            self.get_logger().warning(
                "joint_states went back in time: the driver has restarted", throttle_duration_sec=1.0
            )
            self._driver.restarted()
            self._is_set_up = False
            self._session.set_up_again.set()
        self._newest_ns = sample.stamp_ns
        rejected = self._session.sample(sample)
        if rejected is not None:
            self._look_for_rivals()
            self.get_logger().warning(f"ignored a sample: {rejected}", throttle_duration_sec=5.0)

    def _look_for_rivals(self) -> None:
        """At once, before any more is believed of joint states that do not fit."""
        self._rivals.suspect()
        self._rival = self._rivals.check(self.steady_s())

    def _publish(self, report: ArmReport) -> None:
        message = ArmState(
            seq=report.seq,
            mode=int(report.mode),
            accepted=report.accepted,
            refusal=report.refusal,
            faults=list(report.faults),
            joint_position=report.sample.joints,
            joint_velocity=report.sample.velocity,
            joint_effort=report.sample.effort,
            pose=report.pose,
            target=report.target,
            gripper=report.gripper,
            proprio=report.proprio,
            stop=report.stop,
        )
        message.header.stamp = to_time(report.sample.stamp_ns)
        message.header.frame_id = f"{topics.ROBOT_NAME}/base_link"
        self._states.publish(message)
        if report.refusal:
            self.get_logger().warning(f"command {report.seq} refused: {report.refusal}", throttle_duration_sec=1.0)

    def _on_reset(self, _: ArmReset.Request, response: ArmReset.Response) -> ArmReset.Response:
        """With a look at the motors before it moves and after it has arrived."""
        self._check_motors()
        response.success, response.message = self._session.reset()
        if response.success:
            self._check_motors()
            if faults := self._session.faults:
                response.success, response.message = False, "; ".join(faults.values())
        return response

    def _on_sleep(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._session.sleep()
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """In a thread of its own, so that no other call can keep it waiting."""
        self._session.stop()
        self._keep_stop()
        response.success = True
        response.message = self._stop_file.problem or "on hold, torque on, until /arm/clear"
        return response

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._session.pause()
        response.success, response.message = True, "on hold, torque on, until /arm/resume"
        return response

    def _on_resume(self, request: ArmResume.Request, response: ArmResume.Response) -> ArmResume.Response:
        outcome = self._clear(request.stop) if request.stop else self._session.resume()
        response.success, response.message = outcome
        return response

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._clear(self._session.stop_in_force)
        return response

    def _clear(self, stop: str) -> tuple[bool, str]:
        """Repair, clear `stop`, and verify the motors' set-up, which a reboot or a loss of power has undone.

        What is refused lets go of no motor: that it may be held up is known of the stop that the person has seen.
        """
        if why := self._session.why_not_clear(stop):
            return False, why
        reachable = self._driver.services_ready()
        if self._session.findings and reachable:
            with self._registers:
                problem = self._motors.repair()
            if problem:
                return False, problem
        cleared, message = self._session.clear(stop)
        if not cleared:
            return False, message
        self._keep_stop()
        problem = self._set_up() if reachable else ""
        return not problem, problem or message

    def _keep_stop(self) -> None:
        """Have the disk know of the stop in force, or that there is none."""
        self._stop_file.keep(lambda: self._session.stop_in_force)

    def _watch(self) -> None:
        gone = self._usb.check()
        if gone is not None:
            self._session.fail(gone)
        self._rival = self._rivals.check(self.steady_s())
        self._session.tick()
        reason = self._unconnected()
        for name in [name for name in self.faults if name in FAULT_NAMES]:
            del self.faults[name]
        self.faults.update(self._session.faults)
        self.faults.pop("driver", None)
        if reason is not None and reason not in self.faults.values():
            self.faults["driver"] = reason
        self.faults.pop("stop_file", None)
        if self._stop_file.problem:
            self.faults["stop_file"] = self._stop_file.problem
        self.ready = reason is None and math.isfinite(self._session.sample_age_s)

    def _check_motors(self) -> None:
        if self._is_set_up and self._poll_s > 0:
            with self._registers:
                self._motors.watch()

    def _tend_motors(self) -> None:
        """Set the motors up whenever the driver is new or was away, and look at their registers in between."""
        while not self._closing.is_set():
            again = self._session.set_up_again
            if not again.is_set():
                self._check_motors()
                again.wait(self._poll_s or None)
                continue
            while not self._driver.services_ready() or self._session.joints is None or self._rival is not None:
                if self._closing.wait(SERVICES_CHECK_S):
                    return
            if self._set_up():
                self._closing.wait(self._poll_s or SERVICES_CHECK_S)

    def _set_up(self) -> str:
        """Verify the motors' set-up, and where they stand, where that is due; why it failed, or nothing.

        Until then no command is taken.
        """
        again = self._session.set_up_again
        with self._registers:
            if not again.is_set():
                return ""
            if self._rival is not None:
                return self._rival
            self._is_set_up = False
            again.clear()
            try:
                self._motors.set_up()
            except DriverError as error:
                again.set()
                self.faults["set_up"] = str(error)
                self.get_logger().warning(str(error), throttle_duration_sec=10.0)
                return str(error)
            self._is_set_up = True
            self.faults.pop("set_up", None)
            self._session.wake()
            return ""

    def close(self) -> None:
        """The arm stays where it is, with its torque."""
        self._session.close()
        self._fast.close()
        self._stopper.close()
        self._closing.set()
        self._session.set_up_again.set()
        self._setter.join(timeout=1.0)
        self._driver.close()


def _like(default: Any, value: Any) -> Any:
    """`value` as the type of `default`. Raises ValueError where it is of another kind."""
    if isinstance(default, list):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError
        return [_like(default[0], part) for part in value]
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ValueError
    return value


def _of_length(values: list[Any], name: str, *lengths: int) -> tuple[Any, ...]:
    """A setting of so many numbers; empty where it is one 0. Raises SetupError."""
    if values in ([0], [0.0]):
        return ()
    if len(values) not in lengths:
        raise SetupError(f"{name} has {len(values)} numbers: give {' or '.join(map(str, lengths))}, or one 0 for none")
    return tuple(values)


def main() -> None:
    run_node(WidowxBridge, threads=THREADS)


if __name__ == "__main__":
    main()
