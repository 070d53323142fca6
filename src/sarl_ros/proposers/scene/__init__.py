"""Prompts by rules over what a perception sees: a stand-in for a vision-language model."""

from __future__ import annotations

from sarl_ros.proposers.proposer import Proposer, ProposerError


def load(weights: str) -> Proposer:
    """With the perception of the mini VLA: "mini" for the shipped weights, or a folder. Raises ProposerError."""
    from sarl_ros.policies.mini.files import folder_of
    from sarl_ros.policies.mini.perception import Perception
    from sarl_ros.policies.policy import PolicyError
    from sarl_ros.proposers.scene.proposer import SceneProposer

    try:
        return SceneProposer(Perception.load(folder_of(weights)))
    except PolicyError as error:
        raise ProposerError(str(error)) from None
