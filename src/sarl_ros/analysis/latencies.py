"""How long every stage of the graph took, by the recorder's wall clock.

A recorder that begins again is told the retained messages of minutes at once, so durations that touch a recording gap,
or the time in which it finds everybody again, are left out. Two messages that reach it in the wrong order were closer
together than it can tell: they count as 0.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sarl_ros.analysis.rows import LatencyRow
from sarl_ros.analysis.streams import DISCOVERY_NS, Streams
from sarl_ros.analysis.waits import Span, visits
from sarl_ros.core.types import EpisodeState
from sarl_ros.store.bag_run import BagEpisode, BagRun, BagStep


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    meaning: str


STAGES = (
    Stage("result to proposal", "a step's result until its state has candidates: the proposer's time"),
    Stage("proposal to prompt", "candidates until the next prompt: the agent's decision, and waiting for the verdict"),
    Stage("result to verdict", "a step's result until the operator's answer: judgement, or the press window"),
    Stage("verdict to next prompt", "what the arm waits for between two steps, once the step is judged"),
    Stage("result to next prompt", "all of the arm's wait between two steps"),
    Stage("prompt to first command", "until the first action reaches the arm: the policy's first plan"),
    Stage("control period", "between two arm commands of a step"),
    Stage("step", "prompt until its result"),
    Stage("reset", "RESETTING until READY, with a person's part where a person resets"),
)


def latencies(run: BagRun, streams: Streams) -> list[LatencyRow]:
    """Every duration of every stage, in the order of STAGES' names where one belongs to a step."""
    rows: list[LatencyRow] = []
    away = [(gap.begin_ns, gap.end_ns + DISCOVERY_NS) for gap in run.gaps if gap.end_ns]
    for episode in run.episodes:
        rows += _of_steps(episode, streams, away)
    for begin, end, episode_number, state, _ in visits(run, streams):
        if state == EpisodeState.RESETTING and end > begin and not _touches(begin, end, away):
            rows.append(LatencyRow("reset", episode_number, 0, (end - begin) / 1e9))
    return rows


def _touches(begin_ns: int, end_ns: int, away: Sequence[Span]) -> bool:
    return any(begin_ns <= high and low <= end_ns for low, high in away)


def _of_steps(episode: BagEpisode, streams: Streams, away: Sequence[Span]) -> list[LatencyRow]:
    rows: list[LatencyRow] = []

    def add(stage: str, step: int, begin_ns: int, end_ns: int) -> None:
        if begin_ns and end_ns and not _touches(min(begin_ns, end_ns), max(begin_ns, end_ns), away):
            rows.append(LatencyRow(stage, episode.episode, step, max(0, end_ns - begin_ns) / 1e9))

    steps = {step.key.step: step for step in (episode.start, *episode.steps)}
    for number, step in steps.items():
        proposal_ns = streams.proposals_ns.get((episode.episode, number), 0)
        after: BagStep | None = steps.get(number + 1)
        add("result to proposal", number, step.result_ns, proposal_ns)
        add("result to verdict", number, step.result_ns, step.verdict_ns)
        if after is not None:
            add("proposal to prompt", number + 1, proposal_ns, after.prompt_ns)
            add("verdict to next prompt", number + 1, step.verdict_ns, after.prompt_ns)
            add("result to next prompt", number + 1, step.result_ns, after.prompt_ns)
        add("step", number, step.prompt_ns, step.result_ns)
        if 0 < step.prompt_ns < step.result_ns:
            low = bisect_left(streams.commands_ns, step.prompt_ns)
            high = bisect_right(streams.commands_ns, step.result_ns)
            commands = streams.commands_ns[low:high]
            if commands:
                add("prompt to first command", number, step.prompt_ns, commands[0])
            for before, now in itertools.pairwise(commands):
                add("control period", number, before, now)
    return rows
