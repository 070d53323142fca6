"""The seam to the vendor's controller: what an arm driver offers, whichever way it is reached.

`xs_client` speaks its topics and services; `xs_modules` goes through the vendor's Python library. Both are held to one
contract by test/test_bridge_drivers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from widowx_bridge.arm import JointCommand
from widowx_bridge.kinematics import JOINT_NAMES

ARM_GROUP = "arm"
GRIPPER = "gripper"
MOTORS = (*JOINT_NAMES, GRIPPER)


class DriverError(Exception):
    """The driver did not do what was asked; one line with the remedy."""


class ServiceSilent(DriverError):
    """A service of the driver gave no answer in time."""


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """Operating mode and profile of a group or a single motor, and its joints."""

    mode: str
    profile_type: str
    joint_names: tuple[str, ...]


class Driver(Protocol):
    """A way to the vendor's controller. Joint states go to the callback that it was made with.

    `kind` is "group" or "single", `name` a group ("arm", "all") or a motor. What calls a service blocks until it
    answered, at most its time-out, and raises ServiceSilent then; so never from the only thread of an executor.
    """

    def start(self) -> None:
        """Begin to hand on joint states."""

    def unconnected(self) -> str | None:
        """Why commands would not arrive, in one line, or None."""

    def restarted(self) -> None:
        """The controller is new: let endpoints settle before the next command."""

    def services_ready(self) -> bool:
        """Whether the controller's services are there."""

    def send(self, command: JointCommand) -> None:
        """One control period: the gripper's PWM first, then the joint goals."""

    def send_pwm(self, pwm: float) -> None:
        """The gripper's PWM alone, positive opens."""

    def info(self, kind: str, name: str) -> GroupInfo:
        """Mode and joints of a group or motor."""

    def read(self, kind: str, name: str, register: str) -> Sequence[int]:
        """A register of each motor; a motor that cannot be read leaves no value behind."""

    def write(self, kind: str, name: str, register: str, value: int) -> None:
        """Set a register of each motor."""

    def set_mode(self, kind: str, name: str, mode: str, velocity_ms: int, acceleration_ms: int) -> None:
        """Operating mode with a time profile; the torque drops for a moment and is on after, whatever it was."""

    def set_gains(self, kind: str, name: str, gains: Sequence[int]) -> None:
        """Position gains P, I and D."""

    def torque(self, kind: str, name: str, enable: bool) -> None:
        """Torque on or off."""

    def reboot(self, motor: str) -> None:
        """Restart one motor, torque on after. It is limp for a moment, and what it keeps in RAM is lost."""

    def close(self) -> None:
        """Release what it holds; the motors stay as they are."""
