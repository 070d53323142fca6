"""The servos' time-based motion profile, for a world that runs in real time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    """Position goals (6,) in rad between commands. A new goal starts from where the profile is, from rest."""

    def __init__(self, joints: NDArray[np.float64], duration_s: float, acceleration_s: float) -> None:
        self.duration_s, self.acceleration_s = duration_s, acceleration_s
        self._start = self._goal = joints
        self._began_s = 0.0

    def go(self, goal: NDArray[np.float64], now_s: float) -> None:
        self._start, self._goal, self._began_s = self.at(now_s), goal, now_s

    def at(self, now_s: float) -> NDArray[np.float64]:
        share = profile_share(max(0.0, now_s - self._began_s), self.duration_s, self.acceleration_s)
        return self._start + share * (self._goal - self._start)
