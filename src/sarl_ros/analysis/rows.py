"""One dataclass a table of the report: its fields are the columns, in order. Times are wall clock of the recorder.

`at_s` counts from the first message of the run. None is an empty cell: not known, or there is no such thing.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """An episode.

    Attributes:
        outcome: SUCCESS, FAILURE, TIMEOUT, ABORTED or OPEN.
        reason: why it ended, in the operator's words.
        ended_by: source of the verdict that ended it (auto, joy, console ...), empty if none did.
        decisions: steps with a verdict other than ABORTED.
        subgoals: steps in which a subgoal was reached.
        prompts: in their order, joined by " > ".
        first_q: predicted value of the first prompt chosen.
        realised: discounted return from the first decision, see `measures.returns`.
        recall: share of decisions that were offered a suitable prompt.
        running_s, resetting_s, ready_s, held_s: time in these states.
        person_s: time in which a person was waited for, see `waits`.
    """

    episode: int
    seed: int
    started: str
    at_s: float | None
    outcome: str
    reason: str
    ended_by: str
    decisions: int
    control_steps: int
    subgoals: int
    prompts: str
    agent: str
    demonstration: bool
    first_q: float | None
    realised: float | None
    recall: float | None
    running_s: float
    resetting_s: float
    ready_s: float
    held_s: float
    person_s: float
    amended: bool

    @property
    def begun(self) -> bool:
        """It ran, or at least one of its steps is recorded; others were only being prepared."""
        return bool(self.started or self.prompts)


@dataclass(frozen=True, slots=True)
class StepRow:
    """A decision and what it led to.

    Attributes:
        rank: of the chosen prompt among its candidates by predicted value, 1 the best.
        suitable_offered: a suitable prompt was among the candidates, by ground truth.
        model, rationale: what proposed the candidates, and why in its words.
        ended: COMPLETED, STOPPED, REFUSED or FAULT; empty without a result.
        verdict: the standing one; empty without any.
        reward: 0 for the step that succeeds, else -1/H; None without a kept step or a preset.
        realised, realised_high: return from here, see `measures.returns`.
    """

    episode: int
    step: int
    at_s: float | None
    prompt: str
    agent: str
    demonstration: bool
    candidates: int
    q_mean: float | None
    q_std: float | None
    probability: float | None
    rank: int | None
    suitable_offered: bool | None
    model: str
    rationale: str
    control_steps: int
    ended: str
    ended_reason: str
    verdict: str
    subgoal: bool
    verdict_source: str
    verdict_reason: str
    amended: bool
    reward: float | None
    realised: float | None
    realised_high: float | None


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A prompt that a decision could choose."""

    episode: int
    step: int
    prompt: str
    chosen: bool
    pool_index: int
    q_mean: float | None
    q_std: float | None
    probability: float | None
    prior: float | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """A line of the operator's journal."""

    at_s: float
    time: str
    episode: int
    step: int
    event: str
    source: str
    accepted: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A visit of the episode machine to a state, recording gaps taken out; `waits_for` says what it waited for."""

    at_s: float
    time: str
    episode: int
    state: str
    waits_for: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """A measured duration; `step` is the one it ends in, 0 where it belongs to no step."""

    stage: str
    episode: int
    step: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PromptRow:
    """What a prompt achieved.

    Attributes:
        offered: decisions that had it among their candidates.
        chosen: steps that ran it.
        share_early, share_late: of the choices in the first and the last third of the episodes.
        episodes, successes: completed episodes with it, and those of them that succeeded.
        success_low, success_high: 95 % Wilson interval of that share.
        subgoals, succeeded: steps with it that reached a subgoal, and that ended the episode in success.
        failed: steps with it that were dropped or ended an episode in failure.
        mean_q, mean_realised: predicted value when chosen, and what the return then was.
    """

    prompt: str
    offered: int
    chosen: int
    share_early: float | None
    share_late: float | None
    episodes: int
    successes: int
    success_low: float | None
    success_high: float | None
    subgoals: int
    succeeded: int
    failed: int
    mean_q: float | None
    mean_realised: float | None


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """Decisions of one training phase whose predicted value fell into one bin."""

    phase: str
    low: float
    high: float
    count: int
    predicted: float
    realised: float
    realised_high: float


@dataclass(frozen=True, slots=True)
class LearnerRow:
    """The learner's own figures, when they changed."""

    at_s: float
    episodes: int
    transitions: int
    updates_done: int
    updates_owed: int
    loss: float | None
    temperature: float
    recall: float | None
    pool_size: int
    pool_capacity: int
    steering: bool
    error: str


@dataclass(frozen=True, slots=True)
class TroubleRow:
    """A node's or the arm's trouble: `what` is restart, fault, silent, refusal, hold ..."""

    at_s: float
    time: str
    episode: int
    who: str
    what: str
    seconds: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class FailureRow:
    """Episodes that failed alike; `episodes` holds their numbers, separated by spaces."""

    kind: str
    group: str
    count: int
    episodes: str


@dataclass(frozen=True, slots=True)
class GapRow:
    """A stretch of time from which something is missing in the record."""

    from_s: float | None
    to_s: float | None
    start: str
    end: str
    missing: str


def finite(value: float) -> float | None:
    """The number, or None for NaN and infinities."""
    number = float(value)
    return number if math.isfinite(number) else None


def to_csv(kind: type, rows: Sequence[Any]) -> str:
    """The table as CSV with a header line; floats with six significant digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [field.name for field in dataclasses.fields(kind)]
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in names])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return format(value, ".6g") if isinstance(value, float) else value
