"""A method for the tests: the instruction as prompt, each plan at half its size, and a record of their number."""

import numpy as np

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.types import Candidate, Decision
from sarl_ros.methods.method import FixedAgent, Method
from sarl_ros.policies.policy import Plan


class Agent(FixedAgent):
    name = "halving"
    needs_proposals = needs_ground_truth = demonstration = False

    def choose(self, observation, candidates, situation):
        only = Candidate(normalise(situation.instruction), probability=1.0)
        return Decision(situation.key, (only,), 0, self.name, chunk_actor=self.name, chunk_actor_state="weights-7")


class Halving:
    def __init__(self, state):
        self.state = state

    def begin(self, prompt, seed):
        self.plans = 0

    def noise(self, observation):
        return None

    def edit(self, observation, plan):
        self.plans += 1
        return Plan((plan.actions * np.array([0.5] * 6 + [1])).astype(np.float32))

    def records(self):
        return f"{self.state} {self.plans}".encode()


METHOD = Method(lambda choices: Agent(), chunk_actor=Halving)
