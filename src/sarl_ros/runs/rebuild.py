"""`sarl replay --rebuild`: the replay store of a run from its bags, compared with the one that the learner wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sarl_ros.records.checks import refuse_shorter_store
from sarl_ros.records.compare import Comparison, Contents, Digest, compare
from sarl_ros.records.rebuild import RebuildError, Rebuilt, rebuild_run
from sarl_ros.runs.folder import RunError
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.bag_run import BagRun, read_run
from sarl_ros.store.bags import BagError, find_bags
from sarl_ros.store.replay_store import FILE_NAME, RESTORED, Entry, NoteRecord, read_store, write_entries

SHOWN_LINES = 8


def rebuild_command(
    run: Path, bags: Sequence[Path] = (), output: Path | None = None, restore: bool = False
) -> dict[str, Any]:
    """Make the store of the run folder `run` again, from its bags or from `bags`, and compare or write it.

    Args:
        output: file to write the rebuilt store to.
        restore: write it to the run folder, whose store must be gone.

    Returns:
        Figures: counts, SHA-256 of both stores and of each rebuilt transition, whether they are identical.

    Raises:
        RunError: the stores differ (the first difference is named), or the bags do not hold a run.
    """
    live_path = run / FILE_NAME
    target = live_path if restore else output
    if target is not None and target.exists():
        raise RunError(f"{target} is there: move it away first" + (", or compare without --restore" * restore))
    try:
        found = find_bags(bags or [run])
        recorded = read_run(found)
        rebuilt = rebuild_run(recorded)
        live = read_store(live_path) if live_path.exists() else None
        if target is not None:
            write_entries(
                target, [*rebuilt.entries, *_restored(run, recorded.run, rebuilt)] if restore else rebuilt.entries
            )
    except (BagError, RebuildError, StoreError) as error:
        raise RunError(str(error)) from error
    print(f"{len(recorded.episodes)} episodes of run {recorded.run} in {len(found)} bags")
    _say("note", recorded.notes)
    _say("gap", [gap.missing for gap in recorded.gaps])
    _say("missing", rebuilt.missing)
    if target is not None:
        print(f"written to {target}")
    if live is None:
        return _without_live(live_path, recorded, rebuilt, target)
    return _report(compare(live, rebuilt.entries))


def _restored(folder: Path, run: str, rebuilt: Rebuilt) -> list[Entry]:
    """A note where the bags lack some of the run, without which a resume would take the store for one that was cut."""
    lacks = list(rebuilt.missing)
    try:
        refuse_shorter_store(folder, run, rebuilt.entries)
    except StoreError as error:
        lacks.append(str(error))
    return [NoteRecord(RESTORED, {"lacks": len(lacks)})] if lacks else []


def _without_live(live_path: Path, run: BagRun, rebuilt: Rebuilt, target: Path | None) -> dict[str, Any]:
    digest = Contents(rebuilt.entries).digest()
    print(_line("rebuilt", digest))
    if target is None:
        print(f"{live_path} is gone: write the rebuilt store there with --restore, or elsewhere with --output FILE")
    return {"run": run.run, "identical": None, **_figures(digest)}


def _report(found: Comparison) -> dict[str, Any]:
    print(_line("live", found.live))
    print(_line("rebuilt", found.rebuilt))
    _say("out of comparison", found.notes)
    if found.difference is not None:
        raise RunError(f"the stores differ, first in {found.difference}{_only_live(found.only_live)}")
    print("identical")
    return {"identical": True, "live_sha256": found.live.total, **_figures(found.rebuilt)}


def _only_live(steps: Sequence[str]) -> str:
    if not steps:
        return ""
    more = f" and {len(steps) - SHOWN_LINES} more" if len(steps) > SHOWN_LINES else ""
    named = ", ".join(steps[:SHOWN_LINES]) + more
    return f"; {FILE_NAME} has what the bags lack ({named}): keep it, they do not give it back"


def _figures(digest: Digest) -> dict[str, Any]:
    return {
        "transitions": digest.transitions,
        "decisions": digest.decisions,
        "sha256": digest.total,
        "sha256_of_transition": digest.of_transition,
    }


def _line(which: str, digest: Digest) -> str:
    return f"{which:<8} {digest.transitions} transitions, {digest.decisions} decisions, sha256 {digest.total}"


def _say(what: str, lines: Sequence[str]) -> None:
    for line in lines[:SHOWN_LINES]:
        print(f"{what}: {line}")
    if len(lines) > SHOWN_LINES:
        print(f"{what}: {len(lines) - SHOWN_LINES} more")
