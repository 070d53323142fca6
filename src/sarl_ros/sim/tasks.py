"""Tasks: what lies where, what has to become of it, and the prompts that an oracle would choose on the way.

A task is a YAML file under config/tasks. `Task` values are also built in code, for demonstrations of single skills.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sarl_ros.core.paths import config_dir
from sarl_ros.core.prompt_pool import normalise
from sarl_ros.sim.objects import CATALOGUE

HOME = (0.30, 0.0, 0.13)
"""Position of the gripper that an episode starts from, pointing straight down [m]."""

_LAYOUT_TRIES = 2000


class TaskError(ValueError):
    """A task that cannot be used; the message is one line that names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an object lies: x, y [m] and yaw [rad], or on top of another object that it moves with."""

    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0
    atop: str | None = None


@dataclass(frozen=True, slots=True)
class Subgoal:
    """One thing that has to be true.

    Attributes:
        thing: the object to place or to hold.
        receptacle: where it belongs; None means that the gripper holds it.
        grasp_prompts: suitable while the gripper is free.
        place_prompts: suitable while it holds `thing`.
    """

    thing: str
    receptacle: str | None
    grasp_prompts: tuple[str, ...] = ()
    place_prompts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        if self.receptacle is None:
            return f"{self.thing} grasped"
        return f"{self.thing} {CATALOGUE[self.receptacle].preposition} {self.receptacle}"


@dataclass(frozen=True, slots=True)
class Task:
    """A task and the distribution of its initial states.

    Attributes:
        layout: object name to placement; nothing else is on the table.
        jitter_m, jitter_rad: half widths of the uniform jitter of each placement.
        wide_low, wide_high: corners x, y [m] of the rectangle that wide layouts fill.
        left_to_right: groups of objects whose order, seen from the robot, the task's words depend on; wide layouts
            keep it.
        release_prompts: suitable while the gripper holds something that has to go nowhere.
        start: gripper position [m] at the start, pointing straight down.
        held: object that the gripper holds at the start.
    """

    name: str
    instruction: str
    layout: Mapping[str, Placement]
    subgoals: tuple[Subgoal, ...] = ()
    max_steps: int = 8
    jitter_m: float = 0.0
    jitter_rad: float = 0.0
    wide_low: tuple[float, float] = (0.22, -0.17)
    wide_high: tuple[float, float] = (0.40, 0.17)
    left_to_right: tuple[tuple[str, ...], ...] = ()
    release_prompts: tuple[str, ...] = ("release.", "open the gripper.")
    start: tuple[float, float, float] = field(default=HOME)
    held: str | None = None


def sample_layout(task: Task, rng: np.random.Generator, wide: bool = False) -> dict[str, tuple[float, float, float]]:
    """Draws x, y [m], yaw [rad] of every object so that no two footprints overlap.

    Raises:
        TaskError: the objects do not fit.
    """
    free = [name for name, place in task.layout.items() if place.atop is None and name != task.held]
    nominal = np.array([[task.layout[name].x, task.layout[name].y] for name in free]).reshape(-1, 2)
    radii = np.array([CATALOGUE[name].radius for name in free])
    yaws = {name: task.layout[name].yaw + rng.uniform(-task.jitter_rad, task.jitter_rad) for name in task.layout}
    for _ in range(_LAYOUT_TRIES):
        if wide:
            spots = _spread(radii, task, rng)
            if spots is None or not _in_order(dict(zip(free, spots, strict=True)), task):
                continue
        else:
            spots = nominal + rng.uniform(-task.jitter_m, task.jitter_m, nominal.shape)
        if _apart(spots, radii):
            break
    else:
        raise TaskError(f"task {task.name}: its objects overlap in every layout tried: move them apart")
    layout = {name: (float(x), float(y), yaws[name]) for name, (x, y) in zip(free, spots, strict=True)}
    for name, place in task.layout.items():
        if place.atop is not None:
            layout[name] = (*layout[place.atop][:2], yaws[name])
        elif name == task.held:
            layout[name] = (task.start[0], task.start[1], yaws[name])
    return layout


def _spread(radii: np.ndarray, task: Task, rng: np.random.Generator) -> np.ndarray | None:
    """Positions (n, 2) anywhere in the wide rectangle, largest objects first; None when a place is not found."""
    spots = np.full((len(radii), 2), np.inf)
    for k in np.argsort(-radii):
        for _ in range(60):
            spot = rng.uniform(task.wide_low, task.wide_high)
            if (np.hypot(*(spots - spot).T) >= radii + radii[k]).all():
                spots[k] = spot
                break
        else:
            return None
    return spots


def _in_order(spots: Mapping[str, np.ndarray], task: Task) -> bool:
    """Whether y falls along each group of `left_to_right`."""
    return all(
        spots[left][1] > spots[right][1] for group in task.left_to_right for left, right in itertools.pairwise(group)
    )


def _apart(spots: np.ndarray, radii: np.ndarray) -> bool:
    distance = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1))
    return bool((distance >= radii[:, None] + radii[None] - 1e9 * np.eye(len(radii))).all())


def _task_folder() -> Path:
    try:
        return config_dir() / "tasks"
    except FileNotFoundError as error:
        raise TaskError(str(error)) from None


def task_names() -> tuple[str, ...]:
    """Names of the tasks that come with the package."""
    return tuple(sorted(path.stem for path in _task_folder().glob("*.yaml")))


def load_task(name_or_path: str | Path) -> Task:
    """Reads a task by its name under config/tasks or by the path of a YAML file.

    Raises:
        TaskError: no such task, or its file is malformed.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = _task_folder() / f"{name_or_path}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise TaskError(f"no readable task file {path}: name a YAML file or one of {', '.join(task_names())}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TaskError(f"{path}: not YAML ({' '.join(str(error).split())}): correct the file") from None
    return _parse(document, path)


