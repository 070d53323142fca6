"""Tells faults from joint states: small classes, each with one rule and no clock of its own.

Those that take samples count time by the samples' stamps. So a slow computer, or a simulation that stands still between
two commands, raises no false alarm. Only `LateStates` needs a clock, the caller's steady one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from widowx_bridge.faults import Fault, Finding
from widowx_bridge.kinematics import JOINT_NAMES
from widowx_bridge.samples import JointSample

OVERLOAD_S = 0.1
STILL_S = 0.3
STILL_RAD = 0.02
REACTION_S = 0.15
"""Long enough for any new goal to show in the readings of an arm that lives."""
NEW_GOAL_RAD = 0.01
IMPLAUSIBLE_SAMPLES = 10
STALL_S = 0.25
"""A longer gap between two looks at the clock was a pause of this process: no time is counted in it."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What counts as a fault, and how patient the driver is; 0 or empty turns a rule off.

    Attributes:
        answer_timeout_s: steady seconds from a command to the joint state that answers it.
        states_timeout_s: steady seconds without a new joint state, while nothing is commanded too.
        effort_limits: (6,) in the driver's unit.
        stuck_error_rad: from its goal, of a joint that does not move.
        idle_periods: control periods of the driver's time without a command after which an arm that was commanded is
            told to stay where it is.
    """

    answer_timeout_s: float = 1.0
    states_timeout_s: float = 0.0
    effort_limits: tuple[float, ...] = ()
    stuck_error_rad: float = 0.0
    idle_periods: int = 0


class Overcurrent:
    """A joint's current above its limit for `OVERLOAD_S`. `limits` (6,) in mA; empty: never."""

    def __init__(self, limits: ArrayLike = ()) -> None:
        self._limits = np.asarray(limits, np.float64)
        self._since_ns: int | None = None
        self.present = False

    def check(self, sample: JointSample) -> Finding | None:
        if not self._limits.size:
            return None
        excess = np.abs(sample.effort) - self._limits
        worst = int(np.argmax(excess))
        self.present = bool(excess[worst] > 0)
        if not self.present:
            self._since_ns = None
            return None
        if self._since_ns is None or sample.stamp_ns < self._since_ns:
            self._since_ns = sample.stamp_ns
        if sample.stamp_ns - self._since_ns < OVERLOAD_S * 1e9:
            return None
        joint = JOINT_NAMES[worst]
        detail = f"{joint} draws {abs(sample.effort[worst]):.0f} mA, above {self._limits[worst]:.0f}"
        return Finding(Fault.OVERLOAD, detail, (joint,))


class Stuck:
    """A joint that stands still, for `STILL_S`, farther than `error_rad` from where it was told to be. 0: never."""

    def __init__(self, error_rad: float) -> None:
        self._error_rad = error_rad
        self._since_ns: int | None = None
        self._from: NDArray[np.float64] = np.zeros(len(JOINT_NAMES))

    def check(self, sample: JointSample, goal: NDArray[np.float64]) -> Finding | None:
        error = np.abs(sample.joints - goal)
        worst = int(np.argmax(error))
        if self._error_rad <= 0 or error[worst] <= self._error_rad:
            self._since_ns = None
            return None
        started = self._since_ns is not None and sample.stamp_ns >= self._since_ns
        if not started or np.abs(sample.joints[worst] - self._from[worst]) > STILL_RAD:
            self._since_ns, self._from = sample.stamp_ns, sample.joints
            return None
        assert self._since_ns is not None
        if sample.stamp_ns - self._since_ns < STILL_S * 1e9:
            return None
        joint = JOINT_NAMES[worst]
        return Finding(Fault.STUCK, f"{joint} stands {error[worst]:.2f} rad from its goal and does not move", (joint,))


