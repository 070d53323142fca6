"""What the learner knows of its run: the replay store's records by step, and the prompt pool they fill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sarl_ros.core.prompt_pool import PromptPool, normalise
from sarl_ros.core.types import Candidate, StepKey
from sarl_ros.methods.steer import PERSON
from sarl_ros.records.demonstrations import RUN as DEMONSTRATIONS
from sarl_ros.records.initial_entries import OFFLINE_NOTE
from sarl_ros.store.replay_store import POOL, DecisionRecord, Entry, NoteRecord, ReplayStore, TransitionRecord


class RunMemory:
    """Read from the store at the start, then kept in step with it.

    Attributes:
        decisions, transitions: of this run, by step; an amendment has replaced what it amends.
        found_open: decisions that the store held at the start without a transition.
        demonstrated: there are demonstrations, from a file or by a person who steered an episode to its success.
        updates_before: updates of the critics that the run began with, 0 unless they were learned offline.
        pool: filled from the store, or closed and given.
    """

    def __init__(self, run: str, store: ReplayStore, pool: PromptPool) -> None:
        self._run, self._store, self.pool = run, store, pool
        self.decisions: dict[StepKey, DecisionRecord] = {}
        self.transitions: dict[StepKey, TransitionRecord] = {}
        self.demonstrated = False
        self.updates_before = 0
        self.add(store.entries)
        self.found_open = self.open_decisions()

    def add(self, entries: Iterable[Entry]) -> None:
        """Take over records that the store has."""
        for entry in entries:
            if isinstance(entry, NoteRecord):
                if entry.kind == POOL:
                    for prompt in entry.fields["prompts"]:
                        self.pool.add(prompt)
                elif entry.kind == OFFLINE_NOTE:
                    self.updates_before = entry.fields["updates"]
            elif entry.key.run != self._run:
                self.demonstrated |= entry.key.run == DEMONSTRATIONS
            elif isinstance(entry, DecisionRecord):
                self.decisions[entry.key] = entry
            else:
                self.transitions[entry.key] = entry
                self.demonstrated |= entry.done and self.decisions[entry.key].decision.demonstration

    @property
    def count(self) -> int:
        """Transitions, without demonstrations."""
        return len(self.transitions)

    @property
    def last_episode(self) -> int:
        """The newest episode with a decision, 0 before the first."""
        return max((key.episode for key in self.decisions), default=0)

    def open_decisions(self, since: int = 0) -> list[StepKey]:
        """Decisions without a transition, of this episode and later ones, oldest first."""
        return sorted(key for key in self.decisions if key.episode >= since and key not in self.transitions)

    def has_decisions(self, episode: int) -> bool:
        return StepKey(self._run, episode, 1) in self.decisions

    def steered(self, episode: int) -> bool:
        """Whether a person chose the last decision of an episode."""
        keys = [key for key in self.decisions if key.episode == episode]
        return bool(keys) and self.decisions[max(keys)].decision.agent == PERSON

    def last_step(self, episode: int) -> int:
        """The last step of an episode that has a transition, 0 if none has."""
        step = 0
        while StepKey(self._run, episode, step + 1) in self.transitions:
            step += 1
        return step

    def steps(self, episode: int) -> list[tuple[DecisionRecord, TransitionRecord]]:
        """The finished steps of an episode in order."""
        keys = [StepKey(self._run, episode, step) for step in range(1, self.last_step(episode) + 1)]
        return [(self.decisions[key], self.transitions[key]) for key in keys]

    def history(self, episode: int) -> tuple[str, ...]:
        """Prompts of an episode's finished steps, oldest first."""
        return tuple(decision.decision.prompt for decision, _ in self.steps(episode))

    def episodes_with_transitions(self, without: int = 0) -> int:
        return len({key.episode for key in self.transitions} - {without})

    def recall(self) -> float:
        """Share of decisions that offered a suitable prompt, where that is known; NaN if it never is."""
        known = [each.suitable_offered for each in self.decisions.values() if each.suitable_offered is not None]
        return sum(known) / len(known) if known else math.nan

    def offer(self, prompts: Sequence[str], priors: Sequence[float], closed: bool) -> tuple[tuple[Candidate, ...], int]:
        """Proposed prompts as candidates with their rows, and how many the pool had no row for.

        New prompts take rows, unless the pool is `closed`; the store has them before this returns.

        Raises:
            StoreError: the store cannot be written.
        """
        weights = priors if len(priors) == len(prompts) else [0.0] * len(prompts)
        known = len(self.pool)
        candidates: dict[str, Candidate] = {}
        dropped = 0
        for prompt, prior in zip(prompts, weights, strict=True):
            try:
                text = normalise(prompt)
                row = self.pool.index(text) if closed else self.pool.add(text)
            except (ValueError, KeyError):
                row = None
            if row is None:
                dropped += 1
            else:
                candidates.setdefault(text, Candidate(text, row, prior=float(prior)))
        if len(self.pool) > known:
            self._store.append(NoteRecord(POOL, {"prompts": list(self.pool.prompts[known:])}))
        return tuple(candidates.values()), dropped
