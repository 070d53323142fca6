"""Charts of prompts and their predicted values: one episode's candidates, prompts over the run, calibration."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sarl_ros.analysis.measures import calibration_error
from sarl_ros.analysis.pictures import WIDTH, episode_link
from sarl_ros.analysis.rows import CalibrationRow, CandidateRow, PromptRow, StepRow
from sarl_ros.analysis.svg import Drawing, Plot

COLUMN = 172
"""Pixels of one step in a film strip; the values below it use the same columns."""
SHOWN_PROMPTS = 24
Q_HEIGHT = 150


def value_chart(steps: Sequence[StepRow], candidates: Sequence[CandidateRow], columns: int) -> Markup | None:
    """Predicted value of every candidate of each decision, mean and spread, the chosen one marked; None without any.

    The chosen one stands in the middle of its step's column, better ones to its left, worse ones to its right. The line
    joins the chosen ones, the dashed one is the return that followed.
    """
    valued = [row for row in candidates if row.q_mean is not None]
    if not valued:
        return None
    lows = [(row.q_mean or 0.0) - (row.q_std or 0.0) for row in valued]
    highs = [(row.q_mean or 0.0) + (row.q_std or 0.0) for row in valued]
    realised = [row.realised for row in steps if row.realised is not None]
    low, high = min([*lows, *realised]), max([*highs, *realised])
    margin = 0.06 * max(high - low, 0.05)
    plot = Plot(
        COLUMN * columns,
        Q_HEIGHT,
        "predicted value of the candidates",
        (0, columns),
        (low - margin, high + margin),
        left=0,
        right=0,
        top=4,
        bottom=8,
    )
    draw = plot.drawing
    for tick in plot.y.ticks(4):
        draw.line(COLUMN - 8, plot.y(tick), plot.right, plot.y(tick), "grid")
        draw.text(COLUMN - 14, plot.y(tick) + 3.5, f"{tick:.2f}", "tick", "end")
    draw.text(6, plot.top + 12, "Q of the candidates", "label")
    draw.text(6, plot.top + 27, "chosen", "key-chosen")
    draw.text(6, plot.top + 42, "return that followed", "key-realised")
    centre = {row.step: plot.x(row.step + 0.5) for row in steps}
    draw.path([(centre[row.step], plot.y(row.realised)) for row in steps if row.realised is not None], "line-realised")
    draw.path([(centre[row.step], plot.y(row.q_mean)) for row in steps if row.q_mean is not None], "line-chosen")
    for step in sorted({row.step for row in valued}):
        mine = sorted((row for row in valued if row.step == step), key=lambda row: -(row.q_mean or 0.0))
        rank = next((number for number, row in enumerate(mine) if row.chosen), 0)
        apart = min(12.0, (COLUMN / 2 - 16) / max(1, len(mine) - 1))
        for number, row in enumerate(mine):
            x = centre[step] + (number - rank) * apart
            mean, spread = row.q_mean or 0.0, row.q_std or 0.0
            kind = "chosen" if row.chosen else "other"
            draw.line(x, plot.y(mean - spread), x, plot.y(mean + spread), f"whisker {kind}")
            share = "" if row.probability is None else f", chosen with probability {row.probability:.2f}"
            title = f"{row.prompt} Q {mean:.3f} ± {spread:.3f}{share}{' (chosen)' if row.chosen else ''}"
            draw.dot(x, plot.y(mean), 4.6 if row.chosen else 3.0, f"q {kind}", title)
    return plot.markup()


def prompts_over_time(prompts: Sequence[PromptRow], steps: Sequence[StepRow]) -> Markup | None:
    """One lane a prompt: a dot for every time it was chosen, by what its step led to; None if none was."""
    shown = [row.prompt for row in prompts if row.chosen][:SHOWN_PROMPTS]
    if not shown:
        return None
    lane, left, top = 19, 370, 8
    last = max(row.episode for row in steps)
    plot = Plot(
        WIDTH,
        top + lane * len(shown) + 36,
        "prompts over the episodes",
        (0.3, max(2, last) + 0.7),
        (0, 1),
        left=left,
        top=top,
    )
    plot.grid("episode", whole_x=True, y_ticks=(), x_ticks=10)
    draw = plot.drawing
    most = max(row.chosen for row in prompts) or 1
    count = {row.prompt: row.chosen for row in prompts}
    for number, prompt in enumerate(shown):
        y = top + lane * (number + 0.5)
        draw.rect(left - 40, y - 6, 34 * count[prompt] / most, 12, "bar-soft", f"chosen {count[prompt]} times")
        draw.text(left - 46, y + 4, shortened(prompt, 48), "lane", "end")
        draw.line(left, y, plot.right, y, "grid")
    lanes = {prompt: top + lane * (number + 0.5) for number, prompt in enumerate(shown)}
    length: dict[int, int] = {}
    for row in steps:
        length[row.episode] = max(length.get(row.episode, 0), row.step)
    for row in sorted(steps, key=lambda row: (row.subgoal, row.verdict == "SUCCESS")):
        if row.prompt in lanes:
            kind = "success" if row.verdict == "SUCCESS" else "subgoal" if row.subgoal else "nothing"
            if row.verdict in ("ABORTED", ""):
                kind = "dropped"
            x = plot.x(row.episode - 0.4 + 0.8 * (row.step - 0.5) / max(1, length[row.episode]))
            title = f"episode {row.episode} step {row.step}: {row.prompt} {kind}"
            radius = 3.4 if kind in ("success", "subgoal") else 2.4
            draw.dot(x, lanes[row.prompt], radius, f"d-{kind}", title, episode_link(row.episode))
    return plot.markup()


def early_and_late(prompts: Sequence[PromptRow]) -> Markup | None:
    """How often each prompt was chosen early and late, the largest changes first; None where there is no early."""
    known = [row for row in prompts if row.share_early is not None and row.share_late is not None and row.chosen]
    if not known:
        return None

    def change(row: PromptRow) -> float:
        return (row.share_late or 0.0) - (row.share_early or 0.0)

    shown = sorted(sorted(known, key=lambda row: -abs(change(row)))[:12], key=lambda row: -change(row))
    highest = max(max(row.share_early or 0.0, row.share_late or 0.0) for row in shown)
    lane, left, top = 22, 330, 8
    plot = Plot(
        WIDTH,
        top + lane * len(shown) + 36,
        "share of choices, early and late",
        (0, highest * 1.08 or 1.0),
        (0, 1),
        left=left,
        top=top,
        right=30,
    )
    plot.grid("share of choices", x_form=lambda value: f"{value:.0%}", y_ticks=())
    draw = plot.drawing
    for number, row in enumerate(shown):
        y = top + lane * (number + 0.5)
        early, late = plot.x(row.share_early or 0.0), plot.x(row.share_late or 0.0)
        draw.text(left - 14, y + 4, shortened(row.prompt, 46), "lane", "end")
        draw.line(left, y, plot.right, y, "grid")
        draw.line(early, y, late, y, "rise" if change(row) > 0 else "fall")
        draw.dot(early, y, 4, "dot-early", f"early {row.share_early:.1%}")
        draw.dot(late, y, 5, "dot-late", f"late {row.share_late:.1%}")
    return plot.markup()


def calibration_chart(phase: str, rows: Sequence[CalibrationRow]) -> Markup:
    """Predicted value against the return that followed, by bins; the dot's area is the count, the bar reaches to the
    return's upper limit."""
    low = min(-1.0, *(row.low for row in rows))
    high = max(0.0, *(row.high for row in rows))
    plot = Plot(360, 330, f"calibration, {phase}", (low, high), (low, high), bottom=40)
    plot.grid("predicted Q", "realised return", y_ticks=plot.y.ticks(5), x_ticks=5)
    draw = plot.drawing
    draw.line(plot.x(low), plot.y(low), plot.x(high), plot.y(high), "diagonal")
    most = max(row.count for row in rows)
    draw.path(plot.points([(row.predicted, row.realised) for row in rows]), "line-thin")
    for row in rows:
        x, y = plot.x(row.predicted), plot.y(row.realised)
        draw.line(x, y, x, plot.y(row.realised_high), "whisker chosen")
        title = f"{row.count} predicted {row.predicted:.3f}, got {row.realised:.3f} to {row.realised_high:.3f}"
        radius = 2.5 + 7 * (row.count / most) ** 0.5
        draw.dot(x, y, radius, "dot-soft", title)
        inside = radius > 7
        draw.text(x + (0 if inside else radius + 7), y + (3.5 if inside else 9), row.count, "count", "middle")
    error = calibration_error(rows)
    draw.text(plot.left + 8, plot.top + 12, f"{phase}: {sum(row.count for row in rows)} decisions", "label")
    if error is not None:
        draw.text(plot.left + 8, plot.top + 27, f"mean error {error:.3f}", "tick")
    return plot.markup()


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def legend_dot(css: str) -> Markup:
    """A dot for a legend in words."""
    draw = Drawing(11, 11, "", "key")
    draw.dot(5.5, 5.5, 4.2, css)
    return draw.markup()
