"""A whole ROS parameter file held against what its nodes take, before any of them is started."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sarl_ros.core.yaml_file import YamlError, shown
from sarl_ros.parameters.bag_player import BagPlayerParameters
from sarl_ros.parameters.base import NodeParameters
from sarl_ros.parameters.camera import CameraParameters
from sarl_ros.parameters.console import ConsoleParameters
from sarl_ros.parameters.operator import OperatorParameters
from sarl_ros.parameters.pedals import PedalsParameters
from sarl_ros.parameters.prompt_proposer import ProposerParameters
from sarl_ros.parameters.recorder import RecorderParameters
from sarl_ros.parameters.sarl_learner import LearnerParameters
from sarl_ros.parameters.sim_world import SimWorldParameters
from sarl_ros.parameters.vla_executor import ExecutorParameters
from sarl_ros.runs import bringup

MODELS: dict[str, type[NodeParameters]] = {
    bringup.SIM_WORLD.name: SimWorldParameters,
    bringup.CAMERA_FRONT.name: CameraParameters,
    bringup.CAMERA_WRIST.name: CameraParameters,
    bringup.VLA_EXECUTOR.name: ExecutorParameters,
    bringup.PROMPT_PROPOSER.name: ProposerParameters,
    bringup.OPERATOR.name: OperatorParameters,
    bringup.SARL_LEARNER.name: LearnerParameters,
    bringup.RECORDER.name: RecorderParameters,
    bringup.CONSOLE.name: ConsoleParameters,
    bringup.PEDALS.name: PedalsParameters,
    bringup.BAG_PLAYER.name: BagPlayerParameters,
}


def parameters_of(node: str, tree: dict[str, Any], source: str | Path) -> NodeParameters:
    """The parameters of one node of a parameter tree; `source` names its file in errors.

    Raises:
        YamlError: there is no such node, or a value is unknown, of another type or out of its range.
    """
    values = tree[node]["ros__parameters"]
    if node == bringup.ARM_BRIDGE.name:
        try:
            model = bridge_model(bringup.bridge_of(values))
        except ValueError as error:
            raise YamlError(f"{source}: {node}: {error}") from None
    elif node in MODELS:
        model = MODELS[node]
    else:
        known = (*MODELS, bringup.ARM_BRIDGE.name)
        raise YamlError(f"{source}: there is no node {shown(node)}: use {', '.join(known)}")
    return model.of(values, f"{source}: {node}")


def bridge_model(bridge: bringup.Bridge) -> type[NodeParameters]:
    """The model of an arm's driver, which its own package has."""
    module, _, name = bridge.parameters.partition(":")
    model: type[NodeParameters] = getattr(importlib.import_module(module), name)
    return model


def checked(tree: dict[str, Any], source: str | Path) -> dict[str, Any]:
    """A whole parameter tree as its nodes can read it: a whole number that does for another gets its point.

    ROS reads no list that has numbers of both kinds.

    Raises:
        YamlError: as `parameters_of`.
    """
    nodes = {}
    for node, section in tree.items():
        read = parameters_of(node, tree, source).model_dump(mode="json")
        values = section["ros__parameters"]
        nodes[node] = {"ros__parameters": {name: read.get(name, value) for name, value in values.items()}}
    return nodes
