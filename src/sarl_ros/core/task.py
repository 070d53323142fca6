"""A task: what to do, in words, and in how many decisions. Whoever simulates it has a section of its own in its file.

A task is a YAML file under config/tasks, or anywhere. A real arm needs its words alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from sarl_ros.core.paths import config_dir
from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.yaml_file import FileModel, YamlError, load_yaml, read_text

MAX_STEPS = 1000

Prompt = Annotated[str, AfterValidator(normalise)]
"""Normalised; see `normalise` for what is refused."""


class TaskError(ValueError):
    """A task that cannot be used; the message is one line that names it and the remedy."""


class Task(FileModel):
    """A task.

    Attributes:
        name: of its file, without the ending.
        instruction: in words.
        max_steps: decisions after which an episode times out.
        sim: for the simulator, as read; None where there is nothing to simulate.
    """

    name: str
    instruction: Prompt
    max_steps: int = Field(default=8, ge=1, le=MAX_STEPS)
    sim: dict[str, Any] | None = None


def _task_folder() -> Path:
    try:
        return config_dir() / "tasks"
    except FileNotFoundError as error:
        raise TaskError(str(error)) from None


def task_names() -> tuple[str, ...]:
    """Names of the tasks that come with the package."""
    return tuple(sorted(path.stem for path in _task_folder().glob("*.yaml")))


def task_path(name_or_path: str | Path) -> Path:
    """Where a task's file lies: its name under config/tasks, or the path of a YAML file."""
    path = Path(name_or_path)
    return path if path.suffix in (".yaml", ".yml") else _task_folder() / f"{name_or_path}.yaml"


def load_task(name_or_path: str | Path) -> Task:
    """A task by its name under config/tasks or by the path of a YAML file.

    Raises:
        TaskError: no such task, or its file is malformed.
    """
    path = task_path(name_or_path)
    if not path.is_file():
        raise TaskError(f"no task file {path}: name a YAML file or one of {', '.join(task_names())}")
    try:
        tree = load_yaml(read_text(path, "task file"), path)
        if isinstance(tree, dict) and "objects" in tree:
            raise TaskError(f"{path}: objects and all that is simulated belongs in a section `sim:`: indent it there")
        if isinstance(tree, dict) and "name" in tree:
            raise TaskError(f"{path}: name is unknown: delete it, a task is called like its file")
        return Task.of({"name": path.stem, **tree} if isinstance(tree, dict) else tree, path)
    except YamlError as error:
        raise TaskError(str(error)) from None
