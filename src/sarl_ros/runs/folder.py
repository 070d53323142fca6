"""A run's folder: made once from settings, then enough by itself to start the same graph again.

`runs/<time>-<task>-<method>-s<seed>/` holds config.yaml (the ROS parameter file of every node), episodes.jsonl, the
replay store, checkpoints, the operator's journal, TensorBoard logs, curve.png and logs/<node>.log.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sarl_ros.console.address import parse_address, shown_address
from sarl_ros.core import seeds
from sarl_ros.core.environment import environment_faults
from sarl_ros.core.paths import config_dir, there_of
from sarl_ros.core.yaml_file import YamlError, dump_yaml, load_yaml
from sarl_ros.runs import bringup
from sarl_ros.runs.parameters import checked
from sarl_ros.runs.robots import is_simulated, parameter_file
from sarl_ros.store.appendfile import StoreError, sync_directory
from sarl_ros.store.sealed_text import read_sealed, write_sealed

# Where a person judges: how long a step's result waits for a press, and how long an end can be amended.
PRESS_WINDOW_S = 0.5
END_SHOWN_S = 3.0


class RunError(Exception):
    """A run cannot start or go on; one line that names the thing and the remedy."""


class FolderInUse(RunError):
    """Another process holds the run folder."""


class Interrupted(Exception):
    """A person ended the run; everything is saved."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What a person chooses of a run; everything else comes from the parameter file `config`.

    Attributes:
        robot: sim, or widowx for the arm and the cameras themselves, see `runs.robots`.
        agent: sarl, zero_shot, random, oracle or steer.
        preset: of the agent, a file under config/agents.
        seed_base: reset seed of episode n is seed_base + n.
        evaluate: choose greedily and learn nothing.
        demos: file of language-steered demonstrations, empty for none.
        prompts: file of prompt sequences for agent steer.
        checkpoint: agent state to start from, empty for none.
        policy: mini, still, or a folder of weights.
        proposer: of prompts: scene, scene:FOLDER or fixed:FILE.
        weights_hash: of the policy, which demonstrations must share; empty leaves them unchecked.
        warm_start: folder of what was learned offline, to begin with; empty for none.
        time: of the simulator, lockstep or realtime.
        fault_script: file of faults that the simulator has on purpose, empty for none.
        record: write a bag an episode.
        console: serve the operator's page.
        console_at: HOST:PORT to serve it on, empty for what the parameter file says.
        operate: a person starts, judges and confirms resets, instead of the simulated world; always so on a real
            robot, and never without the console.
        config: another parameter file than the robot's.
    """

    task: str
    episodes: int
    robot: str = "sim"
    seed: int = 0
    agent: str = "sarl"
    preset: str = "sim"
    seed_base: int = 0
    evaluate: bool = False
    demos: str = ""
    demo_count: int = 0
    prompts: str = ""
    checkpoint: str = ""
    policy: str = "mini"
    proposer: str = "scene"
    weights_hash: str = ""
    warm_start: str = ""
    wide: bool = False
    time: str = "lockstep"
    fault_script: str = ""
    record: bool = True
    console: bool = False
    console_at: str = ""
    operate: bool = False
    config: Path | None = None

    @property
    def operated(self) -> bool:
        return self.operate or not is_simulated(self.robot)

    @property
    def method(self) -> str:
        return f"eval-{self.agent}" if self.evaluate else self.agent


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Raises RunError, where a parameter is asked for, if config.yaml cannot be read or is not what was written."""

    path: Path

    @property
    def name(self) -> str:
        """Of the run, as its records have it; a folder that was copied or moved may be called otherwise."""
        of_node = (values.get("run") for values in _parameters(self.tree())) if self.parameters.exists() else ()
        return next((str(run) for run in of_node if run), self.path.name)

    @property
    def parameters(self) -> Path:
        return self.path / "config.yaml"

    @property
    def episodes(self) -> Path:
        return self.path / "episodes.jsonl"

    @property
    def journal(self) -> Path:
        return self.path / "operator.jsonl"

    @property
    def curve(self) -> Path:
        return self.path / "curve.png"

    def log(self, node: str) -> Path:
        return self.path / "logs" / f"{node}.log"

    def tree(self) -> dict[str, Any]:
        """All parameters of this run, as its config.yaml has them."""
        try:
            tree = load_yaml(read_sealed(self.parameters), self.parameters)
        except (StoreError, YamlError) as error:
            raise RunError(str(error)) from error
        if not bringup.is_parameter_tree(tree):
            raise RunError(f"{self.parameters}: is damaged, it is no ROS parameter file: restore it from a copy")
        return tree

    def setting(self, node: str, name: str) -> Any:
        """A parameter of this run as its config.yaml has it."""
        try:
            return self.tree()[node]["ros__parameters"][name]
        except KeyError:
            raise RunError(f"{self.parameters}: node {node} has no parameter {name}: restore it from a copy") from None

    def write(self, tree: dict[str, Any]) -> None:
        """Write config.yaml, whole or not at all. Raises RunError for what no node would take, and OSError."""
        write_sealed(self.parameters, dump_yaml(self._checked(tree)))

    def _checked(self, tree: dict[str, Any]) -> dict[str, Any]:
        try:
            return checked(tree, self.parameters)
        except YamlError as error:
            raise RunError(str(error)) from error

    def set(self, node: str, name: str, value: Any) -> None:
        """Change a parameter in config.yaml, before the graph is started."""
        tree = self.tree()
        tree[node]["ros__parameters"][name] = value
        self.write(tree)

    def settle(self) -> None:
        """Write config.yaml as `settled` has it. Raises RunError and OSError."""
        tree = self.settled()
        if dump_yaml(tree) != dump_yaml(self.tree()):
            self.write(tree)

    def settled(self) -> dict[str, Any]:
        """All parameters, named as in this version, with this folder wherever it was copied or moved from, and the run.

        In a folder of an earlier version some nodes know the run by the folder's name alone, and the arm's driver keeps
        no stops on disk.

        Raises:
            RunError: a node would not take them.
        """
        tree, here, run = self.tree(), str(self.path), self.name
        earlier = {str(values["run_dir"]) for values in _parameters(tree) if values.get("run_dir")} - {here}
        _rename_arm(tree)
        proposer = tree.get("prompt_proposer", {}).get("ros__parameters", {})
        if proposer and "proposer" not in proposer:  # of an earlier version
            weights = proposer.pop("weights", proposer.pop("policy", "mini"))
            proposer["proposer"] = f"{proposer.pop('backend', 'scene')}{'' if weights == 'mini' else f':{weights}'}"
        arm = tree.get(bringup.ARM_BRIDGE.name, {}).get("ros__parameters")
        if arm is not None and "stop_file" not in arm:
            arm["stop_file"] = self.simulated_stop if bringup.SIM_WORLD.name in tree else _stop_of_the_arm()
        for values in _parameters(tree):
            values["run"] = values.get("run") or run
            for name, value in values.items():
                for folder in earlier:
                    if isinstance(value, str) and (value == folder or value.startswith(folder + os.sep)):
                        values[name] = here + value.removeprefix(folder)
        return self._checked(tree)

    @property
    def simulated_stop(self) -> str:
        """Where a stop of the simulated arm is kept: it belongs to its run, that of a real one to the arm."""
        return str(self.path / "arm.stop")

    def console_address(self) -> str:
        """Where this run's console is reached with a browser, empty if it has none."""
        parameters = self.tree().get(bringup.CONSOLE.name, {}).get("ros__parameters", {})
        return shown_address(parameters["host"], parameters["port"]) if parameters else ""

    @property
    def lock_file(self) -> Path:
        return self.path / "run.lock"

    def lock(self) -> IO[str]:
        """Hold the folder until the returned file is closed.

        Raises:
            FolderInUse: another process holds it.
        """
        handle = open(self.lock_file, "w")  # noqa: SIM115 - held for the life of the run
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise FolderInUse(f"{self.path} is in use by another run: wait for it, or choose another folder") from None
        return handle


