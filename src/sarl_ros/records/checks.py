"""What a run's records attest of each other, so that no record is cut, or gone on with, that another knows more of.

The order of writing makes it so, whatever dies at whatever moment: a decision is stored before its prompt is
published, which the operator journals; a verdict is journaled before it is published, and its transition stored after
that and before the next decision; a checkpoint counts what the store has. So the store has every decision that was
journaled as prompted, and all a checkpoint counts; the journal has every verdict that the store has. A transition may
be missing that its nodes took with them when they died, but only the last one of an episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sarl_ros.core.episode import EpisodeConfig, EpisodeMachine
from sarl_ros.core.episode_events import event_from_json
from sarl_ros.core.types import StepKey, Verdict
from sarl_ros.records.compare import Contents
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.checkpoint import FOLDER, latest_checkpoint, read_facts
from sarl_ros.store.journal import read_journal
from sarl_ros.store.replay_store import FILE_NAME, NOT_IN_BAGS, Entry, lacks_some

JOURNAL = "operator.jsonl"
Step = tuple[int, int]


def check_store(folder: Path, run: str, entries: Sequence[Entry]) -> None:
    """Hold a store's whole records against the operator's journal and the newest checkpoint.

    Raises:
        StoreError: one of them knows of more, or is damaged.
    """
    refuse_shorter_store(folder, run, entries)
    newest = latest_checkpoint(folder / FOLDER)
    if newest is not None:
        refuse_store_without(newest, read_facts(newest), folder, run, entries)


def refuse_shorter_store(folder: Path, run: str, entries: Sequence[Entry]) -> None:
    """Hold a store's whole records against the operator's journal, as far as there is one.

    Raises:
        StoreError: the store lacks a step that the journal has.
    """
    if lacks_some(entries):
        return
    contents = Contents(entries)
    for episode, step in prompted(read_journal(folder / JOURNAL)):
        key = StepKey(run, episode, step)
        before = StepKey(run, episode, step - 1)
        if key in contents.decisions and (step == 1 or before in contents.transitions):
            continue
        what = f"transition of step {step - 1}" if key in contents.decisions else f"decision of step {step}"
        raise StoreError(
            f"{folder / FILE_NAME} lacks the {what} of episode {episode}, which {JOURNAL} knows of: restore it from a"
            f" copy, or move it away and make it again from the bags with `sarl replay --rebuild {folder} --restore`"
        )


def refuse_store_without(
    checkpoint: Path, facts: Mapping[str, Any], folder: Path, run: str, entries: Sequence[Entry]
) -> None:
    """Hold a store's whole records against what a checkpoint has learned from them.

    Raises:
        StoreError: the checkpoint has learned from more, or its pool is another.
    """
    if lacks_some(entries):
        return
    contents = Contents(entries)
    ended = {key.episode for key, each in contents.transitions.items() if key.run == run and _ends(each.verdict)}
    for what, counted, there in (
        ("transitions", facts.get("transitions", 0), len(contents.transitions)),
        ("completed episodes", facts.get("episodes", 0), len(ended)),
        ("updates", facts.get("updates", 0) if entries else 0, _payable(contents, facts.get("preset", {}), run)),
    ):
        if counted > there:
            raise StoreError(
                f"{checkpoint} counts {counted} {what}, {folder / FILE_NAME} has or owes {there}: restore the store"
                " from a copy, or delete the checkpoint if the store is right"
            )
    for row, (learned, stored) in enumerate(zip(facts.get("prompts", ()), contents.pool, strict=False)):
        if learned != stored and stored != NOT_IN_BAGS.format(row=row):
            raise StoreError(
                f"{checkpoint} has prompt {learned!r} in row {row} of the pool, {folder / FILE_NAME} has {stored!r}:"
                " they are of different runs, restore the one that is not of this one"
            )


def _payable(contents: Contents, preset: Mapping[str, Any], run: str) -> int:
    """The most updates that a run owes for what it has stored; see `learner.update_schedule`."""
    own = sum(key.run == run for key in contents.transitions)
    before = contents.notes.get("offline", {}).get("updates", 0)
    demonstrated = any(each.decision.demonstration for each in contents.decisions.values())
    extra = preset.get("demonstration_updates", 0) if demonstrated else 0
    return (before or extra) + own * preset.get("updates_per_decision", 0)


def refuse_shorter_journal(folder: Path, run: str, machine: EpisodeMachine, entries: Sequence[Entry]) -> None:
    """Hold the operator's journal, as the machine that it gives, against a store.

    Raises:
        StoreError: the store has what the journal does not know of, or another verdict.
    """
    contents, path = Contents(entries), folder / JOURNAL
    newest = max((key.episode for key in contents.decisions if key.run == run), default=0)
    if newest > machine.episode:
        raise StoreError(
            f"{path} knows of {machine.episode} episodes, but {FILE_NAME} of {newest}: it was cut, emptied or replaced;"
            " restore it from a copy, or begin a new run"
        )
    if newest == machine.episode > 0 and not (machine.open or machine.over):
        raise StoreError(
            f"{path} does not know that episode {newest} was started, but {FILE_NAME} has steps of it: it was cut;"
            " restore it from a copy, or begin a new run"
        )
    given: dict[Step, set[Verdict]] = {}
    for each in machine.verdicts.given:
        given.setdefault((each.episode, each.step), set()).add(each.verdict)
    for key, stored in contents.transitions.items():
        known = given.get((key.episode, key.step), set())
        if key.run == run and stored.verdict not in known:
            said = " and ".join(sorted(verdict.name for verdict in known)) or "no verdict"
            raise StoreError(
                f"{path} has {said} on episode {key.episode} step {key.step}, {FILE_NAME} {stored.verdict.name}: one"
                " of them was cut or replaced; restore it from a copy, or begin a new run"
            )


def lost_transitions(run: str, machine: EpisodeMachine, entries: Sequence[Entry]) -> list[Step]:
    """Steps that were judged, in episodes that are over, and of which the store has no transition."""
    contents = Contents(entries)
    judged = [
        step
        for step, verdict in standing(machine).items()
        if verdict is not Verdict.ABORTED and (step[0] < machine.episode or machine.over)
    ]
    return [step for step in judged if StepKey(run, *step) not in contents.transitions]


def prompted(journal: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Steps whose prompts the operator saw, oldest first."""
    seen = (each for each in journal if each.get("event") == "prompt" and each.get("accepted"))
    return [(each.get("episode", 0), each.get("step", 0)) for each in seen]


def standing(machine: EpisodeMachine) -> dict[Step, Verdict]:
    """The verdict in effect of each step that has one."""
    return {(given.episode, given.step): given.verdict for given in machine.verdicts.given}


def replayed(
    path: Path,
    journal: Sequence[Mapping[str, Any]],
    max_aborts_in_a_row: int = 5,
    max_resets_in_a_row: int = 5,
) -> EpisodeMachine:
    """The episode machine that a journal gives, by the settings that are in it and those of the run that are not.

    Raises:
        StoreError: the journal holds an event that there is not.
    """
    settings = journal[0].get("settings", {}) if journal else {}
    try:
        config = EpisodeConfig(
            max_steps=settings.get("max_steps", 1),
            seed_base=settings.get("seed_base", 0),
            auto=settings.get("auto", True),
            max_aborts_in_a_row=max_aborts_in_a_row,
            max_resets_in_a_row=max_resets_in_a_row,
        )
        return EpisodeMachine.replay(config, [event_from_json(entry) for entry in journal])
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path}: {error}: restore it from a copy, or begin a new run") from error


def _ends(verdict: Verdict) -> bool:
    return verdict in (Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT)
