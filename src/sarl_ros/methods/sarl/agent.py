"""SARL's acting half: softmax(Q / T) over the candidates, Q the mean over the critics. Learning is in `learner`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sarl_ros.core.types import Candidate, Decision, Observation
from sarl_ros.methods.method import Situation
from sarl_ros.methods.randomness import step_generator
from sarl_ros.methods.sarl.critic import CriticEnsemble, soft_policy
from sarl_ros.methods.sarl.training import load_acting_critics
from sarl_ros.store.images import critic_image


class SarlAgent:
    """Greedy where the situation's temperature is 0.

    Candidates must carry the row of the prompt pool that the critics know them by.
    """

    name = "sarl"
    needs_proposals = True
    needs_ground_truth = False
    demonstration = False

    def __init__(self, critics: CriticEnsemble, seed: int) -> None:
        self.critics = critics.eval()
        self._seed = seed

    def load(self, checkpoint: Path) -> None:
        self.critics, _ = load_acting_critics(checkpoint)

    def choose(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        if not candidates:
            raise ValueError("no candidates to choose from: is the proposer running?")
        rows = torch.tensor([[candidate.pool_index for candidate in candidates]])
        if int(rows.min()) < 0:
            raise ValueError("a candidate without a row of the prompt pool: add it to the pool first")
        image = torch.from_numpy(critic_image(observation.front))[None]
        with torch.no_grad():
            values = self.critics(image, torch.from_numpy(observation.proprio)[None], rows)[:, 0]
            mean = values.mean(0)
            spread = values.std(0, correction=0)
            policy = soft_policy(mean, torch.ones_like(mean, dtype=torch.bool), situation.temperature)
        probabilities = policy.double().numpy()
        probabilities /= probabilities.sum()
        chosen = int(step_generator(self._seed, situation.key).choice(len(probabilities), p=probabilities))
        offered = tuple(
            replace(candidate, q_mean=float(mean[i]), q_std=float(spread[i]), probability=float(probabilities[i]))
            for i, candidate in enumerate(candidates)
        )
        return Decision(situation.key, offered, chosen, self.name)
