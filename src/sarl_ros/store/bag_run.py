"""A run as its bags tell it: episodes, and of each step the prompt, what it did and what was said of it.

Messages are joined by their keys, never by clocks. Those that are told again, because a recorder or another node
restarted, count once; what is missing is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sarl_ros.core.types import EpisodeState, StepKey, Verdict
from sarl_ros.store.bag_messages import BagMessages
from sarl_ros.store.bags import BagError, BagReader

EPISODE = "/sarl/episode"
EPISODE_EVENT = "/sarl/episode_event"
PROMPT = "/sarl/prompt"
STEP_RESULT = "/sarl/step_result"
STEP_VERDICT = "/sarl/step_verdict"
PROPOSAL = "/sarl/proposal"
LEARNER_STATUS = "/sarl/learner_status"
TOPICS = (EPISODE, EPISODE_EVENT, PROMPT, STEP_RESULT, STEP_VERDICT, PROPOSAL, LEARNER_STATUS)

ENDS = {
    EpisodeState.SUCCESS: "SUCCESS",
    EpisodeState.FAILURE: "FAILURE",
    EpisodeState.TIMEOUT: "TIMEOUT",
    EpisodeState.ABORTED: "ABORTED",
}
OPEN = "OPEN"
BEFORE_RUNNING = (EpisodeState.IDLE, EpisodeState.RESETTING, EpisodeState.READY)
# Heartbeats are recorded five times a second: a longer silence between two bags is a recorder that was away.
AWAY_NS = 2_000_000_000


@dataclass(slots=True, eq=False)
class BagStep:
    """What is recorded of one step; step 0 is the observation that the episode starts from.

    Attributes:
        prompt, result: first message of their kind, None where there is none.
        verdicts: the verdict, then its amendment if there is one.
        proposal: the last one for the state that this step ended in.
        prompt_ns, result_ns, verdict_ns: when the recorder received them; 0 without a message. `verdict_ns` is that of
            the verdict, not of the amendment.
    """

    key: StepKey
    prompt: Any = None
    prompt_ns: int = 0
    result: Any = None
    result_ns: int = 0
    verdicts: list[Any] = field(default_factory=list)
    verdict_ns: int = 0
    proposal: Any = None

    @property
    def verdict(self) -> Verdict | None:
        """The one in effect, amended or not; None before it was given."""
        return Verdict(self.verdicts[-1].verdict) if self.verdicts else None


@dataclass(slots=True, eq=False)
class BagEpisode:
    """One episode.

    Attributes:
        states: (time received, state, reason) at each change, oldest first.
        steps: by number from 1 on; a step of which nothing is recorded is left out.
        outcome: SUCCESS, FAILURE, TIMEOUT or ABORTED; OPEN while nothing says how it ended.
        events: (time received, EpisodeEvent message), the operator's journal.
    """

    run: str
    episode: int
    seed: int = -1
    task: str = ""
    instruction: str = ""
    states: list[tuple[int, EpisodeState, str]] = field(default_factory=list)
    start: BagStep = field(init=False)
    steps: list[BagStep] = field(default_factory=list)
    outcome: str = OPEN
    events: list[tuple[int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = BagStep(StepKey(self.run, self.episode, 0))


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a recorder.

    Attributes:
        bag: the one that ends before it.
        begin_ns, end_ns: of the last message before and the first one after; 0 where nothing comes after.
        missing: in words.
    """

    bag: Path
    begin_ns: int
    end_ns: int
    missing: str


