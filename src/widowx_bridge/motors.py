"""Keeps the motors as they should be: set-up verified by reading back, a look at their registers, repair. ROS-free.

All of it blocks on the driver's services, so it runs in threads of its own, never on the control loop's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from widowx_bridge.arm import SLEEP_JOINTS
from widowx_bridge.driver import ARM_GROUP, GRIPPER, MOTORS, Driver, DriverError, ServiceSilent
from widowx_bridge.faults import ERRORS, Fault, Finding, decode_errors, ends_by_itself
from widowx_bridge.kinematics import JOINT_NAMES
from widowx_bridge.session import ArmSession

ERROR_REGISTER = "Hardware_Error_Status"
TORQUE_REGISTER = "Torque_Enable"
POSITION_REGISTER = "Present_Position"
GAIN_REGISTERS = ("Position_P_Gain", "Position_I_Gain", "Position_D_Gain")
START_S = 1.0
"""A motor that was rebooted answers and takes its torque after this long."""
LOOKS = 3
"""At where the motors stand, before joint states that tell otherwise count as wrong: the arm may just have moved."""
LOOK_AGAIN_S = 0.1
TICKS, ZERO_TICKS = 4096, 2048
"""Of the motors' position register: a turn, and where a joint is at 0."""
REST_RAD = 0.3
"""An arm this near to its sleep pose lies on its base: its torque may drop."""


@dataclass(frozen=True, slots=True)
class MotorSettings:
    """How the motors are to be.

    Attributes:
        profile_velocity_ms, profile_acceleration_ms: of the arm's time profile.
        gains: position P, I and D of the arm's motors; empty: as they are.
        current_limits: register Current_Limit of the first arm motors, in order from the waist (2.69 mA a unit); empty:
            as they are. Motors without that register come last in this arm.
        verify: read everything back and watch the registers; off only for a driver without motors, such as the vendor's
            simulator, whose reads bring nothing.
    """

    profile_velocity_ms: int = 250
    profile_acceleration_ms: int = 100
    gains: tuple[int, ...] = ()
    current_limits: tuple[int, ...] = ()
    verify: bool = True


