"""`sarl operate`: joins a graph that runs on this machine and operates it by single keys."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError, RunFolder
from sarl_ros.runs.running import find_running

SOURCE = "terminal"


def operate(run: Path | None, root: Path, domain: int | None) -> None:
    """Operate a run until the person leaves; the run goes on.

    Args:
        run: its folder; None takes the newest that is up under `root`.
        domain: the graph's ROS domain where no run folder says it, as under `ros2 launch`; None looks for a folder.

    Raises:
        RunError: no such run is up, there is no terminal, or the graph is heard no more.
    """
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise RunError("`sarl operate` needs a terminal for its keys: run it in one, or use the services of /operator")
    name = ""
    if domain is None:
        graph = find_running(run, root)
        print(f"run {graph.folder}, ROS domain {graph.domain}")
        domain, name = graph.domain, RunFolder(graph.folder).name
    os.environ.update(bringup.environment(domain))
    from sarl_ros.operating import screen
    from sarl_ros.operating.terminal import Terminal
    from sarl_ros.ros.operator_client import open_operator_client

    with open_operator_client(SOURCE, name) as client:
        screen.run(Terminal(lambda: client.view, client), lambda: bool(client.failure))
        if client.failure:
            raise RunError(client.failure)