@dataclass(slots=True, eq=False)
class BagRun:
    """Everything that bags tell of one run.

    Attributes:
        config: the run's parameter file, node by node.
        preset: the agent's values, None if the bags hold none.
        metadata: of the first bag.
        learner_status: (time received, LearnerStatus message) where it changed.
        notes: what a reader must know of single bags, in words.
    """

    run: str
    config: dict[str, Any]
    preset: dict[str, Any] | None
    metadata: dict[str, str]
    episodes: list[BagEpisode] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    learner_status: list[tuple[int, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def setting(self, node: str, name: str, default: Any = None) -> Any:
        """A parameter of the run as its config.yaml had it."""
        return self.config.get(node, {}).get("ros__parameters", {}).get(name, default)


def read_run(bags: Sequence[Path]) -> BagRun:
    """Join the bags of one run.

    Raises:
        BagError: there are none, one cannot be read, or they are of more than one run.
    """
    readers = [BagReader(Path(path)) for path in bags]
    joined: _Join | None = None
    for reader in in_order(readers):
        joined = joined or _Join(reader)
        joined.add(reader)
    if joined is None:
        raise BagError("no message in any of these bags: name a run folder, a bag folder or an .mcap file")
    run = joined.finished()
    run.notes += [f"{reader.path.name} holds no message" for reader in readers if not reader.end_ns]
    return run


def in_order(readers: Sequence[BagReader]) -> list[BagReader]:
    """Bags by the time of their first message; those without any are left out."""
    return sorted((reader for reader in readers if reader.end_ns), key=lambda reader: reader.begin_ns)


def key_of(message: Any) -> StepKey:
    """The key that a decoded message carries."""
    return StepKey(message.key.run, int(message.key.episode), int(message.key.step))


def stamp_ns(header: Any) -> int:
    """Time of a decoded header."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


class _Join:
    """Takes over one bag after the other, oldest first."""

    def __init__(self, first: BagReader) -> None:
        metadata = first.metadata
        # As it was written: a strict reader would take some texts of earlier versions for numbers.
        preset = yaml.safe_load(metadata.get("preset", "") or "null")
        config = yaml.safe_load(metadata.get("config", "") or "{}")
        self._run = BagRun(metadata.get("run", ""), config, preset, dict(metadata))
        self._episodes: dict[int, BagEpisode] = {}
        self._steps: dict[StepKey, BagStep] = {}
        self._told: Counter[str] = Counter()
        self._status: Any = None
        self._last: BagReader | None = None
        self._last_ns = 0

    def add(self, reader: BagReader) -> None:
        run = reader.metadata.get("run", "")
        if run != self._run.run:
            raise BagError(f"{reader.path} is of run {run}, others are of {self._run.run}: name the bags of one run")
        self._note_gap(reader)
        self._run.notes += [f"{reader.path.name}: {note}" for note in reader.notes]
        if not set(TOPICS) & set(reader.topics):
            self._run.notes.append(f"{reader.path.name} holds no topic that tells of a run")
        here: Counter[str] = Counter()
        taken = BagMessages(reader)
        for message in reader.messages(TOPICS):
            decoded = taken.read(message)
            if decoded is not None:
                self._take(message.topic, message.time_ns, decoded, here)
        self._run.notes += taken.notes()
        self._told |= here
        self._last, self._last_ns = reader, max(self._last_ns, reader.end_ns)

    def _note_gap(self, reader: BagReader) -> None:
        before = self._last
        if before is None:
            return
        away_ns = reader.begin_ns - self._last_ns
        same = before.metadata.get("episode") == reader.metadata.get("episode")
        if before.truncated or same or away_ns > AWAY_NS:
            why = "was cut off" if before.truncated else "ended"
            missing = f"{before.path.name} {why}: images and states of {max(0, away_ns) / 1e9:.1f} s are missing"
            self._run.gaps.append(Gap(before.path, self._last_ns, reader.begin_ns, missing))

    def _take(self, topic: str, time_ns: int, message: Any, here: Counter[str]) -> None:
        if topic == EPISODE:
            self._on_episode(time_ns, message)
        elif topic == LEARNER_STATUS:
            self._on_status(time_ns, message)
        elif message.key.run != self._run.run:
            return
        elif topic == EPISODE_EVENT:
            said = repr(message)
            here[said] += 1
            if here[said] > self._told[said]:
                self._episode(int(message.key.episode)).events.append((time_ns, message))
        elif topic == PROMPT:
            step = self._step(key_of(message))
            if step.prompt is None:
                step.prompt, step.prompt_ns = message, time_ns
        elif topic == STEP_RESULT:
            step = self._step(key_of(message))
            if step.result is None:
                step.result, step.result_ns = message, time_ns
        elif topic == STEP_VERDICT:
            self._on_verdict(time_ns, message)
        elif topic == PROPOSAL:
            step = self._step(key_of(message))
            if step.proposal is None or stamp_ns(message.header) >= stamp_ns(step.proposal.header):
                step.proposal = message

    def _on_episode(self, time_ns: int, message: Any) -> None:
        if message.run != self._run.run or not message.episode:
            return
        episode, state = self._episode(int(message.episode)), EpisodeState(message.state)
        episode.seed, episode.task, episode.instruction = int(message.seed), message.task, message.instruction
        last = episode.states[-1] if episode.states else None
        if last is None or last[1] != state or (state != EpisodeState.RUNNING and last[2] != message.reason):
            episode.states.append((time_ns, state, message.reason))

    def _on_verdict(self, time_ns: int, message: Any) -> None:
        step = self._step(key_of(message))
        if any(bool(known.amendment) == bool(message.amendment) for known in step.verdicts):
            return
        if message.amendment:
            step.verdicts.append(message)
        else:
            step.verdicts.insert(0, message)
            step.verdict_ns = time_ns

    def _on_status(self, time_ns: int, message: Any) -> None:
        if message.run != self._run.run:
            return
        shown = _without_header(message)
        if shown != self._status:
            self._status = shown
            self._run.learner_status.append((time_ns, message))

    def _episode(self, number: int) -> BagEpisode:
        known = self._episodes.get(number)
        if known is None:
            known = self._episodes[number] = BagEpisode(self._run.run, number)
        return known

    def _step(self, key: StepKey) -> BagStep:
        known = self._steps.get(key)
        if known is None:
            episode = self._episode(key.episode)
            known = self._steps[key] = episode.start if key.step == 0 else BagStep(key)
        return known

    def finished(self) -> BagRun:
        for key in sorted(self._steps):
            if key.step:
                self._episodes[key.episode].steps.append(self._steps[key])
        self._run.episodes = [self._episodes[number] for number in sorted(self._episodes) if number]
        self._run.notes += [f"no bag tells of episode {number}" for number in _untold(self._run.episodes)]
        for episode in self._run.episodes:
            episode.outcome = _outcome(episode)
        last = self._last
        if last is not None and last.truncated:
            missing = f"{last.path.name} was cut off: what came after is missing"
            self._run.gaps.append(Gap(last.path, self._last_ns, 0, missing))
        return self._run


def _untold(episodes: Sequence[BagEpisode]) -> list[int]:
    """Episodes before the last of which there is nothing, or no more than that they were about to start."""
    told = {
        each.episode
        for each in episodes
        if each.steps or any(state not in BEFORE_RUNNING for _, state, _ in each.states)
    }
    numbers = [each.episode for each in episodes]
    return [number for number in range(min(numbers, default=0), max(numbers, default=0)) if number not in told]


def _outcome(episode: BagEpisode) -> str:
    """By the step whose verdict in effect ends an episode, else by the last state that does."""
    verdicts = [step.verdict for step in episode.steps]
    final = [each.name for each in verdicts if each in (Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT)]
    ended = [ENDS[state] for _, state, _ in episode.states if state in ENDS]
    return (final or ended or [OPEN])[-1]


def _without_header(message: Any) -> str:
    return repr({name: value for name, value in vars(message).items() if name != "header"})
