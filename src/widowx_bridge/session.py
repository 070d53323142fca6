"""What the driver does with commands and joint states: modes, control periods, faults. Free of ROS.

The timing rule, the same for hardware and any simulator: a command is answered from the first joint state stamped at
or after (the newest stamp when the command was sent) + one control period. It needs no clock. Watchdogs use the
steady clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from widowx_bridge.arm import CONTROL_PERIOD_S, ArmController, JointCommand, finger_at_limit
from widowx_bridge.detectors import Frozen, Implausible, LateStates, Overcurrent, Stuck, Watch
from widowx_bridge.fault_board import FaultBoard
from widowx_bridge.faults import TABLE, Fault, Finding, words
from widowx_bridge.holds import Holds
from widowx_bridge.kinematics import JOINT_NAMES
from widowx_bridge.reports import ArmReport, Mode, make_report
from widowx_bridge.safety import Refused, check_wire
from widowx_bridge.samples import JointSample, SampleFilter

RESET_TOLERANCE_RAD = 0.1
SETTLING_PERIODS = 2
STEADY_ERROR_RAD = 0.05
"""An arm this near to its goals is where they hold it under its weight: told to go to the measured pose, it sags."""
AGREEMENT_RAD = 0.1
"""Joint states and the motors' own registers, read one after the other, tell the same pose of an arm at rest."""
RECOVERY_WAIT_S = 8.0
"""How long a reset waits for faults that end by themselves."""
PERIOD_NS = round(CONTROL_PERIOD_S * 1e9)


@dataclass(frozen=True, slots=True)
class _Period:
    seq: int
    ends_ns: int
    sent_s: float


