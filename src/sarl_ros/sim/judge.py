"""Ground truth of a task: which subgoals hold, and which prompts a closed-loop oracle would choose now.

The judge sees the world's true state; policies, proposers and critics never see what it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarl_ros.sim.objects import CATALOGUE
from sarl_ros.sim.tasks import HOME, SimTask, Subgoal

BELOW_PROMPT = "move down and grasp."
HOME_PROMPT = "reset to home."
BELOW_M = 0.06
"""Within this horizontal distance the nearest object counts as below the gripper."""

_DIRECTIONS = {
    "move forward.": (1.0, 0.0),
    "move back.": (-1.0, 0.0),
    "move to the left.": (0.0, 1.0),
    "move to the right.": (0.0, -1.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What a judgement is made from.

    Attributes:
        positions: object name to position (3,) [m], of what is on the table.
        gripper: position (3,) of the gripper frame [m].
        held: the object that both fingers hold clear of everything else.
        touched: objects that a finger touches.
    """

    positions: Mapping[str, NDArray[np.float64]]
    gripper: NDArray[np.float64]
    held: str | None
    touched: frozenset[str]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Success, the subgoals in words with their truth, and the prompts an oracle would choose now."""

    success: bool
    subgoals: tuple[str, ...]
    reached: tuple[bool, ...]
    suitable: tuple[str, ...]


def lies_in(thing: str, receptacle: str, positions: Mapping[str, NDArray[np.float64]]) -> bool:
    """Whether an object's centre lies over the floor of a receptacle and low enough to rest on or in it.

    A long object that leans on a container's rim counts.
    """
    x, y, z = positions[thing] - positions[receptacle]
    container = CATALOGUE[receptacle]
    half_x, half_y = container.inner
    inside = math.hypot(x, y) <= half_x if half_x == half_y else abs(x) <= half_x and abs(y) <= half_y
    highest = max(container.rim, container.floor) + CATALOGUE[thing].rest_height + 0.012
    return bool(inside and 0.0 < z < highest)


def is_placed(thing: str, receptacle: str, facts: Facts) -> bool:
    """Whether an object lies on / in a receptacle and the gripper has let go of it."""
    return thing not in facts.touched and lies_in(thing, receptacle, facts.positions)


def nearest_below(facts: Facts) -> str | None:
    """The graspable object nearest below the gripper, None if none is within `BELOW_M`."""
    distance = {
        name: float(np.hypot(*(position - facts.gripper)[:2]))
        for name, position in facts.positions.items()
        if CATALOGUE[name].graspable and name != facts.held
    }
    nearest = min(distance, key=distance.__getitem__, default=None)
    return nearest if nearest is not None and distance[nearest] <= BELOW_M else None


def judge(task: SimTask, facts: Facts) -> Judgement:
    """Evaluates a task. Places count in any order; a grasp counts only with every place before it true."""
    reached: list[bool] = []
    for goal in task.subgoals:
        if goal.to is not None:
            reached.append(is_placed(goal.thing, goal.to, facts))
        else:
            reached.append(facts.held == goal.thing and all(reached))
    success = bool(reached) and all(reached)
    return Judgement(
        success=success,
        subgoals=tuple(goal.text for goal in task.subgoals),
        reached=tuple(reached),
        suitable=() if success else _suitable(task, tuple(reached), facts),
    )


def _suitable(task: SimTask, reached: tuple[bool, ...], facts: Facts) -> tuple[str, ...]:
    goals = [goal for goal, done in zip(task.subgoals, reached, strict=True) if not done]
    if not goals:
        return ()
    places = [goal for goal in goals if goal.to is not None]
    if facts.held is not None:
        for goal in places:
            if goal.thing == facts.held:
                return goal.prompts.place or ()
        return task.release_prompts
    prompts = [prompt for goal in places or goals[:1] for prompt in _approach(goal, facts)]
    return tuple(dict.fromkeys(prompts))


def _approach(goal: Subgoal, facts: Facts) -> tuple[str, ...]:
    """Prompts for an empty gripper: those of the goal, or, for a grasp of what is below, a way to get above it."""
    if BELOW_PROMPT not in goal.prompts.grasp or nearest_below(facts) == goal.thing:
        return goal.prompts.grasp
    others = tuple(prompt for prompt in goal.prompts.grasp if prompt != BELOW_PROMPT)
    position = facts.positions[goal.thing][:2]
    if np.hypot(*(position - HOME[:2])) <= BELOW_M:
        return (*others, HOME_PROMPT)
    neighbours = {
        name: float(np.hypot(*(place[:2] - position)))
        for name, place in facts.positions.items()
        if CATALOGUE[name].named and name != goal.thing
    }
    nearest = min(neighbours, key=neighbours.__getitem__, default=None)
    if nearest is not None and neighbours[nearest] <= 0.6 * BELOW_M:
        return (*others, f"move to {CATALOGUE[nearest].phrase}.")
    way = position - facts.gripper[:2]
    return (*others, max(_DIRECTIONS, key=lambda prompt: float(np.dot(_DIRECTIONS[prompt], way))))
