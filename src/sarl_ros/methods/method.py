"""The seam between the semantic MDP and whatever chooses prompts: a learner, a rule, a person.

A method is one file or folder with a `METHOD`, named in `methods.registry`. Its agent decides in the learner's process;
if it learns, its learning half lives in the trainer's, and the two meet in checkpoints. Nobody else asks for its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sarl_ros.core.types import Candidate, Decision, Observation, StepKey
from sarl_ros.methods.preset import Preset
from sarl_ros.policies.chunk_player import ChunkActor


class AgentError(Exception):
    """An agent cannot choose; one line that names the thing and the remedy."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a choice is made in, besides the observation.

    Attributes:
        key: of the semantic step to be chosen.
        instruction: the task in words.
        history: prompts of this episode so far, oldest first.
        suitable: prompts that ground truth would choose now; empty where it is unknown. For an oracle alone.
        temperature: of a stochastic agent; 0 is greedy.
    """

    key: StepKey
    instruction: str
    history: tuple[str, ...] = ()
    suitable: tuple[str, ...] = ()
    temperature: float = 0.0


class Agent(Protocol):
    """Chooses the prompt of a semantic step.

    Attributes:
        name: as in configuration and records.
        needs_proposals: whether `choose` must be given candidates; False lets it run without a proposer.
        needs_ground_truth: whether `Situation.suitable` must be known.
        demonstration: whether its choices count as demonstrations.
    """

    name: str
    needs_proposals: bool
    needs_ground_truth: bool
    demonstration: bool

    def choose(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        """A decision for `situation.key`; the same arguments give the same decision.

        Args:
            candidates: the candidate set A_t, different prompts; empty if the agent needs none.

        Raises:
            ValueError: there is nothing to choose from; one line with the remedy.
        """
        ...

    def load(self, checkpoint: Path) -> None:
        """Act from now on by what a checkpoint of the learning half holds; never called if the method learns nothing.

        Raises:
            StoreError: the file is no checkpoint of this method.
        """
        ...


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over updates; NaN when there was none, or for what a method does not have."""

    loss: float = math.nan
    value: float = math.nan


class Learning(Protocol):
    """The learning half of a method in one run folder. Everything it does follows from the store, preset and seed.

    Attributes:
        updates: done so far.
        checkpoint: path of the newest, None before the first.
    """

    updates: int
    checkpoint: Path | None

    def observe(self, offset: int) -> None:
        """Take over the replay store's records up to a byte offset, where one ends. Raises StoreError."""
        ...

    def update(self, count: int, temperature: float) -> Figures:
        """Do `count` updates on the transitions observed so far."""
        ...

    def save(self, episodes: int) -> Path:
        """Write a checkpoint named after the number of completed episodes. Raises StoreError."""
        ...


LearningFactory = Callable[[Path, Preset, int, int], Learning]
"""Makes a learning half from run folder, preset, seed, and the episodes between checkpoints that are kept."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What updates are owed for.

    Attributes:
        transitions: of this run.
        demonstrated: it began with demonstrations.
        updates_before: that what it began with has learned already, offline.
    """

    transitions: int
    demonstrated: bool = False
    updates_before: int = 0


@dataclass(frozen=True, slots=True)
class Choices:
    """What an agent is made from: a seed, the preset, and for a script its file."""

    seed: int
    preset: Preset
    prompts: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """What there is of a method; `None` for what it does without.

    Attributes:
        agent: makes the acting half. Raises ValueError, StoreError.
        learning: makes the learning half.
        owed: updates that are owed in all.
        chunk_actor: makes what acts inside a step from the file of its weights, which a decision names.
    """

    agent: Callable[[Choices], Agent]
    learning: LearningFactory | None = None
    owed: Callable[[Preset, Counts], int] = lambda preset, counts: 0
    chunk_actor: Callable[[str], ChunkActor] | None = None

    @property
    def learns(self) -> bool:
        return self.learning is not None


class FixedAgent:
    """Base of agents that learn nothing."""

    def load(self, checkpoint: Path) -> None:
        raise ValueError(f"{checkpoint}: this method learns nothing: leave the checkpoint out")
