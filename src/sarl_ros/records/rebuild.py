"""The replay store of a run, made again from its bags alone.

The rules are the learner's (`learner.core`): a decision is a prompt with what its state showed; a transition needs its
result, a verdict other than aborted, and, where it is learned from and did not succeed, the candidates of the state it
ended in. Rewards follow from verdicts. Demonstrations that seeded the store come from the file that the run's
configuration names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sarl_ros.core.reward import reward
from sarl_ros.core.types import Candidate, Decision, Ended, StepKey, Verdict
from sarl_ros.methods.preset import Preset, PresetError, parse_preset
from sarl_ros.records.initial_entries import BEGUN_WITH, Opening
from sarl_ros.store.bag_run import BagEpisode, BagRun, BagStep, key_of, read_run, stamp_ns
from sarl_ros.store.images import critic_image, decode_jpeg
from sarl_ros.store.replay_store import (
    NOT_IN_BAGS,
    POOL,
    DecisionRecord,
    Entry,
    NoteRecord,
    StoredObservation,
    TransitionRecord,
)

LEARNER = "sarl_learner"


class RebuildError(Exception):
    """A store cannot be made from these bags; one line that names the thing and the remedy."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A store's entries in the order of their keys, and what the bags could not tell, in words."""

    entries: list[Entry]
    missing: list[str] = field(default_factory=list)


def rebuild(bags: Sequence[Path]) -> list[Entry]:
    """The entries of the replay store of the run that these bags are of.

    Raises:
        BagError, RebuildError, StoreError: see `read_run` and `rebuild_run`.
    """
    return rebuild_run(read_run(bags)).entries


def rebuild_run(run: BagRun) -> Rebuilt:
    """The entries of a run's replay store.

    Raises:
        RebuildError: the bags lack the run's configuration or preset, or its demonstrations are others now.
        StoreError: the demonstrations that the run began with are missing.
    """
    opening = opening_of(run)
    refuse_another_file(run, opening)
    return played(run, opening.entries(preset_of(run).pool_capacity), opening.learns)


def refuse_another_file(run: BagRun, opening: Opening) -> None:
    """Raises RebuildError where the file that the run began with has been replaced."""
    recorded, found = run.metadata.get(BEGUN_WITH, ""), opening.digest()
    if recorded and found and found != recorded:
        raise RebuildError(
            f"{opening.file} is not what run {run.run} began with (sha256 {found[:12]}, recorded {recorded[:12]}):"
            " put the earlier file back"
        )


def played(run: BagRun, begun_with: Sequence[Entry], learns: bool) -> Rebuilt:
    """A store that begins with `begun_with` and goes on with what was played.

    Args:
        learns: transitions are to be learned from, so that they need the candidates of the state they ended in.

    Raises:
        RebuildError: the bags lack the run's preset.
    """
    maker = _Maker(preset_of(run).horizon, learns)
    steps = [entry for episode in run.episodes for entry in maker.entries(episode)]
    pool = [text for each in begun_with if isinstance(each, NoteRecord) for text in each.fields.get("prompts", ())]
    return Rebuilt([*begun_with, *_with_pool(steps, pool, maker.missing)], maker.missing)


def opening_of(run: BagRun) -> Opening:
    """What the run's store began with.

    Raises:
        RebuildError: the bags lack the run's configuration.
    """
    if not run.config.get(LEARNER):
        raise RebuildError(f"the bags of run {run.run} hold no configuration of a learner: nothing was learned in it")
    return Opening.of(run.config[LEARNER]["ros__parameters"], run.run)


def preset_of(run: BagRun) -> Preset:
    """The values that the run's agent learned with.

    Raises:
        RebuildError: the bags do not hold them.
    """
    text = run.metadata.get("preset", "")
    if not text:
        raise RebuildError(f"the bags of run {run.run} hold no preset, which gives the reward: record it again")
    try:
        return parse_preset(text, f"the preset in the bags of run {run.run}")
    except PresetError as error:
        raise RebuildError(str(error)) from error


def decision_of(prompt: Any) -> Decision:
    """The decision that a recorded Prompt message carries."""
    candidates = tuple(
        Candidate(
            each.prompt,
            int(each.pool_index),
            float(each.q_mean),
            float(each.q_std),
            float(each.probability),
            float(each.prior),
        )
        for each in prompt.candidates
    )
    actor = (getattr(prompt, name, "") for name in ("chunk_actor", "chunk_actor_state"))  # not in older bags
    return Decision(key_of(prompt), candidates, int(prompt.chosen), prompt.agent, bool(prompt.demonstration), *actor)


