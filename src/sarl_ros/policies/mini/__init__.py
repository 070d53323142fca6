"""The mini VLA: a small language-conditioned flow policy whose weights are shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sarl_ros.policies.mini.files import folder_of, weights_hash

if TYPE_CHECKING:
    from sarl_ros.policies.policy import Policy


def identity(name: str) -> str:
    """sha256 (hex) of the weights' files. Raises PolicyError."""
    return weights_hash(folder_of(name))


def load(name: str) -> Policy:
    """The shipped weights for "mini", else those of a folder. Raises PolicyError."""
    from sarl_ros.policies.mini.policy import MiniPolicy  # torch, which takes seconds

    return MiniPolicy.load(folder_of(name))
