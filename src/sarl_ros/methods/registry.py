"""Methods by name. A further one is a file or folder with a `METHOD`, and one line here."""

from __future__ import annotations

import importlib

from sarl_ros.methods.method import LearningFactory, Method
from sarl_ros.policies.chunk_player import ChunkActor

METHODS = {
    "sarl": "sarl_ros.methods.sarl",
    "zero_shot": "sarl_ros.methods.zero_shot",
    "random": "sarl_ros.methods.random_choice",
    "oracle": "sarl_ros.methods.oracle",
    "bandit": "sarl_ros.methods.bandit",
    "steer": "sarl_ros.methods.steer",
}


def method(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in METHODS:
        raise ValueError(f"agent {name!r}: choose one of {', '.join(METHODS)}")
    found = importlib.import_module(METHODS[name]).METHOD
    assert isinstance(found, Method)
    return found


def learns(name: str) -> bool:
    """Whether there is a method of that name, and it learns."""
    return name in METHODS and method(name).learns


def learning(name: str) -> LearningFactory:
    """Makes the learning half of a method.

    Raises:
        ValueError: there is no such method, or it learns nothing.
    """
    make = method(name).learning
    if make is None:
        raise ValueError(f"agent {name} learns nothing: choose one of {', '.join(filter(learns, METHODS))}")
    return make


def chunk_actor(name: str, state: str) -> ChunkActor | None:
    """What a decision wants to act inside its step, None where it names nothing.

    Args:
        state: file of its weights.

    Raises:
        ValueError, StoreError: there is no such actor, or its file is unusable.
    """
    if not name:
        return None
    make = method(name).chunk_actor
    if make is None:
        raise ValueError(f"method {name} has nothing that acts inside a step")
    return make(state)
