"""Robots by name: each is a ROS parameter file, config/NAME.yaml or one anywhere, with the nodes of its graph."""

from __future__ import annotations

from pathlib import Path

from sarl_ros.core.paths import config_dir
from sarl_ros.core.yaml_file import YamlError, load_yaml, read_text
from sarl_ros.runs.bringup import SIM_WORLD, is_parameter_tree


class RobotError(ValueError):
    """There is no such robot; one line that names those that there are."""


def robot_names() -> tuple[str, ...]:
    """Robots that come with the package."""
    return tuple(sorted(path.stem for path in config_dir().glob("*.yaml")))


def parameter_file(robot: str) -> Path:
    """The parameter file of a robot's graph.

    Raises:
        RobotError: there is none.
    """
    path = Path(robot) if robot.endswith((".yaml", ".yml")) else config_dir() / f"{robot}.yaml"
    if not path.is_file():
        raise RobotError(f"no parameter file {path}: choose {', '.join(robot_names())}, or give the path of one")
    return path


def is_simulated(robot: str) -> bool:
    """Whether a robot's graph has a simulated world, which judges and resets.

    Raises:
        RobotError: there is no such robot, or its file is no ROS parameter file.
    """
    path = parameter_file(robot)
    try:
        tree = load_yaml(read_text(path, "parameter file"), path)
    except YamlError as error:
        raise RobotError(str(error)) from None
    if not is_parameter_tree(tree):
        raise RobotError(f"{path}: no ROS parameter file: it needs `node: {{ros__parameters: {{...}}}}` entries")
    return SIM_WORLD.name in tree