def observation_of(result: Any) -> StoredObservation:
    """What critics see of the observation in a recorded StepResult message."""
    seen = result.observation
    image = critic_image(decode_jpeg(np.asarray(seen.front.data, np.uint8)))
    return StoredObservation(image, np.array(seen.proprio, np.float32), stamp_ns(seen.header))


class _Maker:
    """Entries of one episode after the other; `missing` says what could not be made."""

    def __init__(self, horizon: int, learns: bool) -> None:
        self._horizon, self._learns = horizon, learns
        self.missing: list[str] = []

    def entries(self, episode: BagEpisode) -> Iterator[Entry]:
        states = {step.key.step: step for step in (episode.start, *episode.steps)}
        amended: list[Entry] = []
        for step in episode.steps:
            decision = self._decision(step, states.get(step.key.step - 1))
            if decision is None:
                continue
            yield decision
            yield from self._transitions(step, decision.decision, states.get(step.key.step + 1), amended)
        yield from amended

    def _decision(self, step: BagStep, state: BagStep | None) -> DecisionRecord | None:
        if step.prompt is None:
            self._lacks(step.key, "its prompt")
            return None
        if state is None or state.result is None:
            self._lacks(step.key, "what was seen before it")
            return None
        offered = int(step.prompt.suitable_offered)
        return DecisionRecord(
            decision_of(step.prompt), observation_of(state.result), None if offered < 0 else bool(offered)
        )

    def _transitions(
        self, step: BagStep, decision: Decision, following: BagStep | None, amended: list[Entry]
    ) -> Iterator[TransitionRecord]:
        verdicts = [verdict for each in step.verdicts if (verdict := Verdict(each.verdict)) is not Verdict.ABORTED]
        result = step.result
        if not verdicts:
            if step.verdicts or result is None or Ended(result.ended) in (Ended.START, Ended.REFUSED):
                return
            self._lacks(step.key, "its verdict")
            return
        if result is None:
            self._lacks(step.key, "its result")
            return
        if Ended(result.ended) in (Ended.START, Ended.REFUSED):
            return
        used = self._learns or decision.demonstration
        observation = observation_of(result)
        records = bytes(getattr(result, "chunk_records", b""))  # not in older bags
        first: TransitionRecord | None = None
        for verdict in verdicts:
            success = verdict is Verdict.SUCCESS
            candidates = _proposed(step, following) if used and not success else ()
            if used and not success and not candidates:
                continue
            value = reward(success, self._horizon)
            record = TransitionRecord(
                step.key, verdict, value, success, observation, candidates, first is not None, records
            )
            if first is None:
                first = record
                yield record
            elif verdict is not first.verdict:
                amended.append(record)
        if used and verdicts[-1] is not Verdict.SUCCESS and not _proposed(step, following):
            self._lacks(step.key, "what could have been chosen after it")

    def _lacks(self, key: StepKey, what: str) -> None:
        self.missing.append(f"episode {key.episode} step {key.step}: {what} is not in the bags")


def _proposed(step: BagStep, following: BagStep | None) -> tuple[Candidate, ...]:
    """What was offered in the state that a step ended in: as proposed, else as the next decision had it."""
    source = step.proposal
    if source is None and following is not None and following.prompt is not None:
        source = None if following.prompt.demonstration else following.prompt
    if source is None:
        return ()
    return tuple(Candidate(each.prompt, int(each.pool_index), prior=float(each.prior)) for each in source.candidates)


def _with_pool(entries: Sequence[Entry], pool: list[str], missing: list[str]) -> Iterator[Entry]:
    """Put before each entry the pool's prompts that it is the first to need."""
    rows = {
        candidate.pool_index: candidate.prompt
        for entry in entries
        if not isinstance(entry, NoteRecord)
        for candidate in _candidates(entry)
        if candidate.pool_index >= 0
    }
    known = len(pool)
    for entry in entries:
        needed = max((candidate.pool_index for candidate in _candidates(entry)), default=-1) + 1
        if needed > known:
            for row in range(known, needed):
                if row not in rows:
                    missing.append(f"row {row} of the prompt pool is not in the bags; no transition has it")
            prompts = [rows.get(row, NOT_IN_BAGS.format(row=row)) for row in range(known, needed)]
            yield NoteRecord(POOL, {"prompts": prompts})
            known = needed
        yield entry


def _candidates(entry: Entry) -> tuple[Candidate, ...]:
    if isinstance(entry, DecisionRecord):
        return entry.decision.candidates
    return entry.candidates if isinstance(entry, TransitionRecord) else ()
