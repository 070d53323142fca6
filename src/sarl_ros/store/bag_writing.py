"""Writing bags so that a killed recorder costs no more than what was not yet flushed.

Each message goes two ways: to an append-only MCAP file without chunks, `NAME.mcap`, readable however it ends, and to
the rosbag2 folder that it is to become, compressed and indexed, in `.sealing/NAME`. At the end the folder gets its
index and is moved to `NAME`, and the file is deleted: sealing takes the same short time however long the recording was.
What a killed recorder left is sealed from the file by `seal_leftover`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as FolderWriter
from rosbags.rosbag2.metadata import dump_qos_v9, parse_qos

from sarl_ros.store.appendfile import sync_directory
from sarl_ros.store.bags import CUT, METADATA_NAME, SEALING, BagError, BagReader
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
        self._channels: dict[str, int] = {}
        self._connections: dict[str, Connection] = {}
        self._schemas: dict[str, int] = {}
        self._folder = _open_folder(self.path, metadata)
        self._file = open(self.path, "xb", buffering=BUFFER_BYTES)  # noqa: SIM115 - held until sealed or left
        self._live = McapWriter(self._file, compression=CompressionType.NONE, use_chunking=False)
        try:
            self._live.start(profile="ros2")
            self._live.add_metadata(METADATA_NAME, dict(metadata))
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
        if topic not in self._channels:
            self._add_topic(topic, type, offered)
        self._live.add_message(self._channels[topic], time_ns, data, time_ns)
        self._folder.write(self._connections[topic], time_ns, data)
        self.message_count += 1

    def flush(self) -> None:
        """Give what was written to the operating system, where a killed process cannot lose it.

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
        for key, value in (notes or {}).items():
            self._folder.set_custom_data(key, value)
        try:
            sealed = _seal_folder(self._folder, self.path)
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
        with contextlib.suppress(OSError):
            self._folder.abort()
        shutil.rmtree(self._folder.path, ignore_errors=True)

    def _add_topic(self, topic: str, type: str, offered: Sequence[Qos]) -> None:
        definition, digest = message_definition(type), type_hash(type)
        self._connections[topic] = _connect(self._folder, topic, type, definition, digest, offered)
        if type not in self._schemas:
            self._schemas[type] = self._live.register_schema(type, "ros2msg", definition.encode())
        profiles = yaml.safe_dump(dump_qos_v9(list(offered)), sort_keys=False) if offered else ""
        described = {"offered_qos_profiles": profiles, "topic_type_hash": digest}
        self._channels[topic] = self._live.register_channel(topic, "cdr", self._schemas[type], described)


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
    folder = _open_folder(path, reader.metadata | ({CUT: "the recorder was killed"} if reader.truncated else {}))
    empty = True
    try:
        connections = {topic: _connect_as(reader, folder, topic) for topic in reader.topics}
        for message in reader.messages():
            if stopped():
                return None
            folder.write(connections[message.topic], message.time_ns, message.data)
            empty = False
        if not empty:
            _seal_folder(folder, path)
    finally:
        if folder.storage is not None:
            folder.abort()
        shutil.rmtree(folder.path, ignore_errors=True)
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


def _open_folder(live: Path, metadata: Mapping[str, str]) -> FolderWriter:
    path = live.parent / SEALING / live.stem
    shutil.rmtree(path, ignore_errors=True)
    writer = FolderWriter(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    for key, value in metadata.items():
        writer.set_custom_data(key, value)
    writer.open()
    return writer


def _connect(
    writer: FolderWriter, topic: str, type: str, definition: str, digest: str, offered: Sequence[Qos]
) -> Connection:
    return writer.add_connection(topic, type, msgdef=definition, rihs01=digest, offered_qos_profiles=offered)


def _connect_as(reader: BagReader, writer: FolderWriter, topic: str) -> Connection:
    """The topic of an open recording in the folder that it is to become."""
    described, type = reader.channel_metadata(topic), reader.topics[topic]
    if "topic_type_hash" not in described:
        raise BagError(f"{reader.path} is no recording of this program: move it elsewhere")
    offered = parse_qos(described["offered_qos_profiles"])
    return _connect(writer, topic, type, reader.definition(type), described["topic_type_hash"], offered)


def _seal_folder(writer: FolderWriter, live: Path) -> Path:
    """Give a folder its index and move it to where `live` lies; on the disk when this returns."""
    writer.close()
    sealed = live.with_suffix("")
    for file in writer.path.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    writer.path.rename(sealed)
    sync_directory(live.parent)
    return sealed
