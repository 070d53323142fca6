"""The reward of a semantic step, and what it adds up to (arXiv 2606.31958)."""

from __future__ import annotations


def discount(horizon: int) -> float:
    """gamma = 1 - 1/H for episodes of H decisions."""
    return 1 - 1 / horizon


def reward(success: bool, horizon: int) -> float:
    """-1/H a decision, 0 for the one that succeeds: returns lie in [-1, 0]."""
    return 0.0 if success else -1 / horizon


def discounted_return(rewards: list[float], horizon: int) -> float:
    """Of an episode from its first decision. One that never succeeds goes on losing 1/H for ever: -1."""
    gamma = discount(horizon)
    succeeded = bool(rewards) and rewards[-1] == 0.0
    tail = 0.0 if succeeded else -1.0
    for value in reversed(rewards):
        tail = value + gamma * tail
    return tail
