"""Before a run goes on: its folder is where it is, and its records tell one story, or nothing is started.

What a death left half written is moved beside its file, with a word; what only seems so is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sarl_ros.core.episode import EpisodeMachine
from sarl_ros.learner.episode_log import EpisodeLedger
from sarl_ros.methods.registry import learns
from sarl_ros.records.checks import JOURNAL, check_store, lost_transitions, prompted, refuse_shorter_journal, replayed
from sarl_ros.records.demonstrations import episodes_of, own_entries
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError, RunFolder, check_environment, check_space, open_run
from sarl_ros.runs.running import hold
from sarl_ros.store.appendfile import StoreError, write_error
from sarl_ros.store.bag_writing import newest_episode
from sarl_ros.store.checkpoint import FOLDER, latest_checkpoint, read_facts
from sarl_ros.store.journal import Journal, read_journal
from sarl_ros.store.replay_store import FILE_NAME, DecisionRecord, Entry, ReplayStore, lacks_some

LIMITS = ("max_aborts_in_a_row", "max_resets_in_a_row")


def resume_run(path: str | os.PathLike[str], say: Callable[[str], None] = print, graph: bool = True) -> RunFolder:
    """A run folder that a graph can go on with.

    Args:
        graph: it is to go on through ROS nodes.
        say: takes a line for each thing that was put right, or is not as a whole record would have it.

    Raises:
        RunError: it is none, another process runs it, or its records are damaged or contradict each other.
    """
    check_environment(graph)
    folder = open_run(path, played=True)
    if graph:  # bags are written by it alone
        check_space(folder.tree(), folder.path)
    try:
        with hold(folder, say):
            folder.settled()  # what no node would take is refused before anything is touched
            for line in settle_records(folder):
                say(line)
            folder.settle()
    except StoreError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(str(write_error(folder.path, error))) from error
    return folder


def settle_records(folder: RunFolder) -> list[str]:
    """Hold the records of a run against each other and move torn tails beside; returns what there is to say.

    Raises:
        StoreError: a record is damaged, or another one knows of more than it has.
    """
    path, run = folder.path, folder.name
    operator = folder.tree()[bringup.OPERATOR.name]["ros__parameters"]
    limits = {name: operator[name] for name in LIMITS if name in operator}
    seed_base = operator.get("seed_base", 0)
    steps = prompted(read_journal(path / JOURNAL))
    if steps and not (path / FILE_NAME).exists():
        raise StoreError(
            f"{path / FILE_NAME} is gone, and {JOURNAL} knows of {len(steps)} steps: restore it from a copy, or make it"
            f" again from the bags with `sarl replay --rebuild {path} --restore`"
        )
    with ReplayStore(path, lambda entries: check_store(path, run, entries)) as store:
        found: list[EpisodeMachine] = []

        def check_journal(journal: list[dict[str, Any]]) -> None:
            machine = replayed(path / JOURNAL, journal, **limits)
            refuse_shorter_journal(path, run, machine, store.entries)
            found.append(machine)

        with Journal(path / JOURNAL, check_journal) as journal:
            words = [store.repair, journal.repair]
        entries = store.entries
    words += _hold_against_bags(path, found[0])
    words += _settle_rows(folder, seed_base, found[0], entries)
    words += _settle_checkpoints(folder, run, entries)
    if lacks_some(entries):
        words.append(f"{path / FILE_NAME} was made again from bags that lack some of the run: the rest is not checked")
    elif lost := lost_transitions(run, found[0], entries):
        named = ", ".join(f"episode {episode} step {step}" for episode, step in lost)
        words.append(
            f"{path / FILE_NAME} has no transition of {named}, though the operator judged it: the nodes that had it"
            f" died, or the file was cut; `sarl replay --rebuild {path}` tells whether the bags have it"
        )
    return [word for word in words if word]


def _hold_against_bags(path: Path, machine: EpisodeMachine) -> list[str]:
    """A bag of an episode that the journal does not know: all else is gone, or other nodes were heard."""
    bag = newest_episode(path / "bags")
    if bag <= max(1, machine.episode):  # the first is begun with the recorder
        return []
    what = f"{path / 'bags'} has a bag of episode {bag}, {JOURNAL} knows of {machine.episode} episodes"
    if machine.episode == 0:
        raise StoreError(f"{what}: restore the run's files from a copy, or begin a new run")
    return [f"{what}: the recorder heard another run, or the run's files are older than its bags"]


def _settle_rows(folder: RunFolder, seed_base: int, machine: EpisodeMachine, entries: list[Entry]) -> list[str]:
    ledger = EpisodeLedger(folder.path, seed_base)
    try:
        rows = [row["index"] for row in ledger.rows]
        if rows and rows[-1] > machine.episode:
            raise StoreError(
                f"{folder.episodes} has a row of episode {rows[-1]}, {JOURNAL} knows of {machine.episode} episodes:"
                " restore the one that was cut or replaced from a copy, or begin a new run"
            )
        words = [ledger.repair]
        if not lacks_some(entries):
            words += ledger.put_right(episodes_of(own_entries(entries, folder.name)))
    finally:
        ledger.close()
    over = range(1, machine.episode + (1 if machine.over else 0))
    if missing := [str(episode) for episode in over if episode not in rows]:
        words.append(f"{folder.episodes} has no row of episode {', '.join(missing)}: the learner writes it again")
    return words


def _settle_checkpoints(folder: RunFolder, run: str, entries: list[Entry]) -> list[str]:
    """Updates that were done once, or may have been, and are in no checkpoint that is there."""
    if folder.tree().get(bringup.SARL_LEARNER.name, {}).get("ros__parameters", {}).get("evaluate"):
        return []
    newest = latest_checkpoint(folder.path / FOLDER)
    facts = read_facts(newest) if newest is not None else {"updates": 0, "episodes": 0}
    rows = read_journal(folder.episodes)
    updates = max((row.get("updates", 0) for row in rows), default=0)
    completed = sum(row["outcome"] != "ABORTED" for row in rows)
    learned = any(
        isinstance(each, DecisionRecord) and each.key.run == run and learns(each.decision.agent) for each in entries
    )
    if not learned or (newest is not None and facts["updates"] >= updates and facts["episodes"] >= completed):
        return []
    return [
        f"{folder.path / FOLDER}: the newest checkpoint is {newest.name if newest else 'none'}, with"
        f" {facts['updates']} updates after {facts['episodes']} completed episodes, {folder.episodes.name} tells of"
        f" {updates} and {completed}: what it lacks is done again from the replay store"
    ]
