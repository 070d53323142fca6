"""Charts of a whole run: success, the day at a glance, where time went, latencies, the learner."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from sarl_ros.analysis.curve import WINDOW
from sarl_ros.analysis.rows import EpisodeRow, EventRow, LearnerRow
from sarl_ros.analysis.svg import Axis, Drawing, Plot, seconds
from sarl_ros.analysis.tables import Tables
from sarl_ros.core.episode_events import Button
from sarl_ros.core.statistics import wilson_interval

WIDTH = 1140
HISTOGRAM_BINS = 60
BUTTONS = tuple(button.value for button in Button)


def episode_link(number: int) -> str:
    return f"#episode-{number}"


def outcome_class(outcome: str) -> str:
    return f"o-{outcome.lower()}"


def success_chart(tables: Tables) -> Markup:
    """Share of successes among the last WINDOW completed episodes with its 95 % Wilson band, and every outcome."""
    rows = tables.episodes
    last = max((row.episode for row in rows), default=1)
    plot = Plot(WIDTH, 300, "success over episodes", (0.5, max(2, last) + 0.5), (0, 1), top=34, bottom=52)
    plot.grid(
        "episode", "success", y_form=lambda v: f"{v:.0%}", whole_x=True, y_ticks=(0, 0.25, 0.5, 0.75, 1), x_ticks=10
    )
    successes: list[bool] = []
    middle, upper, lower = [], [], []
    for row in tables.completed:
        successes.append(row.outcome == "SUCCESS")
        recent = successes[-WINDOW:]
        low, high = wilson_interval(sum(recent), len(recent))
        middle.append((row.episode, sum(recent) / len(recent)))
        upper.append((row.episode, high))
        lower.append((row.episode, low))
    draw = plot.drawing
    draw.area(plot.points(upper), plot.points(lower), "band")
    draw.path(plot.points(middle), "line-main")
    if len(middle) == 1:
        draw.dot(*plot.points(middle)[0], 3, "dot-main")
    radius = max(2.2, min(5.0, 300 / max(1, last)))
    lanes = {"SUCCESS": plot.top - 14, "FAILURE": plot.bottom + 27, "TIMEOUT": plot.bottom + 27}
    for row in rows:
        if not row.begun:
            continue
        y = lanes.get(row.outcome, plot.bottom + 40)
        about = f"episode {row.episode}: {row.outcome.lower()}, {row.decisions} decisions. {row.reason}"
        draw.dot(plot.x(row.episode), y, radius, outcome_class(row.outcome), about, episode_link(row.episode))
    return plot.markup()


def _ribbon(draw: Drawing, axis: Axis, tables: Tables, y: float, height: float) -> None:
    """Visits to the episode machine's states, each episode's run in the colour of its outcome."""
    outcomes = {row.episode: row.outcome for row in tables.episodes}
    for span in tables.spans:
        x = axis(span.at_s)
        width = axis(span.at_s + span.seconds) - x
        title = f"{span.state} {seconds(span.seconds)}, episode {span.episode}, {span.waits_for}. {span.reason}"
        if span.state == "RUNNING":
            inner = Drawing(0, 0, "")
            css = outcome_class(outcomes.get(span.episode, "OPEN"))
            inner.rect(x, y, max(width, 0.6), height, css, title)
            draw.link(episode_link(span.episode), inner)
        elif width >= 0.3:
            draw.rect(x, y + height * 0.3, width, height * 0.4, f"w-{span.state.lower()}", title)


def day_chart(tables: Tables, lives: Sequence[tuple[str, float, float]]) -> Markup:
    """One lane for the episodes, one for a person's presses, one for each node's life, with faults and recording gaps.

    Args:
        lives: (node, begin, end) of every process, seconds since the run's first message.
    """
    nodes = list(dict.fromkeys(node for node, _, _ in lives))
    others = [row.who for row in tables.troubles if row.who not in nodes]
    lanes = [*nodes, *dict.fromkeys(others)]
    end = max(
        [span.at_s + span.seconds for span in tables.spans]
        + [life[2] for life in lives]
        + [row.at_s for row in tables.events]
        + [1.0]
    )
    left, top, lane = 118, 62, 20
    height = top + lane * len(lanes) + 40
    draw = Drawing(WIDTH, height, "the run over time: episodes, presses, nodes, faults and gaps in the record")
    axis = Axis(0, end, left, WIDTH - 12)
    unit, scale = (3600, "h") if end > 7200 else (60, "min") if end > 180 else (1, "s")
    for tick in Axis(0, end / unit, left, WIDTH - 12).ticks(8):
        x = axis(tick * unit)
        draw.line(x, 8, x, height - 28, "grid")
        draw.text(x, height - 12, f"{tick:g} {scale}", "tick", "middle")
    for gap in tables.gaps:
        begin, over = gap.from_s or 0.0, gap.to_s if gap.to_s is not None else end
        draw.rect(axis(begin), 8, max(2.0, axis(over) - axis(begin)), height - 36, "gap", gap.missing)
    draw.text(left - 8, 26, "episodes", "lane", "end")
    _ribbon(draw, axis, tables, 12, 20)
    draw.text(left - 8, 50, "presses", "lane", "end")
    draw.line(left, 46, WIDTH - 12, 46, "grid")
    for press in presses(tables):
        title = f"{press.event} ({press.source}): {press.detail}"
        draw.rect(axis(press.at_s) - 1, 40, 2, 12, "press" if press.accepted else "press-refused", title)
    for number, name in enumerate(lanes):
        y = top + lane * number
        draw.text(left - 8, y + 12, name, "lane", "end")
        for node, begin, over in lives:
            if node == name:
                draw.rect(axis(begin), y + 4, max(1.0, axis(over) - axis(begin)), 8, "life", f"{name} alive")
        for row in tables.troubles:
            if row.who == name:
                width = axis(row.at_s + row.seconds) - axis(row.at_s) if row.seconds else 0
                title = f"{row.what} at {row.time}: {row.detail}"
                draw.rect(axis(row.at_s) - 1, y + 2, max(3.0, width), 12, f"t-{row.what}", title)
    return draw.markup()


def presses(tables: Tables) -> list[EventRow]:
    """Events that a person caused by a button."""
    return [row for row in tables.events if row.event in BUTTONS and row.source != "auto"]


def time_bar(shares: Sequence[tuple[str, float]]) -> Markup:
    """Where a run's time went, as one bar; `shares` are (what, seconds)."""
    total = sum(value for _, value in shares) or 1.0
    draw = Drawing(WIDTH, 46, "where the time went")
    x = 0.0
    for name, value in shares:
        width = value / total * WIDTH
        draw.rect(
            x, 4, max(0.0, width - 1.5), 26, f"p-{slug(name)}", f"{name}: {seconds(value)}, {value / total:.0%}", rx=3
        )
        if width > 58:
            draw.text(x + 8, 21.5, f"{value / total:.0%}", "on-bar")
        if width > 90:
            draw.text(x + 2, 43, name, "tick")
        x += width
    return draw.markup()


