"""Command families and what each of them would say now.

The families are those that the paper's prompt templates give to the VLM (research facts: task level, object level,
atomic motion, combinations, reset to home). Every rule speaks of goals and scenes in general; the weights say how
likely a person would find the command next, right or wrong.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.proposers.scene.language import Goal
from sarl_ros.proposers.scene.scene_state import OPEN_ABOVE, SceneState, Seen, looks_done, meant_by
from sarl_ros.proposers.scene.words import CONTAINERS

ABOVE_M = 0.03
"""The gripper is above a thing when it is no further off than this, seen from the top."""


class Family(enum.Enum):
    TASK = "task level"
    OBJECT = "object level"
    MOTION = "atomic motion"
    COMBINATION = "combination"
    RESET = "reset to home"


@dataclass(frozen=True, slots=True)
class Idea:
    """A prompt that would make sense to somebody; `weight` says how much, for ranking only."""

    family: Family
    prompt: str
    weight: float


def ideas(task: str, goals: Sequence[Goal], situation: SceneState) -> list[Idea]:
    """All that could be said now, without doubles, the weightiest first; ties stay in the order of the rules."""
    found: list[Idea] = []
    if goals:
        pending = [goal for goal in goals if not looks_done(goal, situation)]
        current = pending[0] if pending else goals[-1]
        found += _towards(current, _others(goals, current), situation)
        found += [Idea(Family.TASK, current.text, 0.5 if situation.gripping else 0.55)]
    found += [Idea(Family.TASK, task, 0.3)]
    found += _whatever_the_goal(situation)
    return _best_of_doubles(found)


def _towards(current: Goal, later: Sequence[Goal], situation: SceneState) -> list[Idea]:
    """What the gripper's state calls for: to fetch, to deliver, or to get rid of what it holds."""
    goals = [current, *later]
    if not situation.gripping:
        return _to_fetch(current, later, situation)
    if situation.held is None:
        # Something is held and hidden: most likely what is wanted and not in sight, else anything.
        hidden = [goal for goal in goals if meant_by(goal.thing, situation)[0].position is None]
        if hidden:
            return _to_deliver(hidden[0], _others(goals, hidden[0]), situation)
        return _to_deliver(current, later, situation) + _weaker(_to_fetch(current, later, situation))
    owner = _goal_of(situation.held, goals, situation)
    if owner is None or (owner.place is None and owner is not current):
        return _to_get_rid_of(current, situation)
    return _to_deliver(owner, _others(goals, owner), situation)


def _others(goals: Sequence[Goal], goal: Goal) -> list[Goal]:
    return [other for other in goals if other is not goal]


def _weaker(found: Sequence[Idea]) -> list[Idea]:
    return [replace(idea, weight=0.7 * idea.weight) for idea in found]


def _to_fetch(goal: Goal, later: Sequence[Goal], situation: SceneState) -> list[Idea]:
    things = meant_by(goal.thing, situation)
    thing = things[0]
    found = [
        Idea(Family.OBJECT, f"grasp the {thing.words}", 1.0),
        Idea(Family.MOTION, "move down and grasp", 0.95 if _is_above(thing, situation) else 0.7),
        Idea(Family.OBJECT, f"move to the {thing.words}", 0.4),
        *(Idea(Family.OBJECT, f"grasp the {other.words}", 0.6) for other in things[1:]),
        *(Idea(Family.MOTION, direction, 0.5) for direction in _directions(thing, situation)),
    ]
    if goal.place is not None:
        places = meant_by(goal.place, situation)
        found.append(
            Idea(Family.COMBINATION, f"grasp the {thing.words} and {_put(places[0], goal)}", 0.5),
        )
        found.append(Idea(Family.OBJECT, _put(places[0], goal), 0.3))
    found += [Idea(Family.OBJECT, f"grasp the {meant_by(goal.thing, situation)[0].words}", 0.55) for goal in later]
    named = {seen.words for each in (goal, *later) for seen in meant_by(each.thing, situation)}
    found += [
        Idea(Family.OBJECT, f"grasp the {seen.words}", 0.25)
        for seen in situation.objects
        if not seen.place and seen.words not in named
    ]
    return found


