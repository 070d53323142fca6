"""The seam between the semantic MDP and whatever proposes prompts: rules over a scene, or a vision-language model.

A proposer sees what a camera sees and reads the task. It knows neither what the policy can do nor what has been
rewarded: that is for the critics to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sarl_ros.core.types import Observation


class ProposerError(Exception):
    """No proposal can be made; the message is one line that names the thing and the remedy."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Prompts worth a try, the likeliest first.

    Attributes:
        prompts: normalised, without doubles.
        priors: weights of the same length, sum 1; how much the proposer would bet on each.
        rationale: one line for the person who watches.
        model: what proposed.
    """

    prompts: tuple[str, ...]
    priors: tuple[float, ...]
    rationale: str
    model: str


class Proposer(Protocol):
    def propose(
        self,
        task: str,
        observation: Observation,
        history: Sequence[str],
        pool: Sequence[str],
        pool_frozen: bool,
        count: int,
    ) -> Proposal:
        """At most `count` prompts for the next semantic step; of a frozen pool only its own.

        Args:
            task: in words.
            observation: what there is to see now.
            history: prompts of this episode so far, oldest first.
            pool: prompts that the agent knows, normalised.
            pool_frozen: whether the answer must come from the pool.
            count: candidates wanted.

        Raises:
            ProposerError: the request makes no sense, or what sees the scene failed.
        """
        ...
