"""What is going on: which seen object a phrase means, what the gripper holds, which goals look done.

All of it is judged from what a perception reports and from proprio, as a person judges a picture, and may be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarl_ros.proposers.scene.language import Goal, NounPhrase
from sarl_ros.proposers.scene.words import BACK, FRONT, LEFT, MIDDLE, RIGHT, SIZES, is_place, phrase, singular

OPEN_ABOVE = 0.85
"""A gripper opened wider than this holds nothing."""
SHUT_BELOW = 0.02
"""A gripper closed further than this has nothing between its fingers."""
IN_HAND_M = 0.045
AT_PLACE_M = 0.055


class Detected(Protocol):
    """One object as a perception reports it: class name, position (3,) [m] in the base frame, confidence 0 .. 1."""

    @property
    def name(self) -> str: ...
    @property
    def position(self) -> NDArray[np.float32]: ...
    @property
    def confidence(self) -> float: ...


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """An object in the words that a prompt uses.

    Attributes:
        words: noun phrase without article.
        position: (3,) in the base frame [m], None when the task names it but nobody sees it.
    """

    words: str
    position: NDArray[np.float64] | None = None

    @property
    def noun(self) -> str:
        return singular(self.words.split()[-1])

    @property
    def place(self) -> bool:
        return is_place(self.noun)


@dataclass(frozen=True, slots=True, eq=False)
class SceneState:
    """The table as it looks now.

    Attributes:
        objects: all that is seen, in the order reported.
        gripper: its position (3,) in the base frame [m].
        opening: 0 closed .. 1 open.
        held: what seems to be in the gripper.
        gripping: whether something is between the fingers, seen or not: they stopped half way.
    """

    objects: tuple[Seen, ...]
    gripper: NDArray[np.float64]
    opening: float
    held: Seen | None
    gripping: bool


def look(detections: Sequence[Detected], proprio: NDArray[np.float32]) -> SceneState:
    """Read the scene from detections and proprio (8,)."""
    objects = tuple(Seen(phrase(found.name), np.asarray(found.position, np.float64).reshape(3)) for found in detections)
    gripper = np.asarray(proprio[:3], np.float64)
    opening = float(proprio[7])
    held = None
    gripping = SHUT_BELOW < opening < OPEN_ABOVE
    if gripping:
        near = [seen for seen in objects if not seen.place and _distance(seen, gripper) < IN_HAND_M]
        held = min(near, key=lambda seen: _distance(seen, gripper), default=None)
    return SceneState(objects, gripper, opening, held, gripping)


def _distance(seen: Seen, point: NDArray[np.float64]) -> float:
    return math.inf if seen.position is None else float(np.linalg.norm(seen.position - point))


def meant_by(named: NounPhrase, situation: SceneState) -> list[Seen]:
    """Objects that a phrase may mean, the likeliest first; of one kind, so that "the left toy" gives both toys.

    A phrase that fits nothing seen stands for itself: it may be hidden, or unknown to the perception.
    """
    kind = [seen for seen in situation.objects if seen.noun == named.noun]
    if not kind:
        return [Seen(named.text)]

    def misfit(seen: Seen) -> tuple[float, ...]:
        words = seen.words.split()[:-1]
        sizes = {SIZES[word] for word in words if word in SIZES}
        wrong_size = bool(named.size) and named.size not in sizes
        return (float(wrong_size), -sum(word in words for word in named.adjectives), _off_side(seen, named.side, kind))

    return sorted(kind, key=misfit)


def _off_side(seen: Seen, side: str, kind: Sequence[Seen]) -> float:
    if seen.position is None or not side:
        return 0.0
    x, y = float(seen.position[0]), float(seen.position[1])
    middle = float(np.mean([other.position[1] for other in kind if other.position is not None]))
    return {LEFT: -y, RIGHT: y, FRONT: x, BACK: -x, MIDDLE: abs(y - middle)}[side]


def looks_done(goal: Goal, situation: SceneState) -> bool:
    """Whether the thing seems to be at its place, or in the gripper for a goal without one."""
    thing = meant_by(goal.thing, situation)[0]
    if goal.place is None:
        return situation.held is not None and situation.held.words == thing.words
    place = meant_by(goal.place, situation)[0]
    if thing.position is None or place.position is None:
        return False
    if situation.held is not None and situation.held.words == thing.words:
        return False
    return float(np.linalg.norm((thing.position - place.position)[:2])) < AT_PLACE_M
