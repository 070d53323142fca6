"""The film strip of each episode: what there was to see at the start, in the middle and at the end of every step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sarl_ros.analysis.rows import CandidateRow, StepRow
from sarl_ros.analysis.streams import Streams
from sarl_ros.analysis.tables import Tables
from sarl_ros.analysis.thumbnails import Plan, choose_plan, data_uri, thumbnail
from sarl_ros.store.bag_run import BagEpisode, BagRun, BagStep

BUDGET_BYTES = 17_000_000
"""For all frames of a page; tables and charts of 100 episodes take a few megabytes more."""
FRONT = "front"


@dataclass(slots=True)
class Column:
    """One step of a strip; step 0 is the observation that the episode starts from. Images are data URIs or None."""

    number: int
    step: StepRow | None
    end: str | None
    wrist: str | None
    middle: str | None
    candidates: list[CandidateRow]


@dataclass(slots=True)
class Strips:
    columns: dict[int, list[Column]]
    plan: Plan
    frames: int
    unreadable: int


def make_strips(run: BagRun, streams: Streams, tables: Tables, budget_bytes: int = BUDGET_BYTES) -> Strips:
    """Strips of all episodes within the budget, the newest first to get their frames."""
    everything = [step for episode in run.episodes for step in (episode.start, *episode.steps)]
    fronts = [jpeg for step in everything if (jpeg := _jpeg(step, "front"))]
    plan = choose_plan(fronts, len(fronts), len(streams.frames), budget_bytes)
    maker = _Maker(plan, streams, tables)
    columns = {episode.episode: maker.strip(episode) for episode in reversed(run.episodes)}
    return Strips(dict(sorted(columns.items())), plan, maker.frames, maker.unreadable)


def _jpeg(step: BagStep, camera: str) -> bytes:
    observation: Any = step.result.observation if step.result is not None else None
    return bytes(getattr(observation, camera).data) if observation is not None else b""


class _Maker:
    def __init__(self, plan: Plan, streams: Streams, tables: Tables) -> None:
        self._plan, self._streams = plan, streams
        self._steps = {(row.episode, row.step): row for row in tables.steps}
        self._candidates: dict[tuple[int, int], list[CandidateRow]] = {}
        for row in tables.candidates:
            self._candidates.setdefault((row.episode, row.step), []).append(row)
        self.frames = self.unreadable = 0

    def strip(self, episode: BagEpisode) -> list[Column]:
        steps = [episode.start, *episode.steps] if episode.start.result is not None else episode.steps
        return [self._column(step) for step in steps]

    def _column(self, step: BagStep) -> Column:
        plan, key = self._plan, (step.key.episode, step.key.step)
        end = self._frame(_jpeg(step, "front"), plan.width)
        wrist = self._frame(_jpeg(step, "wrist"), plan.small) if plan.wrist else None
        cameras = self._streams.frames.get(key, {}) if plan.middle else {}
        middle = cameras.get(FRONT) or next(iter(cameras.values()), b"")
        candidates = sorted(self._candidates.get(key, []), key=_by_value)
        return Column(key[1], self._steps.get(key), end, wrist, self._frame(middle, plan.small), candidates)

    def _frame(self, jpeg: bytes, width: int) -> str | None:
        if not jpeg or (self._plan.limit is not None and self.frames >= self._plan.limit):
            return None
        small = thumbnail(jpeg, width)
        if small is None:
            self.unreadable += 1
            return None
        self.frames += 1
        return data_uri(small)


def _by_value(row: CandidateRow) -> tuple[float, float]:
    return (-row.q_mean if row.q_mean is not None else math.inf, -(row.probability or 0.0))