class Frozen:
    """One reading, to the last digit of positions, velocities and currents, before a new goal and `REACTION_S` after.

    Only a new goal shows it: at rest a true arm may repeat itself too.
    """

    def __init__(self) -> None:
        self._last: JointSample | None = None
        self._goal: NDArray[np.float64] | None = None
        self._moved_ns: int | None = None
        self._told = False

    def check(self, sample: JointSample, goal: NDArray[np.float64]) -> Finding | None:
        """`goal` (6,): what was sent before this sample came."""
        last = self._last
        if last is not None and sample.stamp_ns == last.stamp_ns:
            return None
        self._last = sample
        if last is None or self._goal is None or sample.stamp_ns < last.stamp_ns or not _same(last, sample):
            self._goal, self._moved_ns = goal, None
            return None
        if self._moved_ns is None and np.abs(goal - self._goal).max() > NEW_GOAL_RAD:
            self._moved_ns = last.stamp_ns
        if self._moved_ns is None or sample.stamp_ns - self._moved_ns < REACTION_S * 1e9:
            return None
        self._told = True
        return Finding(Fault.STATES_FROZEN, "joint_states repeat one reading while the arm should move")

    def still(self, sample: JointSample) -> bool:
        """Whether `sample` is the reading that `check` told of."""
        self._told = self._told and self._last is not None and _same(self._last, sample)
        return self._told

    def forget(self) -> None:
        """What was read and told so far says nothing about what comes."""
        self._last, self._told = None, False


class Implausible:
    """`IMPLAUSIBLE_SAMPLES` in a row that the filter did not believe."""

    def __init__(self) -> None:
        self._count = 0

    def believed(self) -> None:
        self._count = 0

    def rejected(self, reason: str) -> Finding | None:
        self._count += 1
        if self._count < IMPLAUSIBLE_SAMPLES:
            return None
        return Finding(Fault.IMPLAUSIBLE_READING, f"{self._count} readings in a row cannot be true ({reason})")


class LateStates:
    """No new stamp for `timeout_s` of the steady clock; 0: never, for a simulation that waits for commands.

    Call `check` at least every `STALL_S`; a longer gap is taken for a pause of this process and is not held against
    the driver.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._stamp_ns: int | None = None
        self._fresh_s = self._heard_s = self._looked_s = 0.0

    def arrived(self, stamp_ns: int, now_s: float) -> None:
        """A joint state came, whether believed or not."""
        self._heard_s = now_s
        if stamp_ns != self._stamp_ns:
            self._stamp_ns, self._fresh_s = stamp_ns, now_s

    def check(self, now_s: float) -> Finding | None:
        gap_s, self._looked_s = now_s - self._looked_s, now_s
        if gap_s > STALL_S:
            self._fresh_s = max(self._fresh_s, min(now_s, self._fresh_s + gap_s))
            self._heard_s = max(self._heard_s, min(now_s, self._heard_s + gap_s))
        if self._stamp_ns is None or self._timeout_s <= 0 or now_s - self._fresh_s < self._timeout_s:
            return None
        if now_s - self._heard_s < self._timeout_s:
            return Finding(Fault.STATES_FROZEN, f"joint_states repeat one stamp for {now_s - self._fresh_s:.1f} s")
        return Finding(Fault.STATES_LATE, f"no joint_states for {now_s - self._fresh_s:.1f} s")


class UsbWatch:
    """The device file of the USB adapter, such as /dev/ttyDXL; an empty path is never gone."""

    def __init__(self, path: str, exists: Callable[[str], bool]) -> None:
        self._path, self._exists = path, exists

    def check(self) -> Finding | None:
        if not self._path or self._exists(self._path):
            return None
        return Finding(Fault.USB_GONE, f"{self._path} is gone")


def _same(a: JointSample, b: JointSample) -> bool:
    return (
        a.finger_m == b.finger_m
        and np.array_equal(a.joints, b.joints)
        and np.array_equal(a.velocity, b.velocity)
        and np.array_equal(a.effort, b.effort)
    )
