"""The floor of every comparison: a candidate drawn uniformly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sarl_ros.core.types import Candidate, Decision, Observation
from sarl_ros.methods.method import FixedAgent, Method, Situation
from sarl_ros.methods.randomness import step_generator


class RandomAgent(FixedAgent):
    name = "random"
    needs_proposals = True
    needs_ground_truth = False
    demonstration = False

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def choose(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        if not candidates:
            raise ValueError("no candidates to choose from: is the proposer running?")
        share = 1 / len(candidates)
        chosen = int(step_generator(self._seed, situation.key).integers(len(candidates)))
        offered = tuple(replace(candidate, probability=share) for candidate in candidates)
        return Decision(situation.key, offered, chosen, self.name)


METHOD = Method(lambda choices: RandomAgent(choices.seed))
