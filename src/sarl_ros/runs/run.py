"""Runs the graph of one run folder to its end, with a progress line; what `sarl train`, `eval` and `steer` share."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from sarl_ros.core.types import EpisodeState
from sarl_ros.records.checks import JOURNAL
from sarl_ros.runs import bringup
from sarl_ros.runs.domains import DOMAINS, ROBOT_DOMAINS, own_domain
from sarl_ros.runs.folder import Interrupted, RunError, RunFolder
from sarl_ros.runs.monitor import Monitor, Progress, left_held
from sarl_ros.runs.running import announced
from sarl_ros.runs.supervisor import Supervisor
from sarl_ros.store.appendfile import replace_file
from sarl_ros.store.journal import read_journal

POLL_S = 0.1
LIVE_LINE_S = 1.0
SILENCE_S = 180.0


def run_graph(folder: RunFolder, on_start=None) -> dict[str, Any]:
    """Start the graph, watch it until it has all its episodes, end it.

    Args:
        on_start: called with the Supervisor once the processes are started.

    Returns:
        Figures of the run, also written to summary.json in its folder.

    Raises:
        RunError: the run cannot start or go on.
        Interrupted: SIGINT or SIGTERM came.
    """
    console = _Console()
    real = bringup.SIM_WORLD.name not in folder.tree()
    with (
        _stopped_by_signals() as stop,
        folder.lock() as lock,
        own_domain(ROBOT_DOMAINS if real else DOMAINS) as (domain_id, claim),
        announced(folder.path, domain_id),
        _monitor(folder) as monitor,
    ):
        console.line(f"run {folder.path}")
        if real:
            console.line(f"ROS domain {domain_id}: the arm's driver must be in it (ROS_DOMAIN_ID)")
        if address := folder.console_address():
            console.line(f"console {address}")
        held = (lock.fileno(), claim.fileno())
        supervisor = Supervisor(bringup.graph(folder.tree()), folder, domain_id, console.line, held)
        try:
            supervisor.start()
            if on_start is not None:
                on_start(supervisor)
            _watch(monitor, console, stop, supervisor.poll, folder, f"--run {folder.path}")
        finally:
            console.live("")
            supervisor.stop()
            _seal_bags(folder, console)
    return _record_summary(folder, monitor.progress)


def watch_graph(folder: RunFolder) -> dict[str, Any]:
    """As `run_graph`, of a graph that somebody else started in this process's ROS domain, `ros2 launch` for one."""
    console = _Console()
    with _stopped_by_signals() as stop, _monitor(folder) as monitor:
        try:
            _watch(monitor, console, stop, lambda: None, folder, f"--domain {os.environ.get('ROS_DOMAIN_ID', '0')}")
        finally:
            console.live("")
    return _record_summary(folder, monitor.progress)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _monitor(folder: RunFolder) -> Iterator[Monitor]:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    monitor = Monitor(folder.name, left_held(read_journal(folder.path / JOURNAL)))
    executor = SingleThreadedExecutor()
    executor.add_node(monitor)
    spinner = threading.Thread(target=_spin, args=(executor, monitor), daemon=True)
    spinner.start()
    try:
        yield monitor
    finally:
        executor.shutdown(timeout_sec=0.3)
        spinner.join(timeout=0.5)
        monitor.destroy_node()
        rclpy.try_shutdown()


def _seal_bags(folder: RunFolder, console: _Console) -> None:
    """Seal what the recorder left when it was killed, or had no time to seal."""
    open_bags = sorted((folder.path / "bags").glob("*.mcap"))
    if not open_bags:
        return
    from sarl_ros.store.bag_writing import seal_leftover
    from sarl_ros.store.bags import BagError

    for path in open_bags:
        try:
            seal_leftover(path)
        except (OSError, BagError) as error:
            console.line(f"{path} could not be sealed and stays as it is ({error})")


def _record_summary(folder: RunFolder, progress: Progress) -> dict[str, Any]:
    summary = summarise(folder, progress)
    replace_file(folder.path / "summary.json", [json.dumps(summary, indent=2).encode() + b"\n"])
    return summary


