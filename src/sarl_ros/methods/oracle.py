"""The ceiling of every comparison: the prompt that ground truth calls suitable, again and again until it worked."""

from __future__ import annotations

from collections.abc import Sequence

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.types import Candidate, Decision, Observation
from sarl_ros.methods.method import FixedAgent, Method, Situation


class OracleAgent(FixedAgent):
    """Takes the first suitable prompt, as the task file orders them; the instruction where none is known."""

    name = "oracle"
    needs_proposals = False
    needs_ground_truth = True
    demonstration = False

    def choose(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        prompt = situation.suitable[0] if situation.suitable else situation.instruction
        return Decision(situation.key, (Candidate(normalise(prompt), probability=1.0),), 0, self.name)


METHOD = Method(lambda choices: OracleAgent())
