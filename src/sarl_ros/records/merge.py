"""One store to learn from, made of those of several runs of the same task with the same policy weights.

Runs have pools of their own, so prompts are joined by their words and get rows anew: demonstrated prompts first, then
chosen ones, then what was merely offered, as far as there is room. A transition whose prompt found no room is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.core.reward import reward
from sarl_ros.core.types import Candidate, StepKey
from sarl_ros.records.compare import Contents, decision_fields, transition_fields
from sarl_ros.records.demonstrations import RUN as DEMONSTRATIONS
from sarl_ros.store.replay_store import POOL, DecisionRecord, Entry, NoteRecord, TransitionRecord

# Before the name of the run that a transition is from; no run's own name has a colon.
OFFLINE = "offline:"
Step = tuple[DecisionRecord, TransitionRecord]
Episode = list[Step]


class MergeError(Exception):
    """These runs cannot be learned from together; one line that says why and the remedy."""


@dataclass(frozen=True, slots=True)
class Source:
    """A run to learn from.

    Attributes:
        policy: as its configuration names it; tells weights apart where their hash is unknown.
        weights_hash: of the policy, empty if unknown.
    """

    run: str
    task: str
    policy: str
    weights_hash: str
    entries: Sequence[Entry]


@dataclass(slots=True)
class Merged:
    """Entries to learn from, and what was left out."""

    entries: list[Entry] = field(default_factory=list)
    prompts: int = 0
    transitions: int = 0
    demonstrated: int = 0
    without_row: int = 0
    without_candidates: int = 0


def check_alike(sources: Sequence[Source]) -> None:
    """Refuse runs of different tasks or policy weights.

    Raises:
        MergeError: names both runs and what differs.
    """
    first = sources[0]
    for other in sources[1:]:
        if other.task != first.task:
            raise MergeError(
                f"run {other.run} is of task {other.task}, run {first.run} of {first.task}:"
                " learn from one task at a time"
            )
    hashes = {source.weights_hash: source for source in sources if source.weights_hash}
    policies = {source.policy: source for source in sources}
    known = len(hashes) == 1 and all(source.weights_hash for source in sources)
    for found in (hashes, {} if known else policies):
        if len(found) > 1:
            (mine, one), (theirs, other) = list(found.items())[:2]
            raise MergeError(
                f"run {other.run} was made with policy weights {theirs[:12]}, run {one.run} with {mine[:12]}:"
                " a prompt means what the weights make of it, so learn from them apart"
            )


def merge(sources: Sequence[Source], capacity: int, horizon: int) -> Merged:
    """The transitions of several runs, under keys that no run to come has.

    Args:
        capacity: of the prompt pool.
        horizon: that rewards are to be of, whatever the runs' own was.

    Raises:
        MergeError: the runs are not alike, or there is nothing to learn from.
    """
    check_alike(sources)
    steps = [step for episode in _episodes(sources) for step in episode]
    pool = PromptPool(capacity)
    for record, _ in sorted(steps, key=lambda step: not step[0].decision.demonstration):
        pool.add(record.decision.prompt)
    for record, transition in steps:
        for candidate in (*record.decision.candidates, *transition.candidates):
            pool.add(candidate.prompt)
    merged = Merged()
    kept: list[Entry] = []
    for record, transition in steps:
        offered = _in_pool(record.decision.candidates, pool)
        following = _in_pool(transition.candidates, pool)
        chosen = [number for number, each in enumerate(offered) if each.prompt == record.decision.prompt]
        if not chosen:
            merged.without_row += 1
        elif not following and not transition.done:
            merged.without_candidates += 1
        else:
            decision = replace(record.decision, candidates=offered, chosen=chosen[0])
            value = reward(transition.done, horizon)
            kept.append(replace(record, decision=decision))
            kept.append(replace(transition, candidates=following, reward=value, amendment=False))
            merged.transitions += 1
            merged.demonstrated += decision.demonstration
    if not merged.transitions:
        raise MergeError("not one transition to learn from: name bags of episodes that were played with proposals")
    merged.prompts = len(pool)
    merged.entries = [NoteRecord(POOL, {"prompts": list(pool.prompts)}), *kept]
    return merged


def _episodes(sources: Sequence[Source]) -> Iterator[Episode]:
    """Finished steps by episode, each episode once, under the keys that they have from now on.

    Several runs may have begun with the same demonstrations, or with each other. Those demonstrated in files are
    numbered anew, since other files have the same numbers.
    """
    known: set[object] = set()
    demonstrated = 0
    for source in sources:
        for (run, number), steps in _by_episode(source.entries).items():
            from_file = run == DEMONSTRATIONS
            name = run if from_file or run.startswith(OFFLINE) else OFFLINE + run
            identity = _digest(steps) if from_file else (name, number)
            if identity in known:
                continue
            known.add(identity)
            demonstrated += from_file
            yield [_renamed(step, name, demonstrated if from_file else number) for step in steps]


def _by_episode(entries: Iterable[Entry]) -> dict[tuple[str, int], Episode]:
    contents = Contents(entries)
    episodes: dict[tuple[str, int], Episode] = {}
    for key in sorted(contents.transitions):
        step = (contents.decisions[key], contents.transitions[key])
        episodes.setdefault((key.run, key.episode), []).append(step)
    return episodes


def _renamed(step: Step, run: str, episode: int) -> Step:
    record, transition = step
    key = StepKey(run, episode, record.key.step)
    return replace(record, decision=replace(record.decision, key=key)), replace(transition, key=key)


def _digest(steps: Episode) -> str:
    """What an episode says, whatever its number and the rows of its prompts."""
    said = [[decision_fields(record), transition_fields(transition)] for record, transition in steps]
    for fields in (each for step in said for each in step):
        for name in [name for name in fields if name.endswith("pool_index")]:
            del fields[name]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _in_pool(candidates: Iterable[Candidate], pool: PromptPool) -> tuple[Candidate, ...]:
    rows = [(candidate, pool.add(candidate.prompt)) for candidate in candidates]
    return tuple(replace(candidate, pool_index=row) for candidate, row in rows if row is not None)
