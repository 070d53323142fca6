"""Plays a policy's action chunks as single actions, one a control period.

A policy plans a few steps ahead; only the first of them are executed before it plans again from a newer observation.
Two plans never agree exactly, so the new one is faded in over what is left of the old one: the commanded velocity has
no jump at the seam. Wrapping keeps that out of every policy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sarl_ros.semantic.types import Observation
from sarl_ros.vla.policy import Policy

GRIPPER = 6


def stable_seed(*parts: str | int) -> int:
    """A seed in 0 .. 2**63 - 1 that depends on the parts alone: equal in every process and on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def blend(rest: NDArray[np.float32], chunk: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fade from what is left of the old plan into the new one.

    With m steps of overlap, step j is old * (1 - w) + new * w with w = (j + 1) / (m + 1). If actions within either plan
    change by at most L a step and the plans differ by at most d, the blended ones change by at most L + d / (m + 1).
    The gripper is the new plan's: half open is not between open and closed.

    Args:
        rest: (m, 7) steps of the old plan not executed, m may be 0.
        chunk: (n, 7) new plan.

    Returns:
        (n, 7).
    """
    overlap = min(len(rest), len(chunk))
    weight = (np.arange(1, overlap + 1, dtype=np.float32) / np.float32(overlap + 1))[:, None]
    plan = np.array(chunk, np.float32)
    plan[:overlap, :GRIPPER] = rest[:overlap, :GRIPPER] * (1 - weight) + chunk[:overlap, :GRIPPER] * weight
    return plan


class ChunkPlayer:
    """One action a control period from a policy that plans in chunks.

    Args:
        policy: plans chunks.
        execute: steps of a plan that are executed before the next; at most the policy's `chunk_size`.

    Raises:
        ValueError: `execute` is not within 1 .. `chunk_size`.
    """

    def __init__(self, policy: Policy, execute: int = 2) -> None:
        if not 1 <= execute <= policy.chunk_size:
            raise ValueError(f"execute = {execute}: set it from 1 to the policy's chunk size {policy.chunk_size}")
        self._policy = policy
        self._execute = execute
        self.start("", 0)

    def start(self, prompt: str, seed: int) -> None:
        """Begin a prompt from standstill: nothing of an earlier plan is left."""
        self._prompt = prompt
        self._seed = seed
        self._count = 0
        self.replan()

    def replan(self) -> None:
        """Drop the plan, for instance because the arm could not follow it; the next action comes from a new one."""
        self._plan = np.zeros((0, 7), np.float32)
        self._position = 0

    def next(self, observe: Callable[[], Observation]) -> NDArray[np.float32]:
        """Action (7,) of the next control step. `observe` is called only when a new plan is due."""
        if self._position == min(self._execute, len(self._plan)):
            chunk = self._policy.act(observe(), self._prompt, stable_seed(self._seed, self._count))
            self._plan = blend(self._plan[self._position :], chunk)
            self._position = 0
        action = self._plan[self._position]
        self._position += 1
        self._count += 1
        return action
