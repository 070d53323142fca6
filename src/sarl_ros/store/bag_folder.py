"""What a recording becomes: a rosbag2 folder whose MCAP has all checksums that the format knows.

The MCAP holds what metadata.yaml says as well, under its own checksum, so that the one can be held against the other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter

from sarl_ros.store.appendfile import replace_file

LIBRARY = "sarl_ros"  # what our files say wrote them
INFORMATION = "rosbag2_bagfile_information"
ROSBAG2, SERIALIZED = "rosbag2", "serialized_metadata"  # where an MCAP has what metadata.yaml says
VERSION = 9  # of rosbag2's metadata
ONE_LINE = 1 << 30


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as bags describe it.

    Attributes:
        definition: of its type, with all that it needs.
        type_hash: of REP 2016.
        offered: quality of service of its publishers, as YAML of rosbag2; empty if unknown.
    """

    name: str
    type: str
    definition: str
    type_hash: str
    offered: str


class MessageFile:
    """An MCAP file to write messages to, by topic."""

    def __init__(self, file: IO[Any], chunks: bool) -> None:
        compression = CompressionType.ZSTD if chunks else CompressionType.NONE
        self.mcap = McapWriter(file, compression=compression, use_chunking=chunks, enable_data_crcs=chunks)
        self.mcap.start("ros2", LIBRARY)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}

    def add_topic(self, topic: Topic) -> None:
        if topic.type not in self._schemas:
            self._schemas[topic.type] = self.mcap.register_schema(topic.type, "ros2msg", topic.definition.encode())
        described = {"offered_qos_profiles": topic.offered, "topic_type_hash": topic.type_hash}
        self._channels[topic.name] = self.mcap.register_channel(topic.name, "cdr", self._schemas[topic.type], described)

    def write(self, topic: str, time_ns: int, data: bytes) -> None:
        self.mcap.add_message(self._channels[topic], time_ns, data, time_ns)


class BagFolder:
    """A rosbag2 folder that is being written to `path`; what was there is deleted.

    Attributes:
        metadata: kept in it; may grow until it is closed.

    Raises:
        OSError: it cannot be made, or written: `discard` it then.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self.path, self.metadata = path, dict(metadata)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        self._file = (path / f"{path.name}.mcap").open("xb")
        self._messages = MessageFile(self._file, chunks=True)
        self._topics: dict[str, Topic] = {}
        self._counts: dict[str, int] = {}
        self._begin_ns = self._end_ns = 0

    def add_topic(self, topic: Topic) -> None:
        self._messages.add_topic(topic)
        self._topics[topic.name], self._counts[topic.name] = topic, 0

    def write(self, topic: str, time_ns: int, data: bytes) -> None:
        self._messages.write(topic, time_ns, data)
        self._counts[topic] += 1
        self._begin_ns = min(self._begin_ns or time_ns, time_ns)
        self._end_ns = max(self._end_ns, time_ns)

    def close(self) -> None:
        """Give it its index; on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        described = yaml.dump(self._information(), Dumper=_Dumper, sort_keys=False, width=ONE_LINE)
        self._messages.mcap.add_metadata(ROSBAG2, {SERIALIZED: described})
        self._messages.mcap.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        replace_file(self.path / "metadata.yaml", [metadata_yaml(described).encode()])  # syncs the folder as well

    def discard(self) -> None:
        """Close and delete it."""
        with contextlib.suppress(OSError):  # of a write that has failed before
            self._file.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def _information(self) -> dict[str, Any]:
        file = Path(self._file.name).name
        span = {
            "starting_time": {"nanoseconds_since_epoch": self._begin_ns},
            "duration": {"nanoseconds": self._end_ns - self._begin_ns},
            "message_count": sum(self._counts.values()),
        }
        return {
            "version": VERSION,
            "storage_identifier": "mcap",
            "relative_file_paths": [file],
            **span,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.type,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": yaml.safe_load(topic.offered) or [],
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": self._counts[topic.name],
                }
                for topic in self._topics.values()
            ],
            "compression_format": "",
            "compression_mode": "",
            "files": [{"path": file, **span}],
            "custom_data": {key: _Text(value) for key, value in self.metadata.items()} or None,
            "ros_distro": LIBRARY,
        }


class _Text(str):
    """Written in quotes: YAML readers disagree about which plain words are numbers."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def metadata_yaml(described: str) -> str:
    """The text of metadata.yaml, from what the MCAP has of it."""
    return f"{INFORMATION}:\n{textwrap.indent(described, '  ')}"
