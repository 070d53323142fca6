"""Runs in this process instead of the graph: `sarl train --headless`, `sarl eval --headless`."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

from sarl_ros.core.episode_events import ENDS, ShowEpisode
from sarl_ros.core.learner_events import LearnerFigures
from sarl_ros.runs.folder import Interrupted, RunError, RunFolder
from sarl_ros.runs.progress import Console, Progress, episode_line, live_line, record_summary
from sarl_ros.runtime.headless import HeadlessRun, Settings, StepNews

LIVE_LINE_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Shown:
    """Keeps a run's progress and shows it; ends the run between two steps once a signal has come."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.progress, self._console, self._quiet = Progress(), console, quiet
        self._shown_s = time.monotonic()
        self.stop = threading.Event()

    def episode(self, shown: ShowEpisode) -> None:
        progress = self.progress
        if shown.episode != progress.episode:
            progress.prompts = []
        ended = shown.state in ENDS.values() and progress.state != shown.state
        progress.see_state(shown.state, shown.episode)
        progress.reason = shown.reason
        progress.outcomes, progress.episodes = list(shown.outcomes), shown.episodes
        progress.completed = len(shown.outcomes)
        if ended and not self._quiet:
            prompts = tuple(progress.prompts)
            self._console.line(episode_line(progress, shown.episode, shown.state, prompts, shown.reason))

    def step(self, news: StepNews) -> None:
        progress = self.progress
        progress.decisions += 1
        progress.control_steps += news.control_steps
        progress.prompts.append(news.prompt)
        self._look_up()

    def wait(self, figures: LearnerFigures) -> None:
        self.progress.updates_owed = figures.updates_owed
        self._look_up()

    def _look_up(self) -> None:
        now_s = time.monotonic()
        if now_s - self._shown_s > LIVE_LINE_S and not self._quiet:
            self._shown_s = now_s
            self._console.live(live_line(self.progress))
        if self.stop.is_set():
            raise Interrupted


def run_headless(folder: RunFolder, quiet: bool = False) -> dict[str, Any]:
    """Play the run of a folder to its end, as `runs.run.run_graph` does with the graph.

    Returns:
        Figures of the run, also written to summary.json in its folder.

    Raises:
        RunError: the folder is in use, is not that of a simulated run which nobody operates, or a setting is unusable.
        Interrupted: SIGINT or SIGTERM came.
    """
    _check(folder)
    settings = Settings.of(folder.tree(), folder.parameters)
    console = Console()
    shown = _Shown(console, quiet)
    with folder.lock():
        if not quiet:
            console.line(f"run {folder.path}")
        previous = {number: signal.signal(number, lambda *_: shown.stop.set()) for number in _SIGNALS}
        try:
            run = HeadlessRun(folder.path, folder.name, settings, shown.episode, shown.step, shown.wait)
            try:
                for line in run.repairs:
                    console.line(line)
                figures = run.run()
            finally:
                run.close()
        finally:
            console.live("")
            for number, handler in previous.items():
                signal.signal(number, handler)
    progress = shown.progress
    progress.updates_done, progress.updates_per_decision = figures.updates_done, figures.updates_per_decision
    progress.recall = figures.recall
    return record_summary(folder, progress)


def _check(folder: RunFolder) -> None:
    """Raises RunError where a run needs the graph."""
    tree = folder.tree()
    world = tree.get("sim_world", {}).get("ros__parameters")
    if world is None or not folder.setting("operator", "auto"):
        raise RunError(f"{folder.path}: a robot, or a person who operates, needs the graph: leave out --headless")
    if world.get("fault_script") or world.get("time") == "realtime":
        raise RunError(f"{folder.path}: faults on purpose and real time need the graph: leave out --headless")
