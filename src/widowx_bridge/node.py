"""The `widowx_bridge` node: 7-D actions on /arm/command to a WidowX 250 S behind xs_sdk, one ArmState for each.

It knows no simulation. See `session` for the rules and `xs_client` for the wire.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from sarl_interfaces.msg import ArmCommand, ArmState
from sarl_interfaces.srv import ArmReset
from sarl_ros.nodes import topics
from sarl_ros.nodes.base import SarlNode, SetupError, run_node
from sarl_ros.nodes.convert import to_time
from sarl_ros.nodes.fast import FastSubscriptions
from widowx_bridge.arm import RESET_POSITION, ArmController
from widowx_bridge.safety import Limits, Refused
from widowx_bridge.samples import JointSample
from widowx_bridge.session import RECOVERY, ArmReport, ArmSession, Fault
from widowx_bridge.xs_client import XsClient, XsError

WATCHDOG_PERIOD_S = 0.1
THREADS = 6


class WidowxBridge(SarlNode):
    """Parameters, topics and services around an ArmSession."""

    def __init__(self) -> None:
        super().__init__("widowx_bridge")
        robot_name = self._declare("robot_name", topics.ROBOT_NAME, "namespace of the xs_sdk driver")
        pressure = self._declare("gripper_pressure", 0.5, "0..1 for PWM 150..350; high pressure overloads the motor")
        sticky_steps = self._declare("sticky_steps", 1, "requests in a row that flip the gripper")
        reset_position = self._declare(
            "reset_position", list(RESET_POSITION), "x y z [m] of the gripper, straight down"
        )
        timeout_s = self._declare("answer_timeout_s", 1.0, "without joint_states after a command it is a fault [s]")
        effort_limits = self._declare("effort_limits", [0.0], "of the six joints, in mA; one 0 turns the watch off")
        rate_hz = self._declare("idle_rate_hz", 10.0, "of arm states that answer no command")
        self._poll_s = self._declare("motor_poll_period_s", 1.0, "of the motors' error registers [s]; 0: never")
        self._profile_ms = (
            self._declare("profile_velocity_ms", 250, "duration of a motion profile; 1.25 control periods"),
            self._declare("profile_acceleration_ms", 100, "its acceleration; half a control period"),
        )
        try:
            controller = ArmController(self._limits(), pressure, sticky_steps, reset_position)
        except Refused as error:
            raise SetupError(str(error)) from None
        self._states = self.create_publisher(ArmState, topics.ARM_STATE, topics.STREAM)
        self._fast = FastSubscriptions(self)
        self._wire = XsClient(self, self._fast, robot_name, self._on_sample)
        self._session = ArmSession(
            controller,
            self._wire.send,
            self._wire.send_pwm,
            self._publish,
            self._unconnected,
            timeout_s,
            effort_limits if len(effort_limits) == 6 else (),
            rate_hz,
        )
        self._newest_ns = 0
        self._is_set_up = False
        self._set_up_needed = threading.Event()
        self._set_up_needed.set()
        self._closing = threading.Event()
        self._connect()
        self._setter = threading.Thread(target=self._tend_motors, name="motors", daemon=True)
        self._setter.start()

    def _declare(self, name: str, default: Any, description: str) -> Any:
        return self.declare_parameter(name, default, ParameterDescriptor(description=description, read_only=True)).value

    def _limits(self) -> Limits:
        default = Limits()
        low = self._declare("workspace_low", default.workspace_low.tolist(), "corner x y z [m] of the workspace box")
        high = self._declare("workspace_high", default.workspace_high.tolist(), "opposite corner x y z [m]")
        if len(low) != 3 or len(high) != 3 or not np.less(low, high).all():
            raise SetupError(f"workspace_low {list(low)} is not below workspace_high {list(high)}: give x y z of each")
        return Limits(
            workspace_low=np.array(low),
            workspace_high=np.array(high),
            max_translation_m=self._declare("max_translation_m", default.max_translation_m, "clip of dx dy dz [m]"),
            max_rotation_rad=self._declare("max_rotation_rad", default.max_rotation_rad, "clip of rotations [rad]"),
            joint_velocity=self._declare("joint_velocity", float(default.joint_velocity), "limit [rad/s]"),
        )

    def _connect(self) -> None:
        self._fast.subscribe(ArmCommand, topics.ARM_COMMAND, self._on_command, topics.STREAM)
        self._fast.start()
        services = ReentrantCallbackGroup()
        self.create_service(ArmReset, topics.ARM_RESET, self._on_reset, callback_group=services)
        self.create_service(Trigger, topics.ARM_STOP, self._on_stop, callback_group=services)
        self.create_service(Trigger, topics.ARM_CLEAR, self._on_clear, callback_group=services)
        self.create_steady_timer(WATCHDOG_PERIOD_S, self._watch)

    def _unconnected(self) -> str | None:
        reason = self._wire.unconnected()
        if reason is None and not self._is_set_up:
            return self.faults.get("set_up") or "the motors are being set up: try again in a moment"
        return reason

    def _on_command(self, message: ArmCommand) -> None:
        self._session.command(message.seq, message.action)

    def _on_sample(self, sample: JointSample) -> None:
        if sample.stamp_ns < self._newest_ns:
            self.get_logger().warning("joint_states went back in time: the driver has restarted")
            self._wire.driver_restarted()
            self._is_set_up = False
            self._set_up_needed.set()
        self._newest_ns = sample.stamp_ns
        rejected = self._session.sample(sample)
        if rejected is not None:
            self.get_logger().warning(f"ignored a sample: {rejected}", throttle_duration_sec=5.0)

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
        )
        message.header.stamp = to_time(report.sample.stamp_ns)
        message.header.frame_id = f"{topics.ROBOT_NAME}/base_link"
        self._states.publish(message)
        if report.refusal:
            self.get_logger().warning(f"command {report.seq} refused: {report.refusal}", throttle_duration_sec=1.0)

    def _on_reset(self, _: ArmReset.Request, response: ArmReset.Response) -> ArmReset.Response:
        response.success, response.message = self._session.reset()
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._session.stop()
        response.success, response.message = True, "on hold until /arm/clear"
        return response

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if Fault.MOTOR_ERROR in self._session.faults:
            try:
                self._wire.reboot()
            except XsError as error:
                response.success, response.message = False, str(error)
                return response
        response.success, response.message = self._session.clear()
        return response

    def _watch(self) -> None:
        self._session.tick()
        reason = self._unconnected()
        for name in [name for name in self.faults if name in RECOVERY]:
            del self.faults[name]
        self.faults.update(self._session.faults)
        self.ready = reason is None and math.isfinite(self._session.sample_age_s)

    def _tend_motors(self) -> None:
        """Set the motors up whenever the driver is new, and look at their error registers in between."""
        while not self._closing.is_set():
            try:
                if self._set_up_needed.is_set():
                    self._set_up_needed.clear()
                    self._wire.set_up(*self._profile_ms, self._closing)
                    self._is_set_up = True
                    self.faults.pop("set_up", None)
                elif self._poll_s > 0:
                    errors = self._wire.motor_errors()
                    if errors:
                        self._session.fail(Fault.MOTOR_ERROR, "; ".join(errors))
            except XsError as error:
                if not self._is_set_up:
                    self.faults["set_up"] = str(error)
                    self._set_up_needed.set()
                self.get_logger().warning(str(error), throttle_duration_sec=10.0)
            self._set_up_needed.wait(self._poll_s or None)

    def close(self) -> None:
        self._session.close()
        self._fast.close()
        self._closing.set()
        self._set_up_needed.set()
        self._setter.join(timeout=1.0)


def main() -> None:
    run_node(WidowxBridge, threads=THREADS)


if __name__ == "__main__":
    main()
