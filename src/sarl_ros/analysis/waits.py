"""Where the time of a run went, and whom it waited for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sarl_ros.analysis.streams import Streams
from sarl_ros.core.types import EpisodeState
from sarl_ros.store.bag_run import BagRun

PERSON = "person"
LEARNER = "learner or nodes"
MACHINE = "arm and world"
RUNNING = "running"
NOBODY = "between episodes"
SHORTEST_NS = 1_000_000
ENDS = (EpisodeState.SUCCESS, EpisodeState.FAILURE, EpisodeState.TIMEOUT, EpisodeState.ABORTED)

Span = tuple[int, int]
"""From and to, ns."""


def subtract(span: Span, holes: Iterable[Span]) -> list[Span]:
    """The parts of `span` outside the holes, ascending."""
    parts = [span]
    for low, high in holes:
        parts = [
            piece
            for begin, end in parts
            for piece in ((begin, min(end, low)), (max(begin, high), end))
            if piece[1] > piece[0]
        ]
    return sorted(set(parts))


def seconds(spans: Iterable[Span]) -> float:
    return sum(end - begin for begin, end in spans) / 1e9


def visits(run: BagRun, streams: Streams) -> list[tuple[int, int, int, EpisodeState, str]]:
    """(from, to, episode, state, last reason) of each visit to a state, in order of time.

    The last one ends with the record. What lies before the first state of the first episode counts as IDLE.
    """
    told = sorted(
        (time_ns, episode.episode, state, reason)
        for episode in run.episodes
        for time_ns, state, reason in episode.states
    )
    if not told:
        return []
    if 0 < streams.first_ns < told[0][0]:
        told.insert(0, (streams.first_ns, 0, EpisodeState.IDLE, "before the first reset"))
    last_ns = max(streams.last_ns, told[-1][0])
    found: list[tuple[int, int, int, EpisodeState, str]] = []
    for (begin, episode, state, reason), end in zip(told, [*(entry[0] for entry in told[1:]), last_ns], strict=True):
        if found and found[-1][2:4] == (episode, state):
            found[-1] = (found[-1][0], end, episode, state, reason)
        else:
            found.append((begin, end, episode, state, reason))
    return found


def attributed(run: BagRun, streams: Streams) -> list[tuple[Span, int, EpisodeState, str, str]]:
    """Each visit cut by whom it waited for: (span, episode, state, waits_for, reason), recording gaps left out.

    A person is waited for in IDLE and READY where a person starts episodes (READY: while the operator names nothing
    else that it waits for), in RESETTING from the end of the arm's reset on, in HELD always, and in RUNNING while the
    learner waits for a person's prompt. With the operator in auto mode nobody presses start or confirms a reset.
    """
    by_hand = not run.setting("operator", "auto", True)
    gaps = [(gap.begin_ns, gap.end_ns) for gap in run.gaps if gap.end_ns > gap.begin_ns > 0]
    blocked = [
        (trouble.begin_ns, trouble.end_ns or streams.last_ns)
        for trouble in streams.troubles
        if trouble.who == "operator" and trouble.what == "waiting"
    ]
    asked = _asked(run, streams)
    resets_over = sorted(
        time_ns for episode in run.episodes for time_ns, event in episode.events if event.event == "reset_finished"
    )
    rows = []
    for begin, end, episode, state, reason in visits(run, streams):
        for span in subtract((begin, end), gaps):
            for part, whom in _cut(span, state, by_hand, blocked, asked, resets_over):
                if part[1] - part[0] >= SHORTEST_NS:
                    rows.append((part, episode, state, whom, reason))
    return rows


def _cut(
    span: Span,
    state: EpisodeState,
    by_hand: bool,
    blocked: Sequence[Span],
    asked: Sequence[Span],
    resets_over: Sequence[int],
) -> list[tuple[Span, str]]:
    if state == EpisodeState.RUNNING:
        return _split(span, asked, PERSON, RUNNING)
    if state == EpisodeState.HELD:
        return [(span, PERSON)]
    if state == EpisodeState.RESETTING:
        over = next((time for time in resets_over if span[0] <= time < span[1]), None)
        if not by_hand or over is None:
            return [(span, MACHINE)]
        return [((span[0], over), MACHINE), ((over, span[1]), PERSON)]
    if state in (EpisodeState.IDLE, EpisodeState.READY):
        return _split(span, blocked, LEARNER, PERSON) if by_hand else [(span, LEARNER)]
    return [(span, NOBODY)]


def _split(span: Span, holes: Sequence[Span], inside: str, outside: str) -> list[tuple[Span, str]]:
    rest = subtract(span, holes)
    covered = subtract(span, rest)
    return sorted([*((part, outside) for part in rest), *((part, inside) for part in covered)])


def _asked(run: BagRun, streams: Streams) -> list[Span]:
    """While the learner waited for a person to choose the next prompt."""
    spans = []
    for episode in run.episodes:
        prompts = {step.key.step: step.prompt_ns for step in episode.steps if step.prompt_ns}
        for step in (episode.start, *episode.steps):
            if step.proposal is not None and step.proposal.awaits_person:
                begin = streams.proposals_ns.get((episode.episode, step.key.step), 0)
                end = prompts.get(step.key.step + 1, 0)
                if 0 < begin < end:
                    spans.append((begin, end))
    return spans
