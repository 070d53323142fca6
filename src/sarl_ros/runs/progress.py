"""How far a run is: counts and rates, the lines that show them, and the summary at its end. Knows nothing of ROS."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sarl_ros.core.types import CONTROL_PERIOD_S, EpisodeState
from sarl_ros.runs.folder import RunFolder
from sarl_ros.store.appendfile import replace_file
from sarl_ros.store.journal import read_journal

RECENT = 20
LASTING_S = 5.0
NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(slots=True)
class Progress:
    """What is known of a run now; times on the steady clock.

    Attributes:
        outcomes: of the completed episodes, oldest first.
        held: somebody has stopped the arm, and nobody has cleared it yet.
        steering: a person chooses the prompts.
        faults: of each node, in plain words by their shape (the words without numbers), each with its begin.
    """

    state: EpisodeState = EpisodeState.IDLE
    episode: int = 0
    completed: int = 0
    episodes: int = 0
    outcomes: list[EpisodeState] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    control_steps: int = 0
    decisions: int = 0
    updates_done: int = 0
    updates_owed: int = 0
    updates_per_decision: float = 0.0
    recall: float = float("nan")
    reason: str = ""
    learner_error: str = ""
    saved: bool = False
    held: bool = False
    steering: bool = False
    faults: dict[str, dict[str, tuple[str, float]]] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)
    first_episode_s: float = 0.0
    last_episode_s: float = 0.0

    def see_state(self, state: EpisodeState, episode: int) -> None:
        """The episode's state now; rates count from the first episode's beginning to the last one's end."""
        now_s = time.monotonic()
        if not self.first_episode_s and state == EpisodeState.RUNNING:
            self.first_episode_s = now_s
        if not self.last_episode_s and state == EpisodeState.FINISHED:
            self.last_episode_s = now_s
        self.state, self.episode = state, episode

    def _elapsed_s(self) -> float:
        return (self.last_episode_s or time.monotonic()) - self.first_episode_s if self.first_episode_s else 0.0

    @property
    def finished(self) -> bool:
        return self.state == EpisodeState.FINISHED and self.saved

    def recent_success(self) -> float:
        """Share of successes among the last 20 completed episodes; NaN before the first."""
        recent = self.outcomes[-RECENT:]
        return sum(outcome == EpisodeState.SUCCESS for outcome in recent) / len(recent) if recent else float("nan")

    def episodes_per_minute(self) -> float:
        elapsed_s = self._elapsed_s()
        return 60 * self.completed / elapsed_s if elapsed_s > 0 else 0.0

    def times_real_time(self) -> float:
        """Simulated or real seconds of arm motion under prompts for each second since the first episode began."""
        elapsed_s = self._elapsed_s()
        return self.control_steps * CONTROL_PERIOD_S / elapsed_s if elapsed_s > 0 else 0.0

    def take_faults(self, node: str, faults: Sequence[str]) -> None:
        """A node says what is wrong now."""
        now_s, before = time.monotonic(), self.faults.get(node, {})
        shapes = {NUMBER.sub("#", words): words for words in faults}
        lasting = {s: (words, before[s][1] if s in before else now_s) for s, words in shapes.items()}
        self.faults = {**self.faults, node: lasting}  # a new one: another thread may walk the old one

    def lasting_faults(self) -> dict[str, str]:
        """A line by its shape for each fault that has been there for `LASTING_S`; those of a start are over sooner."""
        begun_s = time.monotonic() - LASTING_S
        return {
            f"{node}: {shape}": f"{node}: {words}"
            for node, faults in self.faults.items()
            for shape, (words, since_s) in faults.items()
            if since_s <= begun_s
        }

    def eta_s(self) -> float:
        rate = self.episodes_per_minute()
        return 60 * (self.episodes - self.completed) / rate if rate else float("nan")


def record_summary(folder: RunFolder, progress: Progress) -> dict[str, Any]:
    """Figures of a run that ended, also written to summary.json in its folder."""
    summary = summarise(folder, progress)
    replace_file(folder.path / "summary.json", [json.dumps(summary, indent=2).encode() + b"\n"])
    return summary


def print_summary(folder: RunFolder, summary: dict[str, Any]) -> None:
    """The last lines of a run."""
    print(
        f"{summary['successes']} of {summary['episodes']} episodes succeeded during training"
        f" (last 20: {summary['success_last_20']}), {summary['aborted']} aborted;"
        f" {summary['updates']} updates paid, {summary['updates_per_decision']:g} a decision;"
        f" {summary['times_real_time']} times real time,"
        f" {summary['seconds'] / 60:.1f} min"
    )
    if folder.curve.exists():
        print(f"learning curve: {folder.curve}")


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


class Console:
    """Lines that stay, and one live line below them where the output is a terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()

    def line(self, text: str) -> None:
        print(f"\r\033[K{text}" if self._terminal else text, flush=True)

    def live(self, text: str) -> None:
        if self._terminal:
            print(f"\r\033[K{text[:160]}", end="", flush=True)