def summarise(folder: RunFolder, progress: Progress) -> dict[str, Any]:
    """Figures of a run that ended: counts, success, speed, updates paid for each decision."""
    rows = read_journal(folder.episodes)
    completed = [row for row in rows if row["outcome"] != "ABORTED"]
    elapsed_s = time.monotonic() - progress.started_s
    return {
        "run": str(folder.path),
        "episodes": len(completed),
        "aborted": len(rows) - len(completed),
        "successes": sum(row["outcome"] == "SUCCESS" for row in completed),
        "success_last_20": round(progress.recent_success(), 3) if completed else None,
        "decisions": progress.decisions,
        "updates": progress.updates_done,
        "updates_per_decision": progress.updates_per_decision,
        "recall": None if math.isnan(progress.recall) else round(progress.recall, 3),
        "control_steps": progress.control_steps,
        "times_real_time": round(progress.times_real_time(), 2),
        "seconds": round(elapsed_s, 1),
    }


def _attended(folder: RunFolder) -> bool:
    """Whether a person starts the episodes and resets the scene."""
    return not folder.tree().get("operator", {}).get("ros__parameters", {}).get("auto", True)


def waits_for_person(progress: Progress, attended: bool) -> bool:
    """Whether a person has the next move, who may take all the time they want."""
    return progress.steering or progress.held or (attended and progress.state != EpisodeState.RUNNING)


def _watch(
    monitor: Monitor,
    console: _Console,
    stop: threading.Event,
    poll: Callable[[], None],
    folder: RunFolder,
    graph: str,
) -> None:
    """`graph` is how `sarl operate` is told of it."""
    attended = _attended(folder)
    shown_s = changed_s = time.monotonic()
    last: tuple[Any, ...] = ()
    held_for = ""
    told: set[str] = set()
    while not stop.wait(POLL_S):
        poll()
        progress = monitor.progress
        while monitor.ended:
            console.line(episode_line(progress, *monitor.ended.popleft()))
        if progress.learner_error:
            raise RunError(progress.learner_error)
        if monitor.failure:
            raise RunError(monitor.failure)
        if progress.finished:
            return
        if progress.state == EpisodeState.HELD and progress.reason != held_for:
            held_for = progress.reason
            console.line(held_line(held_for, graph))
        faults = progress.lasting_faults()
        for shape in faults.keys() - told:
            console.line(faults[shape])
        told |= faults.keys()
        now = time.monotonic()
        mark = (progress.state, progress.episode, progress.control_steps, progress.updates_done, progress.decisions)
        if mark != last or waits_for_person(progress, attended):
            last, changed_s = mark, now
        elif now - changed_s > SILENCE_S:
            why = progress.reason or "; ".join(faults.values()) or "see the logs folder"
            raise RunError(f"nothing has moved for {SILENCE_S:.0f} s in state {progress.state.name}: {why}")
        if now - shown_s > LIVE_LINE_S:
            shown_s = now
            console.live(live_line(progress))
    raise Interrupted


def held_line(reason: str, graph: str) -> str:
    """Why nothing moves, and how a person lets it, with a page or without."""
    return f"held: {reason} (press c in `sarl operate {graph}`)"


def episode_line(progress: Progress, episode: int, outcome, prompts: tuple[str, ...], reason: str) -> str:
    note = f" ({reason})" if outcome.name == "ABORTED" and reason else ""
    return (
        f"episode {episode:>4} {outcome.name:<8}{note} | {progress.completed}/{progress.episodes}"
        f" | last-20 {_number(progress.recent_success(), '.2f')} | {progress.episodes_per_minute():.1f} ep/min"
        f" | ETA {_duration(progress.eta_s())} | {' > '.join(prompt.rstrip('.') for prompt in prompts)}"
    )


def live_line(progress: Progress) -> str:
    debt = f" | {progress.updates_owed} updates owed" if progress.updates_owed else ""
    prompt = f" | {progress.prompts[-1]}" if progress.prompts else ""
    fault = next((f" | {line}" for line in progress.lasting_faults().values()), "")
    return (
        f"{progress.state.name.lower()} {progress.episode} | {progress.completed}/{progress.episodes}"
        f" | {progress.times_real_time():.1f}x real time | ETA {_duration(progress.eta_s())}{debt}{fault}{prompt}"
    )


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _spin(executor: SingleThreadedExecutor, monitor: Monitor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except Exception as error:
        traceback.print_exc()
        monitor.failure = f"watching the run failed ({type(error).__name__}: {error}), see the lines above"


class _Console:
    """Lines that stay, and one live line below them where the output is a terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()

    def line(self, text: str) -> None:
        print(f"\r\033[K{text}" if self._terminal else text, flush=True)

    def live(self, text: str) -> None:
        if self._terminal:
            print(f"\r\033[K{text[:160]}", end="", flush=True)