def time_per_episode(tables: Tables, order: Sequence[str]) -> Markup:
    """Stacked bars: how long each episode ran, and whom it waited for."""
    sums: dict[int, dict[str, float]] = {}
    for span in tables.spans:
        of = sums.setdefault(span.episode, {})
        of[span.waits_for] = of.get(span.waits_for, 0.0) + span.seconds
    last = max(sums, default=1)
    highest = max((sum(of.values()) for number, of in sums.items() if number), default=1.0)
    plot = Plot(WIDTH, 200, "time of each episode", (0.5, max(last, 2) + 0.5), (0, highest * 1.05))
    plot.grid("episode", "seconds", whole_x=True, x_ticks=10)
    width = max(1.0, (plot.x(2) - plot.x(1)) * 0.8)
    for number, of in sums.items():
        base = 0.0
        for name in order:
            value = of.get(name, 0.0)
            if value and number:
                y = plot.y(base + value)
                title = f"episode {number}: {name} {seconds(value)}"
                plot.drawing.rect(plot.x(number) - width / 2, y, width, plot.y(base) - y, f"p-{slug(name)}", title)
                base += value
    return plot.markup()


def slug(name: str) -> str:
    return name.replace(" ", "-")


def latency_chart(values: Sequence[float], low: float, high: float, marks: Sequence[tuple[str, float]]) -> Markup:
    """Histogram of durations on a logarithmic axis from `low` to `high` seconds, with marked percentiles."""
    draw = Drawing(430, 46, "distribution of durations")
    axis = Axis(low, high, 14, 416, log=True)
    for tick in axis.ticks():
        draw.line(axis(tick), 2, axis(tick), 30, "grid")
        draw.text(axis(tick), 43, seconds(tick), "tick", "middle")
    edges = np.geomspace(low, high * 1.0001, HISTOGRAM_BINS + 1)
    counts, _ = np.histogram(np.clip(values, low, high), edges)
    top = counts.max() or 1
    for index, count in enumerate(counts):
        if count:
            x, over = axis(float(edges[index])), axis(float(edges[index + 1]))
            tall = max(1.5, 26 * math.sqrt(count / top))
            title = f"{count} between {seconds(float(edges[index]))} and {seconds(float(edges[index + 1]))}"
            draw.rect(x, 30 - tall, max(1.0, over - x - 0.6), tall, "bar", title)
    for name, value in marks:
        x = axis(value)
        draw.line(x, 0, x, 32, f"mark {name}")
    return draw.markup()


