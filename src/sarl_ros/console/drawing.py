"""Geometry of the page's two pictures: the learning curve as SVG paths, and the scale of the candidates' Q values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sarl_ros.console.view import CandidateView

WIDTH, HEIGHT = 320.0, 96.0
LEFT, RIGHT, TOP, BOTTOM = 6.0, 314.0, 10.0, 86.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Path data in a box of 320 by 96: the rolling success, the area under it, and a dot an episode by outcome."""

    line: str
    area: str
    success: str
    failure: str
    timeout: str
    dot: float


def curve(outcomes: Sequence[str], rolling: Sequence[float]) -> Curve:
    """The learning curve. Args: outcome names, and the rolling success after each of them, 0 to 1."""
    count = len(outcomes)
    if not count:
        return Curve("", "", "", "", "", 4.0)
    xs = [LEFT + (RIGHT - LEFT) * (index + 0.5) / max(count, 10) for index in range(count)]
    points = [f"{x:.1f} {BOTTOM - (BOTTOM - TOP) * value:.1f}" for x, value in zip(xs, rolling, strict=True)]
    line = "M" + "L".join(points)
    dots = {"SUCCESS": "", "FAILURE": "", "TIMEOUT": ""}
    for x, outcome in zip(xs, outcomes, strict=True):
        dots[outcome] = dots.get(outcome, "") + f"M{x:.1f} {TOP if outcome == 'SUCCESS' else BOTTOM:.1f}h0"
    area = f"{line}L{xs[-1]:.1f} {BOTTOM}L{xs[0]:.1f} {BOTTOM}Z"
    dot = max(1.6, min(5.0, 0.7 * (RIGHT - LEFT) / max(count, 10)))
    return Curve(line, area, dots["SUCCESS"], dots["FAILURE"], dots["TIMEOUT"], dot)


@dataclass(frozen=True, slots=True)
class QBar:
    """Mean and one standard deviation to both sides, in percent of the scale's width."""

    mean: float
    low: float
    high: float


def q_bars(candidates: Sequence[CandidateView]) -> list[QBar | None]:
    """A bar for each candidate on one scale that just holds all of them; None for those without a value."""
    ends = [
        (row.q_mean - (row.q_std or 0.0), row.q_mean, row.q_mean + (row.q_std or 0.0))
        if row.q_mean is not None
        else None
        for row in candidates
    ]
    known = [end for end in ends if end is not None]
    if not known:
        return [None] * len(ends)
    low, high = min(end[0] for end in known), max(end[2] for end in known)
    span = high - low

    def percent(value: float) -> float:
        return 4.0 + 92.0 * (value - low) / span if span > 0 else 50.0

    return [None if end is None else QBar(percent(end[1]), percent(end[0]), percent(end[2])) for end in ends]
