"""Updates owed to the decisions of a run, and the checkpoints that come of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sarl_ros.core.learner_events import TrainerNews, TrainingOrder
from sarl_ros.learner.run_memory import RunMemory
from sarl_ros.methods.method import Agent, Counts, Method
from sarl_ros.methods.preset import Preset


class UpdateSchedule:
    """Counts what a trainer owes and has done, and lets an agent act by its checkpoints when told to.

    Attributes:
        news: the trainer's last figures.
        acting: checkpoint and updates of what acts now, an empty path before the first.
    """

    def __init__(self, method: Method, preset: Preset, memory: RunMemory) -> None:
        self._method, self._preset, self._memory = method, preset, memory
        self.news = TrainerNews(0)
        self.acting = ("", 0)
        self._newest = ("", 0)
        self._greeted = self._busy = False
        self._portioned = 0

    def _total(self, more: int = 0) -> int:
        memory = self._memory
        counts = Counts(memory.count + more, memory.demonstrated, memory.updates_before)
        return self._method.owed(self._preset, counts)

    @property
    def total(self) -> int:
        """Updates owed since the run began, those done included, and those that were done offline before it."""
        return self._total()

    @property
    def per_decision(self) -> int:
        """Updates that the next transition adds."""
        return self._total(more=1) - self._total()

    @property
    def owed(self) -> int:
        return max(0, self.total - self.news.updates)

    @property
    def paid(self) -> bool:
        """Every update is done and in a checkpoint."""
        return self._greeted and not self._busy and self._newest[1] >= self.total

    def told(self, news: TrainerNews) -> None:
        """The trainer says where it is."""
        self._greeted |= news.greeting or news.paid
        self._busy &= not news.paid
        if news.greeting or news.paid:
            self._newest = (news.checkpoint, news.updates)
            self.news = replace(news, loss=news.loss if news.loss == news.loss else self.news.loss)
        else:
            self.news = replace(self.news, updates=news.updates)

    def lost(self) -> None:
        """The trainer has ended; what it had not saved is owed again."""
        self._greeted = self._busy = False

    def order(self, offset: int, episodes: int, temperature: float) -> TrainingOrder | None:
        """What to give the trainer between episodes, if anything; it counts as given."""
        if self._busy or self.paid:
            return None
        self._busy = True
        return TrainingOrder(self.total, offset, episodes, temperature, save=True)

    def portion(self, offset: int, episodes: int, temperature: float) -> TrainingOrder | None:
        """What a new transition adds, to be worked off while the episode goes on; it counts as given.

        A trainer that dies loses its portions, which the next `order` then holds.
        """
        if self._busy or not self._greeted or self.total <= max(self._portioned, self.news.updates):
            return None
        self._portioned = self.total
        return TrainingOrder(self.total, offset, episodes, temperature, save=False)

    def refresh(self, agent: Agent, change: bool) -> bool:
        """Let the newest checkpoint act if `change`, or if none did; whether there is any. Raises StoreError."""
        path, _ = self._newest
        if path and (not self.acting[0] or (change and self._newest != self.acting)):
            agent.load(Path(path))
            self.acting = self._newest
        return bool(self.acting[0])
