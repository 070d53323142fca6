"""Atomic skills: what the mini VLA is taught, in which words, on which random scenes, and when one has succeeded.

The hammer lies in many scenes and is never named. Of the pairs that the long tasks ask to bring together, none is
ever asked for here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.sim.judge import HOME_PROMPT, is_placed, nearest_below
from sarl_ros.sim.objects import CATALOGUE, GRASPABLE, RECEPTACLES
from sarl_ros.sim.tasks import HOME, Jitter, Placement, SimTask, Wide, sample_layout
from sarl_ros.sim.world import World

KINDS = ("grasp", "grasp_below", "place", "move_to", "direction", "lift", "open", "close", "transfer")
SHARES = (0.30, 0.14, 0.18, 0.09, 0.12, 0.04, 0.04, 0.03, 0.06)
"""How often `sample_skill` draws each kind."""

DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "left": (0.0, 1.0, 0.0),
    "right": (0.0, -1.0, 0.0),
    "forward": (1.0, 0.0, 0.0),
    "back": (-1.0, 0.0, 0.0),
    "up": (0.0, 0.0, 1.0),
    "down": (0.0, 0.0, -1.0),
}

WORKSPACE = (np.array([0.20, -0.20, 0.02]), np.array([0.42, 0.20, 0.20]))
"""Corners of the box that the demonstrations stay in [m]."""

TRANSFERS = (
    ("mushroom", "plate"),
    ("spoon", "pot_grey"),
    ("carrot", "pot_red"),
    ("block", "bowl_large"),
    ("sushi", "plate"),
    ("carrot", "bowl_small"),
)
"""Pairs that demonstrations bring together under one prompt."""

_PHRASES = {
    "grasp": ("grasp {thing}", "pick up {thing}", "grab {thing}", "take {thing}"),
    "grasp_below": (
        "move down and grasp",
        "go down and grasp",
        "reach down and close the gripper",
        "lower and grasp",
    ),
    "place": (
        "put it {on} {target}",
        "place it {on} {target}",
        "move to {target} and release",
        "drop it {on} {target}",
    ),
    "move_to": ("move to {thing}", "move above {thing}", "go to {thing}"),
    "lift": ("lift", "lift up", "raise the arm"),
    "open": ("open the gripper", "release", "let go"),
    "close": ("close the gripper",),
    "transfer": ("move {thing} to {target}", "put {thing} {on} {target}"),
}
_DIRECTION_PHRASES = {
    "left": ("move to the left", "move left", "go left"),
    "right": ("move to the right", "move right", "go right"),
    "forward": ("move forward", "go forward", "move away from the base"),
    "back": ("move back", "move backward", "pull back"),
    "up": ("move up", "go up"),
    "down": ("move down", "go down", "lower the arm"),
}


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill. `thing` is what it grasps or moves to, `target` a receptacle, `direction` one of `DIRECTIONS`."""

    kind: str
    thing: str | None = None
    target: str | None = None
    direction: str | None = None

    @property
    def name(self) -> str:
        """Its kind and arguments, for tables."""
        return " ".join(part for part in (self.kind, self.thing, self.target, self.direction) if part)


