"""`sarl analyze`: from the bags of a run to its report.

One report is of one run. Bags of two are refused, each run named, rather than put side by side: episode numbers, the
learning curve, training phases and calibration mean something within one run only, and two runs of a day differ in
exactly what a reader would then overlook. Two reports beside each other, each whole, can be compared by eye.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sarl_ros.analysis import summary
from sarl_ros.analysis.filmstrip import make_strips
from sarl_ros.analysis.measures import calibration_error
from sarl_ros.analysis.report import PAGE, render, write_tables
from sarl_ros.analysis.streams import read_streams
from sarl_ros.analysis.svg import seconds
from sarl_ros.analysis.tables import make_tables
from sarl_ros.store.bag_run import in_order, read_run
from sarl_ros.store.bags import BagError, BagReader, find_bags

TABLES = "tables"


def analyze(paths: Sequence[Path], output: Path, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Write OUTPUT/index.html and OUTPUT/tables/*.csv for the bags that `paths` name; returns the main figures.

    Args:
        paths: run folders, bag folders or .mcap files, all of one run.
        say: shows a line of progress, replacing the last one; by default on a terminal's stderr.

    Raises:
        BagError: there is no bag, one cannot be read, or they are of several runs.
        OSError: the report cannot be written.
    """
    begun_s = time.monotonic()
    progress = Progress(say or _on_terminal)
    bags = find_bags(paths)
    _refuse_several_runs(bags)
    output.mkdir(parents=True, exist_ok=True)
    progress.stage(f"joining the steps of {len(bags)} bags")
    run = read_run(bags)
    progress.stage("reading arm, nodes and cameras", len(bags))
    streams = read_streams(bags, run, progress.done)
    progress.stage("measuring")
    tables = make_tables(run, streams)
    csv = write_tables(tables, output / TABLES)
    progress.stage("making frames")
    strips = make_strips(run, streams, tables)
    progress.stage("writing the page")
    page = output / PAGE
    page.write_text(render(run, streams, tables, strips, csv), encoding="utf-8")
    progress.end()
    return summary.headline(run, tables) | {
        "warnings": summary.warnings(run, streams, tables, strips),
        "calibration_error": calibration_error(tables.calibration),
        "latency_s": {
            row["stage"].name: {name: getattr(row["of"], name) for name in ("count", "p50", "p95", "p99", "max")}
            for row in summary.stage_rows(tables)
        },
        "time_s": dict(summary.time_shares(tables)),
        "report": str(page),
        "page_bytes": page.stat().st_size,
        "frames": strips.frames,
        "analysis_seconds": round(time.monotonic() - begun_s, 2),
    }


def _refuse_several_runs(bags: Sequence[Path]) -> None:
    of: dict[str, Path] = {}
    for reader in in_order([BagReader(bag) for bag in bags]):
        of.setdefault(reader.metadata.get("run", ""), reader.path)
    if len(of) > 1:
        names = " and ".join(f"{name or 'a run without a name'} ({bag})" for name, bag in of.items())
        raise BagError(f"the bags are of {len(of)} runs, {names}: call sarl analyze once for each")


class Progress:
    """A line for each stage, with the time left where a stage can be counted."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._name, self._total, self._begun_s = say, "", 0, time.monotonic()

    def stage(self, name: str, total: int = 0) -> None:
        self._name, self._total, self._begun_s = name, total, time.monotonic()
        self._say(f"{name} ...")

    def done(self, count: int) -> None:
        spent_s = time.monotonic() - self._begun_s
        left_s = math.ceil(spent_s / count * (self._total - count))
        self._say(f"{self._name}: {count} of {self._total}, {seconds(left_s)} left")

    def end(self) -> None:
        self._say("")


def _on_terminal(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def closing_line(figures: dict[str, Any]) -> str:
    """What the command prints at its end."""
    success = "no completed episode"
    if figures["completed"]:
        success = (
            f"{figures['successes']} of {figures['completed']} completed episodes succeeded"
            f" ({figures['success_low']:.0%} to {figures['success_high']:.0%})"
        )
    return (
        f"{success}; report: {figures['report']} ({figures['page_bytes'] / 1e6:.1f} MB,"
        f" {figures['frames']} frames, {figures['analysis_seconds']:.1f} s)"
    )
