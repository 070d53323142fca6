"""Starts whole graphs as a person does, finds their processes, and kills them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from toy_world import write_preset

from sarl_ros.core.paths import config_dir
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError, RunSettings, create_run
from sarl_ros.runs.running import RunningGraph, find_running

MODULES = {spec.name: spec.module for spec in bringup.NODES}
# The nodes of a run as `make_run` makes it: every node of the simulated graph but the page.
RUN_NODES = [
    spec.name for spec in bringup.graph(bringup.merge_parameters(config_dir() / "sim.yaml", {"console": None}))
]


def make_run(root: Path, *, control_steps: int = 4, **settings):
    """A run folder on the trivial policy that holds the arm, with short steps and small critics."""
    root.mkdir(parents=True, exist_ok=True)
    small = str(write_preset(root, pool_capacity=64))
    chosen = {"task": "hammer", "episodes": 2, "agent": "random", "policy": "still", "preset": small} | settings
    folder = create_run(RunSettings(**chosen), root)
    folder.set("sarl_learner", "control_steps", control_steps)
    return folder


def start(folder):
    """`sarl train --resume` on the folder, as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "sarl_ros.cli", "train", "--resume", str(folder.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def without_page(folder) -> None:
    """Take the operator's page out of a run that a person operates."""
    tree = folder.tree()
    tree.pop("console")
    folder.parameters.write_text(yaml.safe_dump(tree, sort_keys=False))


def wait_running(folder, process) -> RunningGraph:
    """The graph of the run that `process` starts, once it can be joined."""
    while True:
        try:
            return find_running(folder.path, folder.path.parent)
        except RunError:
            assert process.poll() is None, finish(process, 1)
            time.sleep(0.1)


def node_pid(folder, name: str) -> int | None:
    """Process id of a node of this run; None while it is down."""
    module, parameters = MODULES[name], str(folder.parameters)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "-m" in arguments and module in arguments and parameters in arguments:
            return int(entry.name)
    return None


def kill_node(folder, name: str, timeout_s: float = 30.0) -> int:
    """SIGKILL a node once it runs; returns the killed process id."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        pid = node_pid(folder, name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            return pid
        time.sleep(0.05)
    raise TimeoutError(f"{name} is not running")


def finish(process, timeout_s: float) -> str:
    """Wait for the run's end and return what it printed; a run that hangs is ended with SIGINT first."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
        raise AssertionError(f"the run did not end by itself within {timeout_s} s:\n{output[-3000:]}") from None
    return output
