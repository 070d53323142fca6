"""The simulator's judgements of the last moments, looked up by the time of an observation."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from sarl_ros.core.learner_events import GroundTruth
from sarl_ros.core.prompt_pool import normalise

KEPT = 256


class GroundTruthLog:
    def __init__(self) -> None:
        self._kept: deque[GroundTruth] = deque(maxlen=KEPT)

    def add(self, truth: GroundTruth) -> None:
        self._kept.append(replace(truth, suitable=tuple(normalise(prompt) for prompt in truth.suitable)))

    def at(self, stamp_ns: int, seed: int) -> GroundTruth | None:
        """The newest that is not younger than `stamp_ns` and of the layout `seed` (any for -1); None without one."""
        fitting = [each for each in self._kept if each.stamp_ns <= stamp_ns and seed in (-1, each.seed)]
        return max(fitting, key=lambda each: each.stamp_ns, default=None)
