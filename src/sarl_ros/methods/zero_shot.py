"""The frozen policy by itself: every step is prompted with the task's instruction."""

from __future__ import annotations

from collections.abc import Sequence

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.types import Candidate, Decision, Observation
from sarl_ros.methods.method import FixedAgent, Method, Situation


class ZeroShotAgent(FixedAgent):
    name = "zero_shot"
    needs_proposals = False
    needs_ground_truth = False
    demonstration = False

    def choose(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        only = Candidate(normalise(situation.instruction), probability=1.0)
        return Decision(situation.key, (only,), 0, self.name)


METHOD = Method(lambda choices: ZeroShotAgent())
