"""A policy that moves as it is told in plain words, and sees nothing: for the first motions of an arm.

"move left." goes 2 cm a control period towards +y of the base. An axis that goes the wrong way, or a gripper that opens
where it should close, shows before a real policy is let near it.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.types import Observation
from sarl_ros.policies.home import kept_gripper
from sarl_ros.policies.policy import Plan, PolicySpec, require_no_noise

STEP_M, STEP_RAD = 0.02, 0.1
MOTIONS: dict[str, tuple[int, float]] = {
    "move forward.": (0, STEP_M),
    "move back.": (0, -STEP_M),
    "move left.": (1, STEP_M),
    "move right.": (1, -STEP_M),
    "move up.": (2, STEP_M),
    "move down.": (2, -STEP_M),
    "turn left.": (5, STEP_RAD),
    "turn right.": (5, -STEP_RAD),
    "open the gripper.": (6, 1.0),
    "close the gripper.": (6, 0.0),
}
"""What each prompt sets: a number of the action, and to what."""


class JogPolicy:
    """The motions of `MOTIONS`; the gripper is kept by those that do not name it."""

    spec = PolicySpec(chunk_size=4, identity=hashlib.sha256(repr(MOTIONS).encode()).hexdigest())

    def plan(
        self, observation: Observation, prompt: str, *, noise: NDArray[np.float32] | None = None, seed: int = 0
    ) -> Plan:
        """See `Policy.plan`."""
        require_no_noise(noise)
        if (text := normalise(prompt)) not in MOTIONS:
            raise ValueError(f"{text!r} is no motion of policy jog: say {' or '.join(MOTIONS)}")
        number, value = MOTIONS[text]
        actions = np.zeros((self.spec.chunk_size, 7), np.float32)
        actions[:, 6] = kept_gripper(observation)
        actions[:, number] = value
        return Plan(actions)


def identity(name: str) -> str:
    return JogPolicy.spec.identity


def load(name: str) -> JogPolicy:
    return JogPolicy()
