"""What a proposer is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from sarl_ros.core.types import Observation


@dataclass(frozen=True, slots=True, eq=False)
class PromptRequest:
    """A wish for prompts for the next semantic step.

    Attributes:
        task: in words.
        observation: what there is to see now.
        history: prompts of this episode so far, oldest first.
        pool: prompts that the agent knows, normalised.
        pool_frozen: whether the answer must come from the pool.
        count: candidates wanted, at most.
    """

    task: str
    observation: Observation
    history: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    pool_frozen: bool = False
    count: int = 8


@dataclass(frozen=True, slots=True)
class Proposal:
    """Prompts worth a try, the likeliest first.

    Attributes:
        prompts: normalised, without doubles.
        priors: weights of the same length, sum 1, how much the proposer would bet on each; empty where it cannot say.
        rationale: one line for the person who watches.
        model: what proposed.
    """

    prompts: tuple[str, ...]
    priors: tuple[float, ...] = ()
    rationale: str = ""
    model: str = ""
