"""Watches a run from outside: counts, rates and the prompt sequence of each episode, for the progress line."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sarl_interfaces.msg import Episode, EpisodeEvent, LearnerStatus, NodeStatus, Prompt, StepResult
from sarl_ros.core.types import CONTROL_PERIOD_S, EpisodeState
from sarl_ros.ros import topics
from sarl_ros.ros.checked_node import CheckedNode

ENDS = (EpisodeState.SUCCESS, EpisodeState.FAILURE, EpisodeState.TIMEOUT, EpisodeState.ABORTED)
HOLDS = ("hold", "arm_stopped", "clear_refused")
"""Events after which a person has to clear."""
CLEAR = "clear"
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

    @property
    def finished(self) -> bool:
        return self.state == EpisodeState.FINISHED and self.saved

    def recent_success(self) -> float:
        """Share of successes among the last 20 completed episodes; NaN before the first."""
        recent = self.outcomes[-RECENT:]
        return sum(outcome == EpisodeState.SUCCESS for outcome in recent) / len(recent) if recent else float("nan")

    def episodes_per_minute(self) -> float:
        elapsed = time.monotonic() - self.first_episode_s
        return 60 * self.completed / elapsed if self.first_episode_s and elapsed > 0 else 0.0

    def times_real_time(self) -> float:
        """Simulated or real seconds of arm motion under prompts for each second since the first episode began."""
        elapsed = time.monotonic() - self.first_episode_s
        return self.control_steps * CONTROL_PERIOD_S / elapsed if self.first_episode_s and elapsed > 0 else 0.0

    def take_faults(self, node: str, faults: Sequence[str]) -> None:
        """A node says what is wrong now."""
        now_s, before = time.monotonic(), self.faults.get(node, {})
        shapes = {NUMBER.sub("#", words): words for words in faults}
        self.faults[node] = {s: (words, before[s][1] if s in before else now_s) for s, words in shapes.items()}

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


def left_held(journal: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run ended stopped, by its operator's journal, and nobody has cleared it yet."""
    told = [line["event"] for line in journal if line.get("accepted") and line.get("event") in (*HOLDS, CLEAR)]
    return bool(told) and told[-1] in HOLDS


class Monitor(CheckedNode):
    """Keeps `progress` up to date and calls nothing.

    Args:
        run: name of the run that is watched.
        held: somebody has stopped the arm before this process began.

    Attributes:
        ended: the episodes that ended and were not yet shown.
        failure: why nothing is watched any more, set by whoever spins it; empty while all is well.
    """

    def __init__(self, run: str, held: bool = False) -> None:
        super().__init__("sarl_monitor")
        self.boundary.run = run
        self.progress = Progress(held=held)
        self.failure = ""
        self.ended: deque[tuple[int, EpisodeState, tuple[str, ...], str]] = deque()
        self._lock = threading.Lock()
        self._prompted: set[tuple[int, int]] = set()
        self._executed: set[tuple[int, int]] = set()
        self.create_subscription(Episode, topics.EPISODE, self._on_episode, topics.PROTOCOL)
        self.create_subscription(EpisodeEvent, topics.EPISODE_EVENT, self._on_event, topics.PROTOCOL)
        self.create_subscription(Prompt, topics.PROMPT, self._on_prompt, topics.PROTOCOL)
        self.create_subscription(StepResult, topics.STEP_RESULT, self._on_result, topics.PROTOCOL)
        self.create_subscription(LearnerStatus, topics.LEARNER_STATUS, self._on_learner, topics.STREAM)
        self.create_subscription(NodeStatus, topics.NODE_STATUS, self._on_status, topics.STREAM)

    def _on_episode(self, message: Episode) -> None:
        progress, state = self.progress, EpisodeState(message.state)
        with self._lock:
            if state in ENDS and (progress.state, progress.episode) != (state, message.episode):
                self.ended.append((message.episode, state, tuple(progress.prompts), message.reason))
            if message.episode != progress.episode:
                progress.prompts = []
            if not progress.first_episode_s and state == EpisodeState.RUNNING:
                progress.first_episode_s = time.monotonic()
            progress.state, progress.episode = state, message.episode
            progress.outcomes = [EpisodeState(outcome) for outcome in message.outcomes]
            progress.completed, progress.episodes = message.completed, message.episodes
            progress.reason = message.reason

    def _on_event(self, message: EpisodeEvent) -> None:
        with self._lock:
            if message.accepted and message.event in (*HOLDS, CLEAR):
                self.progress.held = message.event in HOLDS

    def _on_prompt(self, message: Prompt) -> None:
        key = (message.key.episode, message.key.step)
        with self._lock:
            if key in self._prompted:
                return
            self._prompted.add(key)
            self.progress.decisions += 1
            if message.key.episode == self.progress.episode:
                self.progress.prompts.append(message.prompt)

    def _on_result(self, message: StepResult) -> None:
        key = (message.key.episode, message.key.step)
        with self._lock:
            if key not in self._executed:
                self._executed.add(key)
                self.progress.control_steps += message.control_steps

    def _on_learner(self, message: LearnerStatus) -> None:
        with self._lock:
            self.progress.updates_done = message.updates_done
            self.progress.updates_owed = message.updates_owed
            self.progress.updates_per_decision = message.updates_per_decision
            self.progress.recall = message.recall
            self.progress.saved = message.finished
            self.progress.steering = message.steering
            self.progress.learner_error = message.error

    def _on_status(self, message: NodeStatus) -> None:
        self.progress.take_faults(message.node, message.faults)
