"""The seam between a prompt and the arm: anything that turns an observation and a prompt into a chunk of actions.

Two methods' worth of protocol, so that behaviour (chunk execution, homing, smoothing) is added by wrapping a policy
and a back-end is one file.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Observation


class PolicyError(Exception):
    """A policy cannot be loaded or used; the message is one line that names the remedy."""


class Policy(Protocol):
    """A frozen vision-language-action model.

    Attributes:
        chunk_size: number of actions that `act` returns.
        weights_hash: sha256 (hex) that names the weights; recorded with everything that was made with them.
    """

    chunk_size: int
    weights_hash: str

    def act(self, observation: Observation, prompt: str, seed: int) -> NDArray[np.float32]:
        """Plan the next actions; the same arguments give the same actions.

        Args:
            observation: images and proprio, see `Observation`.
            prompt: natural language, normalised or not.
            seed: of the sampling noise, 0 .. 2**63 - 1.

        Returns:
            (chunk_size, 7) float32: dx dy dz [m], droll dpitch dyaw [rad], gripper (1 open, 0 closed).

        Raises:
            ValueError: the prompt is empty or longer than 200 characters, or an image has the wrong shape.
        """
        ...
