"""`sarl operate`: joins a graph that runs on this machine and operates it by single keys."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError, RunFolder, check_environment

HELP = "operate a run of this machine by single keys in a terminal"
SOURCE = "terminal"
MODES: dict[str, set[str]] = {"domain": set()}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, help="its folder (default: the newest that is up)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are (default: runs)")
    parser.add_argument("--domain", type=int, help="ROS domain of a graph that `ros2 launch` started")


def run(options: argparse.Namespace) -> None:
    """Operate a run until the person leaves; the run goes on.

    Raises:
        RunError: no such run is up, there is no terminal, or the graph is heard no more.
    """
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise RunError("`sarl operate` needs a terminal for its keys: run it in one, or use the services of /operator")
    check_environment()
    domain, name = options.domain, ""
    if domain is None:
        from sarl_ros.runs.running import find_running

        graph = find_running(options.run, options.runs)
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