def _to_deliver(goal: Goal, others: Sequence[Goal], situation: SceneState) -> list[Idea]:
    if goal.place is None:
        return [Idea(Family.MOTION, "lift", 0.9), Idea(Family.MOTION, "close the gripper", 0.5)]
    places = meant_by(goal.place, situation)
    found = [
        Idea(Family.OBJECT, _put(places[0], goal), 1.0),
        *(Idea(Family.OBJECT, _put(other, goal), 0.6) for other in places[1:]),
        Idea(Family.OBJECT, f"move to the {places[0].words}", 0.5),
        Idea(Family.MOTION, "open the gripper", 0.8 if _is_above(places[0], situation) else 0.55),
        Idea(Family.COMBINATION, f"move to the {places[0].words} and open the gripper", 0.5),
        *(Idea(Family.MOTION, direction, 0.45) for direction in _directions(places[0], situation)),
        Idea(Family.MOTION, "lift", 0.4),
    ]
    for other in others:
        if other.place is not None:
            found.append(Idea(Family.OBJECT, _put(meant_by(other.place, situation)[0], other), 0.45))
        found.append(Idea(Family.OBJECT, f"grasp the {meant_by(other.thing, situation)[0].words}", 0.35))
    return found


def _to_get_rid_of(goal: Goal, situation: SceneState) -> list[Idea]:
    thing = meant_by(goal.thing, situation)[0]
    found = [
        Idea(Family.MOTION, "open the gripper", 1.0),
        Idea(Family.OBJECT, f"grasp the {thing.words}", 0.65),
        Idea(Family.MOTION, "move down and grasp", 0.4),
        Idea(Family.MOTION, "move down", 0.3),
    ]
    if goal.place is not None:
        found += [Idea(Family.OBJECT, _put(place, goal), 0.45) for place in meant_by(goal.place, situation)]
    free = [seen for seen in situation.objects if seen.place]
    found += [Idea(Family.OBJECT, _put(place), 0.3) for place in free]
    return found


def _whatever_the_goal(situation: SceneState) -> list[Idea]:
    closed = situation.opening < OPEN_ABOVE
    return [
        Idea(Family.RESET, "reset to home", 0.5),
        Idea(Family.MOTION, "open the gripper", 0.6 if closed else 0.1),
        Idea(Family.MOTION, "close the gripper", 0.1 if closed else 0.2),
        Idea(Family.MOTION, "lift", 0.2),
        Idea(Family.MOTION, "move down and grasp", 0.35),
    ]


def _goal_of(held: Seen, goals: Sequence[Goal], situation: SceneState) -> Goal | None:
    """The goal that wants what is held, first by its likeliest meaning, then by any."""
    for depth in (1, None):
        for goal in goals:
            if held.words in [seen.words for seen in meant_by(goal.thing, situation)[:depth]]:
                return goal
    return None


def _put(place: Seen, goal: Goal | None = None) -> str:
    said = goal.preposition if goal is not None else ""
    return f"put it {said or ('in' if place.noun in CONTAINERS else 'on')} the {place.words}"


def _offset(seen: Seen, situation: SceneState) -> np.ndarray | None:
    return None if seen.position is None else seen.position - situation.gripper


def _is_above(seen: Seen, situation: SceneState) -> bool:
    offset = _offset(seen, situation)
    return offset is not None and float(np.linalg.norm(offset[:2])) < ABOVE_M


def _directions(seen: Seen, situation: SceneState) -> list[str]:
    """The motion that leads nearer, in the words of the base frame: x forward, y left."""
    offset = _offset(seen, situation)
    if offset is None:
        return []
    if _is_above(seen, situation):
        return ["move down"]
    if abs(offset[1]) > abs(offset[0]):
        return ["move to the left" if offset[1] > 0 else "move to the right"]
    return ["move forward" if offset[0] > 0 else "move back"]


def _best_of_doubles(found: Sequence[Idea]) -> list[Idea]:
    best: dict[str, Idea] = {}
    for idea in found:
        try:
            prompt = normalise(idea.prompt)
        except ValueError:
            continue  # a task text of over 200 characters is no prompt; its parts still are
        if prompt not in best or best[prompt].weight < idea.weight:
            best[prompt] = Idea(idea.family, prompt, idea.weight)
    return sorted(best.values(), key=lambda idea: -idea.weight)