_KEYS = {
    "instruction",
    "objects",
    "subgoals",
    "max_steps",
    "jitter",
    "wide",
    "left_to_right",
    "release_prompts",
    "start",
}


def _parse(document: Any, path: Path) -> Task:
    def fail(what: str) -> TaskError:
        return TaskError(f"{path}: {what}")

    def numbers(value: Any, count: int, where: str) -> tuple[float, ...]:
        usable = isinstance(value, list) and len(value) == count
        if not usable or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
            raise fail(f"{where} must be a list of {count} numbers, not {value!r}")
        if not np.isfinite(value).all():
            raise fail(f"{where} must be finite, not {value!r}")
        return tuple(float(v) for v in value)

    def mapping(value: Any, where: str, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise fail(f"{where} must be a mapping, not {value!r}")
        if odd := [key for key in value if key not in known]:
            raise fail(f"{where} has the unknown key {odd[0]!r}: use {', '.join(sorted(known))}")
        return value

    def prompts(value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise fail(f"{where} must be a list of prompts, not {value!r}")
        try:
            return tuple(normalise(prompt) for prompt in value)
        except (ValueError, AttributeError) as error:
            raise fail(f"{where}: {error}") from None

    def thing(name: Any, where: str, graspable: bool | None = None) -> str:
        if not isinstance(name, str) or name not in CATALOGUE:
            raise fail(f"{where} names the unknown object {name!r}: use {', '.join(CATALOGUE)}")
        if graspable is not None and CATALOGUE[name].graspable != graspable:
            raise fail(f"{where}: {name} {'cannot be grasped' if graspable else 'is no receptacle'}")
        return name

    def placement(name: Any, value: Any) -> Placement:
        where = f"objects.{thing(name, 'objects')}"
        entry = mapping(value, where, {"x", "y", "yaw", "atop"})
        if "atop" in entry:
            if len(entry) > 1 or not CATALOGUE[name].graspable:
                raise fail(f"{where}: 'atop' stands alone and only with an object that can be grasped")
            return Placement(atop=thing(entry["atop"], f"{where}.atop", graspable=False))
        x, y, yaw = numbers([entry.get("x"), entry.get("y"), entry.get("yaw", 0.0)], 3, f"{where} x, y, yaw")
        return Placement(x, y, yaw)

    def subgoal(value: Any, where: str) -> Subgoal:
        entry = mapping(value, where, {"place", "to", "grasp", "prompts"})
        given = mapping(entry.get("prompts"), f"{where}.prompts", {"grasp", "place"})
        grasp = prompts(given.get("grasp"), f"{where}.prompts.grasp")
        if "grasp" in entry:
            return Subgoal(thing(entry["grasp"], where, graspable=True), None, grasp)
        target = thing(entry.get("to"), f"{where}.to", graspable=False)
        place = prompts(given.get("place"), f"{where}.prompts.place")
        return Subgoal(thing(entry.get("place"), where, graspable=True), target, grasp, place)

    document = mapping(document, "the task", _KEYS)
    instruction = document.get("instruction")
    objects = document.get("objects")
    if not isinstance(instruction, str) or not instruction.strip():
        raise fail("instruction is missing: say in words what to do")
    if not isinstance(objects, dict) or not objects:
        raise fail("objects is missing: give each object's x, y, yaw")
    if not isinstance(document.get("subgoals"), list) or not document["subgoals"]:
        raise fail("subgoals is missing: list 'place: OBJECT, to: RECEPTACLE' or 'grasp: OBJECT'")
    layout = {name: placement(name, value) for name, value in objects.items()}
    subgoals = tuple(subgoal(value, f"subgoals[{k}]") for k, value in enumerate(document["subgoals"]))
    needed = [name for goal in subgoals for name in (goal.thing, goal.receptacle) if name]
    needed += [place.atop for place in layout.values() if place.atop]
    if absent := [name for name in needed if name not in layout]:
        raise fail(f"{absent[0]} is needed but not among the objects: add it")
    groups = document.get("left_to_right", [])
    if not isinstance(groups, list) or not all(isinstance(group, list) and len(group) > 1 for group in groups):
        raise fail(f"left_to_right must be a list of lists of objects, not {groups!r}")
    if absent := [name for group in groups for name in group if name not in layout or layout[name].atop]:
        raise fail(f"left_to_right names {absent[0]!r}, which does not stand on the table: use one of the objects")
    jitter = mapping(document.get("jitter", {}), "jitter", {"position_m", "yaw_deg"})
    wide = mapping(document.get("wide", {}), "wide", {"x", "y"})
    x, y = (
        numbers(wide.get(axis, list(span)), 2, f"wide.{axis}")
        for axis, span in (("x", (0.22, 0.40)), ("y", (-0.17, 0.17)))
    )
    position_m, yaw_deg = numbers([jitter.get("position_m", 0.0), jitter.get("yaw_deg", 0.0)], 2, "jitter")
    if position_m < 0 or yaw_deg < 0 or x[0] > x[1] or y[0] > y[1]:
        raise fail("jitter must not be negative, and wide.x and wide.y must go from low to high")
    max_steps = document.get("max_steps", 8)
    if not isinstance(max_steps, int) or isinstance(max_steps, bool) or max_steps < 1:
        raise fail(f"max_steps must be a whole number of at least 1, not {max_steps!r}")
    start = numbers(document.get("start", list(HOME)), 3, "start")
    return Task(
        name=path.stem,
        instruction=prompts([instruction], "instruction")[0],
        layout=layout,
        subgoals=subgoals,
        max_steps=max_steps,
        jitter_m=position_m,
        jitter_rad=float(np.radians(yaw_deg)),
        wide_low=(x[0], y[0]),
        wide_high=(x[1], y[1]),
        left_to_right=tuple(tuple(group) for group in groups),
        release_prompts=prompts(document.get("release_prompts", ["release.", "open the gripper."]), "release_prompts"),
        start=(start[0], start[1], start[2]),
    )
