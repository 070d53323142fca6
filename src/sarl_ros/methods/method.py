"""The seam between the semantic MDP and whatever chooses prompts: a learner, a rule, a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sarl_ros.core.types import Candidate, Decision, Observation, StepKey


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
