"""`sarl train --offline BAGS...`: learn from bags alone, in this process, and leave what a run can begin with.

The folder it makes holds replay.srl (the transitions of all runs), checkpoints/, offline.json, offline.png, and a
config.yaml that names task, preset and seed, so that `sarl eval --run` and `sarl train --warm-start` take it.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sarl_ros.methods.method import Counts, Learning
from sarl_ros.methods.preset import Preset, PresetError, load_preset
from sarl_ros.methods.registry import learning, method
from sarl_ros.records.initial_entries import OFFLINE_NOTE
from sarl_ros.records.merge import Merged, MergeError, Source, merge
from sarl_ros.records.rebuild import LEARNER, RebuildError, opening_of, played, preset_of, refuse_another_file
from sarl_ros.runs.folder import Interrupted, RunError, RunFolder
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.bag_run import BagRun, in_order, read_run
from sarl_ros.store.bags import BagError, BagReader, find_bags
from sarl_ros.store.replay_store import FILE_NAME, FORMAT, NoteRecord, write_entries

FIGURES = "offline.json"
PICTURE = "offline.png"
PORTION = 20
LIVE_LINE_S = 1.0
LOG_LINE_S = 30.0
SHOWN_LINES = 5
LEAST_LOSS = 1e-9


@dataclass(frozen=True, slots=True)
class OfflineSettings:
    """What is learned from, and how.

    Attributes:
        updates: None for as many as online learning pays for as many transitions.
        output: folder to make, which must not be there.
    """

    bags: tuple[Path, ...]
    output: Path
    preset: str = "sim"
    updates: int | None = None
    seed: int = 0
    agent: str = "sarl"


@dataclass(frozen=True, slots=True)
class Point:
    """Means over the updates since the point before, see `methods.method.Figures`."""

    updates: int
    loss: float
    value: float


def train_offline(settings: OfflineSettings) -> dict[str, Any]:
    """Learn from bags and write the folder `settings.output`.

    Returns:
        Figures, also in offline.json.

    Raises:
        RunError: the bags hold nothing to learn from, are of unlike runs, or the folder is there already.
        Interrupted: Ctrl-C; nothing is left.
    """
    if settings.output.exists():
        raise RunError(f"{settings.output} is there already: choose another folder with --output")
    torch.set_num_threads(1)
    try:
        make_learning = learning(settings.agent)
    except ValueError as error:
        raise RunError(str(error)) from None
    try:
        preset = load_preset(settings.preset)
        sources = [source_of(run) for run in _runs(settings.bags)]
        merged = merge(sources, preset.pool_capacity, preset.horizon)
        updates = settings.updates or online_updates(settings.agent, merged, preset)
        note = {
            "format": FORMAT,
            "task": sources[0].task,
            "agent": settings.agent,
            "weights_hash": next((each.weights_hash for each in sources if each.weights_hash), ""),
            "policy": sources[0].policy,
            "runs": [source.run for source in sources],
            "updates": updates,
        }
        _tell(sources, merged)
        with _removed_unless_done(settings.output):
            _write_folder(settings, note, merged)
            half = make_learning(settings.output, preset, settings.seed, 0)
            history, seconds = _learn(half, settings.output, preset, updates)
    except (BagError, RebuildError, MergeError, StoreError, PresetError) as error:
        raise RunError(str(error)) from error
    figures = note | {
        "output": str(settings.output),
        "transitions": merged.transitions,
        "demonstrated": merged.demonstrated,
        "prompts": merged.prompts,
        "left_out_without_candidates": merged.without_candidates,
        "left_out_without_row": merged.without_row,
        "seconds": round(seconds, 1),
        "loss_first": history[0].loss,
        "loss_last": history[-1].loss,
        "value_last": history[-1].value,
    }
    (settings.output / FIGURES).write_text(json.dumps(figures, indent=2) + "\n")
    title = f"{note['task']}, offline: {merged.transitions} transitions of {len(sources)} runs"
    draw(history, title, settings.output / PICTURE)
    print(
        f"{updates} updates in {seconds:.0f} s: loss {history[0].loss:.4f} to {history[-1].loss:.4f},"
        f" mean value {history[-1].value:.3f}"
    )
    print(f"picture: {settings.output / PICTURE}")
    begin = f"sarl train --task {note['task']} --agent {settings.agent} --warm-start {settings.output}"
    print(f"begin a run with it: {begin}")
    return figures


def online_updates(agent: str, merged: Merged, preset: Preset) -> int:
    """What a run of that method pays for as many transitions."""
    counts = Counts(merged.transitions - merged.demonstrated, demonstrated=merged.demonstrated > 0)
    return max(1, method(agent).owed(preset, counts))


def source_of(run: BagRun) -> Source:
    """A recorded run as something to learn from, whatever agent played it.

    Demonstrations that it began with are not in its bags: they are taken from their file, or left out, which is said.

    Raises:
        RebuildError: the bags lack the run's configuration or preset, or are of an evaluation.
    """
    if run.setting(LEARNER, "evaluate", False):
        raise RebuildError(f"run {run.run} is an evaluation, whose seeds nothing is learned from: leave it out")
    opening = opening_of(run)
    try:
        refuse_another_file(run, opening)
        begun_with = opening.entries(preset_of(run).pool_capacity)
    except (StoreError, RebuildError) as error:
        print(f"run {run.run}: left out what it began with: {error}")
        begun_with = []
    rebuilt = played(run, begun_with, learns=True)
    for note in run.notes:
        print(f"run {run.run}: {note}")
    for line in rebuilt.missing[:SHOWN_LINES]:
        print(f"run {run.run}: {line}")
    if len(rebuilt.missing) > SHOWN_LINES:
        print(f"run {run.run}: {len(rebuilt.missing) - SHOWN_LINES} more that the bags do not tell")
    policy = run.setting("vla_executor", "policy", "")
    return Source(run.run, opening.task, policy, opening.weights_hash, rebuilt.entries)


def _runs(paths: Sequence[Path]) -> list[BagRun]:
    """The runs that bags are of, in the order of their first bags. Raises BagError: no bag holds a message."""
    found: dict[str, list[Path]] = {}
    for reader in in_order([BagReader(path) for path in find_bags(paths)]):
        found.setdefault(reader.metadata.get("run", ""), []).append(reader.path)
    return [read_run(bags) for bags in found.values()] or [read_run([])]


@contextmanager
def _removed_unless_done(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("stopped before the end: nothing was kept") from None
        raise


def _write_folder(settings: OfflineSettings, note: dict[str, Any], merged: Merged) -> None:
    """The store, and a parameter file of the learner alone."""
    folder = settings.output
    write_entries(folder / FILE_NAME, [NoteRecord(OFFLINE_NOTE, note), *merged.entries])
    learner = {
        "run": folder.name,
        "run_dir": str(folder.resolve()),
        "task": note["task"],
        "agent": settings.agent,
        "preset": settings.preset,
        "seed": settings.seed,
        "weights_hash": note["weights_hash"],
    }
    RunFolder(folder).write({LEARNER: {"ros__parameters": learner}})


def _tell(sources: Sequence[Source], merged: Merged) -> None:
    print(
        f"{merged.transitions} transitions of {len(sources)} runs of task {sources[0].task},"
        f" {merged.demonstrated} of them demonstrated"
    )
    if merged.without_candidates:
        print(f"left out: {merged.without_candidates} of states in which nothing was proposed")
    if merged.without_row:
        print(f"left out: {merged.without_row} whose prompt found no room in the pool: use a larger pool_capacity")


def _learn(training: Learning, folder: Path, preset: Preset, updates: int) -> tuple[list[Point], float]:
    """Do the updates with a line of progress, and save a checkpoint; figures after every portion, and seconds."""
    training.observe((folder / FILE_NAME).stat().st_size)
    begun_s = shown_s = time.monotonic()
    history: list[Point] = []
    while (left := updates - training.updates) > 0:
        figures = training.update(min(PORTION, left), preset.final_temperature)
        if not math.isfinite(figures.loss):
            raise StoreError("the loss is not finite: lower learning_rate in the preset")
        history.append(Point(training.updates, figures.loss, figures.value))
        now_s = time.monotonic()
        if now_s - shown_s > (LIVE_LINE_S if sys.stdout.isatty() else LOG_LINE_S):
            shown_s = now_s
            _show(_progress(history[-1], updates, now_s - begun_s))
    if sys.stdout.isatty():
        _show("")
    training.save(0)
    return history, time.monotonic() - begun_s


def _progress(point: Point, updates: int, spent_s: float) -> str:
    left_s = spent_s / point.updates * (updates - point.updates)
    minutes, seconds = divmod(round(left_s), 60)
    share = 100 * point.updates / updates
    return (
        f"update {point.updates} of {updates} | {share:3.0f} % | ETA {minutes}:{seconds:02}"
        f" | loss {point.loss:.4f} | mean value {point.value:.3f}"
    )


def _show(text: str) -> None:
    """On a terminal one line that changes, elsewhere a line each time."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
    else:
        print(text, flush=True)


def draw(history: Sequence[Point], title: str, path: Path) -> None:
    """Draw loss and mean value over the updates, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, sharex=True)
    updates = [point.updates for point in history]
    upper.semilogy(updates, [max(point.loss, LEAST_LOSS) for point in history], color="C0")
    upper.set(ylabel="loss", title=title)
    lower.plot(updates, [point.value for point in history], color="C2")
    lower.set(xlabel="updates", ylabel="mean value of what was chosen")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, format="png")
