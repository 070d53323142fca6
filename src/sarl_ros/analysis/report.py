"""Writes a run's report: one HTML page that needs nothing else, and the tables behind it as CSV.

Jinja2 escapes whatever the page shows; charts escape their own words (`svg`). Prompts, reasons and fault texts come
from language models, people and hardware, and none of them can become markup.
"""

from __future__ import annotations

import base64
import gzip
import inspect
from collections import defaultdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sarl_ros.analysis import pictures, prompt_pictures, summary
from sarl_ros.analysis.failures import KINDS as FAILURE_KINDS
from sarl_ros.analysis.filmstrip import Strips
from sarl_ros.analysis.rows import CalibrationRow, to_csv
from sarl_ros.analysis.streams import Streams
from sarl_ros.analysis.svg import seconds
from sarl_ros.analysis.tables import KINDS, Tables
from sarl_ros.core.yaml_file import dump_yaml
from sarl_ros.store.bag_run import BagRun

PAGE = "index.html"
COLLAPSE_ABOVE = 12
"""Episodes; with more, the film strips are folded until one is opened."""


def write_tables(tables: Tables, folder: Path) -> dict[str, str]:
    """Write every table as CSV; returns the text of each by name."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: to_csv(kind, getattr(tables, name)) for name, kind in KINDS.items()}
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return texts


def render(run: BagRun, streams: Streams, tables: Tables, strips: Strips, csv: dict[str, str]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("sarl_ros.analysis", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": seconds, "percent": _percent, "number": _number, "outcome": str.lower}
    environment.globals |= {"dot": prompt_pictures.legend_dot, "style": _asset(environment, "report.css")}
    environment.globals["script"] = _asset(environment, "report.js")
    return environment.get_template("report.html").render(_context(run, streams, tables, strips, csv))


def _asset(environment: Environment, name: str) -> Markup:
    """A file of this package, put into the page as it is."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _context(run: BagRun, streams: Streams, tables: Tables, strips: Strips, csv: dict[str, str]) -> dict[str, Any]:
    stages = summary.stage_rows(tables)
    shares = summary.time_shares(tables)
    return {
        "run": run,
        "head": summary.headline(run, tables),
        "warnings": summary.warnings(run, streams, tables, strips),
        "tables": tables,
        "success_chart": pictures.success_chart(tables),
        "day_chart": pictures.day_chart(tables, _lives(streams, tables)),
        "episodes": _episodes(tables, strips),
        "plan": strips.plan,
        "unfolded": len(tables.episodes) <= COLLAPSE_ABOVE,
        "prompts_over_time": prompt_pictures.prompts_over_time(tables.prompts, tables.steps),
        "most_prompts": prompt_pictures.SHOWN_PROMPTS,
        "early_and_late": prompt_pictures.early_and_late(tables.prompts),
        "calibration_charts": _calibration_charts(tables.calibration),
        "stages": stages,
        "latency_charts": _latency_charts(stages),
        "shares": shares,
        "parts": summary.PARTS,
        "waits": summary.waits_by_state(tables),
        "time_bar": pictures.time_bar(shares),
        "time_per_episode": pictures.time_per_episode(tables, summary.PARTS),
        "slug": pictures.slug,
        "troubles": [row for row in tables.troubles if row.what != "waiting"],
        "buttons": pictures.BUTTONS,
        "presses": _presses(tables),
        "failures": _failures(tables),
        "learner_charts": pictures.learner_charts(tables.learner, tables.episodes),
        "config": dump_yaml(run.config) if run.config else "",
        "preset": dump_yaml(run.preset) if run.preset else "",
        "columns": {name: inspect.getdoc(kind) or "" for name, kind in KINDS.items()},
        "downloads": {name: _download(text) for name, text in csv.items()},
    }


def _episodes(tables: Tables, strips: Strips) -> list[dict[str, Any]]:
    steps: dict[int, list[Any]] = defaultdict(list)
    candidates: dict[int, list[Any]] = defaultdict(list)
    events: dict[int, list[Any]] = defaultdict(list)
    for step in tables.steps:
        steps[step.episode].append(step)
    for candidate in tables.candidates:
        candidates[candidate.episode].append(candidate)
    for press in pictures.presses(tables):
        events[press.episode].append(press)
    found = []
    for row in tables.episodes:
        columns = strips.columns.get(row.episode, [])
        offset = max((column.number for column in columns), default=0) + 1
        found.append(
            {
                "row": row,
                "columns": columns,
                "stepped": any(column.step is not None for column in columns),
                "values": prompt_pictures.value_chart(steps[row.episode], candidates[row.episode], offset),
                "presses": events[row.episode],
            }
        )
    return found


def _lives(streams: Streams, tables: Tables) -> list[tuple[str, float, float]]:
    return [
        (life.node, (life.begin_ns - tables.origin_ns) / 1e9, (life.end_ns - tables.origin_ns) / 1e9)
        for life in streams.lives
    ]


def _calibration_charts(rows: list[CalibrationRow]) -> list[Markup]:
    by_phase: dict[str, list[CalibrationRow]] = {}
    for row in rows:
        by_phase.setdefault(row.phase, []).append(row)
    return [prompt_pictures.calibration_chart(phase, members) for phase, members in by_phase.items()]


def _latency_charts(stages: list[dict[str, Any]]) -> dict[str, Markup]:
    values = [value for stage in stages for value in stage["values"] if value > 0]
    if not values:
        return {}
    low = max(1e-5, min(values))
    high = max(10 * low, *values)
    charts = {}
    for stage in stages:
        of = stage["of"]
        marks = [("p50", of.p50), ("p95", of.p95), ("p99", of.p99)]
        charts[stage["stage"].name] = pictures.latency_chart(stage["values"], low, high, marks)
    return charts


def _presses(tables: Tables) -> dict[str, dict[str, tuple[int, int]]]:
    """(accepted, refused) of each button by source."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for press in pictures.presses(tables):
        of = found.setdefault(press.source, {})
        accepted, refused = of.get(press.event, (0, 0))
        of[press.event] = (accepted + press.accepted, refused + (not press.accepted))
    return found


def _failures(tables: Tables) -> dict[str, list[tuple[str, int, list[str]]]]:
    return {
        kind: [(row.group, row.count, row.episodes.split()) for row in tables.failures if row.kind == kind]
        for kind in FAILURE_KINDS
        if any(row.kind == kind for row in tables.failures)
    }


def _download(text: str) -> str:
    """A link that holds the file: gzip where that is worth it, so that the page stays small."""
    data = text.encode()
    if len(data) < 20_000:
        return "data:text/csv;base64," + base64.b64encode(data).decode()
    return "data:application/gzip;base64," + base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
