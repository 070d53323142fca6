"""An arm_bridge without an arm: it answers every command as if the arm had gone where it was told, and moves nothing.

To rehearse with the operator's page, cameras and pedals (`bridge: dry`), and the smallest example of a bridge; see
docs/write_a_bridge.md for what one owes.
"""

from __future__ import annotations

import threading

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from std_srvs.srv import Trigger

from sarl_interfaces.msg import ArmCommand, ArmState
from sarl_interfaces.srv import ArmReset, ArmResume
from sarl_ros.core.types import CONTROL_PERIOD_S
from sarl_ros.parameters.dry_arm import DryArmParameters
from sarl_ros.ros import topics
from sarl_ros.ros.node import SarlNode, run_node
from sarl_ros.ros.parameters import declare
from widowx_bridge.stop_file import StopFile, new_stop

START = (0.30, 0.0, 0.13, 0.0, 0.0, 0.0)
"""x y z [m] roll pitch yaw [rad] of the reset pose."""


class DryArm(SarlNode):
    """A pose, a gripper, a queue of one command and a stop; one lock around them."""

    def __init__(self) -> None:
        super().__init__("arm_bridge")
        self._stop_file = StopFile(declare(self, DryArmParameters).stop_file)
        self._lock = threading.Lock()
        self._stop, self._paused = self._stop_file.read(), False
        self._pose, self._gripper = np.array(START), 1.0
        self._pending = 0
        self._states = self.create_publisher(ArmState, topics.ARM_STATE, topics.STREAM)
        commands, services = MutuallyExclusiveCallbackGroup(), ReentrantCallbackGroup()
        self.create_subscription(
            ArmCommand, topics.ARM_COMMAND, self._on_command, topics.STREAM, callback_group=commands
        )
        for kind, topic, answer in (
            (ArmReset, topics.ARM_RESET, self._on_reset),
            (Trigger, topics.ARM_SLEEP, self._on_reset),
            (Trigger, topics.ARM_STOP, self._on_stop),
            (Trigger, topics.ARM_CLEAR, self._on_clear),
            (Trigger, topics.ARM_PAUSE, self._on_pause),
            (ArmResume, topics.ARM_RESUME, self._on_resume),
        ):
            self.create_service(kind, topic, answer, callback_group=services)
        self.create_steady_timer(CONTROL_PERIOD_S, self._tick)
        self.ready = True

    @property
    def _held(self) -> str:
        """Why no command is taken; empty if one is."""
        return "it was stopped: clear it" if self._stop else "it is paused" if self._paused else ""

    def _on_command(self, message: ArmCommand) -> None:
        """Refused at once, or answered at the end of the control period that begins now."""
        with self._lock:
            if refusal := self._held or ("the command before is not answered yet" if self._pending else ""):
                self._report(message.seq, refusal)
                return
            action = np.asarray(message.action)
            self._pose, self._gripper = self._pose + action[:6], float(action[6] > 0.5)
            self._pending = message.seq

    def _tick(self) -> None:
        with self._lock:
            answered, self._pending = self._pending, 0
            self._report(answered)

    def _report(self, answered: int, refusal: str = "") -> None:
        mode = ArmState.HOLD if self._held else ArmState.MOVING if self._pending else ArmState.IDLE
        message = ArmState(
            seq=answered,
            mode=mode,
            accepted=not refusal,
            refusal=refusal,
            stop=self._stop,
            pose=self._pose,
            target=self._pose,
            gripper=self._gripper,
            proprio=np.array([*self._pose, 0.0, self._gripper], np.float32),
        )
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = f"{topics.ROBOT_NAME}/base_link"
        self._states.publish(message)

    def _on_reset(self, _: object, response: ArmReset.Response) -> ArmReset.Response:
        with self._lock:
            response.message = self._held or "at the reset pose"
            response.success = not self._held
            if response.success:
                self._pose, self._gripper = np.array(START), 1.0
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._stop = new_stop()
            answered, self._pending = self._pending, 0
            self._report(answered, self._held if answered else "")
        self._stop_file.keep(lambda: self._stop)
        response.success, response.message = True, "on hold until /arm/clear"
        return response

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._paused = True
        response.success, response.message = True, "on hold until /arm/resume"
        return response

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._clear(self._stop)
        return response

    def _on_resume(self, request: ArmResume.Request, response: ArmResume.Response) -> ArmResume.Response:
        with self._lock:
            self._paused = False
        response.success, response.message = self._clear(request.stop)
        return response

    def _clear(self, stop: str) -> tuple[bool, str]:
        """End the stop that a person has cleared; a later one stays."""
        with self._lock:
            if self._stop and self._stop != stop:
                return False, "it was stopped meanwhile"
            self._stop = ""
        self._stop_file.keep(lambda: self._stop)
        return True, "goes on"


def main() -> None:
    run_node(DryArm)


if __name__ == "__main__":
    main()
