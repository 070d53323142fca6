"""The graph, described once: which nodes a run has, how they are started, and what a death of each means.

`launch/*.launch.py` and `sarl train` both read it. All settings of a run are in one ROS parameter file, config.yaml in
the run folder, so that the folder alone can start the same graph again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sarl_ros.core.yaml_file import load_yaml, read_text


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One process of the graph.

    Attributes:
        name: of the node.
        module: run as `python -m module`.
        on_death: what the graph does meanwhile, in words, for the person who reads the report.
    """

    name: str
    module: str
    on_death: str

    @property
    def executable(self) -> str:
        """Name of the program in package sarl_ros."""
        return self.module.removesuffix(".node").rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Bridge:
    """The driver of an arm: the module of its node, and the model of its parameters as `module:class`."""

    module: str
    parameters: str


SIM_WORLD = NodeSpec("sim_world", "sarl_ros.nodes.sim_world.node", "episode aborted, the world restarts and resets")
CAMERA_FRONT = NodeSpec("camera_front", "sarl_ros.nodes.camera", "episode aborted, the node restarts")
CAMERA_WRIST = NodeSpec("camera_wrist", "sarl_ros.nodes.camera", "episode aborted, the node restarts")
# By the parameter `bridge` of node arm_bridge. A further arm is its package and a line here.
BRIDGES = {
    "widowx": Bridge("widowx_bridge.node", "widowx_bridge.settings:BridgeParameters"),
    "dry": Bridge("sarl_ros.nodes.dry_arm", "sarl_ros.parameters.dry_arm:DryArmParameters"),
}
ARM_BRIDGE = NodeSpec("arm_bridge", BRIDGES["widowx"].module, "the arm holds, episode aborted, the node restarts")
VLA_EXECUTOR = NodeSpec(
    "vla_executor", "sarl_ros.nodes.vla_executor.node", "the arm holds, episode aborted, the node restarts"
)
PROMPT_PROPOSER = NodeSpec("prompt_proposer", "sarl_ros.nodes.prompt_proposer", "the graph waits between steps")
OPERATOR = NodeSpec("operator", "sarl_ros.nodes.operator.node", "the arm holds, the operator resumes from its journal")
SARL_LEARNER = NodeSpec("sarl_learner", "sarl_ros.nodes.sarl_learner", "the graph waits between steps")
RECORDER = NodeSpec("recorder", "sarl_ros.nodes.recorder.node", "a new bag is begun, nothing else stops")
CONSOLE = NodeSpec("console", "sarl_ros.nodes.console", "the page waits, nothing else stops")
PEDALS = NodeSpec("pedals", "sarl_ros.nodes.pedals", "pedals are dead meanwhile, nothing else stops")
BAG_PLAYER = NodeSpec("bag_player", "sarl_ros.nodes.bag_player", "the replay ends")

NODES = (
    SIM_WORLD,
    CAMERA_FRONT,
    CAMERA_WRIST,
    ARM_BRIDGE,
    VLA_EXECUTOR,
    PROMPT_PROPOSER,
    OPERATOR,
    SARL_LEARNER,
    RECORDER,
    CONSOLE,
    PEDALS,
)

# Of a replay, not of a run.
REPLAY_NODES = (BAG_PLAYER, CONSOLE)

SHARED_MEMORY_PROFILE = Path(__file__).with_name("fastdds_shm.xml")


def environment(domain_id: int) -> dict[str, str]:
    """Environment of every node: one machine, one domain, large images through shared memory, one thread a process."""
    return {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain_id),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(SHARED_MEMORY_PROFILE),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
    }


def command(spec: NodeSpec, python: str, parameters: Path) -> list[str]:
    """Command line that starts a node without a ROS installation."""
    return [python, "-m", spec.module, "--ros-args", "-r", f"__node:={spec.name}", "--params-file", str(parameters)]


def graph(parameters: dict[str, Any], nodes: tuple[NodeSpec, ...] = NODES) -> tuple[NodeSpec, ...]:
    """The nodes of a run, or those of `nodes`, that its parameter file has a section for.

    Raises:
        ValueError: there is no driver for its arm.
    """
    named = [spec for spec in nodes if spec.name in parameters]
    return tuple(_with_driver(spec, parameters) if spec is ARM_BRIDGE else spec for spec in named)


def _with_driver(spec: NodeSpec, parameters: dict[str, Any]) -> NodeSpec:
    return replace(spec, module=bridge_of(parameters[spec.name]["ros__parameters"]).module)


def bridge_of(values: Mapping[str, Any]) -> Bridge:
    """The driver that the parameters of node arm_bridge name. Raises ValueError for one that there is not."""
    name = values.get("bridge", "widowx")
    if not isinstance(name, str) or name not in BRIDGES:
        raise ValueError(f"bridge is {name!r}: choose one of {', '.join(BRIDGES)}")
    return BRIDGES[name]


def is_parameter_tree(tree: Any) -> bool:
    """Whether this is what a ROS parameter file holds: nodes by name, each with its parameters."""
    return isinstance(tree, dict) and all(
        isinstance(node, dict) and isinstance(node.get("ros__parameters"), dict) for node in tree.values()
    )


def merge_parameters(base: Path, overrides: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """The parameter file `base` with values replaced or added, node by node; None leaves a node out.

    Raises:
        ValueError: `base` is not a ROS parameter file, or is not YAML that all understand alike.
    """
    tree = load_yaml(read_text(base, "parameter file"), base)
    if not is_parameter_tree(tree):
        raise ValueError(f"{base}: not a ROS parameter file; it needs `node: {{ros__parameters: {{...}}}}` entries")
    for name, values in overrides.items():
        if values is None:
            tree.pop(name, None)
            continue
        tree.setdefault(name, {"ros__parameters": {}})["ros__parameters"].update(values)
    return tree