def _parameters(tree: dict[str, Any]) -> list[dict[str, Any]]:
    return [node["ros__parameters"] for node in tree.values()]


def _stop_of_the_arm() -> str:
    shipped = bringup.merge_parameters(config_dir() / "widowx.yaml", {})
    return str(shipped[bringup.ARM_BRIDGE.name]["ros__parameters"]["stop_file"])


def _rename_arm(tree: dict[str, Any]) -> None:
    """Call the arm's driver what it is called now, in the parameters of an earlier version."""
    old = "widowx_bridge"
    if old not in tree:
        return
    tree[bringup.ARM_BRIDGE.name] = {"ros__parameters": {"bridge": "widowx", **tree.pop(old)["ros__parameters"]}}
    operator = tree.get(bringup.OPERATOR.name, {}).get("ros__parameters", {})
    names = operator.get("required_nodes", [])
    if old in names:
        operator["required_nodes"] = [bringup.ARM_BRIDGE.name if name == old else name for name in names]


def open_run(path: str | os.PathLike[str], played: bool = False) -> RunFolder:
    """An existing run folder.

    Args:
        played: it must be of a run that a graph plays, not of what was learned offline.

    Raises:
        RunError: it is not one, or its config.yaml is damaged.
    """
    folder = RunFolder(Path(path).resolve())
    if not folder.parameters.is_file():
        raise RunError(f"{path} is no run folder: it has no config.yaml; see runs/ for those that are")
    if played and bringup.OPERATOR.name not in folder.tree():
        if folder.journal.exists():
            raise RunError(f"{folder.parameters}: was cut, it has no node operator: restore it from a copy")
        raise RunError(f"{path} was learned offline, there is no run to go on with: begin one with --warm-start {path}")
    return folder


