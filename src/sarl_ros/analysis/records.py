"""Holds a run's records against each other: the operator's journal, the replay store and episodes.jsonl.

A step with a verdict other than ABORTED is one transition, no more and no fewer, and the transition has that verdict.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sarl_ros.core.types import Verdict
from sarl_ros.records.checks import JOURNAL, replayed, standing
from sarl_ros.records.demonstrations import RUN as DEMONSTRATIONS
from sarl_ros.store.journal import read_journal
from sarl_ros.store.replay_store import FILE_NAME, DecisionRecord, TransitionRecord, read_store


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


def check_records(run_dir: Path) -> Records:
    """Compare journal, store and episode rows of a run that has ended."""
    journal = read_journal(run_dir / JOURNAL)
    machine = replayed(run_dir / JOURNAL, journal, max_aborts_in_a_row=10**9)
    verdicts, completed = standing(machine), machine.completed
    entries = read_store(run_dir / FILE_NAME)
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
    rows = read_journal(run_dir / "episodes.jsonl")
    indices = Counter(row["index"] for row in rows)
    problems += [f"episode {index}: {count} rows in episodes.jsonl" for index, count in indices.items() if count > 1]
    finished = sum(row["outcome"] != "ABORTED" for row in rows)
    if finished != completed:
        problems.append(f"episodes.jsonl has {finished} completed episodes, the journal {completed}")
    return Records(completed, len(stored), tuple(problems))
