"""From a run's bags to the rows of the report's tables."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sarl_ros.analysis import rows as r
from sarl_ros.analysis.failures import failures
from sarl_ros.analysis.latencies import latencies
from sarl_ros.analysis.measures import calibration, mean, phases, returns
from sarl_ros.analysis.prompts import prompt_rows
from sarl_ros.analysis.rows import finite
from sarl_ros.analysis.streams import Streams
from sarl_ros.analysis.waits import PERSON, attributed
from sarl_ros.core.types import Ended, EpisodeState, Verdict
from sarl_ros.store.bag_run import OPEN, BagEpisode, BagRun, BagStep

COMPLETED = ("SUCCESS", "FAILURE", "TIMEOUT")


@dataclass(slots=True)
class Tables:
    """All tables of a run; `KINDS` names their files and row types. `origin_ns` is where `at_s` counts from."""

    origin_ns: int
    episodes: list[r.EpisodeRow]
    steps: list[r.StepRow]
    candidates: list[r.CandidateRow]
    prompts: list[r.PromptRow]
    calibration: list[r.CalibrationRow]
    latencies: list[r.LatencyRow]
    spans: list[r.SpanRow]
    events: list[r.EventRow]
    failures: list[r.FailureRow]
    learner: list[r.LearnerRow]
    troubles: list[r.TroubleRow]
    gaps: list[r.GapRow]

    @property
    def completed(self) -> list[r.EpisodeRow]:
        """Episodes that ended in SUCCESS, FAILURE or TIMEOUT."""
        return [row for row in self.episodes if row.outcome in COMPLETED]


KINDS: dict[str, type] = {
    "episodes": r.EpisodeRow,
    "steps": r.StepRow,
    "candidates": r.CandidateRow,
    "prompts": r.PromptRow,
    "calibration": r.CalibrationRow,
    "latencies": r.LatencyRow,
    "spans": r.SpanRow,
    "events": r.EventRow,
    "failures": r.FailureRow,
    "learner": r.LearnerRow,
    "troubles": r.TroubleRow,
    "gaps": r.GapRow,
}


class Clock:
    """Recorder's times as seconds since the run's first message, and as UTC text."""

    def __init__(self, origin_ns: int) -> None:
        self.origin_ns = origin_ns

    def at(self, time_ns: int) -> float:
        return round((time_ns - self.origin_ns) / 1e9, 6)

    def at_or_none(self, time_ns: int) -> float | None:
        return self.at(time_ns) if time_ns else None

    @staticmethod
    def text(time_ns: int) -> str:
        """2026-11-21T04:15:07.123Z; empty for 0, which stands for unknown."""
        if not time_ns:
            return ""
        stamp = datetime.fromtimestamp(time_ns // 1_000_000 / 1e3, UTC)
        return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_tables(run: BagRun, streams: Streams) -> Tables:
    """Every table of a run."""
    clock = Clock(_origin(run, streams))
    spans = [
        r.SpanRow(clock.at(span[0]), clock.text(span[0]), episode, state.name, whom, (span[1] - span[0]) / 1e9, reason)
        for span, episode, state, whom, reason in attributed(run, streams)
    ]
    horizon = horizon_of(run)
    steps = [row for episode in run.episodes for row in _step_rows(episode, horizon, clock)]
    episodes = [_episode_row(episode, steps, spans, clock) for episode in run.episodes]
    candidates = [row for episode in run.episodes for step in episode.steps for row in _candidate_rows(step)]
    tables = Tables(
        clock.origin_ns,
        episodes,
        steps,
        candidates,
        prompt_rows(episodes, steps, candidates),
        _calibration_rows(episodes, steps),
        latencies(run, streams),
        spans,
        _event_rows(run, clock),
        [],
        _learner_rows(run, clock),
        _trouble_rows(run, streams, clock),
        [
            r.GapRow(
                clock.at_or_none(gap.begin_ns),
                clock.at_or_none(gap.end_ns),
                clock.text(gap.begin_ns),
                clock.text(gap.end_ns),
                gap.missing,
            )
            for gap in run.gaps
        ],
    )
    tables.failures = failures(episodes, steps, spans, tables.troubles)
    return tables


def horizon_of(run: BagRun) -> int | None:
    """H of the preset that the bags hold; None without one."""
    value = (run.preset or {}).get("horizon")
    return int(value) if value else None


def _origin(run: BagRun, streams: Streams) -> int:
    times = [streams.first_ns, *(time for episode in run.episodes for time, _, _ in episode.states[:1])]
    times += [time for episode in run.episodes for time, _ in episode.events[:1]]
    return min((time for time in times if time), default=0)


def _step_rows(episode: BagEpisode, horizon: int | None, clock: Clock) -> list[r.StepRow]:
    kept = [step for step in episode.steps if step.verdict not in (None, Verdict.ABORTED)]
    found: dict[int, tuple[float, float]] = {}
    # Without the verdict that ended the episode nobody knows what its last steps were worth.
    ended = kept[-1].verdict.name if kept and kept[-1].verdict is not None else ""
    if horizon and episode.outcome in COMPLETED and ended == episode.outcome:
        # A step that the record lacks would make the returns before it wrong: count from after the last hole.
        whole = [step for step in kept if step.key.step > _last_hole([step.key.step for step in kept])]
        values = returns([step.verdict == Verdict.SUCCESS for step in whole], horizon)
        found = {step.key.step: value for step, value in zip(whole, values, strict=True)}
    before = {step.key.step + 1: step.proposal for step in (episode.start, *episode.steps)}
    return [
        _step_row(step, before.get(step.key.step), step in kept, horizon, found.get(step.key.step), clock)
        for step in episode.steps
    ]


def _last_hole(numbers: list[int]) -> int:
    """The highest missing number below the last of `numbers`, 0 if they run from 1 without a hole."""
    return max(set(range(1, numbers[-1])) - set(numbers), default=0) if numbers else 0


def _step_row(
    step: BagStep, proposal: Any, kept: bool, horizon: int | None, found: tuple[float, float] | None, clock: Clock
) -> r.StepRow:
    prompt, result = step.prompt, step.result
    verdict = step.verdicts[-1] if step.verdicts else None
    chosen = prompt.candidates[prompt.chosen] if prompt is not None and prompt.chosen < len(prompt.candidates) else None
    offered = None if prompt is None or prompt.suitable_offered < 0 else bool(prompt.suitable_offered)
    reward = None
    if kept and horizon:
        reward = 0.0 if step.verdict == Verdict.SUCCESS else -1 / horizon
    return r.StepRow(
        episode=step.key.episode,
        step=step.key.step,
        at_s=clock.at_or_none(step.prompt_ns or step.result_ns),
        prompt=prompt.prompt if prompt is not None else result.prompt if result is not None else "",
        agent=prompt.agent if prompt is not None else "",
        demonstration=bool(prompt.demonstration) if prompt is not None else False,
        candidates=len(prompt.candidates) if prompt is not None else 0,
        q_mean=finite(chosen.q_mean) if chosen is not None else None,
        q_std=finite(chosen.q_std) if chosen is not None else None,
        probability=finite(chosen.probability) if chosen is not None else None,
        rank=_rank(prompt, chosen),
        suitable_offered=offered,
        model=proposal.model if proposal is not None else "",
        rationale=proposal.rationale if proposal is not None else "",
        control_steps=int(result.control_steps) if result is not None else 0,
        ended=Ended(result.ended).name if result is not None else "",
        ended_reason=result.reason if result is not None else "",
        verdict=Verdict(verdict.verdict).name if verdict is not None else "",
        subgoal=bool(verdict.subgoal) if verdict is not None else False,
        verdict_source=verdict.source if verdict is not None else "",
        verdict_reason=verdict.reason if verdict is not None else "",
        amended=any(bool(each.amendment) for each in step.verdicts),
        reward=reward,
        realised=found[0] if found else None,
        realised_high=found[1] if found else None,
    )


def _rank(prompt: Any, chosen: Any) -> int | None:
    if chosen is None or finite(chosen.q_mean) is None:
        return None
    return 1 + sum(float(other.q_mean) > float(chosen.q_mean) for other in prompt.candidates)


def _candidate_rows(step: BagStep) -> list[r.CandidateRow]:
    if step.prompt is None:
        return []
    return [
        r.CandidateRow(
            step.key.episode,
            step.key.step,
            candidate.prompt,
            index == step.prompt.chosen,
            int(candidate.pool_index),
            finite(candidate.q_mean),
            finite(candidate.q_std),
            finite(candidate.probability),
            finite(candidate.prior),
        )
        for index, candidate in enumerate(step.prompt.candidates)
    ]


def _episode_row(
    episode: BagEpisode, all_steps: list[r.StepRow], all_spans: list[r.SpanRow], clock: Clock
) -> r.EpisodeRow:
    steps = [row for row in all_steps if row.episode == episode.episode]
    spent: defaultdict[str, float] = defaultdict(float)
    person_s = 0.0
    for span in all_spans:
        if span.episode == episode.episode:
            spent[span.state] += span.seconds
            person_s += span.seconds if span.waits_for == PERSON else 0.0
    started = next((time for time, state, _ in episode.states if state == EpisodeState.RUNNING), 0)
    kept = [row for row in steps if row.verdict not in ("", "ABORTED")]
    last = kept[-1] if kept and kept[-1].verdict != "CONTINUE" else None
    return r.EpisodeRow(
        episode=episode.episode,
        seed=episode.seed,
        started=clock.text(started),
        at_s=clock.at_or_none(started),
        outcome=episode.outcome,
        reason=_reason(episode, steps),
        ended_by=last.verdict_source if last else "",
        decisions=len(kept),
        control_steps=sum(row.control_steps for row in steps),
        subgoals=sum(row.subgoal for row in steps),
        prompts=" > ".join(row.prompt for row in steps),
        agent=next((row.agent for row in steps if row.agent), ""),
        demonstration=any(row.demonstration for row in steps),
        first_q=steps[0].q_mean if steps and steps[0].step == 1 else None,
        realised=steps[0].realised if steps and steps[0].step == 1 else None,
        recall=mean(float(row.suitable_offered) if row.suitable_offered is not None else None for row in steps),
        running_s=spent["RUNNING"],
        resetting_s=spent["RESETTING"],
        ready_s=spent["READY"],
        held_s=spent["HELD"],
        person_s=person_s,
        amended=any(row.amended for row in steps),
    )


def _reason(episode: BagEpisode, steps: list[r.StepRow]) -> str:
    if episode.outcome == OPEN:
        begun = steps or any(state == EpisodeState.RUNNING for _, state, _ in episode.states)
        return (
            "the record ends before the episode does"
            if begun
            else "never started: the record ends while it was prepared"
        )
    told = [reason for _, state, reason in episode.states if state.name == episode.outcome]
    if told:
        return told[-1]
    return next((row.verdict_reason for row in reversed(steps) if row.verdict == episode.outcome), "")


def _calibration_rows(episodes: list[r.EpisodeRow], steps: list[r.StepRow]) -> list[r.CalibrationRow]:
    rows = []
    for phase, numbers in phases([row.episode for row in episodes if row.outcome in COMPLETED]).items():
        members = set(numbers)
        points = [
            (row.q_mean, row.realised, row.realised_high)
            for row in steps
            if row.episode in members
            and row.q_mean is not None
            and row.realised is not None
            and row.realised_high is not None
        ]
        rows += calibration(phase, points)
    return rows


def _event_rows(run: BagRun, clock: Clock) -> list[r.EventRow]:
    found = sorted(
        ((time_ns, message) for episode in run.episodes for time_ns, message in episode.events),
        key=lambda pair: pair[0],
    )
    return [
        r.EventRow(
            clock.at(time_ns),
            clock.text(time_ns),
            int(message.key.episode),
            int(message.key.step),
            message.event,
            message.source,
            bool(message.accepted),
            message.detail,
        )
        for time_ns, message in found
    ]


def _learner_rows(run: BagRun, clock: Clock) -> list[r.LearnerRow]:
    return [
        r.LearnerRow(
            clock.at(time_ns),
            int(status.episodes),
            int(status.transitions),
            int(status.updates_done),
            int(status.updates_owed),
            finite(status.critic_loss),
            float(status.temperature),
            finite(status.recall),
            int(status.pool_size),
            int(status.pool_capacity),
            bool(status.steering),
            status.error,
        )
        for time_ns, status in run.learner_status
    ]


def _trouble_rows(run: BagRun, streams: Streams, clock: Clock) -> list[r.TroubleRow]:
    starts = sorted((episode.states[0][0], episode.episode) for episode in run.episodes if episode.states)
    rows = []
    for trouble in streams.troubles:
        during = [number for time, number in starts if time <= trouble.begin_ns]
        length = (trouble.end_ns - trouble.begin_ns) / 1e9 if trouble.end_ns else None
        rows.append(
            r.TroubleRow(
                clock.at(trouble.begin_ns),
                clock.text(trouble.begin_ns),
                during[-1] if during else 0,
                trouble.who,
                trouble.what,
                length,
                trouble.detail,
            )
        )
    return rows