@dataclass(frozen=True, slots=True)
class Trial:
    """A skill and a scene to show it in."""

    skill: Skill
    task: SimTask


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What success is measured against: gripper position (3,) [m], the held object, the one nearest below."""

    gripper: NDArray[np.float64]
    held: str | None
    below: str | None


def phrases(skill: Skill) -> tuple[str, ...]:
    """Every prompt that names a skill, normalised, the plainest first.

    Raises:
        ValueError: it would name something that demonstrations must not name.
    """
    for name in (skill.thing, skill.target):
        if name is not None and not CATALOGUE[name].named:
            raise ValueError(f"{name} is never named in a demonstration: choose another object")
    if skill.direction is not None:
        return tuple(map(normalise, _DIRECTION_PHRASES[skill.direction]))
    words = {"thing": CATALOGUE[skill.thing].phrase} if skill.thing else {}
    if skill.target:
        words |= {"target": CATALOGUE[skill.target].phrase, "on": CATALOGUE[skill.target].preposition}
    return tuple(normalise(phrase.format(**words)) for phrase in _PHRASES[skill.kind])


def all_skills() -> tuple[Skill, ...]:
    """Every skill that demonstrations show."""
    named = [name for name in GRASPABLE if CATALOGUE[name].named]
    return (
        *(Skill("grasp", name) for name in named),
        Skill("grasp_below"),
        *(Skill("place", target=name) for name in RECEPTACLES),
        *(Skill("move_to", name) for name in (*named, *RECEPTACLES)),
        *(Skill("direction", direction=name) for name in DIRECTIONS),
        *(Skill(kind) for kind in ("lift", "open", "close")),
        *(Skill("transfer", thing, target) for thing, target in TRANSFERS),
    )


def skill_of(prompt: str) -> Skill:
    """The skill that a prompt names, "reset to home." among them.

    Raises:
        ValueError: no phrase of any skill is that prompt.
    """
    if prompt == HOME_PROMPT:
        return Skill("home")
    for skill in all_skills():
        if prompt in phrases(skill):
            return skill
    raise ValueError(f"no skill is called {prompt!r}")


def sample_skill(rng: np.random.Generator, kind: str | None = None) -> Trial:
    """Draws a skill (of a kind, if given) and a random scene in which it makes sense."""
    kind = kind or str(rng.choice(KINDS, p=SHARES))
    skill = _draw(rng, kind)
    things = _scene_things(rng, skill)
    graspable = [name for name in things if CATALOGUE[name].graspable]
    held = None
    if kind == "place" or (kind in ("direction", "lift", "open", "move_to") and rng.random() < 0.4):
        free = [name for name in graspable if name != skill.thing]
        held = str(rng.choice(free)) if free else None
    start = (rng.uniform(0.23, 0.39), rng.uniform(-0.15, 0.15), rng.uniform(0.08, 0.16))
    if rng.random() < 0.3:
        start = (HOME[0] + rng.normal(0, 0.01), HOME[1] + rng.normal(0, 0.01), HOME[2] + rng.normal(0, 0.01))
    if held is not None:
        start = (*start[:2], max(start[2], 0.10))
    layout = {name: Placement(x=0.0, y=0.0) for name in things}
    covered = {"lid", "pot_grey"} <= set(things) and held != "lid" and skill.target != "pot_grey"
    if covered and rng.random() < 0.5:
        layout["lid"] = Placement(atop="pot_grey")
    scene = SimTask(
        name=skill.name,
        objects=layout,
        jitter=Jitter(yaw_deg=float(np.degrees(0.4))),
        wide=Wide(x=(0.21, 0.41), y=(-0.19, 0.19)),
        start=start,
        held=held,
    )
    spots = sample_layout(scene, rng, wide=True)
    if kind == "grasp_below":
        x, y, _ = spots[str(rng.choice(graspable))]
        start = (x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03), rng.uniform(0.085, 0.15))
    fixed = {name: place if place.atop else _at(spots[name]) for name, place in layout.items()}
    start = (float(np.clip(start[0], 0.2, 0.42)), float(np.clip(start[1], -0.2, 0.2)), float(start[2]))
    return Trial(skill, SimTask(name=scene.name, objects=fixed, start=start, held=held))


def _at(spot: tuple[float, float, float]) -> Placement:
    x, y, yaw = spot
    return Placement(x=x, y=y, yaw=yaw)


def _draw(rng: np.random.Generator, kind: str) -> Skill:
    named = [name for name in GRASPABLE if CATALOGUE[name].named]
    match kind:
        case "grasp":
            return Skill(kind, str(rng.choice(named)))
        case "place":
            return Skill(kind, target=str(rng.choice(RECEPTACLES)))
        case "move_to":
            return Skill(kind, str(rng.choice([*named, *RECEPTACLES])))
        case "direction":
            return Skill(kind, direction=str(rng.choice(list(DIRECTIONS))))
        case "transfer":
            thing, target = TRANSFERS[rng.integers(len(TRANSFERS))]
            return Skill(kind, thing, target)
        case "grasp_below" | "lift" | "open" | "close":
            return Skill(kind)
    raise ValueError(f"unknown kind of skill {kind!r}: use one of {', '.join(KINDS)}")


def _scene_things(rng: np.random.Generator, skill: Skill) -> list[str]:
    """Two to four objects and one to three receptacles that fit the table together, those of the skill among them."""
    needed = [name for name in (skill.thing, skill.target) if name is not None]
    graspable = [name for name in needed if CATALOGUE[name].graspable]
    receptacles = [name for name in needed if not CATALOGUE[name].graspable]
    others = [name for name in rng.permutation(GRASPABLE) if name not in graspable and CATALOGUE[name].named]
    graspable += others[: int(rng.integers(2, 4)) - len(graspable)]
    if rng.random() < 0.35:
        graspable.append("hammer")
    others = [name for name in rng.permutation(RECEPTACLES) if name not in receptacles]
    receptacles += others[: int(rng.integers(1, 4)) - len(receptacles)]
    return [str(name) for name in (*graspable, *receptacles)]


def before(world: World) -> Before:
    """Notes what `succeeded` compares with; call it after the reset."""
    facts = world.facts()
    return Before(facts.gripper, facts.held, nearest_below(facts))


def succeeded(skill: Skill, world: World, start: Before) -> bool:
    """Whether a skill has done what its prompt says."""
    facts = world.facts()
    gripper = facts.gripper
    opening = (world.fingers[0] - 0.015) / 0.022
    match skill.kind:
        case "grasp":
            return facts.held == skill.thing
        case "grasp_below":
            return facts.held is not None and facts.held == start.below
        case "place":
            assert skill.target is not None
            return start.held is not None and is_placed(start.held, skill.target, facts)
        case "transfer":
            assert skill.thing is not None
            assert skill.target is not None
            return is_placed(skill.thing, skill.target, facts)
        case "move_to":
            assert skill.thing is not None
            return bool(np.hypot(*(facts.positions[skill.thing] - gripper)[:2]) < 0.035 and gripper[2] > 0.05)
        case "direction":
            assert skill.direction is not None
            way = np.array(DIRECTIONS[skill.direction])
            edge = WORKSPACE[1] if way.sum() > 0 else WORKSPACE[0]
            return bool(way @ (gripper - start.gripper) > 0.05 or way @ (gripper - edge) > -0.015)
        case "lift":
            return bool(gripper[2] - start.gripper[2] > 0.04 or gripper[2] > 0.14)
        case "open":
            return bool(opening > 0.8)
        case "close":
            return bool(opening < 0.8)
    raise ValueError(f"unknown kind of skill {skill.kind!r}: use one of {', '.join(KINDS)}")
