"""Whether two replay stores say the same: what is learned from, step by step, in the order of keys.

Compared of each step: the decision (candidates with their values, the chosen one, agent, demonstration, whether a
suitable prompt was offered, what was seen) and the transition in effect (verdict, reward, done, candidates, what was
seen). Numbers of candidates are compared as the 32-bit values that messages carry; an amended transition as it is after
the amendment, whether the store had it before or not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sarl_ros.core.types import Candidate, StepKey
from sarl_ros.store.replay_store import POOL, RESTORED, DecisionRecord, Entry, StoredObservation, TransitionRecord

Fields = dict[str, Any]
OUT_OF_COMPARISON = (
    "notes of the pool: which row a prompt has is compared with every candidate; when it took that row is not, since"
    " a proposal that was never used may have brought it",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing in which two stores differ; a value of None is one that is not there."""

    key: str
    field: str
    live: Any
    rebuilt: Any

    def __str__(self) -> str:
        return f"{self.key}, {self.field}: live {self.live!r}, rebuilt {self.rebuilt!r}"


@dataclass(frozen=True, slots=True)
class Digest:
    """Counts and SHA-256 of what a store has to learn from.

    Attributes:
        of_transition: SHA-256 of each transition with its key and decision, in the order of keys.
        total: SHA-256 over all of them.
    """

    transitions: int
    decisions: int
    total: str
    of_transition: dict[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found.

    Attributes:
        only_live: steps of which the live store has a decision or transition that the rebuilt one lacks.
        notes: what was left out of the comparison and why.
    """

    live: Digest
    rebuilt: Digest
    difference: Difference | None
    only_live: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Contents:
    """What a store says, by step: decisions, transitions in effect, and the prompts of the pool by row."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.decisions: dict[StepKey, DecisionRecord] = {}
        self.transitions: dict[StepKey, TransitionRecord] = {}
        self.notes: dict[str, Any] = {}
        self.pool: list[str] = []
        self.amended = 0
        for entry in entries:
            if isinstance(entry, DecisionRecord):
                self.decisions[entry.key] = entry
            elif isinstance(entry, TransitionRecord):
                self.amended += entry.key in self.transitions
                self.transitions[entry.key] = entry
            elif entry.kind == POOL:
                self.pool += entry.fields["prompts"]
            else:
                self.notes[entry.kind] = dict(entry.fields)

    @property
    def keys(self) -> list[StepKey]:
        return sorted(self.decisions.keys() | self.transitions.keys())

    def fields(self, what: str, key: StepKey) -> Fields | None:
        """What is compared of the "decision" or the "transition" of a step, None where there is none."""
        if what == "decision":
            decision = self.decisions.get(key)
            return None if decision is None else decision_fields(decision)
        transition = self.transitions.get(key)
        return None if transition is None else transition_fields(transition)

    def digest(self) -> Digest:
        hashes = {}
        for key in sorted(self.transitions):
            parts = [name(key), *(self.fields(what, key) for what in ("decision", "transition"))]
            hashes[name(key)] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        total = hashlib.sha256("\n".join(hashes.values()).encode()).hexdigest()
        return Digest(len(self.transitions), len(self.decisions), total, hashes)


def of_any_run(entries: Iterable[Entry], run: str) -> list[Entry]:
    """Decisions and transitions without what differs between runs that did the same.

    These are a run's name; the time of an episode's first observation, since time goes on by what a reset takes; and
    whether a suitable prompt was offered, which nothing acts on and a graph knows only once ground truth has arrived.
    """
    begins: dict[StepKey, int] = {}
    told: list[Entry] = []
    for entry in entries:
        if isinstance(entry, DecisionRecord | TransitionRecord):
            key, seen = entry.key if entry.key.run != run else replace(entry.key, run=""), entry.observation
            begin_ns = begins.setdefault(replace(key, step=0), seen.stamp_ns)
            seen = replace(seen, stamp_ns=seen.stamp_ns - begin_ns)
            if isinstance(entry, DecisionRecord):
                decision = replace(entry.decision, key=key)
                told.append(replace(entry, decision=decision, observation=seen, suitable_offered=None))
            else:
                told.append(replace(entry, key=key, observation=seen))
    return told


def name(key: StepKey) -> str:
    """A key as it is printed and hashed."""
    return f"{key.run} episode {key.episode} step {key.step}".strip()


def decision_fields(entry: DecisionRecord) -> Fields:
    """What is compared of a decision, flat."""
    decision = entry.decision
    actor = (decision.chunk_actor, decision.chunk_actor_state)
    return {
        "chosen": decision.chosen,
        "agent": decision.agent,
        "demonstration": decision.demonstration,
        "suitable_offered": entry.suitable_offered,
        **({"chunk actor": list(actor)} if actor[0] else {}),
        **_candidates(decision.candidates),
        **_seen(entry.observation),
    }


def transition_fields(entry: TransitionRecord) -> Fields:
    """What is compared of a transition, flat."""
    return {
        "verdict": entry.verdict.name,
        "reward": entry.reward,
        "done": entry.done,
        **({"chunk records sha256": hashlib.sha256(records).hexdigest()} if (records := entry.chunk_records) else {}),
        **_candidates(entry.candidates),
        **_seen(entry.observation),
    }


def compare(live: Sequence[Entry], rebuilt: Sequence[Entry]) -> Comparison:
    """Compare two stores of a run."""
    one, other = Contents(live), Contents(rebuilt)
    notes = list(OUT_OF_COMPARISON)
    unpublished = {key for key in one.decisions.keys() - other.decisions.keys() if key not in one.transitions}
    if unpublished:
        named = ", ".join(name(key) for key in sorted(unpublished))
        notes.append(
            f"{len(unpublished)} decisions that were stored but never led to anything and are not in the bags, as after"
            f" the death of a learner between storing and publishing: {named}"
        )
    if one.amended != other.amended:
        notes.append(
            f"{one.amended} amended transitions in the live store and {other.amended} in the rebuilt one: an amendment"
            " that came before its transition was stored left no first version"
        )
    if len(one.pool) > len(other.pool):
        notes.append(f"{len(one.pool) - len(other.pool)} prompts of the pool that no recorded candidate set holds")
    difference = _first_difference(one, other, unpublished)
    lost = (one.decisions.keys() - other.decisions.keys() - unpublished) | (
        one.transitions.keys() - other.transitions.keys()
    )
    only_live = [f"episode {key.episode} step {key.step}" for key in sorted(lost)]
    return Comparison(one.digest(), other.digest(), difference, only_live, notes)


def _first_difference(one: Contents, other: Contents, ignored: set[StepKey]) -> Difference | None:
    for kind in sorted((one.notes.keys() | other.notes.keys()) - {RESTORED}):
        if one.notes.get(kind) != other.notes.get(kind):
            return _differ(f"note {kind}", one.notes.get(kind), other.notes.get(kind))
    for key in sorted({*one.keys, *other.keys} - ignored):
        for what in ("decision", "transition"):
            mine, theirs = one.fields(what, key), other.fields(what, key)
            if mine != theirs:
                return _differ(f"{what} of {name(key)}", mine, theirs)
    return None


def _differ(what: str, live: Fields | None, rebuilt: Fields | None) -> Difference:
    if live is None or rebuilt is None:
        there = {True: "there", False: "not there"}
        return Difference(what, "presence", there[live is not None], there[rebuilt is not None])
    field = next(key for key in [*live, *rebuilt] if live.get(key) != rebuilt.get(key))
    return Difference(what, field, live.get(field), rebuilt.get(field))


def _candidates(candidates: Sequence[Candidate]) -> Fields:
    fields: Fields = {"number of candidates": len(candidates)}
    for number, each in enumerate(candidates):
        values = {
            "prompt": each.prompt,
            "pool_index": each.pool_index,
            "q_mean": _wire(each.q_mean),
            "q_std": _wire(each.q_std),
            "probability": _wire(each.probability),
            "prior": _wire(each.prior),
        }
        fields |= {f"candidate {number} {label}": value for label, value in values.items()}
    return fields


def _seen(observation: StoredObservation) -> Fields:
    return {
        "stamp_ns": observation.stamp_ns,
        "proprio": [float(value) for value in observation.proprio],
        "image sha256": hashlib.sha256(np.ascontiguousarray(observation.image).tobytes()).hexdigest(),
    }


def _wire(number: float) -> float | None:
    """As a 32-bit number of a message; None for NaN, which equals nothing."""
    return None if math.isnan(number) else float(np.float32(number))
