"""What the driver does with commands and joint states: modes, control periods, faults. Free of ROS.

The timing rule, the same for hardware and any simulator: a command is answered from the first joint state stamped at
or after (the newest stamp when the command was sent) + one control period. It needs no clock. Watchdogs use the
steady clock.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from widowx_bridge.arm import CONTROL_PERIOD_S, ArmController, JointCommand, finger_at_limit, opening
from widowx_bridge.safety import Refused
from widowx_bridge.samples import JointSample, SampleFilter

RESET_TOLERANCE_RAD = 0.1
SETTLING_PERIODS = 2
PERIOD_NS = round(CONTROL_PERIOD_S * 1e9)


class Mode(enum.IntEnum):
    """Modes of the arm; the numbers are those of `sarl_interfaces/ArmState`."""

    IDLE = 0
    MOVING = 1
    HOLD = 2
    FAULT = 3


class Fault(enum.StrEnum):
    """Named failures. The recovery of each is in `RECOVERY`."""

    DRIVER_SILENT = "driver_silent"
    OVERLOAD = "overload"
    MOTOR_ERROR = "motor_error"


RECOVERY = {
    Fault.DRIVER_SILENT: "check that the xs_sdk driver runs and its USB cable; ends by /arm/clear or the next reset",
    Fault.OVERLOAD: "free the arm, then /arm/clear and reset",
    Fault.MOTOR_ERROR: "support the arm, /arm/clear reboots the motors, then reset",
}


@dataclass(frozen=True, slots=True, eq=False)
class ArmReport:
    """What is published as ArmState. Poses are x y z [m] roll pitch yaw [rad], (6,)."""

    seq: int
    mode: Mode
    accepted: bool
    refusal: str
    faults: tuple[str, ...]
    sample: JointSample
    pose: NDArray[np.float64]
    target: NDArray[np.float64]
    gripper: float
    proprio: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Period:
    seq: int
    ends_ns: int
    sent_s: float
    gripper_pwm: float


class ArmSession:
    """The arm as its users see it. All methods may be called from any thread.

    Args:
        controller: owned by the session from now on.
        send: puts a JointCommand on the wire. send_pwm: a gripper PWM alone.
        publish: takes every ArmReport.
        unconnected: why commands cannot be sent now, in one line, or None.
        answer_timeout_s: steady seconds from a command to the joint state that answers it before it is a fault.
        effort_limits: (6,), in the driver's unit; empty: not watched.
        idle_rate_hz: of reports that answer nothing.
    """

    def __init__(
        self,
        controller: ArmController,
        send: Callable[[JointCommand], None],
        send_pwm: Callable[[float], None],
        publish: Callable[[ArmReport], None],
        unconnected: Callable[[], str | None] = lambda: None,
        answer_timeout_s: float = 1.0,
        effort_limits: ArrayLike = (),
        idle_rate_hz: float = 10.0,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller = controller
        self._send, self._send_pwm, self._publish_report = send, send_pwm, publish
        self._unconnected = unconnected
        self._answer_timeout_s = answer_timeout_s
        self._effort_limits = np.asarray(effort_limits, np.float64)
        self._idle_period_s = 1.0 / idle_rate_hz
        self._steady_s = steady_s
        self._changed = threading.Condition(threading.RLock())
        self._filter = SampleFilter()
        self._sample: JointSample | None = None
        self._sample_s = 0.0
        self._period: _Period | None = None
        self._stopped = False
        self._resetting = False
        self._closed = False
        self._faults: dict[Fault, str] = {}
        self._published_s = -np.inf
        self._published_ns = -1
        self.rejected_samples = 0

    @property
    def mode(self) -> Mode:
        with self._changed:
            if self._faults:
                return Mode.FAULT
            if self._stopped:
                return Mode.HOLD
            return Mode.MOVING if self._resetting or self._period else Mode.IDLE

    @property
    def faults(self) -> dict[str, str]:
        """Active faults in plain words, with the remedy."""
        with self._changed:
            return {fault: f"{reason}: {RECOVERY[fault]}" for fault, reason in self._faults.items()}

    @property
    def sample_age_s(self) -> float:
        """Steady seconds since the last plausible joint state."""
        with self._changed:
            return np.inf if self._sample is None else self._steady_s() - self._sample_s

    def command(self, seq: int, action: ArrayLike) -> None:
        """Start the control period `seq` with an action (7,), or refuse it. Either way one report answers it."""
        with self._changed:
            if self._period is not None and self._period.seq == seq != 0:
                return  # The same command again: the period that runs will answer it.
            try:
                sample = self._ready(seq)
                self._start(seq, self._controller.step(action, sample.joints, sample.finger_m))
            except Refused as refusal:
                self._report(seq, accepted=False, refusal=str(refusal))

    def sample(self, sample: JointSample) -> str | None:
        """Take a joint state in; returns why it is not believed, or None."""
        with self._changed:
            rejected = self._filter.reject(sample)
            if rejected is not None:
                self.rejected_samples += 1
                return rejected
            previous, self._sample, self._sample_s = self._sample, sample, self._steady_s()
            if previous is None or sample.stamp_ns < previous.stamp_ns:
                self._end_period("the arm's driver restarted: reset the arm")
                self._controller.retarget(sample.joints)
            elif not self._busy() and _moved(previous, sample):
                self._controller.retarget(sample.joints)
            self._watch_effort(sample)
            period = self._period
            if period is not None and sample.stamp_ns >= period.ends_ns:
                self._end_period()
            else:
                self._spare_gripper(previous, sample)
                if self._sample_s - self._published_s >= self._idle_period_s:
                    self._report()
            self._changed.notify_all()
            return None

    def tick(self) -> None:
        """The watchdog; call it a few times a second. It also tells of a state that came too soon after another."""
        with self._changed:
            period = self._period
            if not self._busy() and self._sample is not None and self._sample.stamp_ns != self._published_ns:
                self._report()
            if period is None or self._steady_s() - period.sent_s < self._answer_timeout_s:
                return
            reason = f"no joint_states answered a command for {self._answer_timeout_s:g} s"
            self._faults[Fault.DRIVER_SILENT] = reason
            self._end_period(f"{reason}: {RECOVERY[Fault.DRIVER_SILENT]}")

    def fail(self, fault: Fault, reason: str) -> None:
        """Refuse commands from now on because of `fault`."""
        with self._changed:
            if fault not in self._faults:
                self._faults[fault] = reason
                self._report()
                self._changed.notify_all()

    def stop(self) -> None:
        """Send no more commands until cleared: the arm comes to rest at the last one, within its control period."""
        with self._changed:
            self._stopped = True
            self._report()
            self._changed.notify_all()

    def clear(self) -> tuple[bool, str]:
        """Leave HOLD and FAULT; the target becomes the measured pose. Returns success and a message."""
        with self._changed:
            if not (self._stopped or self._faults):
                return True, "nothing to clear"
            if not self._changed.wait_for(lambda: not self._busy(), self._answer_timeout_s + 1.0):
                return False, "the arm has not come to rest: clear again"
            if self._sample is None or self.sample_age_s > self._answer_timeout_s + 1.0:
                return False, "no joint_states: check that the xs_sdk driver runs, then clear again"
            self._faults.clear()
            self._stopped = False
            self._controller.retarget(self._sample.joints)
            self._report()
            return True, "cleared"

    def reset(self) -> tuple[bool, str]:
        """Open the gripper and go to the reset pose, one waypoint a control period. Returns when there, or why not."""
        with self._changed:
            if list(self._faults) == [Fault.DRIVER_SILENT] and self._unconnected() is None:
                self._faults.clear()
            try:
                self._changed.wait_for(
                    lambda: self._period is None or self._resetting, timeout=self._answer_timeout_s + 1.0
                )
                sample = self._ready()
            except Refused as refusal:
                return False, str(refusal)
            self._resetting = True
            try:
                waypoints = self._controller.reset_waypoints(sample.joints, sample.finger_m)
                for waypoint in [*waypoints, *waypoints[-1:] * SETTLING_PERIODS]:
                    reason = self._run(waypoint)
                    if reason is not None:
                        self._controller.retarget(self._sample.joints if self._sample else sample.joints)
                        return False, f"reset ended: {reason}"
            finally:
                self._resetting = False
                self._report()
                self._changed.notify_all()
            assert self._sample is not None
            error = np.abs(self._sample.joints - self._controller.reset_joints).max()
            if error > RESET_TOLERANCE_RAD:
                return (
                    False,
                    f"the arm stands {error:.2f} rad off the reset pose: check for collisions and motor errors",
                )
            return True, "at the reset pose"

    def close(self) -> None:
        """End a reset that runs: its caller gets an answer, the arm comes to rest at the last waypoint."""
        with self._changed:
            self._closed = self._stopped = True
            self._changed.notify_all()

    def _run(self, waypoint: JointCommand) -> str | None:
        """One period of a reset; why it did not come to its end, or None."""
        if self._stopped or self._faults:
            return "the arm was stopped" if self._stopped else "; ".join(self.faults.values())
        restarted = self._sample
        self._start(0, waypoint)
        self._changed.wait_for(lambda: self._period is None or self._closed, timeout=2 * self._answer_timeout_s)
        if self._period is not None or self._faults:
            return "; ".join(self.faults.values()) or "no joint_states"
        if self._sample is not None and restarted is not None and self._sample.stamp_ns < restarted.stamp_ns:
            return "the arm's driver restarted: reset again"
        return None

    def _busy(self) -> bool:
        return self._period is not None or self._resetting

    def _ready(self, seq: int | None = None) -> JointSample:
        """The newest sample, if a command may start now; `seq` of the command, None for a reset.

        Raises:
            Refused: otherwise.
        """
        if seq == 0:
            raise Refused("command number 0 is never used: number commands from 1")
        if self._faults:
            raise Refused("arm fault: " + "; ".join(self.faults.values()))
        if self._stopped:
            raise Refused("the arm is on hold: call /arm/clear")
        unconnected = self._unconnected()
        if unconnected is not None:
            raise Refused(unconnected)
        if self._sample is None:
            raise Refused("no joint_states yet: check that the xs_sdk driver runs")
        if self._resetting:
            raise Refused("the arm is being reset: wait for the answer of /arm/reset")
        if self._period is not None:
            raise Refused(f"command {self._period.seq} is being carried out: wait for the state that answers it")
        return self._sample

    def _start(self, seq: int, command: JointCommand) -> None:
        assert self._sample is not None
        self._period = _Period(seq, self._sample.stamp_ns + PERIOD_NS, self._steady_s(), command.gripper_pwm)
        self._send(command)

    def _end_period(self, refusal: str = "") -> None:
        period, self._period = self._period, None
        if period is not None:
            self._report(period.seq, accepted=not refusal, refusal=refusal)
            self._changed.notify_all()

    def _spare_gripper(self, previous: JointSample | None, sample: JointSample) -> None:
        """Stop pushing a finger against its end stop within a period, as the vendor's 50 Hz loop does."""
        period = self._period
        if period is None or previous is None or sample.stamp_ns <= previous.stamp_ns:
            return
        if period.gripper_pwm and finger_at_limit(sample.finger_m, period.gripper_pwm):
            self._period = _Period(period.seq, period.ends_ns, period.sent_s, 0.0)
            self._send_pwm(0.0)

    def _watch_effort(self, sample: JointSample) -> None:
        if self._effort_limits.size and (np.abs(sample.effort) > self._effort_limits).any():
            self.fail(Fault.OVERLOAD, f"joint effort {np.array2string(sample.effort, precision=0)} above its limit")

    def _report(self, seq: int = 0, accepted: bool = True, refusal: str = "") -> None:
        sample = self._sample
        if sample is None:
            if seq == 0:
                return
            nothing = np.full(6, np.nan)
            sample = JointSample(0, nothing, nothing, nothing, float("nan"))
            pose, proprio, gripper = nothing, np.full(8, np.nan, np.float32), float("nan")
        else:
            pose = self._controller.pose(sample.joints)
            gripper = opening(sample.finger_m)
            proprio = np.array([*pose, 0.0, gripper], np.float32)
        self._published_s, self._published_ns = self._steady_s(), sample.stamp_ns
        self._publish_report(
            ArmReport(
                seq=seq,
                mode=self.mode,
                accepted=accepted,
                refusal=refusal,
                faults=tuple(self._faults),
                sample=sample,
                pose=pose,
                target=self._controller.target,
                gripper=gripper,
                proprio=proprio,
            )
        )


def _moved(before: JointSample, after: JointSample) -> bool:
    """True where the arm was moved by someone else, such as a hand with the torque off, or a simulator's reset."""
    return bool(np.abs(after.joints - before.joints).max() > RESET_TOLERANCE_RAD)
