"""The seam between a prompt and the arm: anything that turns an observation and a prompt into a chunk of actions.

A value that says what a policy is and one method: behaviour (chunk execution, homing) is added by wrapping a policy,
and a back-end is one file, named in `policies.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Observation

BRIDGE_ACTION = (
    "dx [m]",
    "dy [m]",
    "dz [m]",
    "droll [rad]",
    "dpitch [rad]",
    "dyaw [rad]",
    "gripper [1 open, 0 closed]",
)
"""BridgeData: deltas on the previous target in the base frame, 5 Hz."""


class PolicyError(Exception):
    """A policy cannot be loaded or used; the message is one line that names the remedy."""


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """What a policy is, without its weights.

    Attributes:
        chunk_size: number of actions in a plan.
        identity: names the weights (sha256 in hex where they are files); recorded with all that was made with them.
        cameras: (height, width) of the images it is shown, by camera.
        noise_shape: of the noise that a plan starts from, None if it takes none.
        feature_size: of what it tells of a state beside the actions, None if nothing.
        action: what each number of an action is.
    """

    chunk_size: int
    identity: str
    cameras: Mapping[str, tuple[int, int]] = field(default_factory=lambda: {"front": (480, 640), "wrist": (240, 320)})
    noise_shape: tuple[int, ...] | None = None
    feature_size: int | None = None
    action: tuple[str, ...] = BRIDGE_ACTION

    def blank_observation(self) -> Observation:
        """Black images of the right sizes and a proprio of zeros, for a first call that takes long."""
        front, wrist = (np.zeros((*self.cameras[name], 3), np.uint8) for name in ("front", "wrist"))
        return Observation(front, wrist, np.zeros(8, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a policy would do next.

    Attributes:
        actions: float32 (chunk_size, 7), see `PolicySpec.action`.
        features: float32 (feature_size,), or None.
    """

    actions: NDArray[np.float32]
    features: NDArray[np.float32] | None = None


class Policy(Protocol):
    """A frozen vision-language-action model."""

    @property
    def spec(self) -> PolicySpec: ...

    def plan(
        self, observation: Observation, prompt: str, *, noise: NDArray[np.float32] | None = None, seed: int = 0
    ) -> Plan:
        """Plan the next actions; the same arguments give the same plan.

        Args:
            observation: images and proprio, see `Observation`.
            prompt: natural language, normalised or not.
            noise: `spec.noise_shape`, of unit variance; None draws it from `seed`.
            seed: of whatever is drawn, 0 .. 2**63 - 1.

        Raises:
            ValueError: the prompt is empty or longer than 200 characters, an image or the noise has the wrong shape.
            PolicyError: whatever computes the plan has failed.
        """
        ...


def require_no_noise(noise: NDArray[np.float32] | None) -> None:
    """For policies that take none. Raises ValueError."""
    if noise is not None:
        raise ValueError("this policy takes no noise: choose a method that steers without it")
