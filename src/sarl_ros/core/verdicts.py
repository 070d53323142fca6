"""The verdicts of a run as the operator gave them: one a step, and at most one amendment of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sarl_ros.core.episode_events import GiveVerdict


@dataclass(slots=True)
class Verdicts:
    """Every verdict and amendment.

    Attributes:
        given: oldest first.
    """

    given: list[GiveVerdict] = field(default_factory=list)
    _newest: dict[tuple[int, int], GiveVerdict] = field(default_factory=dict)
    _amended: set[tuple[int, int]] = field(default_factory=set)

    def add(self, verdict: GiveVerdict) -> None:
        key = (verdict.episode, verdict.step)
        self.given.append(verdict)
        self._newest[key] = verdict
        if verdict.amendment:
            self._amended.add(key)

    def of(self, episode: int, step: int) -> GiveVerdict | None:
        """The one in effect, None before the first."""
        return self._newest.get((episode, step))

    def amended(self, episode: int, step: int) -> bool:
        return (episode, step) in self._amended
