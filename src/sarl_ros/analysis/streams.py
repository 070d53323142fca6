"""What the report needs of the topics that carry no step key: the arm's rhythm and troubles, the nodes' heartbeats,
and a camera frame from the middle of each step.

One pass over each bag. Heartbeats are decoded once for each different content, images only where they are shown.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sarl_ros.store.bag_messages import BagMessages
from sarl_ros.store.bag_run import BagRun
from sarl_ros.store.bags import BagMessage, BagReader

ARM_COMMAND = "/arm/command"
ARM_STATE = "/arm/state"
NODE_STATUS = "/sarl/node_status"
PROPOSAL = "/sarl/proposal"
DIAGNOSTICS = "/diagnostics"
CAMERA = re.compile(r"^/camera/([^/]+)/color/image_raw/compressed$")
ARM_MODES = {2: "hold", 3: "fault"}
DIAGNOSTIC_LEVELS = {1: "warning", 2: "error", 3: "stale"}
WAITING = "waiting for"
"""A node that says so is well, another one is not there yet."""
SILENT_NS = 3_000_000_000
DISCOVERY_NS = 8_000_000_000
"""A recorder that begins again may take this long to hear every node."""

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Trouble:
    """From `begin_ns` to `end_ns` (0: a moment, or to the record's end) something was wrong with `who`."""

    begin_ns: int
    end_ns: int
    who: str
    what: str
    detail: str


@dataclass(slots=True)
class Life:
    """One process of a node, from its first heartbeat to its last."""

    node: str
    incarnation: str
    begin_ns: int
    end_ns: int


@dataclass(slots=True, eq=False)
class Streams:
    """What was found; times are the recorder's, ns.

    Attributes:
        commands_ns: of every arm command, ascending.
        proposals_ns: of the first proposal for the state that a step (episode, step) ended in.
        frames: JPEG of camera name nearest to the middle of step (episode, step).
        first_ns, last_ns: of all messages looked at; 0 without any.
        lives, troubles: of nodes and arm, by their begin.
        notes: what was left out.
    """

    commands_ns: list[int] = field(default_factory=list)
    proposals_ns: dict[Key, int] = field(default_factory=dict)
    frames: dict[Key, dict[str, bytes]] = field(default_factory=dict)
    first_ns: int = 0
    last_ns: int = 0
    lives: list[Life] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    cameras: set[str] = field(default_factory=set)
    truncated: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_streams(bags: Sequence[Path], run: BagRun, progress: Callable[[int], None] = lambda done: None) -> Streams:
    """Pass over the bags of a run once; `progress` is told how many are done.

    Raises:
        BagError: a bag cannot be read.
    """
    watch = _Watch(_executions(run), [(gap.begin_ns, gap.end_ns) for gap in run.gaps])
    for done, path in enumerate(bags, 1):
        watch.read(BagReader(path))
        progress(done)
    return watch.finished()


def _executions(run: BagRun) -> list[tuple[int, int, Key]]:
    """(from, to, step) of each step that has both ends, by the time of its middle."""
    found = [
        (step.prompt_ns, step.result_ns, (step.key.episode, step.key.step))
        for episode in run.episodes
        for step in episode.steps
        if 0 < step.prompt_ns < step.result_ns
    ]
    return sorted(found, key=lambda one: one[0] + one[1])


def _standing_of(node: str, words: str) -> tuple[str, str, str]:
    """Trouble of a node by its words; the numbers in what it waits for change all the time and are left out."""
    if words.startswith(WAITING):
        return node, "waiting", re.sub(r"\d+", "…", words)
    return node, "fault", words


class _Watch:
    def __init__(self, executions: list[tuple[int, int, Key]], gaps: list[tuple[int, int]]) -> None:
        self._gaps = gaps
        self._executions = executions
        self._middles = [(begin + end) // 2 for begin, end, _ in executions]
        self._found = Streams()
        self._lives: dict[str, Life] = {}
        self._open: dict[tuple[str, str, str], int] = {}
        self._heartbeats: dict[bytes, Any] = {}
        self._refusal = ""

    def read(self, reader: BagReader) -> None:
        found = self._found
        if reader.truncated:
            found.truncated.append(reader.path)
        cameras = {topic: match[1] for topic in reader.topics if (match := CAMERA.match(topic))}
        found.cameras |= set(cameras.values())
        nearest: dict[tuple[int, str], tuple[int, BagMessage]] = {}
        wanted = {ARM_COMMAND, ARM_STATE, NODE_STATUS, PROPOSAL, DIAGNOSTICS, *cameras} & set(reader.topics)
        taken = BagMessages(reader)
        for message in reader.messages(wanted):
            topic, time_ns = message.topic, message.time_ns
            found.first_ns = min(found.first_ns or time_ns, time_ns)
            found.last_ns = max(found.last_ns, time_ns)
            if topic in cameras:
                self._consider(message, cameras[topic], nearest)
            elif topic == ARM_COMMAND:
                found.commands_ns.append(time_ns)
            elif topic == NODE_STATUS and (status := self._heartbeats.get(message.data)) is not None:
                self._on_heartbeat(time_ns, status)
            elif (decoded := taken.read(message)) is None:
                continue
            elif topic == ARM_STATE:
                self._on_arm(time_ns, decoded)
            elif topic == NODE_STATUS:
                self._heartbeats[message.data] = decoded
                self._on_heartbeat(time_ns, decoded)
            elif topic == PROPOSAL:
                found.proposals_ns.setdefault((int(decoded.key.episode), int(decoded.key.step)), time_ns)
            else:
                self._on_diagnostics(time_ns, decoded)
        for (index, camera), (_, message) in nearest.items():
            image = taken.read(message)
            if image is not None:
                found.frames.setdefault(self._executions[index][2], {})[camera] = bytes(image.data)
        # What the run's own topics lack is noted where those are read.
        found.notes += [note for note in taken.notes() if f" on {PROPOSAL} " not in note]

    def _consider(self, message: BagMessage, camera: str, nearest: dict[tuple[int, str], tuple[int, BagMessage]]):
        """Keep the image if it is the nearest yet to a step's middle."""
        after = bisect_left(self._middles, message.time_ns)
        for index in (after - 1, after):
            if 0 <= index < len(self._middles):
                begin, end, _ = self._executions[index]
                distance = abs(self._middles[index] - message.time_ns)
                best = nearest.get((index, camera))
                if begin <= message.time_ns <= end and (best is None or distance < best[0]):
                    nearest[index, camera] = (distance, message)

    def _on_arm(self, time_ns: int, state: Any) -> None:
        faults = {("arm", "fault", str(name)) for name in state.faults}
        mode = ARM_MODES.get(int(state.mode))
        if mode == "hold" or (mode == "fault" and not faults):
            faults.add(("arm", mode, "the arm holds" if mode == "hold" else "the arm is in fault"))
        self._standing("arm", time_ns, faults)
        refusal = "" if state.accepted else str(state.refusal)
        if refusal and refusal != self._refusal:
            self._found.troubles.append(Trouble(time_ns, 0, "arm", "refusal", refusal))
        self._refusal = refusal

    def _on_heartbeat(self, time_ns: int, status: Any) -> None:
        node, life = str(status.node), self._lives.get(status.node)
        if life is None or life.incarnation != status.incarnation:
            if life is not None:
                away = (time_ns - life.end_ns) / 1e9
                detail = f"{node} restarted, after {away:.1f} s without a heartbeat"
                self._found.troubles.append(Trouble(life.end_ns, time_ns, node, "restart", detail))
            self._lives[node] = Life(node, str(status.incarnation), time_ns, time_ns)
            self._found.lives.append(self._lives[node])
        else:
            if time_ns - life.end_ns > SILENT_NS and not self._recorder_away(life.end_ns, time_ns):
                self._found.troubles.append(Trouble(life.end_ns, time_ns, node, "silent", f"{node} gave no heartbeat"))
            life.end_ns = time_ns
        faults = {_standing_of(node, str(words)) for words in status.faults}
        self._standing(node, time_ns, faults)

    def _recorder_away(self, begin_ns: int, end_ns: int) -> bool:
        """Whether a recorder that was away, and then had to find everybody, explains a silence."""
        return any(begin_ns < over and gap < end_ns and end_ns - over < DISCOVERY_NS for gap, over in self._gaps)

    def _on_diagnostics(self, time_ns: int, message: Any) -> None:
        for status in message.status:
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            what = DIAGNOSTIC_LEVELS.get(level)
            standing = {(str(status.name), what, str(status.message))} if what else set()
            self._standing(str(status.name), time_ns, standing)

    def _standing(self, who: str, time_ns: int, now: set[tuple[str, str, str]]) -> None:
        """Open the troubles of `who` that are new, close those that are gone."""
        for key in [key for key in self._open if key[0] == who and key not in now]:
            self._found.troubles.append(Trouble(self._open.pop(key), time_ns, *key))
        for key in now:
            self._open.setdefault(key, time_ns)

    def finished(self) -> Streams:
        found = self._found
        found.troubles += [Trouble(begin, 0, *key) for key, begin in self._open.items()]
        found.troubles.sort(key=lambda trouble: trouble.begin_ns)
        found.commands_ns.sort()
        return found
