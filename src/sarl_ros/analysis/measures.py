"""Plain maths of the report: returns, calibration, percentiles, training phases. No bags, no pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sarl_ros.analysis.rows import CalibrationRow

BINS = 8
MIN_FOR_THIRDS = 9
MIN_FOR_HALVES = 4


def returns(successes: Sequence[bool], horizon: int) -> list[tuple[float, float]]:
    """Discounted return from each kept step of a completed episode, as (realised, upper limit).

    r = -1/H a decision, 0 for the one that succeeds; gamma = 1 - 1/H (DESIGN section 6). An episode that was cut off
    without success goes on losing 1/H for ever, so its tail is worth -1; this is what the critic's bootstrap tends to
    and what `core.reward.discounted_return` counts. The upper limit takes the tail as 0: success right after the end.

    Args:
        successes: of each step in its order, whether its verdict was SUCCESS.
        horizon: H, decisions in an episode.
    """
    gamma, loss = 1 - 1 / horizon, -1 / horizon
    succeeded = bool(successes) and successes[-1]
    low, high = (0.0 if succeeded else -1.0), 0.0
    found = []
    for success in reversed(successes):
        reward = 0.0 if success else loss
        low, high = reward + gamma * low, reward + gamma * high
        found.append((low, high))
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of durations in seconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


def distribution(values: Sequence[float]) -> Distribution:
    """Percentiles by linear interpolation. Needs at least one value."""
    array = np.asarray(values, np.float64)
    p50, p95, p99 = np.percentile(array, (50, 95, 99))
    return Distribution(len(array), float(array.mean()), float(p50), float(p95), float(p99), float(array.max()))


def phases(episodes: Sequence[int]) -> dict[str, list[int]]:
    """Episode numbers by training phase: thirds, halves where there are few, else all of them in one."""
    numbers = sorted(episodes)
    if len(numbers) >= MIN_FOR_THIRDS:
        names = ["early", "middle", "late"]
    elif len(numbers) >= MIN_FOR_HALVES:
        names = ["early", "late"]
    else:
        return {"all": numbers} if numbers else {}
    edges = [round(index * len(numbers) / len(names)) for index in range(len(names) + 1)]
    return {name: numbers[edges[index] : edges[index + 1]] for index, name in enumerate(names)}


def calibration(
    phase: str, points: Sequence[tuple[float, float, float]], low: float = -1.0, high: float = 0.0
) -> list[CalibrationRow]:
    """Bins of equal width over [low, high], widened to hold every prediction; empty ones are left out.

    Args:
        points: (predicted, realised, upper limit of realised) of each decision.
    """
    if not points:
        return []
    predicted = np.array([point[0] for point in points])
    low, high = min(low, float(predicted.min())), max(high, float(predicted.max()))
    edges = np.linspace(low, high, BINS + 1)
    index = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, BINS - 1)
    rows = []
    for number in range(BINS):
        inside = [point for point, where in zip(points, index, strict=True) if where == number]
        if inside:
            means = np.mean(inside, axis=0)
            rows.append(
                CalibrationRow(
                    phase, float(edges[number]), float(edges[number + 1]), len(inside), *(float(mean) for mean in means)
                )
            )
    return rows


def calibration_error(rows: Iterable[CalibrationRow]) -> float | None:
    """Mean absolute difference of predicted and realised over bins, weighted by their counts; None without any."""
    rows = list(rows)
    count = sum(row.count for row in rows)
    return sum(row.count * abs(row.predicted - row.realised) for row in rows) / count if count else None


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None without any."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
