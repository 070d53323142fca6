"""Processes of a test: started with their output in a file, waited for, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

WAIT_S = 30.0
ROBOT_GRAPH = Path(__file__).with_name("robot_graph.py")


def wait_for(condition: Callable[[], object], what: str):
    """The first true value of `condition`."""
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)
    return found


class Process:
    """A Python process on a ROS domain whose output goes to a file."""

    def __init__(self, log: Path, domain: str, *arguments: str, **environment: str) -> None:
        self.log = log
        ours = {"ROS_DOMAIN_ID": domain, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "PYTHONUNBUFFERED": "1"}
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                env=os.environ | ours | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def lines(self, start: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(start)]

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        return self.process.wait(15)


class Console(Process):
    """The console node; each of `parameters` is name:=value."""

    def __init__(self, log: Path, domain: str, *parameters: str, **environment: str) -> None:
        options = [word for parameter in ("port:=0", *parameters) for word in ("-p", parameter)]
        node = ["-m", "sarl_ros.nodes.console", "--ros-args", "-r", "__node:=console"]
        super().__init__(log, domain, *node, *options, **environment)

    def address(self) -> str:
        line = wait_for(lambda: self.lines("console http"), "the console's address")[0]
        return line.split()[1]


class Starter:
    """Starts a test's processes, whose output goes under `folder`, and ends them."""

    def __init__(self, folder: Path, domain: str) -> None:
        self._folder, self._domain = folder, domain
        self._started: list[Process] = []

    def _log(self) -> Path:
        return self._folder / f"{len(self._started)}.log"

    def robot(self, *options: str) -> Process:
        """The faked graph, see robot_graph.py."""
        self._started.append(Process(self._log(), self._domain, str(ROBOT_GRAPH), *options))
        return self._started[-1]

    def console(self, *parameters: str, **environment: str) -> Console:
        console = Console(self._log(), self._domain, *parameters, **environment)
        self._started.append(console)
        return console

    def end(self) -> None:
        for process in self._started:
            process.end()
