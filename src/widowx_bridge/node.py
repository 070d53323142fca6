"""The `arm_bridge` of a WidowX 250 S: 7-D actions on /arm/command to xs_sdk, one ArmState for each.

It knows no simulation. See `session` for the rules, `faults` for what can go wrong, `driver` for the way to the arm.
"""

from __future__ import annotations

import math
import os
import threading
from functools import partial

from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from sarl_interfaces.msg import ArmCommand, ArmState
from sarl_interfaces.srv import ArmReset, ArmResume
from sarl_ros.ros import topics
from sarl_ros.ros.convert import to_time
from sarl_ros.ros.fast_subscription import FastSubscriptions
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare
from widowx_bridge.detectors import UsbWatch
from widowx_bridge.driver import Driver, DriverError
from widowx_bridge.faults import Fault
from widowx_bridge.motors import MotorKeeper
from widowx_bridge.reports import ArmReport
from widowx_bridge.rivals import Rivals
from widowx_bridge.samples import JointSample
from widowx_bridge.session import ArmSession
from widowx_bridge.settings import BridgeParameters
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
        super().__init__("arm_bridge")
        settings = declare(self, BridgeParameters)
        if settings.speed_scale < 1:
            self.get_logger().warning(
                f"speed_scale {settings.speed_scale:g}: every motion is that much shorter; 1.0 after first runs"
            )
        self._poll_s = settings.motor_poll_period_s
        self._usb = UsbWatch(settings.usb_device, os.path.exists)
        self._stop_file = self._open_stop_file(settings.stop_file)
        controller = settings.controller()
        self._states = self.create_publisher(ArmState, topics.ARM_STATE, topics.STREAM)
        self._fast = FastSubscriptions(self)
        self._stopper = FastSubscriptions(self, "stop")
        self._driver = self._make_driver(settings)
        self._session = ArmSession(
            controller,
            self._driver.send,
            self._driver.send_pwm,
            self._publish,
            self._unconnected,
            settings.watch(),
            settings.idle_rate_hz,
            stop=self._stop_file.read(),
        )
        name = settings.robot_name
        sent_once = (f"/{name}/commands/joint_group", f"/{name}/joint_states", topics.ARM_COMMAND)
        self._rivals = Rivals(sent_once, self._senders)
        self._rival: str | None = None
        self._motors = MotorKeeper(
            self._driver,
            self._session,
            settings.motors(),
            self.get_logger().warning,
            alone=lambda: not self._rivals.several(),
        )
        self._newest_ns = 0
        self._is_set_up = False
        self._registers = threading.Lock()
        self._closing = threading.Event()
        self._session.set_up_again.set()
        self._connect()
        self._setter = threading.Thread(target=self._tend_motors, name="motors", daemon=True)
        self._setter.start()

    def _open_stop_file(self, path: str) -> StopFile:
        if not path:
            self.get_logger().warning("stop_file is empty: a stop does not outlive this process; name a file")
        try:
            return StopFile(path)
        except RuntimeError:
            raise SetupError(f"stop_file {path} needs a home folder: set HOME, or give a whole path") from None

    def _make_driver(self, settings: BridgeParameters) -> Driver:
        name, timeout_s = settings.robot_name, settings.service_timeout_s
        if settings.driver == "topics":
            return XsClient(self, self._fast, name, self._on_sample, timeout_s)
        try:
            complain = partial(self.boundary.reject, f"/{name}/joint_states")
            return XsModules(name, self._on_sample, complain, timeout_s)
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


def main() -> None:
    run_node(WidowxBridge, threads=THREADS)


if __name__ == "__main__":
    main()
