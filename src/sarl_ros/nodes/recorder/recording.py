"""A run's recording without ROS: what callbacks hand over goes into one bag an episode, in a thread of its own.

When the thread cannot follow, images are dropped first, then other streams, and every drop is counted; messages of
latched topics, which transitions are rebuilt from, are never dropped. When disk space runs short images are dropped,
then the bag is closed in order; a disk that refuses a write is tried again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rosbags.interfaces import Qos

from sarl_ros.nodes.recorder.disk import DiskWatch, Space
from sarl_ros.nodes.recorder.images import COMPRESSED_IMAGE, ImageError
from sarl_ros.store.bag_writing import BagWriter, leftovers, newest_episode, seal_leftover, unused_name
from sarl_ros.store.bags import BagError

WAKE_S = 0.05
FLUSH_S = 0.15
DISK_PERIOD_S = 1.0
RETRY_S = 5.0
DROPS_SHOWN_S = 10.0
HELD_BYTES = 64_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """A topic that is recorded.

    Attributes:
        offered: quality of service of its publishers, for those who play the bag.
        kept: its publishers keep messages for late joiners: never dropped, on its way to the disk at once.
        image: dropped before anything else.
        compress: makes a compressed image of a message, to be recorded as TOPIC/compressed.
        begins: the episode that a message begins, or belongs to; None if it tells nothing.
    """

    topic: str
    type: str
    offered: tuple[Qos, ...] = ()
    kept: bool = False
    image: bool = False
    compress: Callable[[bytes], bytes] | None = None
    begins: Callable[[bytes], int | None] | None = None


Item = tuple[Stream, int, bytes]


class LogClock:
    """Wall clock that never steps back: it runs on the steady clock, and is set forward when a bag begins."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        return self._offset_ns + time.monotonic_ns()

    def set(self) -> None:
        self._offset_ns = max(self._offset_ns, time.time_ns() - time.monotonic_ns())


