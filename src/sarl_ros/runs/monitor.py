"""Watches a run from outside: counts, rates and the prompt sequence of each episode, for the progress line.

It counts from the first message on and keeps nothing that a person operates by; that is `operating.graph_view`.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from sarl_interfaces.msg import Episode, EpisodeEvent, LearnerStatus, NodeStatus, Prompt, StepResult
from sarl_ros.core.types import EpisodeState
from sarl_ros.ros import topics
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.runs.progress import Progress

ENDS = (EpisodeState.SUCCESS, EpisodeState.FAILURE, EpisodeState.TIMEOUT, EpisodeState.ABORTED)
HOLDS = ("hold", "arm_stopped", "clear_refused")
"""Events after which a person has to clear."""
CLEAR = "clear"


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
        self._prompted: set[tuple[int, int]] = set()
        self._executed: set[tuple[int, int]] = set()
        self.create_subscription(Episode, topics.EPISODE, self._on_episode, topics.PROTOCOL)
        self.create_subscription(EpisodeEvent, topics.EPISODE_EVENT, self._on_event, topics.PROTOCOL)
        self.create_subscription(Prompt, topics.PROMPT, self._on_prompt, topics.PROTOCOL)
        self.create_subscription(StepResult, topics.STEP_RESULT, self._on_result, topics.PROTOCOL)
        self.create_subscription(LearnerStatus, topics.LEARNER_STATUS, self._on_learner, topics.STREAM)
        self.create_subscription(NodeStatus, topics.NODE_STATUS, self._on_status, topics.STREAM)

    def fail(self, error: Exception) -> None:
        """Nothing is watched any more, since a callback raised `error`."""
        traceback.print_exception(error)
        self.failure = f"watching the run failed ({type(error).__name__}: {error}), see the lines above"

    def _on_episode(self, message: Episode) -> None:
        progress, state = self.progress, EpisodeState(message.state)
        if state in ENDS and (progress.state, progress.episode) != (state, message.episode):
            self.ended.append((message.episode, state, tuple(progress.prompts), message.reason))
        if message.episode != progress.episode:
            progress.prompts = []
        progress.see_state(state, message.episode)
        progress.outcomes = [EpisodeState(outcome) for outcome in message.outcomes]
        progress.completed, progress.episodes = message.completed, message.episodes
        progress.reason = message.reason

    def _on_event(self, message: EpisodeEvent) -> None:
        if message.accepted and message.event in (*HOLDS, CLEAR):
            self.progress.held = message.event in HOLDS

    def _on_prompt(self, message: Prompt) -> None:
        key = (message.key.episode, message.key.step)
        if key in self._prompted:
            return
        self._prompted.add(key)
        self.progress.decisions += 1
        if message.key.episode == self.progress.episode:
            self.progress.prompts.append(message.prompt)

    def _on_result(self, message: StepResult) -> None:
        key = (message.key.episode, message.key.step)
        if key not in self._executed:
            self._executed.add(key)
            self.progress.control_steps += message.control_steps

    def _on_learner(self, message: LearnerStatus) -> None:
        self.progress.updates_done = message.updates_done
        self.progress.updates_owed = message.updates_owed
        self.progress.updates_per_decision = message.updates_per_decision
        self.progress.recall = message.recall
        self.progress.saved = message.finished
        self.progress.steering = message.steering
        self.progress.learner_error = message.error

    def _on_status(self, message: NodeStatus) -> None:
        self.progress.take_faults(message.node, message.faults)
