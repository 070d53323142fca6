"""Starts the processes of a graph, restarts those that die, reports each death, and ends all of them in time.

A node that ends with code 2 has refused its settings: restarting it would not help, so the run ends with its message.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sarl_ros.core.processes import PARENT, ending_with_us
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError, RunFolder

STOP_S = 3.0
SETUP_ERROR = 2
LOG_LINES = 8
CRASH_LOOP_DEATHS = 4
CRASH_LOOP_S = 15.0
# Fast DDS says so of shared-memory ports that others hold, and takes the next one.
TRANSPORT_NOISE = "RTPS_TRANSPORT_SHM"


@dataclass(slots=True)
class _Child:
    spec: bringup.NodeSpec
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths_s: list[float] = field(default_factory=list)


class Supervisor:
    """The processes of one run. They end with this one, however it ends.

    Args:
        report: takes one line for the person who watches.
        held: descriptors of what is the run's as long as any process of it lives: its domain, its folder.
    """

    def __init__(
        self,
        specs: Sequence[bringup.NodeSpec],
        folder: RunFolder,
        domain_id: int,
        report: Callable[[str], None],
        held: Sequence[int] = (),
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._folder = folder
        self._environment = bringup.environment(domain_id) | {PARENT: str(os.getpid())}
        self._report = report
        self._held = tuple(held)

    def start(self) -> None:
        for child in self._children:
            self._start(child)

    def pid(self, name: str) -> int | None:
        """Process id of a node, None while it is down."""
        for child in self._children:
            if child.spec.name == name and child.process is not None and child.process.poll() is None:
                return child.process.pid
        return None

    def poll(self) -> None:
        """Report and restart what has died since the last call.

        Raises:
            RunError: a node refused its settings, or dies again and again.
        """
        for child in self._children:
            if child.process is None or (code := child.process.poll()) is None:
                continue
            now = time.monotonic()
            child.deaths_s = [at for at in child.deaths_s if now - at < CRASH_LOOP_S] + [now]
            tail = self._tail(child.spec.name)
            if code == SETUP_ERROR:
                errors = [line for line in tail if line.startswith("error: ")]
                raise RunError(f"{child.spec.name}: {errors[-1][7:] if errors else ' | '.join(tail[-2:])}")
            if len(child.deaths_s) >= CRASH_LOOP_DEATHS:
                raise RunError(f"{child.spec.name} keeps dying; see {self._folder.log(child.spec.name)}")
            self._report(f"{child.spec.name} died ({_describe(code)}): {child.spec.on_death}. Last lines of its log:")
            for line in tail:
                self._report(f"    {line}")
            self._start(child)

    def stop(self) -> None:
        """End all processes within 5 s: SIGINT, so that each saves, then SIGKILL."""
        alive = [
            child.process for child in self._children if child.process is not None and child.process.poll() is None
        ]
        for process in alive:
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_S
        for process in alive:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, child: _Child) -> None:
        with open(self._folder.log(child.spec.name), "ab") as log:
            child.process = subprocess.Popen(
                ending_with_us(bringup.command(child.spec, sys.executable, self._folder.parameters)),
                env=self._environment,
                pass_fds=self._held,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.started_s = time.monotonic()

    def _tail(self, name: str) -> list[str]:
        lines = self._folder.log(name).read_bytes()[-8192:].decode(errors="replace").splitlines()
        return [line.rstrip()[:300] for line in lines if line.strip() and TRANSPORT_NOISE not in line][-LOG_LINES:]


def _describe(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