class Recording:
    """The bags of a run, in `folder`.

    Args:
        metadata: kept in each bag, beside its episode.
        disk: says what the free space allows.
        backlog_bytes: of messages that wait; images are dropped beyond half of it.
        log: takes a line for the node's log.

    Attributes:
        dropped_images, dropped_messages: so far.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        metadata: Mapping[str, str],
        disk: DiskWatch,
        backlog_bytes: int,
        log: Callable[[str], None],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.dropped_images = self.dropped_messages = 0
        self._folder, self._metadata, self._disk, self._log = folder, dict(metadata), disk, log
        self._backlog_bytes = backlog_bytes
        self._queue: deque[Item] = deque()
        self._put_bytes = self._taken_bytes = 0  # each counted by one thread
        self._held: deque[Item] = deque()
        self._held_bytes = 0
        self._clock = LogClock()
        self._faults: dict[str, str] = {}
        self._episode = max(1, newest_episode(folder))
        self._bag: BagWriter | None = None
        self._unsealed: list[Path] = []
        self._count_lock = threading.Lock()
        self._dropped_before = (0, 0)
        self._dropped_s = float("-inf")
        self._retry_s = self._flush_s = self._disk_s = 0.0
        self._leftovers_until_s = float("inf")
        self._wake = threading.Event()
        self._closing = False
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        for path in leftovers(folder):
            self._seal_later(path)
        self._sealer = threading.Thread(target=self._seal, name="sealing", daemon=True)
        self._writer = threading.Thread(target=self._work, name="recording", daemon=True)
        self._sealer.start()
        self._writer.start()

    @property
    def ready(self) -> bool:
        """Whether an episode that starts now would be recorded whole."""
        return self._disk.space < Space.NO_IMAGES and "write" not in self._faults

    def faults(self) -> dict[str, str]:
        """What is wrong, in plain words with the remedy, by a short name."""
        faults = dict(self._faults)
        if words := self._disk.words():
            faults["disk"] = words
        if time.monotonic() - self._dropped_s < DROPS_SHOWN_S:
            faults["drops"] = (
                f"{self.dropped_images} images and {self.dropped_messages} other messages of this run were not"
                " recorded: give the recorder more processor time, a faster disk or space on it"
            )
        return faults

    def take(self, stream: Stream, data: bytes) -> None:
        """Have a message recorded; returns at once. To be called by one thread."""
        if self._closing:
            return
        if not stream.kept:
            limit = self._backlog_bytes // 2 if stream.image else self._backlog_bytes
            if self._put_bytes - self._taken_bytes > limit:
                self._count_drop(stream)
                return
        self._put_bytes += len(data)
        self._queue.append((stream, self._clock.now_ns(), data))
        if stream.kept:
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Write what waits and seal the bag; one that is not sealed in time is sealed by the next recording."""
        now_s = time.monotonic()
        deadline_s, self._leftovers_until_s = now_s + timeout_s, now_s + timeout_s / 2
        self._closing = True
        self._wake.set()
        self._writer.join(timeout_s)
        self._sealer.join(max(0.0, deadline_s - time.monotonic()))

    # The writing thread.

    def _work(self) -> None:
        closing = False
        while not closing:
            self._wake.wait(WAKE_S)
            self._wake.clear()
            closing = self._closing
            self._keep_up()
            while self._queue:
                item = self._queue.popleft()
                self._taken_bytes += len(item[2])
                self._record(item)
                self._keep_up()
        for stream, _, _ in self._held:
            self._count_drop(stream)
        self._end_bag()
        self._jobs.put(None)

    def _keep_up(self) -> None:
        """What falls due by the clock."""
        now_s = time.monotonic()
        if now_s >= self._disk_s:
            self._disk_s = now_s + DISK_PERIOD_S
            self._check_disk()
        if now_s >= self._flush_s:
            self._flush_s = now_s + FLUSH_S
            self._try(self._flush)

    def _check_disk(self) -> None:
        try:
            before, now = self._disk.space, self._disk.check()
        except OSError as error:
            self._fail(error)
            return
        if now != before:
            self._log(self._disk.words() or "there is space enough for bags again")
        if now is Space.FULL:
            self._end_bag()

    def _record(self, item: Item) -> None:
        stream, _, data = item
        episode = stream.begins(data) if stream.begins is not None else None
        if episode is not None and episode > self._episode:
            self._end_bag()
            self._episode = episode
        if self._disk.space is Space.FULL or time.monotonic() < self._retry_s:
            self._hold(item)
        elif stream.image and self._disk.space is Space.NO_IMAGES:
            self._count_drop(stream)
        elif not self._try(lambda: self._write(item)):
            self._hold(item)

    def _write(self, item: Item) -> None:
        stream, time_ns, data = item
        topic, type = stream.topic, stream.type
        if stream.compress is not None:
            try:
                data = stream.compress(data)
                topic, type = f"{topic}/compressed", COMPRESSED_IMAGE
            except ImageError as error:
                self._note(topic, f"{topic} is recorded as it comes, which takes much space: {error}")
        bag = self._open_bag()
        bag.write(topic, type, time_ns, data, stream.offered)
        if stream.kept:
            bag.flush()

    def _open_bag(self) -> BagWriter:
        """The bag, begun with what could not be written before it."""
        if self._bag is None:
            self._clock.set()
            self._dropped_before = (self.dropped_images, self.dropped_messages)
            metadata = self._metadata | {"episode": str(self._episode)}
            self._bag = BagWriter(self._folder, unused_name(self._folder, self._episode), metadata)
            while self._held:
                stream, time_ns, data = self._held[0]
                self._bag.write(stream.topic, stream.type, time_ns, data, stream.offered)
                self._held.popleft()
            self._held_bytes = 0
            self._bag.flush()
            if self._faults.pop("write", None):
                self._log(f"recording goes on in {self._bag.path}")
            while self._unsealed:
                self._seal_later(self._unsealed.pop())
        return self._bag

    def _flush(self) -> None:
        if self._bag is not None:
            self._bag.flush()

    def _end_bag(self) -> None:
        bag, self._bag = self._bag, None
        if bag is None:
            return
        notes = {}
        images, messages = self.dropped_images, self.dropped_messages
        if (images, messages) != self._dropped_before:
            notes["dropped"] = (
                f"{images - self._dropped_before[0]} images, {messages - self._dropped_before[1]} messages"
            )
        self._jobs.put(partial(bag.seal, notes))

    def _try(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: OSError) -> None:
        """The disk refused: leave the bag as it is, and try a new one a little later."""
        self._retry_s = time.monotonic() + RETRY_S
        bag, self._bag = self._bag, None
        if bag is not None:
            bag.leave()
            self._unsealed.append(bag.path)
        self._note(
            "write",
            f"{self._folder} cannot be written ({error.strerror}): free some space or check its rights;"
            " recording then goes on by itself",
        )

    def _hold(self, item: Item) -> None:
        stream, _, data = item
        if not stream.kept:
            self._count_drop(stream)
            return
        self._held.append(item)
        self._held_bytes += len(data)
        while self._held_bytes > HELD_BYTES:
            oldest = self._held.popleft()
            self._held_bytes -= len(oldest[2])
            self._count_drop(oldest[0])

    def _count_drop(self, stream: Stream) -> None:
        with self._count_lock:
            if stream.image:
                self.dropped_images += 1
            else:
                self.dropped_messages += 1
        self._dropped_s = time.monotonic()

    def _note(self, name: str, words: str) -> None:
        if name not in self._faults:
            self._log(words)
        self._faults[name] = words

    # The sealing thread.

    def _seal_later(self, path: Path) -> None:
        self._jobs.put(lambda: seal_leftover(path, lambda: time.monotonic() > self._leftovers_until_s))

    def _seal(self) -> None:
        for job in iter(self._jobs.get, None):
            try:
                job()
            except (OSError, BagError) as error:
                self._note("sealing", f"a bag could not be sealed and stays as it is ({error})")