class MotorKeeper:
    """See the module.

    Args:
        log: takes a line on what was changed.
        pause: waits so many seconds.
        alone: whether joint states have one sender; it is asked where no registers can tell what is true.
    """

    def __init__(
        self,
        driver: Driver,
        session: ArmSession,
        settings: MotorSettings,
        log: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
        alone: Callable[[], bool] = lambda: True,
    ) -> None:
        self._driver, self._session, self._settings = driver, session, settings
        self._log, self._pause, self._alone = log, pause, alone

    def set_up(self) -> None:
        """Position control with a time profile, the gripper in PWM, torque on; changes only what differs.

        Then the arm is seated: its next goal begins where joint states and motors agree that it stands.

        An arm that stands is never let go of: a setting that would drop its torque is refused with the remedy. Nor does
        one without torque stiffen by itself, for somebody may hold it: unless it rests, that is a fault.

        Raises:
            DriverError: the driver has other joints, does not answer, or a motor did not take a setting; or the joint
                states tell another pose than the motors.
        """
        driver, settings = self._driver, self._settings
        names = driver.info("group", ARM_GROUP).joint_names
        if names != JOINT_NAMES:
            raise DriverError(f"the driver has the joints {', '.join(names) or 'of no arm'}: start it for a wx250s")
        self._set_modes()
        for register, value in (
            ("Profile_Velocity", settings.profile_velocity_ms),
            ("Profile_Acceleration", settings.profile_acceleration_ms),
        ):
            driver.write("group", ARM_GROUP, register, value)
            self._verify(register, value)
        self._set_gains()
        self._set_current_limits()
        found = self.look()
        if not settings.verify or (self._rests() and {finding.fault for finding in found} == {Fault.TORQUE_LOST}):
            driver.torque("group", "all", True)
            found = self.look()
        for finding in found:
            self._session.fail(finding)
        self._seat()

    def _seat(self) -> None:
        """Raises DriverError where that cannot be."""
        if not self._settings.verify:
            alone = self._alone()
            self._pause(LOOK_AGAIN_S)  # what a sender that has just gone told last is overtaken by then
            problem = self._session.seat() if alone else "joint_states have two senders: end one, or wait"
        else:
            for look in range(LOOKS):
                if look:
                    self._pause(LOOK_AGAIN_S)
                problem = self._session.seat(self._stand())
                if not problem:
                    break
        if problem:
            raise DriverError(problem)

    def _stand(self) -> NDArray[np.float64]:
        """Where the motors say that they stand, (6,) rad. Raises DriverError."""
        ticks = self._read(ARM_GROUP, POSITION_REGISTER)
        if missing := [motor for motor in JOINT_NAMES if motor not in ticks]:
            raise DriverError(f"{self._missing(missing).detail} of {POSITION_REGISTER}: check its cable")
        return (np.array([ticks[motor] for motor in JOINT_NAMES]) - ZERO_TICKS) * (2 * np.pi / TICKS)

    def look(self) -> list[Finding]:
        """Faults that the registers tell: errors, motors that do not answer, torque that is off.

        Raises:
            DriverError: the driver does not answer.
        """
        if not self._settings.verify:
            return []
        errors, torque = self._read("all", ERROR_REGISTER), self._read("all", TORQUE_REGISTER)
        found = decode_errors(list(errors), list(errors.values()))
        missing = [motor for motor in MOTORS if motor not in errors or motor not in torque]
        if missing:
            return [*found, self._missing(missing)]
        broken = {motor for finding in found for motor in finding.motors}  # an error takes the torque with it
        off = tuple(motor for motor, on in torque.items() if not on and motor not in broken)
        return [*found, Finding(Fault.TORQUE_LOST, f"{', '.join(off)} without torque", off)] if off else found

    def watch(self) -> bool:
        """Look, tell the session, and end what can end by itself. True where all is well."""
        try:
            found = self.look()
        except ServiceSilent as error:
            self._session.fail(Finding(Fault.SERVICE_SILENT, str(error)))
            return False
        except DriverError as error:
            self._log(str(error))
            return False
        self._session.recovered(Fault.SERVICE_SILENT)
        for finding in found:
            self._session.fail(finding)
        self._reboot_weightless(found)
        return not found

    def repair(self) -> str:
        """Before an operator's clear takes effect: end what holds the motors back. Why that failed, or nothing.

        The person supports the arm meanwhile.
        """
        try:
            found = self.look()
            faults = {finding.fault for finding in found} | set(self._session.findings)
            self._reboot(found)
            if faults & {*ERRORS, Fault.TORQUE_LOST, Fault.MOTOR_MISSING, Fault.USB_GONE}:
                self._driver.torque("group", "all", True)
            found = self.look()
        except DriverError as error:
            return str(error)
        return "; ".join(f"{finding.fault}: {finding.detail}" for finding in found)

    def _reboot_weightless(self, found: Sequence[Finding]) -> None:
        """Reboot, where that lets nothing fall and it does not happen all the time."""
        active = self._session.findings
        ready = [fault for fault in ERRORS & active.keys() if active[fault][1]]
        if not ready or len(ready) != len(active) or any(not ends_by_itself(finding) for finding in found):
            return
        try:
            self._reboot(found)
            left = self.look()
        except DriverError as error:
            self._log(str(error))
            return
        if left:
            return
        for fault in ready:
            self._log(f"{active[fault][0].detail}: rebooted")
            self._session.recovered(fault)

    def _reboot(self, found: Sequence[Finding]) -> None:
        """Restart the motors that have an error now, and no other."""
        broken = {motor: None for finding in found if finding.fault in ERRORS for motor in finding.motors}
        for motor in broken:
            self._driver.reboot(motor)
        if broken:
            self._pause(START_S)
        for motor in broken:  # again: a motor that starts has not heard the driver's own
            self._driver.torque("single", motor, True)

    def _missing(self, motors: Sequence[str]) -> Finding:
        """What it means that these do not answer."""
        if len(motors) == len(MOTORS) and Fault.IMPLAUSIBLE_READING in self._session.findings:
            return Finding(Fault.USB_GONE, "no motor answers and no reading can be true", tuple(motors))
        return Finding(Fault.MOTOR_MISSING, f"{', '.join(motors)} missing from the driver's replies", tuple(motors))

    def _read(self, group: str, register: str) -> dict[str, int]:
        """The register of each motor of a group that answers; a read of all that fails is made of each alone."""
        if not self._settings.verify:
            return {}
        motors = MOTORS if group == "all" else JOINT_NAMES
        values = list(self._driver.read("group", group, register))
        if len(values) == len(motors):
            return dict(zip(motors, values, strict=True))
        return {motor: value for motor in motors for value in self._driver.read("single", motor, register)}

    def _verify(self, register: str, wanted: int) -> None:
        """Raises DriverError unless the arm's motors read back what they were set to."""
        if not self._settings.verify:
            return
        values = self._read(ARM_GROUP, register)
        if missing := [motor for motor in JOINT_NAMES if motor not in values]:
            raise DriverError(f"{self._missing(missing).detail} of {register}: check its cable")
        wrong = [f"{motor} {value} instead of {wanted}" for motor, value in values.items() if value != wanted]
        if wrong:
            raise DriverError(f"register {register} reads back {', '.join(wrong)}: check the driver's motor file")

    def _set_modes(self) -> None:
        driver, settings = self._driver, self._settings
        info = driver.info("group", ARM_GROUP)
        if (info.mode, info.profile_type) != ("position", "time"):
            self._require_rest(f"group {ARM_GROUP} is in mode {info.mode} with profile {info.profile_type}")
            self._log(f"setting group {ARM_GROUP} to position control with a time profile")
            velocity, acceleration = settings.profile_velocity_ms, settings.profile_acceleration_ms
            driver.set_mode("group", ARM_GROUP, "position", velocity, acceleration)
        if driver.info("single", GRIPPER).mode != "pwm":
            self._log("setting the gripper to PWM control: it lets go for a moment")
            driver.set_mode("single", GRIPPER, "pwm", 0, 0)

    def _set_gains(self) -> None:
        gains = self._settings.gains
        if not gains:
            return
        if any(
            set(self._read(ARM_GROUP, name).values()) != {gain}
            for name, gain in zip(GAIN_REGISTERS, gains, strict=True)
        ):
            self._log(f"setting the position gains to {', '.join(map(str, gains))}")
            self._driver.set_gains("group", ARM_GROUP, gains)
        for register, gain in zip(GAIN_REGISTERS, gains, strict=True):
            self._verify(register, gain)

    def _set_current_limits(self) -> None:
        """That register can only be set with the torque off."""
        for motor, limit in zip(MOTORS, self._settings.current_limits, strict=False):
            values = list(self._driver.read("single", motor, "Current_Limit"))
            if values == [limit]:
                continue
            self._require_rest(f"Current_Limit of {motor} is {values[0] if values else 'unreadable'}, not {limit}")
            self._driver.torque("single", motor, False)
            self._driver.write("single", motor, "Current_Limit", limit)
            if list(self._driver.read("single", motor, "Current_Limit")) != [limit]:
                raise DriverError(f"{motor} does not take Current_Limit {limit}: set it with the vendor's tool")

    def _require_rest(self, problem: str) -> None:
        """Raises DriverError unless the arm lies in its sleep pose, where its torque may go off, and on after."""
        if not self._rests():
            raise DriverError(
                f"{problem}, and changing that would drop the arm, or stiffen one that is held: bring it to its sleep "
                "pose (/arm/sleep, or by hand with the torque off), or set it in the driver's own files"
            )

    def _rests(self) -> bool:
        """Whether the arm lies in its sleep pose."""
        joints = self._session.joints
        return joints is not None and bool(np.abs(joints - SLEEP_JOINTS).max() < REST_RAD)