def learner_charts(learner: Sequence[LearnerRow], episodes: Sequence[EpisodeRow]) -> list[tuple[str, Markup]]:
    """(title, picture) of each figure of the learner that the record has."""
    found = []
    rows = [row for row in learner if row.transitions or row.updates_done]
    for title, pick in (
        ("critic loss", lambda row: row.loss),
        ("temperature T of softmax(Q / T)", lambda row: row.temperature),
        ("updates paid", lambda row: row.updates_done),
        ("updates owed", lambda row: row.updates_owed),
        ("prompts in the pool", lambda row: row.pool_size),
    ):
        points = [(row.transitions, value) for row in rows if (value := pick(row)) is not None]
        if len(points) > 1 and any(value for _, value in points):
            found.append((title, _small(title, points, "transitions", stepped=title != "critic loss")))
    recall = _recall(episodes)
    if recall:
        found.append(
            (
                f"decisions offered a suitable prompt, last {WINDOW} episodes",
                _small("recall", recall, "episode", top=1.0),
            )
        )
    return found


def _recall(episodes: Sequence[EpisodeRow]) -> list[tuple[float, float]]:
    known: list[tuple[int, float]] = [(row.episode, row.recall) for row in episodes if row.recall is not None]
    points = []
    for index in range(len(known)):
        recent = [value for _, value in known[max(0, index + 1 - WINDOW) : index + 1]]
        points.append((float(known[index][0]), sum(recent) / len(recent)))
    return points if len(points) > 1 else []


def _small(
    label: str, points: Sequence[tuple[float, float]], x_title: str, stepped: bool = False, top: float | None = None
) -> Markup:
    values = [value for _, value in points]
    low = 0.0 if min(values) >= 0 else min(values)
    high = top if top is not None else max(values) * 1.08
    plot = Plot(556, 170, label, (points[0][0], points[-1][0]), (low, high or 1.0))
    plot.grid(x_title, whole_x=True)
    if stepped:
        plot.drawing.steps(plot.points(points), "line-main")
    else:
        plot.drawing.path(plot.points(points), "line-main")
    return plot.markup()
