"""A bandit over prompts: the mean return that followed each prompt, whatever the state it was given in.

The least that learns: it shows what a state is worth to SARL, and how little a method needs to be one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sarl_ros.core.reward import discounted_return
from sarl_ros.core.types import Candidate, Decision, Observation, StepKey
from sarl_ros.methods.method import Choices, Figures, Method, Situation
from sarl_ros.methods.preset import Preset
from sarl_ros.methods.randomness import step_generator
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.checkpoint import FOLDER, Checkpoint, latest_checkpoint, read_checkpoint, write_checkpoint
from sarl_ros.store.replay_store import FILE_NAME, POOL, DecisionRecord, NoteRecord, TransitionRecord, read_entries

VALUES = "values"
UNTRIED = 0.0
"""Value of a prompt that was never given: the best there is, so that each is tried."""


class BanditAgent:
    """softmax(mean return / T) over the candidates; greedy where the situation's temperature is 0."""

    name = "bandit"
    needs_proposals = True
    needs_ground_truth = False
    demonstration = False

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._values: dict[str, float] = {}

    def load(self, checkpoint: Path) -> None:
        found = read_checkpoint(checkpoint)
        if VALUES not in found.tensors:
            raise StoreError(f"{checkpoint}: no checkpoint of a bandit: choose one of a run of agent bandit")
        values = found.tensors[VALUES].tolist()
        self._values = dict(zip(found.facts["prompts"], values, strict=True))

    def choose(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        if not candidates:
            raise ValueError("no candidates to choose from: is the proposer running?")
        values = np.array([self._values.get(candidate.prompt, UNTRIED) for candidate in candidates])
        best = values == values.max()
        weights = np.exp((values - values.max()) / situation.temperature) if situation.temperature else best
        probabilities = weights / weights.sum()
        chosen = int(step_generator(self._seed, situation.key).choice(len(values), p=probabilities))
        offered = tuple(
            replace(candidate, q_mean=float(value), q_std=0.0, probability=float(probability))
            for candidate, value, probability in zip(candidates, values, probabilities, strict=True)
        )
        return Decision(situation.key, offered, chosen, self.name)


class BanditLearning:
    """Means over the returns from each decision on; every update makes them anew from all that is known."""

    def __init__(self, run_folder: Path, preset: Preset, seed: int, keep_every: int = 0) -> None:
        self._run_folder, self._preset, self._seed, self._keep_every = run_folder, preset, seed, keep_every
        self._offset = 0
        self._pool: list[str] = []
        self._prompts: dict[StepKey, str] = {}
        self._rewards: dict[StepKey, float] = {}
        self._values: dict[str, float] = {}
        self._error = 0.0
        self.checkpoint = latest_checkpoint(run_folder / FOLDER)
        self.updates = int(read_checkpoint(self.checkpoint).facts["updates"]) if self.checkpoint else 0

    def observe(self, offset: int) -> None:
        if offset <= self._offset:
            return
        path = self._run_folder / FILE_NAME
        entries, self._offset = read_entries(path, self._offset, offset)
        if self._offset != offset:
            raise StoreError(f"{path} is damaged at byte {self._offset}: restore it from a copy")
        for entry in entries:
            if isinstance(entry, DecisionRecord):
                self._prompts[entry.key] = entry.decision.prompt
            elif isinstance(entry, TransitionRecord):
                self._rewards[entry.key] = entry.reward
            elif isinstance(entry, NoteRecord) and entry.kind == POOL:
                self._pool += entry.fields["prompts"]
        self._learn()

    def _learn(self) -> None:
        episodes: dict[tuple[str, int], list[StepKey]] = defaultdict(list)
        for key in sorted(self._rewards):
            episodes[key.run, key.episode].append(key)
        returns: dict[str, list[float]] = defaultdict(list)
        for keys in episodes.values():
            rewards = [self._rewards[key] for key in keys]
            for number, key in enumerate(keys):
                returns[self._prompts[key]].append(discounted_return(rewards[number:], self._preset.horizon))
        self._values = {prompt: float(np.mean(values)) for prompt, values in returns.items()}
        errors = [value - self._values[prompt] for prompt, values in returns.items() for value in values]
        self._error = float(np.mean(np.square(errors))) if errors else 0.0

    def update(self, count: int, temperature: float) -> Figures:
        self.updates += count
        return Figures(self._error, float(np.mean(list(self._values.values()) or [UNTRIED])))

    def save(self, episodes: int) -> Path:
        values = [self._values.get(prompt, UNTRIED) for prompt in self._pool]
        facts = {
            "updates": self.updates,
            "episodes": episodes,
            "transitions": len(self._rewards),
            "store_offset": self._offset,
            "prompts": self._pool,
            "preset": self._preset.model_dump(),
            "seed": self._seed,
        }
        checkpoint = Checkpoint({VALUES: torch.tensor(values, dtype=torch.float64)}, facts)
        self.checkpoint = write_checkpoint(self._run_folder / FOLDER, episodes, checkpoint, self._keep_every)
        return self.checkpoint


def _agent(choices: Choices) -> BanditAgent:
    return BanditAgent(choices.seed)


METHOD = Method(_agent, BanditLearning, lambda preset, counts: counts.updates_before + counts.transitions)
