"""The report's opening: the figures that answer first, and what a reader must know before trusting them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sarl_ros.analysis.curve import WINDOW
from sarl_ros.analysis.filmstrip import Strips
from sarl_ros.analysis.latencies import STAGES
from sarl_ros.analysis.measures import distribution
from sarl_ros.analysis.pictures import presses
from sarl_ros.analysis.streams import Streams
from sarl_ros.analysis.svg import seconds
from sarl_ros.analysis.tables import COMPLETED, Clock, Tables
from sarl_ros.analysis.waits import LEARNER, MACHINE, NOBODY, PERSON, RUNNING
from sarl_ros.core.statistics import wilson_interval
from sarl_ros.core.types import EpisodeState
from sarl_ros.store.bag_run import OPEN, BagRun

OUTCOMES = (*COMPLETED, "ABORTED", OPEN)
PARTS = (RUNNING, MACHINE, PERSON, LEARNER, NOBODY)


def headline(run: BagRun, tables: Tables) -> dict[str, Any]:
    """Counts, success with its interval, times: also what `--json` writes."""
    completed = [row.outcome == "SUCCESS" for row in tables.completed]
    low, high = wilson_interval(sum(completed), len(completed))
    started = [row.started for row in tables.episodes if row.started]
    first = run.episodes[0] if run.episodes else None
    counts = Counter(row.outcome for row in tables.episodes if row.begun)
    return {
        "run": run.run,
        "task": first.task if first else "",
        "instruction": first.instruction if first else "",
        "method": method(run, tables),
        "preset": run.setting("sarl_learner", "preset", ""),
        "evaluated": bool(run.setting("sarl_learner", "evaluate", False)),
        "by_hand": not run.setting("operator", "auto", True),
        "started": started[0] if started else "",
        "ended": Clock.text(tables.origin_ns + int(1e9 * max(row.at_s + row.seconds for row in tables.spans)))
        if tables.spans
        else "",
        "episodes": sum(counts.values()),
        "completed": len(completed),
        "successes": sum(completed),
        "outcomes": {name: counts[name] for name in OUTCOMES if counts[name]},
        "success": sum(completed) / len(completed) if completed else None,
        "success_low": low if completed else None,
        "success_high": high if completed else None,
        "first_20": _share(completed[:WINDOW]),
        "last_20": _share(completed[-WINDOW:]),
        "decisions": sum(row.decisions for row in tables.episodes),
        "prompts_tried": sum(row.chosen > 0 for row in tables.prompts),
        "control_steps": sum(row.control_steps for row in tables.episodes),
        "seconds": sum(row.seconds for row in tables.spans),
        "operator_seconds": sum(row.seconds for row in tables.spans if row.waits_for == PERSON),
        "presses": len(presses(tables)),
    }


def method(run: BagRun, tables: Tables) -> str:
    """The agent as configured, else as its prompts say."""
    named = run.setting("sarl_learner", "agent", "")
    if not named:
        named = next((row.agent for row in tables.episodes if row.agent), "unknown")
    return f"{named}, evaluated greedily" if run.setting("sarl_learner", "evaluate", False) else str(named)


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def time_shares(tables: Tables) -> list[tuple[str, float]]:
    """(what, seconds) of the whole run, running first."""
    return [(part, sum(row.seconds for row in tables.spans if row.waits_for == part)) for part in PARTS]


def waits_by_state(tables: Tables) -> list[tuple[str, list[float]]]:
    """(state, seconds of each of PARTS) for every state that was visited, in the machine's order."""
    found = []
    for state in EpisodeState:
        rows = [row for row in tables.spans if row.state == state.name]
        if rows:
            found.append((state.name, [sum(row.seconds for row in rows if row.waits_for == part) for part in PARTS]))
    return found


def stage_rows(tables: Tables) -> list[dict[str, Any]]:
    """Each stage that was measured, with its distribution and its values."""
    found = []
    for stage in STAGES:
        values = [row.seconds for row in tables.latencies if row.stage == stage.name]
        if values:
            found.append({"stage": stage, "of": distribution(values), "values": values})
    return found


def warnings(run: BagRun, streams: Streams, tables: Tables, strips: Strips) -> list[str]:
    """What a reader must know first, each in a plain sentence."""
    found = []
    if run.gaps:
        lost = sum((row.to_s or 0) - (row.from_s or 0) for row in tables.gaps if row.to_s is not None)
        found.append(
            f"The record has {_count(run.gaps, 'gap')}, {seconds(lost)} in all: see Gaps in the record."
            if lost
            else f"The record has {_count(run.gaps, 'gap')}: see Gaps in the record."
        )
    if streams.truncated:
        names = ", ".join(path.name for path in streams.truncated)
        found.append(
            f"{_count(streams.truncated, 'bag')} cut off before the end, read up to the last whole message: {names}."
        )
    found += [f"{note[0].upper()}{note[1:]}." for note in [*run.notes, *streams.notes]]
    missing = missing_steps(tables)
    if missing:
        found.append(f"Steps that the record lacks: {missing}. Returns before them are left out.")
    for outcome, words in (
        ("ABORTED", "aborted; they count neither as success nor as failure"),
        ("OPEN", "without an end in the record"),
    ):
        rows = [row for row in tables.episodes if row.outcome == outcome and row.begun]
        if rows:
            found.append(f"{_count(rows, 'episode')} {words}: {_numbers([row.episode for row in rows])}.")
    held = sorted({row.episode for row in tables.spans if row.state == "HELD"})
    if held:
        found.append(f"The arm was held in {_count(held, 'episode')}: {_numbers(held)}.")
    restarts = [row.who for row in tables.troubles if row.what == "restart"]
    if restarts:
        found.append("Nodes restarted: " + ", ".join(f"{who} ×{n}" for who, n in Counter(restarts).items()) + ".")
    faults = [row for row in tables.troubles if row.who == "arm" and row.what == "fault"]
    if faults:
        found.append(
            f"The arm reported {_count(faults, 'fault')}: {', '.join(sorted({row.detail for row in faults}))}."
        )
    errors = [row for row in tables.learner if row.error]
    if errors:
        found.append(f"The learner stopped: {errors[-1].error}")
    amended = [row.episode for row in tables.episodes if row.amended]
    if amended:
        found.append(f"Verdicts were amended afterwards in {_count(amended, 'episode')}: {_numbers(amended)}.")
    if strips.unreadable:
        found.append(f"{_count(range(strips.unreadable), 'frame')} could not be decoded.")
    return found


def missing_steps(tables: Tables) -> str:
    """Steps that the record lacks, or whose verdict it lacks, as `episode 3 step 2`; empty if there are none."""
    completed = {row.episode for row in tables.completed}
    seen: dict[int, set[int]] = {}
    last: dict[int, int] = {}
    for row in tables.steps:
        last[row.episode] = max(row.step, last.get(row.episode, 0))
        if row.verdict or row.episode not in completed:
            seen.setdefault(row.episode, set()).add(row.step)
    holes = [
        f"episode {episode} step {step}"
        for episode, newest in last.items()
        for step in sorted(set(range(1, newest + 1)) - seen.get(episode, set()))
    ]
    return ", ".join(holes)


def _count(things: Any, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _numbers(numbers: Sequence[int], most: int = 12) -> str:
    shown = ", ".join(str(number) for number in numbers[:most])
    return shown + (f" and {len(numbers) - most} more" if len(numbers) > most else "")
