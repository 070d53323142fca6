"""Prompts by rules over what a perception sees: a stand-in for a vision-language model."""

from __future__ import annotations

from sarl_ros.proposers.proposer import Proposer, ProposerError


def check(weights: str) -> None:
    """Raises ProposerError where there is no perception in the folder; empty or "mini" is the shipped one."""
    from sarl_ros.policies.mini.files import PERCEPTION_FILE, folder_of

    file = folder_of(weights or "mini") / PERCEPTION_FILE
    if not file.is_file():
        raise ProposerError(f"proposer scene:{weights}: {file} is missing: leave out the folder, or give another")


def load(weights: str) -> Proposer:
    """With the mini VLA's perception: empty or "mini" for the shipped weights, or a folder. Raises ProposerError."""
    from sarl_ros.policies.mini.files import folder_of
    from sarl_ros.policies.mini.perception import Perception
    from sarl_ros.policies.policy import PolicyError
    from sarl_ros.proposers.scene.proposer import SceneProposer

    try:
        return SceneProposer(Perception.load(folder_of(weights or "mini")))
    except PolicyError as error:
        raise ProposerError(str(error)) from None
