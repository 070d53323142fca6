"""Every fault of the arm injected into the real-time emulator at three moments: when it is told, held, named and over.

Simulated world, bridge, executor and operator run as processes, the bridge with the settings of config/widowx.yaml at
full speed. This program stands in for the learner. A fault comes while the arm is idle between two steps, in the middle
of an action chunk, and while the arm resets. Latencies are from the emulator's own note of the fault's begin to the
first arm state that names it; `held` is the time after that at which the last command went onto the wire.

    python bench/faults.py [--only stuck,overload] [--moments idle,chunk,reset] [--json faults.json]
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
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
from std_srvs.srv import Trigger

from interbotix_xs_msgs.msg import JointGroupCommand
from sarl_interfaces.msg import ArmState, Episode, Prompt, StepKey, StepResult, StepVerdict
from sarl_ros.core.paths import config_dir
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from widowx_bridge.detectors import NEW_GOAL_RAD
from widowx_bridge.faults import TABLE, Fault

NODES = (bringup.SIM_WORLD, bringup.ARM_BRIDGE, bringup.VLA_EXECUTOR, bringup.OPERATOR)
PROMPTS = ("move to the left.", "move to the right.")
MOMENTS = ("idle", "chunk", "reset")
CONTROL_PERIOD_S = 0.2
EMULATED_EFFORT_LIMITS = [20_000.0] * 6
"""mA. The emulator's currents come from its own position control, far stiffer than the motors'."""
WAIT_S = 60.0
NEEDS_MOTION = ("stuck", "frozen_states")
"""What an arm at rest does not show: counted from the first command after it began, or that is that far away."""
HARDWARE = yaml.safe_load((config_dir() / "widowx.yaml").read_text())["arm_bridge"]["ros__parameters"]
STUCK_ERROR_RAD = HARDWARE["stuck_error_rad"]

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "one glitch": ({"fault": "glitch", "samples": 2}, ""),
    "glitches": ({"fault": "glitch", "samples": 80}, Fault.IMPLAUSIBLE_READING),
    "late states": ({"fault": "late_states", "for_s": 1.5}, Fault.STATES_LATE),
    "frozen states": ({"fault": "frozen_states", "for_s": 2.5}, Fault.STATES_FROZEN),
    "overload": ({"fault": "overload", "motor": "elbow", "for_s": 1.0, "effort_ma": 30_000}, Fault.OVERLOAD),
    "stuck": ({"fault": "stuck", "motor": "waist", "for_s": 4.0}, Fault.STUCK),
    "gripper overload": ({"fault": "error_register", "motor": "gripper"}, Fault.ERROR_OVERLOAD),
    "shoulder overload": ({"fault": "error_register", "motor": "shoulder"}, Fault.ERROR_OVERLOAD),
    "overheating": ({"fault": "error_register", "motor": "elbow", "error": "overheating"}, Fault.ERROR_OVERHEATING),
    "encoder": ({"fault": "error_register", "motor": "wrist_angle", "error": "encoder"}, Fault.ERROR_ENCODER),
    "shock": ({"fault": "error_register", "motor": "waist", "error": "electrical_shock"}, Fault.ERROR_ELECTRICAL_SHOCK),
    "voltage": ({"fault": "error_register", "motor": "waist", "error": "input_voltage"}, Fault.ERROR_INPUT_VOLTAGE),
    "motor missing": ({"fault": "motor_missing", "motor": "wrist_angle", "for_s": 4.0}, Fault.MOTOR_MISSING),
    "torque lost": ({"fault": "torque_lost", "motor": "shoulder"}, Fault.TORQUE_LOST),
    "dead service": ({"fault": "dead_service", "for_s": 4.0}, Fault.SERVICE_SILENT),
    "usb gone": ({"fault": "usb_gone", "for_s": 4.0}, Fault.USB_GONE),
}


@dataclass(slots=True)
class Row:
    """What was seen of one case; seconds, negative where it did not happen."""

    case: str
    moment: str
    expected: str
    names: tuple[str, ...] = ()
    detected_s: float = -1.0
    limit_s: float = 0.0
    held_s: float = -1.0
    recovery: str = ""
    back_s: float = -1.0
    closed: str = ""

    @property
    def good(self) -> bool:
        if not self.expected:
            return not self.names and self.back_s >= 0
        return (
            self.expected in self.names
            and 0 <= self.detected_s <= self.limit_s
            and self.held_s <= CONTROL_PERIOD_S
            and self.back_s >= 0
            and not self.closed.startswith("!")
        )


class Conductor:
    """Stands in for the learner, and for the person where a fault waits for one."""

    def __init__(self, domain: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = node = rclpy.create_node("conductor", context=self._context)
        self.changed = threading.Condition()
        self.episode: Any = None
        self.results: list[StepResult] = []
        self.verdicts: list[StepVerdict] = []
        self.arm: Any = None
        self.first_told: dict[str, float] = {}
        self.wire_s: list[float] = []
        self.away_s: dict[float, float] = {}
        self.begun_s = 0.0
        self._prompts = node.create_publisher(Prompt, topics.PROMPT, topics.PROTOCOL)
        self._faults = node.create_publisher(String, topics.SIM_FAULT, topics.STREAM)
        for kind, topic, take, quality in (
            (Episode, topics.EPISODE, self._on_episode, topics.LATCHED),
            (StepResult, topics.STEP_RESULT, self.results.append, topics.PROTOCOL),
            (StepVerdict, topics.STEP_VERDICT, self.verdicts.append, topics.PROTOCOL),
            (ArmState, topics.ARM_STATE, self._on_arm, topics.STREAM),
            (JointGroupCommand, f"/{topics.ROBOT_NAME}/commands/joint_group", self._on_wire, topics.STREAM),
            (String, topics.SIM_FAULT_EVENT, self._on_event, topics.LATCHED),
        ):
            node.create_subscription(kind, topic, partial(self._take, take), quality)
        self._buttons = {
            name: node.create_client(Trigger, f"/operator/{name}") for name in ("abort", "clear", "success")
        }
        self._spinner = SpinThread(SingleThreadedExecutor(context=self._context), node)

    def _take(self, take: Callable[[Any], None], message: Any) -> None:
        with self.changed:
            take(message)
            self.changed.notify_all()

    def _on_episode(self, message: Episode) -> None:
        self.episode = message

    def _on_arm(self, message: ArmState) -> None:
        self.arm = message
        for fault in message.faults:
            self.first_told.setdefault(fault.split(":")[0], time.monotonic())

    def _on_wire(self, message: JointGroupCommand) -> None:
        """With how far the farthest joint then is from its goal."""
        now_s = time.monotonic()
        self.wire_s.append(now_s)
        if self.arm is not None:
            gaps = (abs(goal - joint) for goal, joint in zip(message.cmd, self.arm.joint_position, strict=True))
            self.away_s[now_s] = max(gaps)

    def _on_event(self, message: String) -> None:
        told = json.loads(message.data)
        if told["change"] == "begin":
            self.begun_s = told["steady_s"]

    def wait(self, condition: Callable[[], Any], timeout_s: float = WAIT_S) -> bool:
        with self.changed:
            return bool(self.changed.wait_for(condition, timeout_s))

    def need(self, condition: Callable[[], Any], what: str) -> None:
        if not self.wait(condition):
            state = self.episode.reason if self.episode else "no operator"
            raise SystemExit(f"error: waited {WAIT_S:g} s for {what} ({state}, {self.arm and self.arm.faults})")

    def runs(self) -> bool:
        return self.episode is not None and self.episode.state == Episode.RUNNING

    def started(self) -> bool:
        """The episode runs and its first observation is there."""
        return self.runs() and any(r.key.episode == self.episode.episode and r.key.step == 0 for r in self.results)

    def prompt(self, step: int, control_steps: int) -> StepKey:
        key = StepKey(run=self.episode.run, episode=self.episode.episode, step=step)
        self._prompts.publish(Prompt(key=key, prompt=PROMPTS[step % 2], control_steps=control_steps))
        return key

    def result(self, key: StepKey) -> Any:
        return next((r for r in self.results if r.key == key), None)

    def verdict(self, key: StepKey) -> Any:
        return next((v for v in self.verdicts if v.key == key), None)

    def inject(self, entry: dict[str, Any]) -> None:
        self.first_told.clear()
        self.wire_s.clear()
        self.away_s.clear()
        self.begun_s = 0.0
        self._faults.publish(String(data=yaml.safe_dump(entry)))
        self.need(lambda: self.begun_s, f"the emulator to begin {entry}")

    def press(self, button: str) -> None:
        client = self._buttons[button]
        if not client.wait_for_service(10.0):
            raise SystemExit(f"error: no button {button}")
        future = client.call_async(Trigger.Request())
        self.wait(future.done, 10.0)

    def close(self) -> None:
        self._spinner.stop()
        self._node.destroy_node()
        self._context.try_shutdown()


def run_case(conductor: Conductor, case: str, moment: str) -> Row:
    entry, expected = CASES[case]
    row = Row(case, moment, str(expected), limit_s=TABLE[Fault(expected)].within_s if expected else 0.0)
    conductor.need(conductor.started, "an episode")
    key = None
    conductor.prompt(1, 20 if entry["fault"] == "stuck" else 6)  # away from the start, so that a reset has a way to go
    conductor.need(lambda: conductor.episode.step >= 1 or not conductor.runs(), "the verdict on step 1")
    if moment == "idle":
        conductor.inject(entry)
        conductor.wait(lambda: expected in conductor.first_told, 0.6)
        key = conductor.prompt(2, 24)
    elif moment == "chunk":
        key = conductor.prompt(2, 24)
        before = conductor.arm.seq
        conductor.need(lambda: conductor.arm.seq > before + 3, "the arm to move")
        conductor.inject(entry)
    else:
        conductor.press("abort")
        conductor.need(
            lambda: conductor.episode.state == Episode.RESETTING and conductor.arm.mode == ArmState.MOVING, "a reset"
        )
        conductor.inject(entry)
    limit_s = max(row.limit_s, 1.0) + (CONTROL_PERIOD_S * 12 if entry["fault"] in NEEDS_MOTION else 0) + 1.0
    if expected:
        conductor.wait(lambda: expected in conductor.first_told, limit_s)
        begun_s = conductor.begun_s
        if entry["fault"] in NEEDS_MOTION:
            gap = STUCK_ERROR_RAD if entry["fault"] == "stuck" else NEW_GOAL_RAD
            begun_s = next((at_s for at_s, away in conductor.away_s.items() if at_s >= begun_s and away > gap), begun_s)
        told_s = conductor.first_told.get(expected)
        if told_s is not None:
            row.detected_s = told_s - begun_s
            first_s = min(conductor.first_told.values())
            conductor.wait(lambda: not conductor.arm.faults, 1.0)
            over_s = time.monotonic()
            row.held_s = max([0.0, *(at_s - first_s for at_s in conductor.wire_s if first_s < at_s < over_s)])
    if key is not None:
        _close(conductor, row, key)
    else:
        row.closed = "no episode"
    _come_back(conductor, row)
    row.names = tuple(conductor.first_told)
    return row


def _close(conductor: Conductor, row: Row, key: StepKey) -> None:
    conductor.need(lambda: conductor.verdict(key), "a verdict")
    result, verdict = conductor.result(key), conductor.verdict(key)
    if not row.expected:
        row.closed = "went on" if result.ended == StepResult.COMPLETED else f"! {result.reason}"
    elif result.ended == StepResult.COMPLETED or verdict.verdict != StepVerdict.ABORTED:
        row.closed = f"! step {result.ended}, verdict {verdict.verdict}"
    else:
        row.closed = "ABORTED"


def _come_back(conductor: Conductor, row: Row) -> None:
    """Wait for the next episode; press clear where a person is needed."""
    began_s = conductor.begun_s
    if not row.expected and row.moment != "reset":
        conductor.press("abort")
    cleared = False
    conductor.wait(lambda: not conductor.runs(), 5.0)
    while not conductor.wait(conductor.started, 1.0) and time.monotonic() - began_s < WAIT_S:
        if conductor.episode.state == Episode.HELD:
            cleared = True
            conductor.press("clear")
    row.recovery = "cleared" if cleared else "by itself"
    if conductor.started():
        row.back_s = time.monotonic() - began_s


def start(options: argparse.Namespace, folder: Path) -> dict[str, subprocess.Popen[bytes]]:
    overrides: dict[str, dict[str, Any] | None] = {
        "sim_world": {"time": "realtime"},
        "arm_bridge": {**HARDWARE, "speed_scale": 1.0, "effort_limits": EMULATED_EFFORT_LIMITS},
        "vla_executor": {"policy": options.policy, "arm_timeout_s": 3.0, "image_slack_s": 0.25},
        "operator": {
            "run_dir": str(folder),
            "task": "hammer",
            "max_steps": 1000,
            "wait_for_learner": False,
            "required_nodes": ["vla_executor", "arm_bridge", "sim_world"],
            "max_aborts_in_a_row": 10_000,
            "max_resets_in_a_row": 2,
        },
    }
    parameters = folder / "parameters.yaml"
    parameters.write_text(yaml.safe_dump(bringup.merge_parameters(config_dir() / "sim.yaml", overrides)))
    environment = bringup.environment(options.domain)
    os.environ.update(environment)
    log = open(folder / "nodes.log", "wb")  # noqa: SIM115 - the processes write to it as long as they live
    return {
        spec.name: subprocess.Popen(
            bringup.command(spec, sys.executable, parameters), env=environment, stdout=log, stderr=log
        )
        for spec in NODES
    }


def run(options: argparse.Namespace) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = start(options, folder)
        conductor = Conductor(options.domain)
        try:
            for case in options.only or CASES:
                for moment in options.moments:
                    rows.append(run_case(conductor, case, moment))
                    print(line(rows[-1]), flush=True)
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGINT)
            for process in processes.values():
                process.wait(10)
            conductor.close()
            if options.log:
                options.log.write_bytes((folder / "nodes.log").read_bytes())
    return rows


def line(row: Row) -> str:
    names = ", ".join(row.names) or "none"
    detected = f"{row.detected_s:.2f} s" if row.detected_s >= 0 else "-"
    held = f"{row.held_s:.2f} s" if row.held_s >= 0 else "-"
    back = f"{row.back_s:.1f} s" if row.back_s >= 0 else "never"
    mark = "ok" if row.good else "NOT"
    return (
        f"| {row.case} | {row.moment} | {names} | {detected} (of {row.limit_s:g}) | {held} | {row.recovery}, {back} | "
        f"{row.closed} | {mark} |"
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    def listed(text: str) -> list[str]:
        return [part for part in text.split(",") if part]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=listed, default=[], help=f"cases: {', '.join(CASES)}")
    parser.add_argument("--moments", type=listed, default=list(MOMENTS))
    parser.add_argument("--policy", default="mini")
    parser.add_argument("--domain", type=int, default=106)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--log", type=Path, help="where the nodes' output is kept")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    print("| fault | moment | told as | detected after | held after | recovery, next episode after | episode | |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = run(options)
    print(f"{sum(row.good for row in rows)} of {len(rows)} as they should be")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
