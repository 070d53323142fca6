"""Stops the arm of a graph at random moments, kills nodes within 3 s, and watches wire and joints until a clear.

Reference: from a control period after the stop was answered until a person's clear, no joint goal is on the wire and
no joint moves, whichever nodes die, in an automatic run and in one that a person operates; then the graph goes on.

    python bench/stops.py [--stops 200] [--policy still] [--agent random] [--seed 0] [--runs DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from interbotix_xs_msgs.msg import JointGroupCommand
from sarl_interfaces.msg import ArmState, Buttons, Episode, NodeStatus
from sarl_interfaces.srv import Press
from sarl_ros.core.types import CONTROL_PERIOD_S, EpisodeState
from sarl_ros.ros import topics
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.fast_subscription import FastSubscriptions
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError, RunFolder, RunSettings, create_run
from sarl_ros.runs.running import find_running
from sarl_ros.runs.supervisor import CRASH_LOOP_DEATHS, CRASH_LOOP_S

PREFIX = f"/{topics.ROBOT_NAME}"
PERIOD_S = CONTROL_PERIOD_S
LAID_OUT_S = 1.0
"""A scene that was being laid out as the stop came is there after this long, and with it the emulated arm."""
STILL_RAD = 0.01
LATEST_DEATH_S = 3.0
GOES_ON_S = 120.0
ANSWER_S = 10.0


class Watcher:
    """Everything that is watched in a graph, and a person's buttons. Times are of the steady clock."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        node = self._node = CheckedNode("stops_watcher", context=self.context)
        self.changed = threading.Condition()
        self.goals_s: list[float] = []
        self.joints: NDArray[np.float64] | None = None
        self.moved_rad = 0.0
        self._from: NDArray[np.float64] | None = None
        self._stamp_ns = 0
        self.stop = ""
        self.state, self.episode, self.reason = Episode.IDLE, 0, ""
        self.armed: set[str] = set()
        self.heard: dict[str, float] = {}
        self._fast = FastSubscriptions(node)
        for kind, topic, take, quality in (
            (JointGroupCommand, f"{PREFIX}/commands/joint_group", self._on_goal, topics.STREAM),
            (JointState, f"{PREFIX}/joint_states", self._on_joints, topics.STREAM),
            (ArmState, topics.ARM_STATE, self._on_arm, topics.STREAM),
            (Episode, topics.EPISODE, self._on_episode, topics.LATCHED),
            (Buttons, topics.BUTTONS, self._on_buttons, topics.LATCHED),
            (NodeStatus, topics.NODE_STATUS, self._on_status, topics.STREAM),
        ):
            self._fast.subscribe(kind, topic, self._locked(take), quality)
        self._stop_arm = node.create_client(Trigger, topics.ARM_STOP)
        self._press = node.create_client(Press, topics.PRESS)
        self._spinner = SpinThread(SingleThreadedExecutor(context=self.context), node)
        self._fast.start()

    def _locked(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        def taken(message: Any) -> None:
            with self.changed:
                take(message)
                self.changed.notify_all()

        return taken

    def _on_goal(self, _: JointGroupCommand) -> None:
        self.goals_s.append(time.monotonic())

    def _on_joints(self, message: JointState) -> None:
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        self.joints = np.array(message.position[:6])
        if self._from is not None and stamp_ns < self._stamp_ns:
            self._from = self.joints  # another emulator: its arm stands where it was made
        self._stamp_ns = stamp_ns
        if self._from is not None:
            self.moved_rad = max(self.moved_rad, float(np.abs(self.joints - self._from).max()))

    def _on_arm(self, message: ArmState) -> None:
        self.stop = message.stop

    def _on_episode(self, message: Episode) -> None:
        self.state, self.episode, self.reason = message.state, message.episode, message.reason

    def _on_buttons(self, message: Buttons) -> None:
        self.armed = {name for name, armed in zip(message.name, message.armed, strict=True) if armed}

    def _on_status(self, message: NodeStatus) -> None:
        self.heard[message.node] = time.monotonic()

    def watch_joints(self) -> None:
        """Measure from here on how far any joint goes."""
        with self.changed:
            self._from, self.moved_rad = self.joints, 0.0

    def goals_between(self, begin_s: float, end_s: float) -> int:
        with self.changed:
            return sum(begin_s <= at_s < end_s for at_s in self.goals_s)

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    def call(self, client: Any, request: Any, timeout_s: float = ANSWER_S) -> Any:
        """The response, None if none came."""
        if not client.wait_for_service(timeout_s):
            return None
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if answered.wait(timeout_s):
            return future.result()
        client.remove_pending_request(future)
        return None

    def stop_arm(self) -> bool:
        answer = self.call(self._stop_arm, Trigger.Request())
        return answer is not None and answer.success

    def press(self, button: str) -> bool:
        answer = self.call(self._press, Press.Request(button=button, source="bench"), 4.0)
        return answer is not None and answer.accepted

    def hold(self) -> bool:
        """As the page and the terminal do it: to the arm and to the operator at once."""
        pressing = threading.Thread(target=self.press, args=("hold",))
        pressing.start()
        stopped = self.stop_arm()
        pressing.join()
        return stopped

    def close(self) -> None:
        self._fast.close()
        self._spinner.stop()
        self._node.destroy_node()
        rclpy.shutdown(context=self.context)


class Person(threading.Thread):
    """Starts, judges and confirms resets while nothing is stopped; in an automatic run there is nothing to do."""

    def __init__(self, watcher: Watcher, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self._watcher, self._rng = watcher, rng
        self.working, self.over = threading.Event(), threading.Event()

    def run(self) -> None:
        while not self.over.wait(self._rng.uniform(0.05, 0.6)):
            if not self.working.is_set():
                continue
            for button in ("reset_done", "start"):
                if button in self._watcher.armed:
                    self._watcher.press(button)
            if "success" in self._watcher.armed and self._rng.random() < 0.1:
                self._watcher.press(self._rng.choice(("success", "failure")))


def node_pid(folder: RunFolder, spec: bringup.NodeSpec) -> int | None:
    """Process id of a node of this run, None while it is down."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if spec.module in arguments and str(folder.parameters) in arguments:
                return int(entry.name)
    return None


class Bench:
    """One run of the graph, stopped again and again."""

    def __init__(self, folder: RunFolder, rng: random.Random) -> None:
        self._folder, self._rng = folder, rng
        self._specs = bringup.graph(folder.tree())
        self._log = open(folder.path / "bench.log", "w")  # noqa: SIM115 - of the process that lives as long
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sarl_ros.cli", "train", "--resume", str(folder.path)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._watcher = Watcher(self._find_domain())
        self._person = Person(self._watcher, rng)
        self._person.start()
        self._deaths: dict[str, list[float]] = {}
        self.counts: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.states: Counter[int] = Counter()
        self.problems: list[str] = []

    def _find_domain(self) -> int:
        while True:
            if self._process.poll() is not None:
                raise RunError(f"the run ended at once: see {self._folder.path / 'bench.log'}")
            try:
                return find_running(self._folder.path, self._folder.path.parent).domain
            except RunError:
                time.sleep(0.1)

    def run(self, stops: int) -> None:
        self._go_on("the start")
        for number in range(1, stops + 1):
            self._stop_once(number)
            if self._process.poll() is not None:
                self.problems.append(f"stop {number}: the run has ended: see {self._folder.path / 'bench.log'}")
                return
            print(f"stop {number} of {stops}: {len(self.problems)} problems", flush=True)

    def _stop_once(self, number: int) -> None:
        watcher, rng = self._watcher, self._rng
        time.sleep(2.0 * rng.random() ** 3)  # often in the reset that the clear has begun
        self._person.working.clear()
        how = rng.choice(("direct", "hold"))
        self.states[watcher.state] += 1
        while not (watcher.stop_arm if how == "direct" else watcher.hold)():
            self.counts["asked again"] += 1
        answered_s = time.monotonic()
        self.counts[how] += 1
        deaths = sorted(rng.uniform(0.0, LATEST_DEATH_S) for _ in range(rng.choice((1, 2))))
        victims = rng.sample(self._specs, len(deaths))
        laid_out = threading.Timer(LAID_OUT_S, watcher.watch_joints)
        laid_out.start()
        for after_s, victim in zip(deaths, victims, strict=True):
            time.sleep(max(0.0, answered_s + after_s - time.monotonic()))
            self._kill(victim)
        time.sleep(rng.uniform(4.0, 6.0))
        names = [victim.name for victim in victims]
        if not watcher.wait(lambda: watcher.state == Episode.HELD and "clear" in watcher.armed, GOES_ON_S):
            self.problems.append(f"stop {number} ({how}, then {names} died): the operator is not held, or cannot clear")
        goals = watcher.goals_between(answered_s + PERIOD_S, time.monotonic())
        if goals:
            self.problems.append(f"stop {number} ({how}, then {names} died): {goals} joint goals on the wire")
        if watcher.moved_rad > STILL_RAD:
            self.problems.append(f"stop {number} ({how}, then {names} died): a joint moved {watcher.moved_rad:.3f} rad")
        self._go_on(f"stop {number} ({how}, then {names} died)")

    def _kill(self, spec: bringup.NodeSpec) -> None:
        """SIGKILL; not once more where the supervisor would take it for a node that cannot live."""
        now_s = time.monotonic()
        recent = [at_s for at_s in self._deaths.get(spec.name, []) if now_s - at_s < CRASH_LOOP_S + 5.0]
        pid = node_pid(self._folder, spec)
        if pid is None or len(recent) >= CRASH_LOOP_DEATHS - 1:
            self.counts["left alive"] += 1
            return
        os.kill(pid, signal.SIGKILL)
        self._deaths[spec.name] = [*recent, now_s]
        self.killed[spec.name] += 1

    def _go_on(self, after: str) -> None:
        """Clear as often as it takes, until the arm is commanded again."""
        watcher, begin_s = self._watcher, time.monotonic()
        self._person.working.set()
        while time.monotonic() < begin_s + GOES_ON_S:
            if self._process.poll() is not None:
                return
            if watcher.state == Episode.HELD and "clear" in watcher.armed:
                self.counts["clears"] += watcher.press("clear")
            if watcher.wait(lambda: bool(watcher.goals_s) and watcher.goals_s[-1] > begin_s, 0.5):
                return
        self.problems.append(f"{after}: not gone on within {GOES_ON_S:g} s ({watcher.reason})")

    def close(self) -> None:
        self._person.over.set()
        self._person.join()
        self._watcher.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
        self._log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=200, help="half of them in a run that a person operates")
    parser.add_argument("--policy", default="still")
    parser.add_argument("--agent", default="random")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, the ways to stop and the nodes that die")
    parser.add_argument("--runs", type=Path, default=None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.stops < 1:
        parser.error("--stops is at least 1")

    root = options.runs or Path(tempfile.mkdtemp(prefix="stops-"))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(bringup.SHARED_MEMORY_PROFILE)
    figures: dict[str, Any] = {"seed": options.seed, "stops": options.stops, "problems": []}
    for operate, stops in ((False, (options.stops + 1) // 2), (True, options.stops // 2)):
        if not stops:
            continue
        settings = RunSettings(
            task="hammer",
            episodes=100_000,
            agent=options.agent,
            policy=options.policy,
            operate=operate,
            console_at="127.0.0.1:0",
            record=False,
        )
        folder = create_run(settings, root)
        folder.set("operator", "max_aborts_in_a_row", 100_000)
        bench = Bench(folder, random.Random(f"{options.seed} {operate}"))
        begin_s = time.monotonic()
        try:
            bench.run(stops)
        finally:
            bench.close()
        figures["operated" if operate else "automatic"] = {
            "stops": bench.counts["direct"] + bench.counts["hold"],
            **bench.counts,
            "in states": {EpisodeState(state).name: count for state, count in sorted(bench.states.items())},
            "killed": dict(sorted(bench.killed.items())),
            "seconds": round(time.monotonic() - begin_s),
            "run": str(folder.path),
        }
        figures["problems"] += bench.problems
    print(json.dumps(figures, indent=2))
    print("reference: no joint goal and no motion from a control period after a stop until a person's clear")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(bool(figures["problems"]))


if __name__ == "__main__":
    main()
