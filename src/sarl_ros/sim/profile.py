"""The servos' time-based motion profile, for a world that runs in real time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from widowx_bridge.kinematics import VELOCITY_LIMIT

LEAST_S = 0.01


def profile_share(elapsed_s: float, duration_s: float, acceleration_s: float) -> float:
    """Share of the way done, 0 .. 1, of a trapezoidal velocity profile.

    Args:
        elapsed_s: since it began. duration_s: of the whole move. acceleration_s: of each ramp, at most half of it.
    """
    if elapsed_s >= duration_s:
        return 1.0
    ramp = min(acceleration_s, duration_s / 2)
    speed = 1.0 / (duration_s - ramp)
    if elapsed_s < ramp:
        return 0.5 * speed * elapsed_s**2 / ramp
    if elapsed_s > duration_s - ramp:
        return 1.0 - 0.5 * speed * (duration_s - elapsed_s) ** 2 / ramp
    return speed * (elapsed_s - ramp / 2)


class Profile:
    """Position goals (6,) in rad between commands. A new goal starts from where the profile is, at the speed it has.

    That speed is run down over the new move's duration, on top of the move from rest. A `duration_s` of 0 is as fast as
    the servos go. Duration and acceleration hold from the next goal on.
    """

    def __init__(self, joints: NDArray[np.float64], duration_s: float, acceleration_s: float) -> None:
        self.duration_s, self.acceleration_s = duration_s, acceleration_s
        self._start = self._goal = joints
        self._velocity = np.zeros_like(joints)
        self._began_s = 0.0
        self._move_s, self._ramp_s = LEAST_S, 0.0

    def go(self, goal: NDArray[np.float64], now_s: float) -> None:
        self._start, self._velocity = self.at(now_s), self._velocity_at(now_s)
        self._goal, self._began_s = goal, now_s
        fastest_s = max(LEAST_S, float(np.abs(goal - self._start).max()) / VELOCITY_LIMIT)
        self._move_s, self._ramp_s = (self.duration_s or fastest_s), self.acceleration_s

    def at(self, now_s: float) -> NDArray[np.float64]:
        elapsed_s = max(0.0, now_s - self._began_s)
        share = profile_share(elapsed_s, self._move_s, self._ramp_s)
        left = max(0.0, 1.0 - elapsed_s / self._move_s)
        return self._start + share * (self._goal - self._start) + self._velocity * elapsed_s * left**2

    def _velocity_at(self, now_s: float) -> NDArray[np.float64]:
        step_s = 1e-4
        return (self.at(now_s) - self.at(now_s - step_s)) / step_s
