"""Holds a run's records against each other: the operator's journal, the replay store and episodes.jsonl.

A step with a verdict other than ABORTED is one transition, no more and no fewer, and the transition has that verdict.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sarl_ros.semantic.episode import EpisodeConfig, EpisodeMachine
from sarl_ros.semantic.episode_events import event_from_json
from sarl_ros.semantic.types import Verdict
from sarl_ros.store.demonstrations import RUN as DEMONSTRATIONS
from sarl_ros.store.replay import FILE_NAME, DecisionRecord, TransitionRecord, read_entries

JOURNAL = "operator.jsonl"


@dataclass(frozen=True, slots=True)
class Records:
    """What was found.

    Attributes:
        completed: episodes by the journal.
        transitions: in the store, demonstrations left out, amendments counted once.
        problems: each a line; empty if the records agree.
    """

    completed: int
    transitions: int
    problems: tuple[str, ...]


def verdicts_of(run_dir: Path) -> tuple[dict[tuple[int, int], Verdict], int]:
    """The standing verdict of each (episode, step) by the operator's journal, and the episodes completed."""
    entries = [json.loads(line) for line in (run_dir / JOURNAL).read_text().splitlines()]
    settings = entries[0]["settings"]
    config = EpisodeConfig(
        max_steps=settings["max_steps"],
        seed_base=settings["seed_base"],
        auto=settings["auto"],
        max_aborts_in_a_row=10**9,
    )
    machine = EpisodeMachine.replay(config, [event_from_json(entry) for entry in entries])
    return {(given.episode, given.step): given.verdict for given in machine.verdicts.given}, machine.completed


def check_records(run_dir: Path) -> Records:
    """Compare journal, store and episode rows of a run that has ended."""
    verdicts, completed = verdicts_of(run_dir)
    store = run_dir / FILE_NAME
    entries, _ = read_entries(store, 0, store.stat().st_size)
    problems: list[str] = []
    decided = Counter(
        (entry.key.episode, entry.key.step)
        for entry in entries
        if isinstance(entry, DecisionRecord) and entry.key.run != DEMONSTRATIONS
    )
    problems += [f"episode {e} step {s}: decided {n} times" for (e, s), n in decided.items() if n > 1]
    transitions = [
        entry for entry in entries if isinstance(entry, TransitionRecord) and entry.key.run != DEMONSTRATIONS
    ]
    stored: dict[tuple[int, int], Verdict] = {}
    for entry in transitions:
        key = (entry.key.episode, entry.key.step)
        if key in stored and not entry.amendment:
            problems.append(f"episode {key[0]} step {key[1]}: transition stored twice")
        if key not in decided:
            problems.append(f"episode {key[0]} step {key[1]}: transition without a decision")
        stored[key] = entry.verdict
    expected = {key: verdict for key, verdict in verdicts.items() if verdict is not Verdict.ABORTED}
    for key in sorted(expected.keys() - stored.keys()):
        problems.append(f"episode {key[0]} step {key[1]}: verdict {expected[key].name}, but no transition")
    for key in sorted(stored.keys() - expected.keys()):
        problems.append(f"episode {key[0]} step {key[1]}: transition without a verdict that keeps it")
    for key in sorted(stored.keys() & expected.keys()):
        if stored[key] is not expected[key]:
            problems.append(
                f"episode {key[0]} step {key[1]}: stored as {stored[key].name}, judged {expected[key].name}"
            )
    rows = [json.loads(line) for line in (run_dir / "episodes.jsonl").read_text().splitlines()]
    indices = Counter(row["index"] for row in rows)
    problems += [f"episode {index}: {count} rows in episodes.jsonl" for index, count in indices.items() if count > 1]
    finished = sum(row["outcome"] != "ABORTED" for row in rows)
    if finished != completed:
        problems.append(f"episodes.jsonl has {finished} completed episodes, the journal {completed}")
    return Records(completed, len(stored), tuple(problems))
