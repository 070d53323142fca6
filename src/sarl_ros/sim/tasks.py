"""Tasks of the simulated tabletop: what lies where, what has to become of it, and what an oracle would choose.

A task's file has them in its section `sim`. They are also built in code, for demonstrations of single skills.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from sarl_ros.core.task import Prompt, TaskError, load_task, task_path
from sarl_ros.core.yaml_file import FileModel, YamlError
from sarl_ros.sim.objects import CATALOGUE

HOME = (0.30, 0.0, 0.13)
"""Position of the gripper that an episode starts from, pointing straight down [m]."""

_LAYOUT_TRIES = 2000


def _known(name: str) -> str:
    if name not in CATALOGUE:
        raise ValueError(f"there is no object {name!r}: use {', '.join(CATALOGUE)}")
    return name


def _graspable(name: str) -> str:
    if not CATALOGUE[_known(name)].graspable:
        raise ValueError(f"{name} cannot be grasped: name another object")
    return name


def _receptacle(name: str) -> str:
    if CATALOGUE[_known(name)].graspable:
        raise ValueError(f"{name} is no receptacle: name another object")
    return name


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("must go from low to high")
    return span


Thing = Annotated[str, AfterValidator(_known)]
Graspable = Annotated[str, AfterValidator(_graspable)]
Receptacle = Annotated[str, AfterValidator(_receptacle)]
Metres = Annotated[float, Field(ge=-1, le=1)]
Span = Annotated[tuple[Metres, Metres], AfterValidator(_rising)]
Prompts = Annotated[tuple[Prompt, ...], Field(min_length=1)]


class Placement(FileModel):
    """Where an object lies: x forward, y left of the base [m], yaw [rad]; or atop another that it moves with."""

    x: Metres = 0.0
    y: Metres = 0.0
    yaw: float = Field(default=0.0, ge=-7, le=7)
    atop: Receptacle | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = self.model_fields_set
        if self.atop is not None and len(given) > 1:
            raise ValueError("atop stands alone: leave out x, y and yaw")
        if self.atop is None and not {"x", "y"} <= given:
            raise ValueError("x and y are missing: give them in m")
        return self


class Jitter(FileModel):
    """Half widths of the uniform jitter of each placement."""

    position_m: float = Field(default=0.0, ge=0, le=1)
    yaw_deg: float = Field(default=0.0, ge=0, le=180)

    @property
    def yaw_rad(self) -> float:
        return float(np.radians(self.yaw_deg))


class Wide(FileModel):
    """The rectangle that wide layouts fill, x and y from low to high [m]."""

    x: Span = (0.22, 0.40)
    y: Span = (-0.17, 0.17)


class SubgoalPrompts(FileModel):
    """What is suitable while the gripper is free, and while it holds what is to be placed."""

    grasp: Prompts
    place: Prompts | None = None


class Subgoal(FileModel):
    """One thing that has to be true: an object placed in or on a receptacle, or grasped."""

    place: Graspable | None = None
    to: Receptacle | None = None
    grasp: Graspable | None = None
    prompts: SubgoalPrompts

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if (self.place is None) == (self.grasp is None) or (self.place is None) != (self.to is None):
            raise ValueError("say `place: OBJECT, to: RECEPTACLE` or `grasp: OBJECT`")
        if (self.place is None) != (self.prompts.place is None):
            raise ValueError("prompts.place is needed where something is to be placed, and only there")
        return self

    @property
    def thing(self) -> str:
        """The object to place or to hold."""
        return str(self.place or self.grasp)

    @property
    def text(self) -> str:
        return f"{self.thing} {CATALOGUE[self.to].preposition} {self.to}" if self.to else f"{self.thing} grasped"


class SimTask(FileModel):
    """A task on the simulated tabletop and the distribution of its initial states.

    Attributes:
        name: for errors.
        objects: by name, where they lie; nothing else is on the table.
        left_to_right: groups of objects whose order, seen from the robot, the task's words depend on; wide layouts
            keep it.
        release_prompts: suitable while the gripper holds something that has to go nowhere.
        start: gripper position [m] at the start, pointing straight down.
        held: object that the gripper holds at the start.
    """

    name: str
    objects: Mapping[Thing, Placement]
    subgoals: tuple[Subgoal, ...] = ()
    jitter: Jitter = Jitter()
    wide: Wide = Wide()
    left_to_right: tuple[Annotated[tuple[Thing, ...], Field(min_length=2)], ...] = ()
    release_prompts: Prompts = ("release.", "open the gripper.")
    start: tuple[Metres, Metres, Metres] = HOME
    held: Graspable | None = None

    @model_validator(mode="after")
    def _all_there(self) -> Self:
        places = self.objects
        needed = [name for goal in self.subgoals for name in (goal.thing, goal.to) if name]
        needed += [place.atop for place in places.values() if place.atop] + ([self.held] if self.held else [])
        if absent := [name for name in needed if name not in places]:
            raise ValueError(f"{absent[0]} is needed but not among the objects: add it")
        if fixed := [name for name, place in places.items() if place.atop and not CATALOGUE[name].graspable]:
            raise ValueError(f"objects.{fixed[0]} cannot lie atop another: give its x and y")
        standing = {name for name, place in places.items() if not place.atop}
        if absent := [name for group in self.left_to_right for name in group if name not in standing]:
            raise ValueError(f"left_to_right names {absent[0]}, which does not stand on the table: use one that does")
        return self


def sample_layout(task: SimTask, rng: np.random.Generator, wide: bool = False) -> dict[str, tuple[float, float, float]]:
    """Draws x, y [m], yaw [rad] of every object so that no two footprints overlap.

    Raises:
        TaskError: the objects do not fit.
    """
    free = [name for name, place in task.objects.items() if place.atop is None and name != task.held]
    nominal = np.array([[task.objects[name].x, task.objects[name].y] for name in free]).reshape(-1, 2)
    radii = np.array([CATALOGUE[name].radius for name in free])
    turn = task.jitter.yaw_rad
    yaws = {name: place.yaw + rng.uniform(-turn, turn) for name, place in task.objects.items()}
    for _ in range(_LAYOUT_TRIES):
        if wide:
            spots = _spread(radii, task, rng)
            if spots is None or not _in_order(dict(zip(free, spots, strict=True)), task):
                continue
        else:
            spots = nominal + rng.uniform(-task.jitter.position_m, task.jitter.position_m, nominal.shape)
        if _apart(spots, radii):
            break
    else:
        raise TaskError(f"task {task.name}: its objects overlap in every layout tried: move them apart")
    layout = {name: (float(x), float(y), yaws[name]) for name, (x, y) in zip(free, spots, strict=True)}
    for name, place in task.objects.items():
        if place.atop is not None:
            layout[name] = (*layout[place.atop][:2], yaws[name])
        elif name == task.held:
            layout[name] = (task.start[0], task.start[1], yaws[name])
    return layout


def _spread(radii: np.ndarray, task: SimTask, rng: np.random.Generator) -> np.ndarray | None:
    """Positions (n, 2) anywhere in the wide rectangle, largest objects first; None when a place is not found."""
    low, high = zip(task.wide.x, task.wide.y, strict=True)
    spots = np.full((len(radii), 2), np.inf)
    for k in np.argsort(-radii):
        for _ in range(60):
            spot = rng.uniform(low, high)
            if (np.hypot(*(spots - spot).T) >= radii + radii[k]).all():
                spots[k] = spot
                break
        else:
            return None
    return spots


def _in_order(spots: Mapping[str, np.ndarray], task: SimTask) -> bool:
    """Whether y falls along each group of `left_to_right`."""
    return all(
        spots[left][1] > spots[right][1] for group in task.left_to_right for left, right in itertools.pairwise(group)
    )


def _apart(spots: np.ndarray, radii: np.ndarray) -> bool:
    distance = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1))
    return bool((distance >= radii[:, None] + radii[None] - 1e9 * np.eye(len(radii))).all())


def load_sim_task(name_or_path: str | Path) -> SimTask:
    """What a task's file says for the simulator.

    Raises:
        TaskError: no such task, nothing in it for the simulator, or its file is malformed.
    """
    task, path = load_task(name_or_path), task_path(name_or_path)
    section = f"{path}: sim"
    if task.sim is None:
        raise TaskError(f"{section} is missing: give the objects and subgoals, or run it on a real arm")
    if "name" in task.sim:
        raise TaskError(f"{section}.name is unknown: delete it, a task is called like its file")
    if not task.sim.get("objects") or not task.sim.get("subgoals"):
        raise TaskError(f"{section}: objects or subgoals are missing: say what lies where, and what is to be done")
    try:
        return SimTask.of({"name": task.name, **task.sim}, section)
    except YamlError as error:
        raise TaskError(str(error)) from None
