"""Scripted expert: shows every skill from the true state, as a function of what it sees now and nothing it remembers.

That makes its demonstrations learnable by a policy without memory: the phase of a grasp is read off the gripper's
measured opening and the distances, never from a counter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.judge import Facts, is_placed, lies_in, nearest_below
from sarl_ros.sim.objects import CATALOGUE
from sarl_ros.sim.skills import DIRECTIONS, WORKSPACE, Skill
from sarl_ros.sim.tasks import HOME

SPEED_M = 0.03
"""Longest translation in one control period [m]."""
DIRECTION_M = 0.004
TRAVEL_HEIGHT_M = 0.11
LIFT_HEIGHT_M = 0.16
OPEN_ABOVE = 0.8
OPEN, CLOSED = 1.0, 0.0


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the expert decides from: the facts, the gripper's opening 0 .. 1, and its position (3,) [m]."""

    facts: Facts
    opening: float

    @property
    def is_open(self) -> bool:
        return self.opening > OPEN_ABOVE

    @property
    def gripper(self) -> NDArray[np.float64]:
        return self.facts.gripper

    def keep(self) -> float:
        """The gripper command that changes nothing."""
        return OPEN if self.is_open else CLOSED


def act(env: TabletopEnv, skill: Skill) -> NDArray[np.float64]:
    """The expert's action (7,) now.

    Raises:
        KeyError: the skill needs something that is not on the table.
    """
    view = View(env.world.facts(), float(env.proprio()[7]))
    return _BY_KIND[skill.kind](view, skill)


def _move(way: ArrayLike, gripper: float) -> NDArray[np.float64]:
    way = np.asarray(way, np.float64)
    length = float(np.linalg.norm(way))
    if length > SPEED_M:
        way = way / length * SPEED_M
    return np.array([*way, 0.0, 0.0, 0.0, gripper])


def _rise(view: View, height: float, gripper: float) -> NDArray[np.float64]:
    return _move([0.0, 0.0, max(0.0, height - view.gripper[2])], gripper)


def grip_height(name: str, facts: Facts) -> float:
    """Height of the gripper frame to grasp an object at [m]."""
    thing = CATALOGUE[name]
    above_rest = float(facts.positions[name][2]) - thing.rest_height
    return max(thing.grasp_height, thing.rest_height + 0.003) + max(0.0, above_rest)


def _grasp(view: View, skill: Skill) -> NDArray[np.float64]:
    assert skill.thing is not None
    return _grasp_at(view, view.facts.positions[skill.thing][:2], grip_height(skill.thing, view.facts))


def _grasp_below(view: View, skill: Skill) -> NDArray[np.float64]:
    name = view.facts.held or nearest_below(view.facts)
    if name is not None:
        return _grasp_at(view, view.facts.positions[name][:2], grip_height(name, view.facts))
    if not view.is_open:
        return _rise(view, TRAVEL_HEIGHT_M, CLOSED)
    return _grasp_at(view, view.gripper[:2], 0.02)


def _grasp_at(view: View, spot: NDArray[np.float64], height: float) -> NDArray[np.float64]:
    across = spot - view.gripper[:2]
    distance = float(np.hypot(*across))
    z = float(view.gripper[2])
    if not view.is_open:
        if distance < 0.035 and abs(z - height) < 0.03 and view.opening > 0.04:
            return _rise(view, TRAVEL_HEIGHT_M + 0.01, CLOSED)
        return _move([0.0, 0.0, 0.03], OPEN)
    if distance > 0.03 and z < height + 0.045:
        return _move([*across * 0.3, height + 0.065 - z], OPEN)
    if distance > 0.02:
        return _move([*across, height + 0.06 - z], OPEN)
    if distance > 0.008:
        return _move([*across, max(-0.012, height + 0.03 - z)], OPEN)
    if z > height + 0.003:
        return _move([*across, height - z], OPEN)
    return _move([0.0, 0.0, 0.0], CLOSED)


def _place(view: View, skill: Skill) -> NDArray[np.float64]:
    assert skill.target is not None
    target = CATALOGUE[skill.target]
    across = view.facts.positions[skill.target][:2] - view.gripper[:2]
    far = bool(np.hypot(*across) > 0.015)
    z = float(view.gripper[2])
    if view.is_open:
        return _rise(view, TRAVEL_HEIGHT_M, OPEN)
    if far:
        return _move([*(across if z > 0.075 else 0.0 * across), TRAVEL_HEIGHT_M - z], CLOSED)
    height = max(target.rim + 0.03, target.floor + 0.032)
    if z > height + 0.008:
        return _move([*across, height - z], CLOSED)
    return _move([0.0, 0.0, 0.0], OPEN)


def _transfer(view: View, skill: Skill) -> NDArray[np.float64]:
    assert skill.thing is not None
    assert skill.target is not None
    if is_placed(skill.thing, skill.target, view.facts):
        return _rise(view, TRAVEL_HEIGHT_M, OPEN)
    over = lies_in(skill.thing, skill.target, view.facts.positions)
    if view.facts.held == skill.thing or (over and skill.thing in view.facts.touched):
        return _place(view, skill)
    return _grasp(view, skill)


def _move_to(view: View, skill: Skill) -> NDArray[np.float64]:
    assert skill.thing is not None
    across = view.facts.positions[skill.thing][:2] - view.gripper[:2]
    z = float(view.gripper[2])
    return _move([*(across if z > 0.07 else 0.0 * across), TRAVEL_HEIGHT_M - z], view.keep())


def _direction(view: View, skill: Skill) -> NDArray[np.float64]:
    assert skill.direction is not None
    step = np.array(DIRECTIONS[skill.direction]) * DIRECTION_M
    low, high = (edge - view.gripper for edge in WORKSPACE)
    return _move(np.clip(step, np.minimum(low, 0.0), np.maximum(high, 0.0)), view.keep())


def _lift(view: View, skill: Skill) -> NDArray[np.float64]:
    return _move([0.0, 0.0, float(np.clip(LIFT_HEIGHT_M - view.gripper[2], 0.0, 0.02))], view.keep())


def _open(view: View, skill: Skill) -> NDArray[np.float64]:
    return _move([0.0, 0.0, 0.0], OPEN)


def _close(view: View, skill: Skill) -> NDArray[np.float64]:
    return _move([0.0, 0.0, 0.0], CLOSED)


def _home(view: View, skill: Skill) -> NDArray[np.float64]:
    way = np.array(HOME) - view.gripper
    if way[2] > 0.04:
        way[:2] = 0.0
    return _move(way, view.keep())


_BY_KIND: dict[str, Callable[[View, Skill], NDArray[np.float64]]] = {
    "grasp": _grasp,
    "grasp_below": _grasp_below,
    "place": _place,
    "transfer": _transfer,
    "move_to": _move_to,
    "direction": _direction,
    "lift": _lift,
    "open": _open,
    "close": _close,
    "home": _home,
}
