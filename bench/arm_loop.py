"""Real-time control of the emulated arm at 5 Hz: period, error, missed commands, and velocity where chunks meet.

Simulated world in real time and bridge run as processes; this program plays action chunks on /arm/command, the next
action as soon as the arm has answered the last, as the executor does. The chunks follow a path through the workspace
with the errors of a policy that plans anew from where it is. The same chunks are played twice, joined and naively.

    python bench/arm_loop.py [--minutes 30] [--json loop.json]
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor

from sarl_interfaces.msg import ArmCommand, ArmState, NodeStatus
from sarl_interfaces.srv import ArmReset
from sarl_ros.core.paths import config_dir
from sarl_ros.core.types import CONTROL_PERIOD_S, Observation
from sarl_ros.policies.chunk_player import ChunkPlayer
from sarl_ros.policies.policy import Plan, PolicySpec
from sarl_ros.ros import topics
from sarl_ros.ros.convert import stamp_ns
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup

NODES = (bringup.SIM_WORLD, bringup.ARM_BRIDGE)
CHUNK, EXECUTE = 4, 2
CENTRE = np.array([0.30, 0.0, 0.11])
RADIUS = np.array([0.05, 0.10, 0.03])
LAP_S = 12.0
PLAN_ERROR_M = 0.003
EMULATED_EFFORT_LIMITS = [20_000.0] * 6
ANSWER_S = 3.0
WAIT_S = 60.0
WARM_UP = 10


class Lap:
    """A policy that flies laps: chunks of deltas to a closed path, each plan a little off in its own way."""

    spec = PolicySpec(chunk_size=CHUNK, identity="laps")

    def __init__(self) -> None:
        self.count = 0
        self.at = _place(0)

    def plan(self, observation: Observation | None, prompt: str, *, noise=None, seed: int = 0) -> Plan:
        """From where the arm was last told to be, `at` (3,) in m; what it is off the path is flown off by the end."""
        rng = np.random.default_rng(self.count)
        start, bias = self.count, rng.normal(size=3) * PLAN_ERROR_M
        self.count += EXECUTE
        off = (_place(start) - self.at) / CHUNK
        chunk = np.zeros((CHUNK, 7), np.float32)
        for k in range(CHUNK):
            chunk[k, :3] = _place(start + k + 1) - _place(start + k) + off + bias
        chunk[:, 6] = 1.0
        return Plan(chunk)


def _place(step: int) -> NDArray[np.float64]:
    angle = 2 * np.pi * step * CONTROL_PERIOD_S / LAP_S
    return CENTRE + RADIUS * np.array([np.sin(2 * angle) / 2, np.sin(angle), np.sin(3 * angle) / 2])


class Joined:
    """Plays chunks as the executor does."""

    def __init__(self) -> None:
        self.lap = Lap()
        self._player = ChunkPlayer(self.lap, EXECUTE)
        self._player.start("fly laps.", 0)
        self._seen = Observation(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8), np.zeros(8, np.float32))

    def next(self) -> NDArray[np.float32]:
        return self._player.next(lambda: self._seen)


class Naive:
    """Plays the same chunks one after the other as they are."""

    def __init__(self) -> None:
        self.lap = Lap()
        self._left: list[NDArray[np.float32]] = []

    def next(self) -> NDArray[np.float32]:
        if not self._left:
            self._left = list(self.lap.plan(None, "").actions[:EXECUTE])
        return self._left.pop(0)


@dataclass(slots=True)
class Figures:
    """Of one way of playing. Seconds, metres, metres a second."""

    commands: int
    missed: int
    period_p50_s: float
    period_p99_s: float
    period_worst_s: float
    steady_p50_s: float
    steady_p99_s: float
    steady_worst_s: float
    error_p50_m: float
    error_worst_m: float
    seam_jump_p99: float
    seam_jump_worst: float
    joint_jump_p99: float
    joint_jump_worst: float


class Client:
    """Commands the bridge, and keeps what came back."""

    def __init__(self, domain: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = node = rclpy.create_node("arm_loop", context=self._context)
        self._changed = threading.Condition()
        self._ready: dict[str, bool] = {}
        self._answer: ArmState | None = None
        self._newest: ArmState | None = None
        self._seq = 0
        self._commands = node.create_publisher(ArmCommand, topics.ARM_COMMAND, topics.STREAM)
        node.create_subscription(ArmState, topics.ARM_STATE, self._on_state, topics.STREAM)
        node.create_subscription(NodeStatus, topics.NODE_STATUS, self._on_status, topics.STREAM)
        self._spinner = SpinThread(SingleThreadedExecutor(context=self._context), node)

    def _on_state(self, state: ArmState) -> None:
        with self._changed:
            self._newest = state
            if state.seq:
                self._answer = state
            self._changed.notify_all()

    def _on_status(self, status: NodeStatus) -> None:
        with self._changed:
            self._ready[status.node] = status.ready
            self._changed.notify_all()

    def prepare(self) -> None:
        """Wait for the nodes and reset the arm."""
        with self._changed:
            if not self._changed.wait_for(lambda: all(self._ready.get(spec.name) for spec in NODES), WAIT_S):
                raise SystemExit(f"error: not ready within {WAIT_S:g} s: {self._ready}")
        client = self._node.create_client(ArmReset, topics.ARM_RESET)
        if not client.wait_for_service(10.0):
            raise SystemExit("error: nobody serves /arm/reset")
        future = client.call_async(ArmReset.Request())
        deadline = time.monotonic() + WAIT_S
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not future.done() or not future.result().success:
            raise SystemExit(f"error: no reset: {future.result().message if future.done() else 'no answer'}")

    def step(self, action: NDArray[np.float32]) -> ArmState | None:
        """The state that answers, None where none came in time."""
        self._seq += 1
        self._commands.publish(ArmCommand(seq=self._seq, action=action.astype(np.float64)))
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None and self._answer.seq == self._seq, ANSWER_S)
            return self._answer if self._answer is not None and self._answer.seq == self._seq else None

    def close(self) -> None:
        self._spinner.stop()
        self._node.destroy_node()
        self._context.try_shutdown()


def play(client: Client, player: Joined | Naive, seconds: float) -> Figures:
    client.prepare()
    stamps, answered_s, errors, joints = [], [], [], []
    actions: list[Any] = []
    missed = 0
    began_s = told_s = time.monotonic()
    while (now_s := time.monotonic()) - began_s < seconds:
        if now_s - told_s >= 60:
            told_s = now_s
            left_min = (seconds - (now_s - began_s)) / 60
            name = type(player).__name__.lower()
            print(f"{name}: {len(actions)} commands, {missed} missed, {left_min:.0f} min left", flush=True)
        action = player.next()
        answer = client.step(action)
        actions.append(action[:3] / CONTROL_PERIOD_S)
        if answer is None or not answer.accepted:
            missed += 1
            print(f"command {len(actions)}: {answer.refusal if answer else 'no answer'}", flush=True)
            continue
        player.lap.at = np.array(answer.target[:3])
        stamps.append(stamp_ns(answer.header.stamp) * 1e-9)
        answered_s.append(time.monotonic())
        errors.append(float(np.linalg.norm(np.array(answer.pose[:3]) - np.array(answer.target[:3]))))
        joints.append(np.array(answer.joint_position))
    periods, steady = np.diff(stamps)[WARM_UP:], np.diff(answered_s)[WARM_UP:]
    jumps = np.linalg.norm(np.diff(actions, axis=0), axis=1)[EXECUTE - 1 :: EXECUTE]
    speeds = np.diff(joints, axis=0) / CONTROL_PERIOD_S
    joint_jumps = np.abs(np.diff(speeds, axis=0)).max(axis=1)
    return Figures(
        commands=len(actions),
        missed=missed,
        period_p50_s=float(np.median(periods)),
        period_p99_s=float(np.quantile(periods, 0.99)),
        period_worst_s=float(periods.max()),
        steady_p50_s=float(np.median(steady)),
        steady_p99_s=float(np.quantile(steady, 0.99)),
        steady_worst_s=float(steady.max()),
        error_p50_m=float(np.median(errors)),
        error_worst_m=float(np.max(errors)),
        seam_jump_p99=float(np.quantile(jumps, 0.99)),
        seam_jump_worst=float(jumps.max()),
        joint_jump_p99=float(np.quantile(joint_jumps, 0.99)),
        joint_jump_worst=float(joint_jumps.max()),
    )


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    hardware = yaml.safe_load((config_dir() / "widowx.yaml").read_text())["arm_bridge"]["ros__parameters"]
    # A busy computer shows as a late period, not as a fault that ends the measurement.
    settings = {"speed_scale": 1.0, "effort_limits": EMULATED_EFFORT_LIMITS, "answer_timeout_s": ANSWER_S}
    overrides = {"sim_world": {"time": "realtime"}, "arm_bridge": {**hardware, **settings, "states_timeout_s": 2.0}}
    parameters = folder / "parameters.yaml"
    parameters.write_text(yaml.safe_dump(bringup.merge_parameters(config_dir() / "sim.yaml", overrides)))
    environment = bringup.environment(options.domain)
    os.environ.update(environment)
    processes = [subprocess.Popen(bringup.command(spec, sys.executable, parameters), env=environment) for spec in NODES]
    client = Client(options.domain)
    try:
        seconds = options.minutes * 60 / 2
        return {"joined": asdict(play(client, Joined(), seconds)), "naive": asdict(play(client, Naive(), seconds))}
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait(10)
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="half of them joined, half naively")
    parser.add_argument("--domain", type=int, default=107)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options, Path(folder))
    for way, of in figures.items():
        print(
            f"{way}: {of['commands']} commands, {of['missed']} missed; period of the arm's time p50 "
            f"{of['period_p50_s'] * 1e3:.1f} ms, p99 {of['period_p99_s'] * 1e3:.1f}, worst "
            f"{of['period_worst_s'] * 1e3:.1f}; of the computer's p50 {of['steady_p50_s'] * 1e3:.1f}, p99 "
            f"{of['steady_p99_s'] * 1e3:.1f}, worst {of['steady_worst_s'] * 1e3:.1f}; gripper off its target p50 "
            f"{of['error_p50_m'] * 1e3:.1f} mm, worst {of['error_worst_m'] * 1e3:.1f}; velocity jump at seams p99 "
            f"{of['seam_jump_p99']:.3f} m/s, worst {of['seam_jump_worst']:.3f}; of joints between periods p99 "
            f"{of['joint_jump_p99']:.3f} rad/s, worst {of['joint_jump_worst']:.3f}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
