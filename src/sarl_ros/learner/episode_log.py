"""episodes.jsonl: one row an episode, written when it is over and every step of it is stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sarl_ros.core.learner_events import EpisodeNews
from sarl_ros.core.types import EpisodeState, Verdict
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.journal import Journal, write_journal
from sarl_ros.store.replay_store import DecisionRecord, TransitionRecord

FILE_NAME = "episodes.jsonl"
REMEDY = "restore the file from a copy, or delete it: it is written again from the replay store"
OUTCOMES = {Verdict.SUCCESS: "SUCCESS", Verdict.FAILURE: "FAILURE", Verdict.TIMEOUT: "TIMEOUT"}
ENDS = (*OUTCOMES.values(), "ABORTED")
Steps = Sequence[tuple[DecisionRecord, TransitionRecord]]


class EpisodeLedger:
    """The rows of a run.

    A row has: episode, seed, outcome, decisions, prompts, return (undiscounted sum of rewards), seconds (of the arm's
    time from the first observation to the last), recall, updates, temperature, and for ABORTED ones the reason.

    Args:
        on_row: called with each new row and with each that an amendment changed.

    Attributes:
        repair: what opening cut off, in one line; empty as a rule.

    Raises:
        StoreError: the file cannot be opened, or a row is damaged.
    """

    def __init__(self, folder: Path, seed_base: int, on_row: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._path, self._seed_base, self._on_row = folder / FILE_NAME, seed_base, on_row
        self._journal = Journal(self._path, remedy=REMEDY)
        self.repair = self._journal.repair
        self._rows: dict[int, dict[str, Any]] = {}
        for number, row in enumerate(self._journal.read(), 1):
            if type(row.get("index")) is not int or row["index"] in self._rows or row.get("outcome") not in ENDS:
                raise StoreError(f"{self._path}: line {number} is no row of an episode of its own: {REMEDY}")
            self._rows[row["index"]] = row
        self._reasons: dict[int, str] = {}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, oldest episode first."""
        return [self._rows[episode] for episode in sorted(self._rows)]

    @property
    def next_episode(self) -> int:
        """The first that has no row."""
        return next(episode for episode in range(1, len(self._rows) + 2) if episode not in self._rows)

    @property
    def completed(self) -> int:
        """Episodes that ended in SUCCESS, FAILURE or TIMEOUT."""
        return sum(row["outcome"] != "ABORTED" for row in self._rows.values())

    def see(self, news: EpisodeNews) -> None:
        """Remember why an episode was aborted."""
        if news.state == EpisodeState.ABORTED:
            self._reasons[news.episode] = news.reason

    def put_right(self, stored: Mapping[int, Steps]) -> list[str]:
        """Hold rows against the finished steps that the store has of each episode, which they are written from.

        An amendment that a learner stored and did not live to write here is one case. Returns what was changed.

        Raises:
            StoreError: the file cannot be written.
        """
        words = []
        for episode, row in self._rows.items():
            told = self._told(episode, stored.get(episode, ()))
            if differing := [name for name, value in told.items() if row.get(name) != value]:
                name = "outcome" if "outcome" in differing else differing[0]
                words.append(
                    f"{self._path}: {name} of episode {episode} was {row.get(name)!r}, is {told[name]!r} by the store"
                )
                self._rows[episode] = {**row, **told}
        if words:
            self._rewrite()
        return words

    def log(self, episode: int, steps: Steps, updates: int, temperature: float) -> None:
        """Write the row of an episode that is over, once; again only if its outcome was amended.

        Raises:
            StoreError: the file cannot be written.
        """
        row = {**self._told(episode, steps), "updates": updates, "temperature": temperature}
        if row["outcome"] == "ABORTED":
            row["reason"] = self._reasons.get(episode, "unknown: the learner was away when the episode ended")
        earlier = self._rows.get(episode)
        if earlier is not None and earlier["outcome"] == row["outcome"]:
            return
        self._rows[episode] = row
        if earlier is None:
            self._journal.append(row)
        else:
            self._rewrite()
        if self._on_row is not None:
            self._on_row(row)

    def _told(self, episode: int, steps: Steps) -> dict[str, Any]:
        """What of a row follows from the store."""
        known = [decision.suitable_offered for decision, _ in steps if decision.suitable_offered is not None]
        stamps = [steps[0][0].observation.stamp_ns, steps[-1][1].observation.stamp_ns] if steps else [0, 0]
        return {
            "index": episode,
            "seed": self._seed_base + episode,
            "outcome": OUTCOMES.get(steps[-1][1].verdict, "ABORTED") if steps else "ABORTED",
            "decisions": len(steps),
            "prompts": [decision.decision.prompt for decision, _ in steps],
            "return": math.fsum(transition.reward for _, transition in steps),
            "seconds": round((stamps[1] - stamps[0]) / 1e9, 3),
            "recall": sum(known) / len(known) if known else None,
        }

    def _rewrite(self) -> None:
        self._journal.close()
        write_journal(self._path, self.rows)
        self._journal = Journal(self._path, remedy=REMEDY)

    def close(self) -> None:
        self._journal.close()
