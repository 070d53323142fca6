"""Which prompts were tried and what each achieved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sarl_ros.analysis.measures import mean, phases
from sarl_ros.analysis.rows import CandidateRow, EpisodeRow, PromptRow, StepRow
from sarl_ros.core.statistics import wilson_interval

FAILED = ("FAILURE", "ABORTED")


def prompt_rows(
    episodes: Sequence[EpisodeRow], steps: Sequence[StepRow], candidates: Sequence[CandidateRow]
) -> list[PromptRow]:
    """One row a prompt that was chosen or offered, the most often chosen first."""
    outcome = {row.episode: row.outcome for row in episodes}
    parts = phases(list(outcome))
    early, late = (set(parts.get(name, ())) for name in ("early", "late"))
    chosen: dict[str, list[StepRow]] = defaultdict(list)
    for row in steps:
        if row.prompt:
            chosen[row.prompt].append(row)
    offered: dict[str, int] = defaultdict(int)
    for candidate in candidates:
        offered[candidate.prompt] += 1
    in_early, in_late = (sum(row.episode in part for row in steps if row.prompt) for part in (early, late))
    rows = []
    for prompt in sorted(chosen.keys() | offered.keys(), key=lambda name: (-len(chosen[name]), name)):
        runs = chosen[prompt]
        ended = {row.episode for row in runs if outcome[row.episode] in ("SUCCESS", "FAILURE", "TIMEOUT")}
        successes = sum(outcome[number] == "SUCCESS" for number in ended)
        low, high = wilson_interval(successes, len(ended)) if ended else (None, None)
        rows.append(
            PromptRow(
                prompt=prompt,
                offered=offered[prompt],
                chosen=len(runs),
                share_early=sum(row.episode in early for row in runs) / in_early if in_early else None,
                share_late=sum(row.episode in late for row in runs) / in_late if in_late else None,
                episodes=len(ended),
                successes=successes,
                success_low=low,
                success_high=high,
                subgoals=sum(row.subgoal for row in runs),
                succeeded=sum(row.verdict == "SUCCESS" for row in runs),
                failed=sum(row.verdict in FAILED for row in runs),
                mean_q=mean(row.q_mean for row in runs),
                mean_realised=mean(row.realised for row in runs),
            )
        )
    return rows
