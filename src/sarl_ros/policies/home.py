"""The way home, which every policy is given.

The paper's command families include "reset to home."; it is a motion of the robot, not a skill, so it wraps any policy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Observation
from sarl_ros.policies.policy import Plan, Policy, PolicySpec

HOME_PROMPT = "reset to home."
HOME_POSITION_M = (0.30, 0.0, 0.13)
MAX_TRANSLATION_M = 0.04
MAX_ROTATION_RAD = 0.2
# Deltas go on the target, the error is measured on the arm, which lags it: a gain of 1 would overshoot.
GAIN = 0.6
# While further below home than this, the arm goes up before it goes across, so that it drags nothing along.
CLEARANCE_M = 0.04
OPEN_ABOVE = 0.8


def kept_gripper(observation: Observation) -> float:
    """Gripper command, 1 open or 0 closed, that changes nothing: an arm that holds an object is not fully open."""
    return float(observation.proprio[7] > OPEN_ABOVE)


class HomePolicy:
    """A policy that also knows the prompt "reset to home."; any other prompt goes to the wrapped one."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def spec(self) -> PolicySpec:
        return self._policy.spec

    def plan(
        self, observation: Observation, prompt: str, *, noise: NDArray[np.float32] | None = None, seed: int = 0
    ) -> Plan:
        """See `Policy.plan`."""
        if prompt != HOME_PROMPT:
            return self._policy.plan(observation, prompt, noise=noise, seed=seed)
        return Plan(way_home(observation, self.spec.chunk_size))


def way_home(observation: Observation, steps: int) -> NDArray[np.float32]:
    """The first (steps, 7) deltas of the way to the home position, gripper straight down, opening kept."""
    proprio = observation.proprio.astype(np.float64)
    translation = np.asarray(HOME_POSITION_M) - proprio[:3]
    rotation = -_wrapped(proprio[3:6])
    chunk = np.zeros((steps, 7), np.float32)
    chunk[:, 6] = kept_gripper(observation)
    for delta in chunk:
        wanted = GAIN * translation
        if translation[2] > CLEARANCE_M:
            wanted[:2] = 0.0
        step = _limited(wanted, MAX_TRANSLATION_M)
        turn = _limited(GAIN * rotation, MAX_ROTATION_RAD)
        translation -= step
        rotation -= turn
        delta[:3], delta[3:6] = step, turn
    return chunk


def _limited(vector: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-9))


def _wrapped(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return (angles + np.pi) % (2 * np.pi) - np.pi
