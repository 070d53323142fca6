"""When each message of recorded bags is to be published again, and which never are.

Time runs as it was recorded, but a pause between two bags, when no recorder ran, is cut to a moment. What a listener
must know from before the start is told at once: the protocol's messages, and the newest of every latched topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sarl_ros.store.bag_run import AWAY_NS, in_order
from sarl_ros.store.bags import BagError, BagMessage, BagReader
from sarl_ros.store.message_definitions import DefinitionError, message_definition

# Whatever an arm, or a node that moves one, takes as a command. A replay never publishes these.
COMMANDS = ("/arm/command", "/joy")
COMMAND_ENDS = "/commands/"
PAUSE_NS = 500_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Cue:
    """A message and when it is due, in seconds of recorded time since the start; 0 for what came before it."""

    due_s: float
    message: BagMessage


@dataclass(frozen=True, slots=True)
class _Part:
    """A bag on the common time line: its recorded times minus `shift_ns`."""

    reader: BagReader
    shift_ns: int


def is_command(topic: str) -> bool:
    """Whether a topic commands an arm, directly or through the nodes of a run."""
    return topic in COMMANDS or COMMAND_ENDS in topic


class Playback:
    """Bags as one recording.

    Args:
        kept: topics of which a late listener is told all that came before the start.
        latched: topics of which it is told the newest message.
        episode: play the bags of this one only.
        start_s: leave out so much of the beginning.

    Attributes:
        topics: type of each topic that is played.
        left_out: reason for each topic that is not.
        notes: what a reader must know of single bags, in words.
        duration_s: of what is played.

    Raises:
        BagError: the bags hold nothing to play, or no such episode.
    """

    def __init__(
        self,
        bags: Sequence[Path],
        kept: Sequence[str] = (),
        latched: Sequence[str] = (),
        episode: int | None = None,
        start_s: float = 0.0,
    ) -> None:
        self._kept, self._latched = frozenset(kept), frozenset(latched)
        readers = in_order([BagReader(path) for path in bags])
        self._before: BagReader | None = None
        if episode is not None:
            numbers = [int(reader.metadata.get("episode") or 0) for reader in readers]
            if episode not in numbers:
                there = ", ".join(map(str, sorted(set(numbers) - {0}))) or "none"
                raise BagError(f"no bag of episode {episode}; there are bags of: {there}")
            first = numbers.index(episode)
            self._before = readers[first - 1] if first else None
            readers = [reader for reader, number in zip(readers, numbers, strict=True) if number == episode]
        if not readers:
            raise BagError("no messages in these bags: name others")
        self._parts = _on_one_line(readers)
        self._begin_ns = readers[0].begin_ns
        self._start_ns = self._begin_ns + round(start_s * 1e9)
        self.duration_s = (readers[-1].end_ns - self._parts[-1].shift_ns - self._start_ns) / 1e9
        if self.duration_s <= 0:
            whole_s = self.duration_s + start_s
            raise BagError(f"a start at {start_s:g} s is past the end: these bags last {whole_s:.1f} s")
        self.topics: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.notes = [f"{reader.path.name}: {note}" for reader in readers for note in reader.notes]
        for reader in readers:
            for topic in reader.topics:
                self._sort_in(reader, topic)

    def _sort_in(self, reader: BagReader, topic: str) -> None:
        if topic in self.topics or topic in self.left_out:
            return
        kind = reader.topics[topic]
        if is_command(topic):
            self.left_out[topic] = "commands an arm"
            return
        try:
            same = _without_comments(reader.definition(kind)) == _without_comments(message_definition(kind))
        except DefinitionError as error:
            self.left_out[topic] = str(error)
            return
        if same:
            self.topics[topic] = kind
        else:
            self.left_out[topic] = f"recorded with another definition of {kind} than is installed"

    def offered_qos(self, topic: str) -> str:
        """Quality of service that was offered on a topic, as YAML of rosbag2; empty if unknown."""
        for part in self._parts:
            if topic in part.reader.topics:
                return part.reader.channel_metadata(topic).get("offered_qos_profiles", "")
        return ""

    def cues(self) -> Iterator[Cue]:
        """Messages in the order of time, each once though a restarted recorder heard it again.

        Raises:
            BagError: a bag is damaged.
        """
        yield from (Cue(0.0, message) for message in self._known_before())
        told: set[bytes] = set()
        for part in self._parts:
            here: set[bytes] = set()
            for message in part.reader.messages(self.topics.keys()):
                if message.topic in self._kept:
                    if message.data in told:
                        continue
                    here.add(message.data)
                due_ns = message.time_ns - part.shift_ns - self._start_ns
                if due_ns >= 0:
                    yield Cue(due_ns / 1e9, message)
            told |= here

    def _known_before(self) -> list[BagMessage]:
        """What a listener must know of the time before the start, oldest first."""
        newest: dict[str, BagMessage] = {}
        kept: dict[tuple[str, bytes], BagMessage] = {}
        if self._before is not None:
            for message in self._before.messages(self._latched & self.topics.keys()):
                newest[message.topic] = message
        for part in self._parts:
            if part.reader.begin_ns - part.shift_ns >= self._start_ns:
                break
            for message in part.reader.messages((self._latched | self._kept) & self.topics.keys()):
                if message.time_ns - part.shift_ns >= self._start_ns:
                    break
                if message.topic in self._latched:
                    newest[message.topic] = message
                else:
                    kept.setdefault((message.topic, message.data), message)
        return sorted([*kept.values(), *newest.values()], key=lambda message: message.time_ns)


def _on_one_line(readers: Sequence[BagReader]) -> list[_Part]:
    """Bags one after the other, longer pauses between them cut to `PAUSE_NS`."""
    parts = [_Part(readers[0], 0)]
    end_ns = readers[0].end_ns
    for reader in readers[1:]:
        shift_ns, pause_ns = parts[-1].shift_ns, reader.begin_ns - end_ns
        if pause_ns > AWAY_NS:
            shift_ns += pause_ns - PAUSE_NS
        parts.append(_Part(reader, shift_ns))
        end_ns = max(end_ns, reader.end_ns)
    return parts


def _without_comments(definition: str) -> list[str]:
    lines = (" ".join(line.split("#")[0].split()) for line in definition.splitlines())
    return [line for line in lines if line]
