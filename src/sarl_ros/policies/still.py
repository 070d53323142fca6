"""A policy that holds the arm where it is: for tests of the graph and of an arm, and the simplest example of one."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Observation
from sarl_ros.policies.home import kept_gripper
from sarl_ros.policies.policy import Plan, PolicySpec, require_no_noise


class StillPolicy:
    """Plans zeros, the gripper kept."""

    spec = PolicySpec(chunk_size=4, identity=hashlib.sha256(b"still").hexdigest())

    def plan(
        self, observation: Observation, prompt: str, *, noise: NDArray[np.float32] | None = None, seed: int = 0
    ) -> Plan:
        """See `Policy.plan`."""
        require_no_noise(noise)
        actions = np.zeros((self.spec.chunk_size, 7), np.float32)
        actions[:, 6] = kept_gripper(observation)
        return Plan(actions)


def identity(name: str) -> str:
    return StillPolicy.spec.identity


def load(name: str) -> StillPolicy:
    return StillPolicy()