class ArmSession:
    """The arm as its users see it. All methods may be called from any thread.

    Args:
        controller: owned by the session from now on.
        send: puts a JointCommand on the wire. send_pwm: a gripper PWM alone.
        publish: takes every ArmReport.
        unconnected: why commands cannot be sent now, in one line, or None.
        watch: what counts as a fault.
        idle_rate_hz: of reports that answer nothing.
        stop: identity of a stop that has outlived an earlier process; empty for none.
    """

    def __init__(
        self,
        controller: ArmController,
        send: Callable[[JointCommand], None],
        send_pwm: Callable[[float], None],
        publish: Callable[[ArmReport], None],
        unconnected: Callable[[], str | None] = lambda: None,
        watch: Watch | None = None,
        idle_rate_hz: float = 10.0,
        steady_s: Callable[[], float] = time.monotonic,
        stop: str = "",
    ) -> None:
        self._controller = controller
        self._send, self._send_pwm, self._publish_report = send, send_pwm, publish
        self._unconnected = unconnected
        self._watch = watch or Watch()
        self._overcurrent = Overcurrent(self._watch.effort_limits)
        self._stuck = Stuck(self._watch.stuck_error_rad)
        self._frozen = Frozen()
        self._implausible = Implausible()
        self._late = LateStates(self._watch.states_timeout_s)
        self._idle_period_s = 1.0 / idle_rate_hz
        self._steady_s = steady_s
        self._changed = threading.Condition(threading.RLock())
        self._filter = SampleFilter()
        self._sample: JointSample | None = None
        self._sample_s = 0.0
        self._period: _Period | None = None
        self._holds = Holds(stop)
        self._resetting = False
        self._closed = False
        self._faults = FaultBoard()
        self._recovered = ""
        self._slow = False
        self._goal: NDArray[np.float64] | None = None
        self._seated: NDArray[np.float64] | None = None
        self._doubts = 0
        self._pwm = 0.0
        self._ended_ns: int | None = None
        self._published_s = -np.inf
        self._published_ns = -1
        self.watchdog_holds = 0
        self.set_up_again = threading.Event()
        """Set while the motors' set-up is to be verified, and where they stand: `seat` ends it. A fault may have cost
        them what they keep in RAM, and joint states alone are no reason to forget the last goal."""

    @property
    def mode(self) -> Mode:
        with self._changed:
            if self._faults:
                return Mode.FAULT
            if self._holds or self._closed:
                return Mode.HOLD
            return Mode.MOVING if self._resetting or self._period else Mode.IDLE

    @property
    def stop_in_force(self) -> str:
        """Identity of the stop that holds the arm until a person clears it; empty if none does."""
        with self._changed:
            return self._holds.stop

    @property
    def faults(self) -> dict[str, str]:
        """Active faults in plain words, with the remedy."""
        with self._changed:
            return self._faults.words()

    @property
    def findings(self) -> dict[Fault, tuple[Finding, bool]]:
        """Active faults, and whether each may end by itself."""
        with self._changed:
            return self._faults.findings()

    @property
    def joints(self) -> NDArray[np.float64] | None:
        """The newest plausible measurement (6,) in rad."""
        with self._changed:
            return None if self._sample is None else self._sample.joints

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
                if self._recovered:
                    raise Refused(f"the arm has recovered from {self._recovered}: reset it")
                if self._ended_ns is not None and sample.stamp_ns - self._ended_ns > PERIOD_NS // 2:
                    self._controller.rest()
                command = self._controller.step(action, sample.joints, sample.finger_m)
                try:
                    self._start(seq, command)
                except Refused:
                    self._controller.retarget(sample.joints)
                    raise
            except Refused as refusal:
                self._report(seq, refusal=str(refusal))

    def sample(self, sample: JointSample) -> str | None:
        """Take a joint state in; returns why it is not believed, or None."""
        with self._changed:
            now_s = self._steady_s()
            self._late.arrived(sample.stamp_ns, now_s)
            rejected = self._filter.reject(sample)
            if rejected is not None:
                self._note(self._implausible.rejected(rejected))
                return rejected
            self._implausible.believed()
            previous, self._sample, self._sample_s = self._sample, sample, now_s
            if previous is None:
                self._retarget(sample)
            elif sample.stamp_ns < previous.stamp_ns:
                self._doubt("the arm's driver restarted: reset the arm")
            elif self._filter.leapt or (not self._busy() and _moved(previous, sample)):
                self._doubt("joint_states leapt: reset the arm")
            self._look(sample)
            period = self._period
            if period is not None and sample.stamp_ns >= period.ends_ns:
                self._ended_ns = sample.stamp_ns
                self._end_period()
            else:
                self._spare_gripper(previous, sample)
                self._hold_if_forgotten(sample)
                if self._sample_s - self._published_s >= self._idle_period_s:
                    self._report()
            self._changed.notify_all()
            return None

    def tick(self) -> None:
        """The watchdog; call it ten times a second. It also tells of a state that came too soon after another."""
        with self._changed:
            period, now_s = self._period, self._steady_s()
            if not self._busy() and self._sample is not None and self._sample.stamp_ns != self._published_ns:
                self._report()
            if period is not None and now_s - period.sent_s >= self._watch.answer_timeout_s:
                reason = f"no joint_states answered a command for {self._watch.answer_timeout_s:g} s"
                self._note(Finding(Fault.STATES_LATE, reason))
            self._note(self._late.check(now_s))
            self._end_what_is_over(now_s)

    def fail(self, finding: Finding) -> None:
        """HOLD and refuse commands from now on because of a fault; or a new sign of one that is there."""
        with self._changed:
            if not self._faults.add(finding, self._steady_s()):
                return
            self._end_period(f"arm fault: {words(finding)}")
            if TABLE[finding.fault].relieve:
                self._relieve()
            self._report()
            self._changed.notify_all()

    def recovered(self, fault: Fault) -> None:
        """A fault is over: take the measured pose as target, and no command before a reset, which will be slow."""
        with self._changed:
            if not self._faults.end(fault, self._steady_s()):
                return
            self.set_up_again.set()
            self._recovered, self._slow = self._recovered or fault, True
            if self._sample is not None:
                self._retarget(self._sample)
            self._report()
            self._changed.notify_all()

    def seat(self, motors: NDArray[np.float64] | None = None) -> str:
        """Forget the last goal and go on from where the arm stands: why that must not be, in one line, or nothing.

        Args:
            motors: (6,) rad, as the motors' own registers tell it; None where there are none to ask.
        """
        with self._changed:
            sample = self._sample
            if sample is None:
                return "no joint_states: check that the xs_sdk driver runs"
            if motors is not None and (off := np.abs(motors - sample.joints)).max() > AGREEMENT_RAD:
                worst = int(np.argmax(off))
                return (
                    f"joint_states tell {JOINT_NAMES[worst]} at {sample.joints[worst]:.2f} rad, its motor says "
                    f"{motors[worst]:.2f}: look for a second sender of joint_states and end it"
                )
            self._retarget(sample)
            self._goal, self._seated = None, sample.joints
            self._changed.notify_all()
            return ""

    def wake(self) -> None:
        """What a reset waits for may have come about."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Send no more commands until cleared: the arm comes to rest at the last one, within its control period."""
        with self._changed:
            self._holds.begin_stop(self._steady_s())
            self._report()
            self._changed.notify_all()

    def pause(self) -> None:
        """As `stop`, but only until `resume`."""
        with self._changed:
            self._holds.paused = True
            self._report()
            self._changed.notify_all()

    def resume(self) -> tuple[bool, str]:
        """End a pause, and neither a stop nor a fault. Returns whether no stop is left, and a message."""
        with self._changed:
            self._holds.paused = False
            self._report()
            return (False, "it was stopped meanwhile") if self._holds else (True, "goes on")

    def why_not_clear(self, stop: str) -> str:
        """Why a clear of `stop` would be refused now, because of another one; empty if it would not."""
        with self._changed:
            return self._holds.why_not_end(stop, self._steady_s())

    def clear(self, stop: str | None = None) -> tuple[bool, str]:
        """Leave HOLD and FAULT; after a fault the target becomes the measured pose. Returns success and a message.

        `stop` as it was in force when the clear was asked for, by default that of now: a later one is not undone.
        """
        with self._changed:
            stop = self._holds.stop if stop is None else stop
            if not (self._holds or self._faults):
                return True, "nothing to clear"
            if why := self._holds.why_not_end(stop, self._steady_s()):
                return False, why
            patience_s = self._watch.answer_timeout_s + 1.0
            if not self._changed.wait_for(lambda: not self._busy(), patience_s):
                return False, "the arm has not come to rest: clear again"
            if why := self._holds.why_not_end(stop, self._steady_s()):
                return False, why
            if self._sample is None or self.sample_age_s > patience_s:
                return False, "no joint_states: check that the xs_sdk driver runs, then clear again"
            if self._faults:
                self._slow = True
                self._retarget(self._sample)
            if self._faults or self._astray():
                self.set_up_again.set()
            else:
                self._controller.retarget(self._start_pose(self._sample))
            self._faults.clear()
            self._holds.end()
            self._recovered = ""
            self._report()
            return True, "cleared"

    def reset(self) -> tuple[bool, str]:
        """Open the gripper and go to the reset pose, one waypoint a control period. Returns when there, or why not.

        Waits for faults that end by themselves and for the motors' set-up; after a fault the move is slow and passes
        the neutral pose.
        """
        with self._changed:
            slow = self._slow or bool(self._faults)
            done, message = self._travel(
                lambda start, finger_m: self._controller.reset_waypoints(start, finger_m, slow=slow), "reset"
            )
            if done:
                self._recovered, self._slow = "", False
            return (True, "at the reset pose") if done else (False, message)

    def sleep(self) -> tuple[bool, str]:
        """Go slowly to the sleep pose, where the arm may be switched off. Returns when there, or why not."""
        with self._changed:
            done, message = self._travel(lambda start, _: self._controller.sleep_waypoints(start), "sleep")
            return (True, "at the sleep pose, torque on") if done else (False, message)

    def _travel(self, plan: Callable[[NDArray[np.float64], float], list[JointCommand]], name: str) -> tuple[bool, str]:
        """Stream the waypoints of `plan`, of joints (6,) and the finger [m]; whether the arm stands at the last one."""
        self._changed.wait_for(
            lambda: self._period is None or self._resetting, timeout=self._watch.answer_timeout_s + 1.0
        )
        if not self._busy() and self._astray():
            self.set_up_again.set()
        self._changed.wait_for(self._settled, RECOVERY_WAIT_S)
        try:
            sample = self._ready()
        except Refused as refusal:
            return False, str(refusal)
        self._resetting = True
        try:
            waypoints = plan(self._start_pose(sample), sample.finger_m)
            for waypoint in [*waypoints, *waypoints[-1:] * SETTLING_PERIODS]:
                reason = self._run(waypoint)
                if reason is not None:
                    self._controller.retarget(self._sample.joints if self._sample else sample.joints)
                    return False, f"{name} ended: {reason}"
        finally:
            self._resetting = False
            self._ended_ns = None
            self._report()
            self._changed.notify_all()
        assert self._sample is not None
        error = np.abs(self._sample.joints - waypoints[-1].joints).max()
        if error > RESET_TOLERANCE_RAD:
            return False, f"the arm stands {error:.2f} rad off the {name} pose: check for collisions and motor errors"
        return True, ""

    def _settled(self) -> bool:
        """Whether waiting would not help a move of our own to begin."""
        ready = not self._faults and self._unconnected() is None
        return ready or bool(self._holds) or self._closed or self._faults.needs_a_person()

    def close(self) -> None:
        """End a reset that runs: its caller gets an answer, the arm comes to rest at the last waypoint."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self, waypoint: JointCommand) -> str | None:
        """One period of a reset; why it did not come to its end, or None."""
        if self._holds or self._closed:
            return "the arm was stopped"
        if self._faults:
            return "; ".join(self.faults.values())
        if (unconnected := self._unconnected()) is not None:
            return unconnected
        doubts = self._doubts
        try:
            self._start(0, waypoint)
        except Refused as refusal:
            return str(refusal)
        self._changed.wait_for(lambda: self._period is None or self._closed, timeout=2 * self._watch.answer_timeout_s)
        if self._period is not None or self._faults:
            return "; ".join(self.faults.values()) or "no joint_states"
        return None if self._doubts == doubts else "joint_states leapt, or the arm's driver restarted: reset again"

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
        if self._holds or self._closed:
            raise Refused(self._holds.words() if self._holds else "the driver of the arm is ending")
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
        """Raises Refused where the last check in front of the wire fails."""
        assert self._sample is not None
        self._put(command)
        self._period = _Period(seq, self._sample.stamp_ns + PERIOD_NS, self._steady_s())

    def _put(self, command: JointCommand) -> None:
        """The only way onto the wire for joint goals. Raises Refused."""
        assert self._sample is not None
        joints, limits = self._sample.joints, self._controller.limits
        last = self._seated if self._goal is None else self._goal
        check_wire(command.joints, command.gripper_pwm, last, joints, CONTROL_PERIOD_S, limits)
        self._goal, self._pwm = command.joints, command.gripper_pwm
        self._ended_ns = None
        self._send(command)

    def _retarget(self, sample: JointSample) -> None:
        """Take where the arm stands as where it was told to be; the last goal stays what the next is near to."""
        self._controller.retarget(sample.joints)
        self._frozen.forget()
        self._ended_ns = None

    def _doubt(self, why: str) -> None:
        """Joint states tell what the last ones do not lead to: no further goal before the motors were asked."""
        self._doubts += 1
        self.set_up_again.set()
        self._frozen.forget()
        self._end_period(why)

    def _astray(self) -> bool:
        """Whether the arm stands elsewhere than its last goal holds it, so that it must be seated anew."""
        if self._goal is None or self._sample is None:
            return False
        return bool(np.abs(self._goal - self._sample.joints).max() >= STEADY_ERROR_RAD)

    def _start_pose(self, sample: JointSample) -> NDArray[np.float64]:
        """Where the arm goes on from, (6,): the goals that hold it about where it is, else where it stands."""
        return sample.joints if self._goal is None or self._astray() else self._goal

    def _relieve(self) -> None:
        """HOLD at the measured pose, so that the arm no longer pushes."""
        if self._sample is None or self._goal is None or self.set_up_again.is_set():
            return
        limits = self._controller.limits
        reach = limits.joint_velocity * CONTROL_PERIOD_S
        joints = np.clip(self._sample.joints, self._goal - reach, self._goal + reach)
        joints = np.clip(joints, limits.joint_lower, limits.joint_upper)
        try:
            self._put(JointCommand(joints, self._pwm))
        except Refused:
            pass  # Without a goal that the wire's check lets through, the motors keep the last one.
        self._controller.retarget(joints)

    def _hold_if_forgotten(self, sample: JointSample) -> None:
        """The command watchdog: tell an arm that hears nothing more to stay at its last goal, once."""
        ended_ns, idle = self._ended_ns, self._watch.idle_periods
        if not idle or ended_ns is None or self._goal is None or self._busy() or self._faults or self._holds:
            return
        if sample.stamp_ns - ended_ns >= idle * PERIOD_NS:
            self.watchdog_holds += 1
            self._controller.rest()
            try:
                self._put(JointCommand(self._goal, self._pwm))
            except Refused:
                self._ended_ns = None  # Moved out of reach of its goal: nothing is sent.

    def _look(self, sample: JointSample) -> None:
        """Have the detectors look at a plausible sample."""
        self._note(self._overcurrent.check(sample))
        if self._overcurrent.present:
            self._faults.sign(Fault.OVERLOAD, self._sample_s)
        if self._frozen.still(sample):
            self._faults.sign(Fault.STATES_FROZEN, self._sample_s)
        elif self._goal is not None and not self._faults and not self.set_up_again.is_set():
            self._note(self._frozen.check(sample, self._goal) or self._stuck.check(sample, self._goal))

    def _note(self, finding: Finding | None) -> None:
        if finding is not None:
            self.fail(finding)

    def _end_what_is_over(self, now_s: float) -> None:
        """End faults that show no sign any more; without a connection nothing is over."""
        for fault in self._faults.over(now_s, self._sample_s if self._sample else -np.inf):
            if self._unconnected() is None:
                self.recovered(fault)

    def _end_period(self, refusal: str = "") -> None:
        period, self._period = self._period, None
        if period is not None:
            self._report(period.seq, refusal)
            self._changed.notify_all()

    def _spare_gripper(self, previous: JointSample | None, sample: JointSample) -> None:
        """Stop pushing a finger against its end stop between two commands, as the vendor's 50 Hz loop does."""
        if previous is None or sample.stamp_ns <= previous.stamp_ns or not self._pwm:
            return
        if (self._period is not None or self._watch.idle_periods) and finger_at_limit(sample.finger_m, self._pwm):
            self._pwm = 0.0
            self._send_pwm(0.0)

    def _report(self, seq: int = 0, refusal: str = "") -> None:
        if self._sample is None and seq == 0:
            return
        faults = tuple(f"{fault}: {text}" for fault, text in self._faults.words().items())
        report = make_report(self._controller, self._sample, seq, self.mode, refusal, faults, self._holds.stop)
        self._published_s, self._published_ns = self._steady_s(), report.sample.stamp_ns
        self._publish_report(report)


def _moved(before: JointSample, after: JointSample) -> bool:
    """True where the arm was moved by someone else, such as a hand with the torque off, or a simulator's reset."""
    return bool(np.abs(after.joints - before.joints).max() > RESET_TOLERANCE_RAD)