def create_run(settings: RunSettings, root: Path) -> RunFolder:
    """Make a run folder with its config.yaml.

    Raises:
        RunError: the parameter file is malformed, the agent cannot work there, the disk is full, or the folder cannot
            be written.
    """
    check_agent(settings.agent, settings.robot)
    base = settings.config or parameter_file(settings.robot)
    name = f"{Path(settings.task).stem}-{settings.method}-s{settings.seed}"
    while True:
        folder = RunFolder(unused_folder(root, name))
        tree = _tree(settings, base, folder)
        check_space(tree, folder.path)
        try:
            folder.path.mkdir(parents=True)
            (folder.path / "logs").mkdir()
            folder.write(tree)
            sync_directory(folder.path.parent)
        except FileExistsError:
            continue  # another run took this name meanwhile
        except OSError as error:
            raise RunError(f"{folder.path}: {error.strerror}; choose another folder with --runs") from error
        return folder


def _tree(settings: RunSettings, base: Path, folder: RunFolder) -> dict[str, Any]:
    """All nodes' parameters. Raises RunError."""
    try:
        tree = bringup.merge_parameters(base, _overrides(settings, folder))
        for node in tree.values():
            node["ros__parameters"]["run"] = folder.name
        checked(tree, base)
    except (OSError, ValueError) as error:
        raise RunError(" ".join(str(error).split())) from error
    return tree


def check_space(tree: dict[str, Any], path: Path) -> None:
    """Raises RunError where the recorder of this graph would let no episode start for want of space."""
    if bringup.RECORDER.name not in tree:
        return
    needed_mb = float(tree[bringup.RECORDER.name]["ros__parameters"].get("no_images_below_mb", 0.0))
    there = there_of(path)
    free_mb = shutil.disk_usage(there).free / 1e6
    if free_mb < needed_mb:
        raise RunError(
            f"{there}: {free_mb:.0f} MB are free, bags need {needed_mb:.0f} MB: free some, or begin a run on another"
            " disk with --runs, or one without bags with --no-record"
        )


def check_environment(graph: bool = True) -> None:
    """Raises RunError where an environment variable is set to what a run cannot work with.

    Args:
        graph: the run starts ROS nodes.
    """
    if faults := environment_faults(os.environ, graph):
        raise RunError(faults[0])


def check_agent(agent: str, robot: str) -> None:
    """Raises RunError where the agent cannot work with the robot."""
    if not is_simulated(robot) and agent == "oracle":
        raise RunError("agent oracle reads the simulated world's truth: choose another for a real robot")


def unused_folder(root: Path, name: str) -> Path:
    """A path under `root`, with the time before `name`, that is not there yet."""
    path = root.resolve() / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    number, candidate = 1, path
    while os.path.lexists(candidate):
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _overrides(settings: RunSettings, folder: RunFolder) -> dict[str, dict[str, Any] | None]:
    base = settings.seed_base or seeds.training(settings.seed)
    run = {"run_dir": str(folder.path), "task": settings.task}
    operator: dict[str, Any] = run | {"episodes": settings.episodes, "seed_base": base, "wide": settings.wide}
    if settings.operated:
        operator |= {"auto": False, "press_window_s": PRESS_WINDOW_S, "end_shown_s": END_SHOWN_S}
    arm = {bringup.ARM_BRIDGE.name: {"stop_file": folder.simulated_stop}} if is_simulated(settings.robot) else {}
    return arm | {
        "operator": operator,
        "recorder": {"run_dir": str(folder.path)} if settings.record else None,
        "console": parse_address(settings.console_at) if settings.console or settings.operated else None,
        "sarl_learner": run
        | {
            "agent": settings.agent,
            "preset": settings.preset,
            "seed": settings.seed,
            "seed_base": base,
            "evaluate": settings.evaluate,
            "demos": settings.demos,
            "demo_count": settings.demo_count,
            "prompts": settings.prompts,
            "checkpoint": settings.checkpoint,
            "weights_hash": settings.weights_hash,
            "warm_start": settings.warm_start,
        },
        "vla_executor": {"policy": settings.policy},
        "prompt_proposer": {"proposer": settings.proposer},
        "sim_world": {"time": settings.time, "fault_script": settings.fault_script}
        if is_simulated(settings.robot)
        else None,
    }
