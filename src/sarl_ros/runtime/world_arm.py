"""The simulated world as an arm in this process, under the controller that the arm's driver has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Observation
from sarl_ros.runtime.arm import Answer
from sarl_ros.sim.env import TabletopEnv
from widowx_bridge.safety import Refused


class WorldArm:
    """See `Arm`. `after_period` is called after each control period."""

    def __init__(self, env: TabletopEnv, after_period: Callable[[], None] | None = None) -> None:
        self._env, self._after_period = env, after_period

    def observe(self) -> Observation:
        return self._env.observe()

    def act(self, action: NDArray[np.floating]) -> Answer:
        try:
            self._env.step(action)
        except Refused as refusal:
            return Answer(False, str(refusal))
        if self._after_period is not None:
            self._after_period()
        return Answer(True)

    def running(self) -> str:
        return ""
