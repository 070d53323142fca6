"""The seam between the semantic MDP and whatever proposes prompts: rules over a scene, or a vision-language model.

A proposer sees what a camera sees and reads the task. It knows neither what the policy can do nor what has been
rewarded: that is for the critics to learn.
"""

from __future__ import annotations

from typing import Protocol

from sarl_ros.core.proposal import PromptRequest, Proposal

MAX_COUNT = 64
MAX_TASK_CHARACTERS = 500


class ProposerError(ValueError):
    """No proposal can be made; the message is one line that names the thing and the remedy."""


class Proposer(Protocol):
    def propose(self, request: PromptRequest) -> Proposal:
        """At most `request.count` prompts; of a frozen pool only its own.

        Raises:
            ProposerError: the request makes no sense, or what sees the scene failed.
        """
        ...


def check_request(request: PromptRequest) -> None:
    """Raises ProposerError where a request makes no sense to any proposer."""
    if not request.task.strip():
        raise ProposerError("the task is empty: say in words what to do")
    if len(request.task) > MAX_TASK_CHARACTERS:
        length = len(request.task)
        raise ProposerError(f"the task has {length} characters: shorten it to {MAX_TASK_CHARACTERS} or fewer")
    if request.count < 1:
        raise ProposerError(f"{request.count} candidates are wanted: ask for at least 1")
    if request.pool_frozen and not request.pool:
        raise ProposerError("the pool is frozen and empty: send its prompts")
