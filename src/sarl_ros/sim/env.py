"""The world driven by the arm's real controller, in one process: for demonstrations, training data and tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarl_ros.core.types import CONTROL_PERIOD_S, Observation
from sarl_ros.sim.judge import Judgement
from sarl_ros.sim.tasks import SimTask
from sarl_ros.sim.world import World
from widowx_bridge.arm import ArmController
from widowx_bridge.safety import Limits
from widowx_bridge.session import RESET_TOLERANCE_RAD


class TabletopEnv:
    """A world and an arm controller under BridgeData's 7-D actions at 5 Hz.

    Args:
        render: whether `observe` may be called; stepping alone is much faster without.
        limits: of the controller.
        controller: another one than the usual with these limits.
    """

    def __init__(
        self, render: bool = True, limits: Limits | None = None, controller: ArmController | None = None
    ) -> None:
        self.world = World(render)
        self.controller = controller or ArmController(limits=limits or Limits())
        self._seen: Observation | None = None

    def reset(self, task: SimTask | None, seed: int, wide: bool = False) -> None:
        """Lay out a task, as after a reset of the arm; see `World.reset` for errors.

        The arm's driver takes the reset pose for where the arm was told to be, unless it stands elsewhere.
        """
        self.controller.reset_waypoints(self.controller.reset_joints)
        self.world.reset(task, seed, wide)
        if np.abs(self.world.joints - self.controller.reset_joints).max() > RESET_TOLERANCE_RAD:
            self.controller.retarget(self.world.joints)

    def step(self, action: ArrayLike) -> None:
        """One control period of 0.2 s under an action (7,).

        Raises:
            Refused: the controller refuses the action; no time passes.
        """
        command = self.controller.step(action, self.world.joints, self.finger_m)
        # Goals and PWM are 32-bit numbers on the arm's wire.
        joints, pwm = command.joints.astype(np.float32), float(np.float32(command.gripper_pwm))
        self.world.step(joints, pwm, CONTROL_PERIOD_S)

    def observe(self) -> Observation:
        """Both cameras and the proprioception now; the same object until time passes."""
        if self._seen is None or self._seen.stamp_ns != self.stamp_ns:
            front, wrist = self.world.render("front"), self.world.render("wrist")
            self._seen = Observation(front, wrist, self.proprio(), self.stamp_ns)
        return self._seen

    @property
    def stamp_ns(self) -> int:
        """Simulated time in whole microseconds, as the simulated drivers stamp with it."""
        return round(self.world.time_s * 1e6) * 1000

    def proprio(self) -> NDArray[np.float32]:
        """float32 (8,): x y z [m] roll pitch yaw [rad] 0 gripper [0 closed .. 1 open]."""
        return self.controller.proprio(self.world.joints, self.finger_m)

    @property
    def finger_m(self) -> float:
        """Measured position of the left finger [m]."""
        return float(self.world.fingers[0])

    def judge(self) -> Judgement:
        """The world's judgement."""
        return self.world.judge()

    def close(self) -> None:
        """Frees the renderer."""
        self.world.close()
