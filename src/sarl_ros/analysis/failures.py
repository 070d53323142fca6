"""Failures that are alike, with the episodes in which they happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sarl_ros.analysis.rows import EpisodeRow, FailureRow, SpanRow, StepRow, TroubleRow

LAST_PROMPT = "timed out or failed, last prompt"
REPEATED = "timed out or failed, prompt tried again and again"
REACHED = "timed out or failed, how far it came"
OVERRATED = "timed out or failed, most overrated choice"
NEVER_OFFERED = "timed out or failed, suitable prompts offered"
ABORTED = "aborted"
STEP_ENDED = "step not carried out"
HELD = "held"
ARM = "arm"
AGAIN = 3
UNFINISHED = ("TIMEOUT", "FAILURE")
KINDS = (LAST_PROMPT, REPEATED, REACHED, OVERRATED, NEVER_OFFERED, ABORTED, STEP_ENDED, HELD, ARM)


def failures(
    episodes: Sequence[EpisodeRow],
    steps: Sequence[StepRow],
    spans: Sequence[SpanRow],
    troubles: Sequence[TroubleRow],
) -> list[FailureRow]:
    """Groups by kind, the largest first; an episode can be in several."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    of: dict[int, list[StepRow]] = defaultdict(list)
    for row in steps:
        of[row.episode].append(row)
        if row.ended in ("FAULT", "REFUSED"):
            groups[STEP_ENDED, f"{row.ended.lower()}: {row.ended_reason or 'no reason given'}"].append(row.episode)
    for episode in episodes:
        if episode.outcome == "ABORTED":
            groups[ABORTED, episode.reason or "no reason given"].append(episode.episode)
        elif episode.outcome in UNFINISHED:
            for kind, group in _unfinished(episode, of[episode.episode]):
                groups[kind, group].append(episode.episode)
    for span in spans:
        if span.state == "HELD":
            groups[HELD, span.reason or "no reason given"].append(span.episode)
    for trouble in troubles:
        if trouble.who == "arm":
            groups[ARM, f"{trouble.what}: {trouble.detail}"].append(trouble.episode)
    found = [
        FailureRow(kind, group, len(numbers), " ".join(str(number) for number in sorted(set(numbers))))
        for (kind, group), numbers in groups.items()
    ]
    return sorted(found, key=lambda row: (KINDS.index(row.kind), -row.count, row.group))


def _unfinished(episode: EpisodeRow, steps: Sequence[StepRow]) -> list[tuple[str, str]]:
    reached = f"{episode.subgoals or 'no'} subgoal{'' if episode.subgoals == 1 else 's'} reached"
    found = [(REACHED, reached)]
    if steps:
        found.append((LAST_PROMPT, steps[-1].prompt))
        often, times = Counter(row.prompt for row in steps).most_common(1)[0]
        if times >= AGAIN:
            found.append((REPEATED, often))
    errors = [
        (row.q_mean - row.realised, -row.step, row.prompt)
        for row in steps
        if row.q_mean is not None and row.realised is not None
    ]
    if errors:
        error, _, prompt = max(errors)
        if error > 0:
            found.append((OVERRATED, prompt))
    if episode.recall is not None:
        found.append((NEVER_OFFERED, "in every decision" if episode.recall == 1 else _share(steps)))
    return found


def _share(steps: Sequence[StepRow]) -> str:
    missing = sum(row.suitable_offered is False for row in steps)
    return f"not in {missing} decision{'s' if missing > 1 else ''}"
