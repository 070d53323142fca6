"""Policies by name. A further back-end is named here."""

from __future__ import annotations

from pathlib import Path

from sarl_ros.policies.policy import Policy


def load_policy(name: str | Path) -> Policy:
    """Load a policy: "mini" for the shipped one, or the folder of weights that `sarl vla-train` wrote.

    Raises:
        PolicyError: weights are missing or damaged.
    """
    from sarl_ros.policies.mini.policy import WEIGHTS, MiniPolicy  # torch, which takes seconds

    return MiniPolicy.load(WEIGHTS if str(name) == "mini" else Path(name))


def weights_hash(name: str) -> str:
    """Hash of the weights of a policy by its name, empty for "still", which has none.

    Raises:
        PolicyError: weights are missing or damaged.
    """
    return "" if name == "still" else load_policy(name).weights_hash
