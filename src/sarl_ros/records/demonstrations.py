"""Demonstration files: the transitions of steered episodes, with the task and the hash of the policy's weights.

A prompt means what the weights make of it, so demonstrations of other weights are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.core.types import Candidate, StepKey, Verdict
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.replay_store import (
    FILE_NAME,
    FORMAT,
    POOL,
    DecisionRecord,
    Entry,
    NoteRecord,
    TransitionRecord,
    read_store,
    run_of,
    write_entries,
)

KIND = "demonstration file"
RUN = "demonstrations"
Episode = list[tuple[DecisionRecord, TransitionRecord]]


def episodes_of(entries: Iterable[Entry]) -> dict[int, Episode]:
    """Finished steps by episode, amendments applied, decisions without a transition left out."""
    decisions: dict[StepKey, DecisionRecord] = {}
    transitions: dict[StepKey, TransitionRecord] = {}
    for entry in entries:
        if isinstance(entry, DecisionRecord):
            decisions[entry.key] = entry
        elif isinstance(entry, TransitionRecord):
            transitions[entry.key] = entry
    episodes: dict[int, Episode] = {}
    for key in sorted(transitions):
        episodes.setdefault(key.episode, []).append((decisions[key], transitions[key]))
    return episodes


def own_entries(entries: Iterable[Entry], run: str) -> list[Entry]:
    """Notes, and the steps of this run alone, without what it began with."""
    return [entry for entry in entries if isinstance(entry, NoteRecord) or entry.key.run == run]


def export_demonstrations(run_folder: Path, output: Path, *, task: str, weights_hash: str) -> int:
    """Write the successful episodes that were steered throughout as a demonstration file; returns how many there are.

    Writes nothing when there are none. What the agent chose, in whole or in part, is no demonstration.

    Raises:
        StoreError: the run has no readable store, or the file cannot be written.
    """
    store = run_folder / FILE_NAME
    if not store.is_file():
        raise StoreError(f"{run_folder}: no {FILE_NAME} in it: name the folder of a run")
    entries = read_store(store)
    run = run_of(entries) or run_folder.resolve().name
    successful = [
        steps
        for steps in episodes_of(own_entries(entries, run)).values()
        if steps[-1][1].verdict is Verdict.SUCCESS and all(record.decision.demonstration for record, _ in steps)
    ]
    if not successful:
        return 0
    note = NoteRecord(KIND, {"format": FORMAT, "task": task, "weights_hash": weights_hash, "episodes": len(successful)})
    numbered = enumerate(successful, 1)
    write_entries(
        output, [note, *(entry for number, steps in numbered for pair in steps for entry in _renumbered(pair, number))]
    )
    return len(successful)


def load_demonstrations(path: Path, count: int, *, task: str, weights_hash: str) -> list[Episode]:
    """The first `count` episodes of a demonstration file.

    Args:
        weights_hash: of the policy in use; empty leaves it unchecked.

    Raises:
        StoreError: the file is missing or no demonstration file, is damaged, of another task or other weights, or
            too short.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no demonstration file there: make one with `sarl steer`, or pass --demos 0")
    entries = read_store(path)
    note = entries[0] if entries else None
    if not isinstance(note, NoteRecord) or note.kind != KIND:
        raise StoreError(f"{path}: not a demonstration file: make one with `sarl steer`")
    if note.fields["task"] != task:
        raise StoreError(f"{path}: demonstrations of task {note.fields['task']}, not of {task}: name another file")
    if weights_hash and note.fields["weights_hash"] != weights_hash:
        raise StoreError(
            f"{path}: made with policy weights {note.fields['weights_hash'][:12]}, these are {weights_hash[:12]}:"
            " make it again with `sarl steer`"
        )
    episodes = list(episodes_of(entries).values())
    if len(episodes) != note.fields["episodes"] or not all(steps[-1][1].done for steps in episodes):
        raise StoreError(f"{path}: its end is missing: restore it from a copy, or make it again with `sarl steer`")
    if len(episodes) < count:
        raise StoreError(f"{path}: {len(episodes)} demonstrations, {count} wanted: record more, or pass --demos fewer")
    return episodes[:count]


def into_pool(episodes: Iterable[Episode], pool: PromptPool) -> list[Entry]:
    """Demonstrations as entries of a run's store, their prompts in the run's pool, which is empty before.

    Demonstrated prompts enter the pool first, then what was offered beside them, as far as there is room.
    """
    episodes = list(episodes)
    for steps in episodes:
        for demonstrated, _ in steps:
            pool.add(demonstrated.decision.prompt)
    entries: list[Entry] = []
    for steps in episodes:
        for record, transition in steps:
            decision = record.decision
            candidates = _in_pool(decision.candidates, pool)
            rows = [candidate.prompt for candidate in candidates]
            if decision.prompt not in rows:
                raise StoreError(f"the pool of {pool.capacity} is too small for the demonstrations: use fewer of them")
            chosen = rows.index(decision.prompt)
            entries.append(replace(record, decision=replace(decision, candidates=candidates, chosen=chosen)))
            entries.append(replace(transition, candidates=_in_pool(transition.candidates, pool)))
    return [NoteRecord(POOL, {"prompts": list(pool.prompts)}), *entries]


def _in_pool(candidates: Iterable[Candidate], pool: PromptPool) -> tuple[Candidate, ...]:
    rows = [(candidate, pool.add(candidate.prompt)) for candidate in candidates]
    return tuple(replace(candidate, pool_index=row) for candidate, row in rows if row is not None)


def _renumbered(pair: tuple[DecisionRecord, TransitionRecord], episode: int) -> tuple[DecisionRecord, TransitionRecord]:
    record, transition = pair
    key = StepKey(RUN, episode, record.key.step)
    decision = replace(record.decision, key=key, demonstration=True)
    return replace(record, decision=decision), replace(transition, key=key, amendment=False)
