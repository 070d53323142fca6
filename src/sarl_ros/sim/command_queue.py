"""Which gripper PWM belongs to which control period, where the wire has two unordered topics and no numbers.

The rule, in lockstep: a period runs when a joint_group command and a PWM have arrived; the k-th of one topic goes with
the k-th of the other, counted since the last reset. Where no PWM comes in time, the last one is kept, as a client
expects that sets the PWM only when it changes. A PWM that is merely late is then dropped as soon as its successor is
there, so that the pairs fall into step again.

In time is `LONG_WAIT_S` as long as every period had its PWM, so that a busy computer does not change what happens, and
`pwm_wait_s` after a period that had none, so that a client that sends few PWMs is not slowed down.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONG_WAIT_S = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Period:
    """One control period: position goals (6,) in rad and the PWM; `kept` where no PWM came for it."""

    joints: NDArray[np.float64]
    gripper_pwm: float
    kept: bool


class CommandQueue:
    """First in, first out on each topic. Not thread-safe."""

    def __init__(self, pwm_wait_s: float, gripper_pwm: float = 0.0) -> None:
        self._pwm_wait_s = pwm_wait_s
        self._initial_pwm = gripper_pwm
        self.clear()

    def clear(self) -> None:
        """Forget everything, as a reset does."""
        self._groups: deque[tuple[NDArray[np.float64], float]] = deque()
        self._pwms: deque[float] = deque()
        self._last_pwm = self._initial_pwm
        self._missed = 0
        self._kept_last = False

    def add_group(self, joints: NDArray[np.float64], now_s: float) -> None:
        self._groups.append((joints, now_s))

    def add_pwm(self, pwm: float) -> None:
        self._pwms.append(pwm)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until a period can run if nothing more arrives; 0 now, None: not before a joint_group command."""
        if not self._groups:
            return None
        patience_s = self._pwm_wait_s if self._kept_last else max(LONG_WAIT_S, self._pwm_wait_s)
        return 0.0 if self._pwms else max(0.0, self._groups[0][1] + patience_s - now_s)

    def take(self, now_s: float) -> Period | None:
        """The next period, if it can run now."""
        if self.wait_s(now_s) != 0.0:
            return None
        joints, _ = self._groups.popleft()
        self._kept_last = kept = not self._pwms
        if kept:
            self._missed += 1
        else:
            while self._missed and len(self._pwms) > 1 + len(self._groups):
                self._pwms.popleft()
                self._missed -= 1
            self._last_pwm = self._pwms.popleft()
        return Period(joints, self._last_pwm, kept)

    def drain(self) -> tuple[list[NDArray[np.float64]], list[float]]:
        """All goals and all PWMs so far, for a world in which they act when they come."""
        groups, pwms = [joints for joints, _ in self._groups], list(self._pwms)
        self._groups.clear()
        self._pwms.clear()
        return groups, pwms
