"""What turns a prompt into a finished step: the one place that knows what follows a refused action."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Ended, Observation
from sarl_ros.policies.chunk_player import ChunkActor, ChunkPlayer
from sarl_ros.policies.home import HomePolicy
from sarl_ros.policies.policy import Policy, PolicyError
from sarl_ros.runtime.arm import Arm, StepEnded


@dataclass(frozen=True, slots=True, eq=False)
class StepDone:
    """How a step ended.

    Attributes:
        ended: COMPLETED, STOPPED or FAULT.
        reason: in one line; empty where it is COMPLETED.
        control_steps: control periods that were run, those that held still after a refusal included.
        observation: at the end, None where the step ended early.
        chunk_records: of the chunk actor, empty without one.
    """

    ended: Ended
    reason: str
    control_steps: int
    observation: Observation | None
    chunk_records: bytes = b""


class StepRunner:
    """Plays a policy, which also learns the way home, for as many control periods as a prompt asks.

    A refused action is replaced by a period of holding still with the gripper as it was commanded; the plan that led to
    it is dropped. More than `max_refusals` in a row end the step, and so does an arm that is held.

    Args:
        policy: makes the plans.
        execute: actions of a plan that are executed before the next.
        max_refusals: refused actions in a row that a step survives.

    Raises:
        ValueError: `execute` does not suit the policy.
    """

    def __init__(self, policy: Policy, execute: int = 2, max_refusals: int = 5) -> None:
        self._player = ChunkPlayer(HomePolicy(policy), execute)
        self._max_refusals = max_refusals
        self._spec = policy.spec

    def warm_up(self) -> None:
        """Have the first call, which takes long, behind us. Raises ValueError, PolicyError."""
        self._player.start("warm up.", 0)
        self._player.next(self._spec.blank_observation)

    def run(self, arm: Arm, prompt: str, seed: int, control_steps: int, actor: ChunkActor | None = None) -> StepDone:
        """Run a prompt; how it went, whatever happens.

        Args:
            prompt: normalised.
            seed: of the policy's noise, 0 .. 2**63 - 1.
            control_steps: control periods to run.
            actor: acts on the plans inside the step.
        """
        done = 0

        def finished(ended: Ended, reason: str, observation: Observation | None) -> StepDone:
            return StepDone(ended, reason, done, observation, actor.records() if actor else b"")

        try:
            self._player.start(prompt, seed, actor)
            refused = 0
            while done < control_steps:
                if why := arm.running():
                    raise StepEnded(Ended.STOPPED, why)
                refused = self._period(arm, refused)
                done += 1
            return finished(Ended.COMPLETED, "", arm.observe())
        except StepEnded as early:
            return finished(early.ended, early.reason, None)

    def _period(self, arm: Arm, refused: int) -> int:
        """One control period; how many actions in a row have been refused now, after `refused` before it."""
        action = self._next(arm)
        answer = arm.act(action)
        if answer.accepted:
            return 0
        if refused >= self._max_refusals or answer.held:
            raise StepEnded(Ended.FAULT, f"the arm refused: {answer.refusal}")
        self._player.replan()
        hold = arm.act(np.concatenate([np.zeros(6), action[6:]]))
        if not hold.accepted:
            raise StepEnded(Ended.FAULT, f"the arm refused to hold still: {hold.refusal}")
        return refused + 1

    def _next(self, arm: Arm) -> NDArray[np.floating]:
        try:
            return self._player.next(arm.observe)
        except (ValueError, RuntimeError, PolicyError) as error:
            raise StepEnded(Ended.FAULT, f"the policy failed: {error}") from error
