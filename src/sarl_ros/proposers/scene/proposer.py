"""Proposes prompts from a task text and what a perception sees: a stand-in for a vision-language model.

Like one, it knows language and looks at the picture; like one, it does not know what the policy can do, and most of
what it proposes is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.proposal import PromptRequest, Proposal
from sarl_ros.proposers.proposer import MAX_COUNT, ProposerError, check_request
from sarl_ros.proposers.scene.grammar import Family, Idea, ideas
from sarl_ros.proposers.scene.language import parse_task
from sarl_ros.proposers.scene.scene_state import Detected, SceneState, look
from sarl_ros.proposers.scene.words import word_set

MODEL = "scene"
FAMILY_DECAY = 0.85
"""Weight of the next idea of a family that has one in the proposal already: keeps the families mixed."""
STUCK_AFTER = 2
"""Equal prompts at the end of the history before the last candidate changes from one proposal to the next."""
_PLAIN_WORDS = word_set("the it and to")


class Perceiver(Protocol):
    def detect(
        self, front: NDArray[np.uint8], wrist: NDArray[np.uint8], proprio: NDArray[np.float32]
    ) -> Sequence[Detected]:
        """Objects seen in the two images uint8 (H, W, 3) RGB, with proprio float32 (8,)."""
        ...


class SceneProposer:
    """Grammar over command families; deterministic in its arguments, without memory of earlier calls."""

    def __init__(self, perception: Perceiver) -> None:
        self._perception = perception

    def propose(self, request: PromptRequest) -> Proposal:
        """See `Proposer.propose`."""
        check_request(request)
        observation = request.observation
        if observation.proprio.shape != (8,) or not np.isfinite(observation.proprio).all():
            raise ProposerError(
                f"proprio {observation.proprio.tolist()} is not 8 finite numbers: check the arm's state"
            )
        detections = self._perception.detect(observation.front, observation.wrist, observation.proprio)
        situation = look(detections, observation.proprio)
        wanted = ideas(request.task, parse_task(request.task), situation)
        if request.pool_frozen:
            wanted = among(wanted, request.pool)
        chosen = mixed(wanted, min(request.count, MAX_COUNT), turn=_repeats(request.history))
        total = sum(idea.weight for idea in chosen)
        return Proposal(
            prompts=tuple(idea.prompt for idea in chosen),
            priors=tuple(idea.weight / total for idea in chosen),
            rationale=_rationale(situation),
            model=MODEL,
        )


def mixed(wanted: Sequence[Idea], count: int, turn: int = 0) -> list[Idea]:
    """At most `count` ideas, the weightiest first, families mixed.

    When the same prompt has been tried again and again (`turn` > 0), the last place goes round among what else could be
    said; all others stay, for the repeat may be right.
    """
    rest, chosen = list(wanted), list[Idea]()
    used = dict.fromkeys(Family, 0)
    while rest and len(chosen) < count:
        best = max(rest, key=lambda idea: idea.weight * FAMILY_DECAY ** used[idea.family])
        if turn > 0 and count > 1 and len(chosen) == count - 1:
            best = rest[turn % len(rest)]
        rest.remove(best)
        used[best.family] += 1
        chosen.append(best)
    return sorted(chosen, key=lambda idea: -idea.weight)


def among(wanted: Sequence[Idea], pool: Sequence[str]) -> list[Idea]:
    """The prompts of a frozen pool as ideas, each weighed by the best idea that it says, in these or similar words."""
    by_prompt = {idea.prompt: idea for idea in wanted}
    found: list[Idea] = []
    for prompt in dict.fromkeys(normalise(prompt) for prompt in pool):
        if prompt in by_prompt:
            found.append(by_prompt[prompt])
            continue
        likeness, closest = max(((_overlap(prompt, idea.prompt), idea) for idea in wanted), key=lambda pair: pair[0])
        found.append(Idea(closest.family, prompt, 0.01 + 0.5 * likeness**2 * closest.weight))
    return sorted(found, key=lambda idea: -idea.weight)


def _overlap(one: str, other: str) -> float:
    """Jaccard index of the words that carry meaning."""
    first, second = (set(text.rstrip(".").split()) - _PLAIN_WORDS for text in (one, other))
    return len(first & second) / max(len(first | second), 1)


def _repeats(history: Sequence[str]) -> int:
    """How often the last prompt has been tried without a break, counted from `STUCK_AFTER`; 0 when not stuck."""
    tried = 0
    for prompt in reversed(history):
        if prompt != history[-1]:
            break
        tried += 1
    return max(tried - STUCK_AFTER + 1, 0)


def _rationale(situation: SceneState) -> str:
    seen = ", ".join(seen.words for seen in situation.objects) or "nothing"
    hand = f"empty, {situation.opening:.0%} open"
    if situation.gripping:
        hand = f"holding {f'the {situation.held.words}' if situation.held else 'something hidden'}"
    return f"sees {seen}; gripper {hand}"
