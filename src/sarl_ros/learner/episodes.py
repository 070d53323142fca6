"""episodes.jsonl: one row an episode, written when it is over and every step of it is stored."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sarl_ros.learner.events import EpisodeNews
from sarl_ros.semantic.types import EpisodeState, Verdict
from sarl_ros.store.appendfile import sync_directory
from sarl_ros.store.journal import Journal
from sarl_ros.store.replay import DecisionRecord, TransitionRecord

FILE_NAME = "episodes.jsonl"
OUTCOMES = {Verdict.SUCCESS: "SUCCESS", Verdict.FAILURE: "FAILURE", Verdict.TIMEOUT: "TIMEOUT"}
Steps = Sequence[tuple[DecisionRecord, TransitionRecord]]


class EpisodeLedger:
    """The rows of a run.

    A row has: episode, seed, outcome, decisions, prompts, return (undiscounted sum of rewards), seconds (of the arm's
    time from the first observation to the last), recall, updates, temperature, and for ABORTED ones the reason.

    Args:
        on_row: called with each new row and with each that an amendment changed.
    """

    def __init__(self, folder: Path, seed_base: int, on_row: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._path, self._seed_base, self._on_row = folder / FILE_NAME, seed_base, on_row
        self._journal = Journal(self._path)
        self._rows = {int(row["index"]): row for row in self._journal.read()}
        self._reasons: dict[int, str] = {}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, oldest episode first."""
        return [self._rows[episode] for episode in sorted(self._rows)]

    @property
    def next_episode(self) -> int:
        """The one after the last that has a row."""
        return max(self._rows, default=0) + 1

    @property
    def completed(self) -> int:
        """Episodes that ended in SUCCESS, FAILURE or TIMEOUT."""
        return sum(row["outcome"] != "ABORTED" for row in self._rows.values())

    def see(self, news: EpisodeNews) -> None:
        """Remember why an episode was aborted."""
        if news.state == EpisodeState.ABORTED:
            self._reasons[news.episode] = news.reason

    def log(self, episode: int, steps: Steps, updates: int, temperature: float) -> None:
        """Write the row of an episode that is over, once; again only if its outcome was amended.

        Raises:
            StoreError: the file cannot be written.
        """
        outcome = OUTCOMES.get(steps[-1][1].verdict, "ABORTED") if steps else "ABORTED"
        earlier = self._rows.get(episode)
        if earlier is not None and earlier["outcome"] == outcome:
            return
        row = self._row(episode, outcome, steps, updates, temperature)
        self._rows[episode] = row
        if earlier is None:
            self._journal.append(row)
        else:
            self._rewrite()
        if self._on_row is not None:
            self._on_row(row)

    def _row(self, episode: int, outcome: str, steps: Steps, updates: int, temperature: float) -> dict[str, Any]:
        known = [decision.suitable_offered for decision, _ in steps if decision.suitable_offered is not None]
        stamps = [steps[0][0].observation.stamp_ns, steps[-1][1].observation.stamp_ns] if steps else [0, 0]
        row = {
            "index": episode,
            "seed": self._seed_base + episode,
            "outcome": outcome,
            "decisions": len(steps),
            "prompts": [decision.decision.prompt for decision, _ in steps],
            "return": math.fsum(transition.reward for _, transition in steps),
            "seconds": round((stamps[1] - stamps[0]) / 1e9, 3),
            "recall": sum(known) / len(known) if known else None,
            "updates": updates,
            "temperature": temperature,
        }
        if outcome == "ABORTED":
            row["reason"] = self._reasons.get(episode, "unknown: the learner was away when the episode ended")
        return row

    def _rewrite(self) -> None:
        self._journal.close()
        partial = self._path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with Journal(partial) as journal:
            for row in self.rows:
                journal.append(row)
        os.replace(partial, self._path)
        sync_directory(self._path.parent)
        self._journal = Journal(self._path)

    def close(self) -> None:
        self._journal.close()
