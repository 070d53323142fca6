"""Control steps a second of simulated world, bridge and executor as processes, without learner, proposer and operator.

Reference: one control step of real time is 0.2 s, and training has to run at least 4 times faster than that.

    python bench/executor.py [--policy still] [--decisions 8] [--execute 2]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor

from sarl_interfaces.msg import Episode, NodeStatus, Prompt, StepKey, StepResult
from sarl_interfaces.srv import ArmReset, SimReset
from sarl_ros.core.paths import config_dir
from sarl_ros.core.types import CONTROL_PERIOD_S
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup

NODES = (bringup.SIM_WORLD, bringup.ARM_BRIDGE, bringup.VLA_EXECUTOR)
PROMPTS = ("grasp the spoon.", "lift up.", "move to the left.", "reset to home.")
REFERENCE_HZ = 4 / CONTROL_PERIOD_S
WAIT_S = 180.0


class Conductor:
    """Stands in for operator and learner."""

    def __init__(self, domain: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = node = rclpy.create_node("conductor", context=self._context)
        self._changed = threading.Condition()
        self._results: dict[int, StepResult] = {}
        self._ready: set[str] = set()
        self._episodes = node.create_publisher(Episode, topics.EPISODE, topics.LATCHED)
        self._prompts = node.create_publisher(Prompt, topics.PROMPT, topics.PROTOCOL)
        node.create_subscription(StepResult, topics.STEP_RESULT, self._on_result, topics.PROTOCOL)
        node.create_subscription(NodeStatus, topics.NODE_STATUS, self._on_status, topics.STREAM)
        self._spinner = SpinThread(SingleThreadedExecutor(context=self._context), node)

    def _on_result(self, result: StepResult) -> None:
        with self._changed:
            self._results[result.key.step] = result
            self._changed.notify_all()

    def _on_status(self, status: NodeStatus) -> None:
        with self._changed:
            if status.ready:
                self._ready.add(status.node)
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, WAIT_S):
                raise SystemExit(f"error: waited {WAIT_S:g} s for {what}: look at the nodes' output")

    def reset(self, task: str, seed: int) -> None:
        self._wait(lambda: self._ready >= {spec.name for spec in NODES}, "the nodes to be ready")
        self._state(Episode.IDLE)
        for kind, name, request in (
            (ArmReset, topics.ARM_RESET, ArmReset.Request()),
            (SimReset, topics.SIM_RESET, SimReset.Request(task=task, seed=seed)),
        ):
            client = self._node.create_client(kind, name)
            if not client.wait_for_service(10.0):
                raise SystemExit(f"error: nobody serves {name}")
            future = client.call_async(request)
            self._wait(future.done, name)
            if not future.result().success:
                raise SystemExit(f"error: {name}: {future.result().message}")

    def run(self, step: int, prompt: str, control_steps: int) -> StepResult:
        if step == 0:
            self._state(Episode.RUNNING)
        else:
            key = StepKey(run="bench", episode=1, step=step)
            self._prompts.publish(Prompt(key=key, prompt=prompt, control_steps=control_steps))
        self._wait(lambda: step in self._results, f"the result of step {step}")
        return self._results[step]

    def _state(self, state: int) -> None:
        self._episodes.publish(Episode(run="bench", episode=1, state=state, seed=0, max_steps=1000))

    def close(self) -> None:
        self._spinner.stop()
        self._node.destroy_node()
        self._context.try_shutdown()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    parameters = folder / "parameters.yaml"
    overrides = {"vla_executor": {"policy": options.policy, "execute": options.execute}}
    parameters.write_text(yaml.safe_dump(bringup.merge_parameters(config_dir() / "sim.yaml", overrides)))
    environment = bringup.environment(options.domain)
    os.environ.update(environment)
    processes = {
        spec.name: subprocess.Popen(bringup.command(spec, sys.executable, parameters), env=environment)
        for spec in NODES
    }
    conductor = Conductor(options.domain)
    try:
        conductor.reset(options.task, 1)
        conductor.run(0, "", 0)
        conductor.run(1, PROMPTS[0], options.control_steps)
        before = {name: cpu_s(process.pid) for name, process in processes.items()}
        began, done = time.monotonic(), 0
        for step in range(2, options.decisions + 2):
            result = conductor.run(step, PROMPTS[step % len(PROMPTS)], options.control_steps)
            done += result.control_steps
            if result.ended != StepResult.COMPLETED:
                print(f"step {step} ended early: {result.reason}")
        seconds = time.monotonic() - began
        cpu = {name: round((cpu_s(p.pid) - before[name]) / done * 1e3, 1) for name, p in processes.items()}
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        for process in processes.values():
            process.wait(10)
        conductor.close()
    return {
        "control_steps_per_s": round(done / seconds, 1),
        "times_real_time": round(done / seconds * CONTROL_PERIOD_S, 2),
        "ratio_to_reference": round(done / seconds / REFERENCE_HZ, 2),
        "cpu_ms_per_control_step": cpu,
        "policy": options.policy,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", default="mini")
    parser.add_argument("--execute", type=int, default=2)
    parser.add_argument("--task", default="hammer")
    parser.add_argument("--decisions", type=int, default=8)
    parser.add_argument("--control-steps", type=int, default=24)
    parser.add_argument("--domain", type=int, default=105)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options, Path(folder))
    print(
        f"{figures['control_steps_per_s']} control steps/s, {figures['times_real_time']} times real time; "
        f"reference {REFERENCE_HZ:g}/s (4 times): ratio {figures['ratio_to_reference']}"
    )
    print("CPU ms a control step: " + ", ".join(f"{k} {v}" for k, v in figures["cpu_ms_per_control_step"].items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
