"""Runs the graph of one run folder to its end, with a progress line; what `sarl train`, `eval` and `steer` share."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from sarl_ros.core.types import EpisodeState
from sarl_ros.records.checks import JOURNAL
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from sarl_ros.runs.domains import DOMAINS, ROBOT_DOMAINS, own_domain
from sarl_ros.runs.folder import Interrupted, RunError, RunFolder
from sarl_ros.runs.monitor import Monitor, left_held
from sarl_ros.runs.progress import Console, Progress, episode_line, live_line, record_summary
from sarl_ros.runs.running import announced
from sarl_ros.runs.supervisor import Supervisor
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
    console = Console()
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
    return record_summary(folder, monitor.progress)


def watch_graph(folder: RunFolder) -> dict[str, Any]:
    """As `run_graph`, of a graph that somebody else started in this process's ROS domain, `ros2 launch` for one."""
    console = Console()
    with _stopped_by_signals() as stop, _monitor(folder) as monitor:
        try:
            _watch(monitor, console, stop, lambda: None, folder, f"--domain {os.environ.get('ROS_DOMAIN_ID', '0')}")
        finally:
            console.live("")
    return record_summary(folder, monitor.progress)


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
    spinner = SpinThread(SingleThreadedExecutor(), monitor, monitor.fail)
    try:
        yield monitor
    finally:
        spinner.stop(timeout_s=0.5)
        monitor.destroy_node()
        rclpy.try_shutdown()


def _seal_bags(folder: RunFolder, console: Console) -> None:
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


def _attended(folder: RunFolder) -> bool:
    """Whether a person starts the episodes and resets the scene."""
    return not folder.tree().get("operator", {}).get("ros__parameters", {}).get("auto", True)


def waits_for_person(progress: Progress, attended: bool) -> bool:
    """Whether a person has the next move, who may take all the time they want."""
    return progress.steering or progress.held or (attended and progress.state != EpisodeState.RUNNING)


def held_line(reason: str, graph: str) -> str:
    """Why nothing moves, and how a person lets it, with a page or without."""
    return f"held: {reason} (press c in `sarl operate {graph}`)"


def _watch(
    monitor: Monitor,
    console: Console,
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
