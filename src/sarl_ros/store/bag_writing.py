"""Writing bags so that a killed recorder costs no more than what was not yet flushed.

Each message goes two ways: to an append-only MCAP file without chunks, `NAME.mcap`, readable however it ends, and to
the rosbag2 folder that it is to become, compressed and indexed, in `.sealing/NAME`. At the end the folder gets its
index and is moved to `NAME`, and the file is deleted: sealing takes the same short time however long the recording was.
What a killed recorder left is sealed from the file by `seal_leftover`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import yaml
from rosbags.interfaces import Qos
from rosbags.rosbag2.metadata import dump_qos_v9

from sarl_ros.store.appendfile import sync_directory
from sarl_ros.store.bag_folder import BagFolder, MessageFile, Topic
from sarl_ros.store.bags import CUT, METADATA_NAME, SEALING, UNCOVERED, BagError, BagReader
from sarl_ros.store.mcap_sums import SummedFile
from sarl_ros.store.message_definitions import message_definition, type_hash

BUFFER_BYTES = 1 << 18
NAME = re.compile(r"episode-(\d+)(?:-\d+)?(?:\.mcap)?")


class BagWriter:
    """An open bag in `folder`.

    Args:
        metadata: kept in the bag, open or sealed: run, episode, config, preset, version, git.

    Attributes:
        message_count: of all topics.

    Raises:
        OSError: the bag cannot be made, or written: `leave` it then.
    """

    def __init__(self, folder: Path, name: str, metadata: Mapping[str, str]) -> None:
        self.path = folder / f"{name}.mcap"
        self.message_count = 0
        self._topics: set[str] = set()
        self._folder = BagFolder(_sealing_path(self.path), metadata)
        try:
            # Closed by `seal` or `leave`.
            self._file = SummedFile(open(self.path, "xb", buffering=BUFFER_BYTES))  # noqa: SIM115
        except OSError:
            self._folder.discard()
            raise
        try:
            self._live = MessageFile(cast(IO[Any], self._file), chunks=False)
            self._live.mcap.add_metadata(METADATA_NAME, dict(metadata))
            self._file.flush()
        except OSError:
            self.leave()
            self.path.unlink()
            raise

    def write(self, topic: str, type: str, time_ns: int, data: bytes, offered: Sequence[Qos]) -> None:
        """Add a message; `offered` is what the topic's publishers offer.

        Raises:
            DefinitionError: the type's definition is not installed; the bag is as it was.
            OSError: the bag cannot be written.
        """
        if topic not in self._topics:
            profiles = yaml.safe_dump(dump_qos_v9(list(offered)), sort_keys=False) if offered else ""
            described = Topic(topic, type, message_definition(type), type_hash(type), profiles)
            self._live.add_topic(described)
            self._folder.add_topic(described)
            self._topics.add(topic)
        self._live.write(topic, time_ns, data)
        self._folder.write(topic, time_ns, data)
        self.message_count += 1

    def flush(self) -> None:
        """Give what was written to the operating system, with its checksum: a killed process cannot lose it then.

        Raises:
            OSError: the bag cannot be written.
        """
        self._file.flush()

    def seal(self, notes: Mapping[str, str] | None = None) -> Path | None:
        """Close the bag and return its folder; None if it holds no message, and is deleted.

        Args:
            notes: added to the metadata.

        Raises:
            OSError: the folder cannot be written; the open recording is left as it is.
        """
        if self.message_count == 0:
            self.leave()
            self.path.unlink()
            return None
        self._folder.metadata |= notes or {}
        try:
            sealed = _seal(self._folder, self.path)
        except OSError:
            self.leave()
            raise
        self._file.close()
        self.path.unlink()
        return sealed

    def leave(self) -> None:
        """Close the files without sealing; `seal_leftover` can do so later."""
        with contextlib.suppress(OSError):  # of a write that has failed before
            self._file.close()
        self._folder.discard()


def leftovers(folder: Path) -> list[Path]:
    """Recordings in `folder` that nobody sealed."""
    return sorted(folder.glob("*.mcap"))


def seal_leftover(path: Path, stopped: Callable[[], bool] = lambda: False) -> Path | None:
    """Seal what a killed recorder left, and return the folder; None if it holds no message, and is deleted.

    Args:
        stopped: when it says so, everything is left as it is and None is returned.

    Raises:
        BagError: it is not a recording.
        OSError: the folder cannot be written.
    """
    sealed = path.with_suffix("")
    if sealed.is_dir():  # killed between the two last moves of sealing
        path.unlink()
        return sealed
    reader = BagReader(path)
    metadata = dict(reader.metadata)
    if reader.truncated:
        metadata[CUT] = "the recorder was killed"
    if reader.uncovered:
        metadata[UNCOVERED] = str(reader.uncovered)
    folder = BagFolder(_sealing_path(path), metadata)
    empty = True
    try:
        for topic in reader.topics:
            folder.add_topic(_described(reader, topic))
        for message in reader.messages():
            if stopped():
                return None
            folder.write(message.topic, message.time_ns, message.data)
            empty = False
        if not empty:
            _seal(folder, path)
    finally:
        folder.discard()
    path.unlink()
    return None if empty else sealed


def unused_name(folder: Path, episode: int) -> str:
    """Name of a new bag of an episode: episode-0001, then episode-0001-2, when a recorder has begun again."""
    number, name = 1, f"episode-{episode:04d}"
    candidate = name
    while (folder / candidate).exists() or (folder / f"{candidate}.mcap").exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def newest_episode(folder: Path) -> int:
    """Highest episode that `folder` has a bag of, 0 for none."""
    if not folder.is_dir():
        return 0
    found = (NAME.fullmatch(entry.name) for entry in folder.iterdir())
    return max((int(match[1]) for match in found if match), default=0)


def _sealing_path(live: Path) -> Path:
    return live.parent / SEALING / live.stem


def _described(reader: BagReader, topic: str) -> Topic:
    """A topic of an open recording."""
    described, type = reader.channel_metadata(topic), reader.topics[topic]
    if "topic_type_hash" not in described:
        raise BagError(f"{reader.path} is no recording of this program: move it elsewhere")
    return Topic(topic, type, reader.definition(type), described["topic_type_hash"], described["offered_qos_profiles"])


def _seal(folder: BagFolder, live: Path) -> Path:
    """Close a folder and move it to where `live` lies; on the disk when this returns."""
    folder.close()
    sealed = live.with_suffix("")
    folder.path.rename(sealed)
    sync_directory(live.parent)
    return sealed
