"""Reading bags: rosbag2 folders (MCAP), and single MCAP files that were never closed or are cut off anywhere.

A cut file is read up to its last whole record. Messages come out as they were on the wire and are decoded, when asked
for, by the definitions in the bag, so that a bag needs no package of the graph that it was recorded from.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from sarl_ros.store import mcap_file
from sarl_ros.store.bag_folder import INFORMATION, LIBRARY, ROSBAG2, SERIALIZED, metadata_yaml
from sarl_ros.store.mcap_file import BagError

__all__ = ["BagError", "BagMessage", "BagReader", "find_bags"]

METADATA_NAME = "sarl"  # of the record in an open recording that a sealed bag has in its metadata.yaml
CUT = "cut"  # metadata key of a bag that was sealed from a cut-off recording
UNCOVERED = "uncovered"  # metadata key of one whose recording had messages without a checksum at its end: how many
SEALING = ".sealing"  # folder in which bags lie while they are not whole
METADATA_YAML = "metadata.yaml"
ANY_CHANNEL = range(1 << 16)


@dataclass(frozen=True, slots=True, eq=False)
class BagMessage:
    """A recorded message.

    Attributes:
        type: as "sarl_interfaces/msg/Prompt".
        time_ns: log time, the wall clock when the recorder received it.
        data: CDR, as it was on the wire.
    """

    topic: str
    type: str
    time_ns: int
    data: bytes


class BagReader:
    """One bag.

    Attributes:
        truncated: the recording was cut off: the file has no end, or was sealed from one that had none.
        metadata: run, episode, config, preset, version, git; what others wrote as custom data in bags of theirs.
        uncovered: messages that came after the last checksum of an open recording.
        notes: what a reader must know of the bag, in words.
        topics: type of each topic.
        begin_ns, end_ns: log time of the first message and of the last, 0 without any.

    Raises:
        BagError: there is no bag at `path`, or it is no MCAP, or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = _where(Path(path))
        self.notes: list[str] = []
        self._contents, information = self._open()
        self.metadata = _metadata(self.path, self._contents, information)
        self.truncated = CUT in self.metadata or not all(contents.whole for contents in self._contents)
        self.uncovered = sum(contents.uncovered for contents in self._contents)
        if uncovered := self.uncovered or self.metadata.get(UNCOVERED):
            self.notes.append(f"its last {uncovered} messages had no checksum and are taken as they are")
        self.topics: dict[str, str] = {}
        self._schemas: dict[str, mcap_file.Schema] = {}
        self._typestores: dict[str, Typestore] = {}
        self._described: dict[str, dict[str, str]] = {}
        for contents in self._contents:
            for channel in contents.channels.values():
                schema = contents.schemas.get(channel.schema_id)
                if schema is None:
                    self.notes.append(f"topic {channel.topic} has no type and is left out")
                    continue
                self.topics[channel.topic] = schema.name
                self._schemas[schema.name] = schema
                self._described[channel.topic] = channel.metadata
        pieces = [piece for contents in self._contents for piece in contents.pieces]
        if self.path.is_dir() and self.truncated and not pieces:
            raise BagError(f"{self.path} is cut off before its first message: {mcap_file.REMEDY}")
        self.begin_ns = min((piece.start_ns for piece in pieces), default=0)
        self.end_ns = max((piece.end_ns for piece in pieces), default=0)

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Messages in the order of their log time, of `topics` or all.

        Raises:
            BagError: the bag is damaged, or cannot be read.
        """
        wanted = set(self.topics if topics is None else topics)
        channels = {
            contents.path: {
                number: (channel.topic, self.topics[channel.topic])
                for number, channel in contents.channels.items()
                if channel.topic in wanted and channel.schema_id in contents.schemas
            }
            for contents in self._contents
        }
        described = {contents.path: contents.channels if contents.whole else ANY_CHANNEL for contents in self._contents}
        pieces = [piece for contents in self._contents for piece in contents.pieces]
        files: dict[Path, BinaryIO] = {}
        try:
            for group in mcap_file.in_order(pieces):
                found: list[BagMessage] = []
                for piece in group:
                    if piece.path not in files:
                        files[piece.path] = piece.path.open("rb")
                    here = channels[piece.path]
                    found += [
                        BagMessage(*here[channel], time_ns, data)
                        for channel, time_ns, data in mcap_file.messages(
                            files[piece.path], piece, here, described[piece.path]
                        )
                    ]
                found.sort(key=lambda message: message.time_ns)
                yield from found
        except OSError as error:
            raise BagError(f"{self.path}: cannot be read ({error.strerror}): was it moved?") from error
        finally:
            for file in files.values():
                file.close()

    def decode(self, message: BagMessage) -> Any:
        """The message as an object with its fields; arrays of numbers are numpy arrays.

        Raises:
            BagError: its bytes are not of its type.
        """
        store = self._typestores.get(message.type) or self._load_type(message.type)
        try:
            return store.deserialize_cdr(message.data, message.type)
        except SerdeError as error:
            raise BagError(
                f"{self.path}: a message on {message.topic} is no {message.type} ({error}): leave that topic out"
            ) from error

    def _load_type(self, type: str) -> Typestore:
        schema = self._schemas[type]
        try:
            self._typestores[type] = _typestore(type, schema.encoding, schema.data)
        except (TypesysError, UnicodeDecodeError) as error:
            raise BagError(f"{self.path}: its definition of {type} cannot be used ({error})") from error
        return self._typestores[type]

    def definition(self, type: str) -> str:
        """Definition of a type with all that it needs, as the bag has it."""
        return self._schemas[type].data.decode()

    def channel_metadata(self, topic: str) -> dict[str, str]:
        """What the bag says of a topic: `offered_qos_profiles` as YAML, `topic_type_hash`."""
        return self._described[topic]

    def _open(self) -> tuple[list[mcap_file.Contents], dict[str, Any]]:
        """The bag's files, and what its metadata.yaml says: a folder of ours has that in its MCAP, under a checksum."""
        if self.path.is_file():
            return [mcap_file.scan(self.path)], {}
        found = list(self.path.glob("*.mcap"))
        if len(found) == 1 and _is_bag(self.path):
            contents = mcap_file.scan(found[0])
            described = contents.metadata.get(ROSBAG2, {}).get(SERIALIZED, "")
            if contents.library == LIBRARY and described:
                file = self.path / METADATA_YAML
                if not file.is_file() or file.read_bytes() != metadata_yaml(described).encode():
                    self.notes.append(f"its metadata.yaml is not as it was written: what {found[0].name} says is taken")
                return [contents], _parse_yaml(found[0], described)
        information = _information(self.path)
        return [mcap_file.scan(file) for file in _files(self.path, information)], information


def _metadata(path: Path, files: Iterable[mcap_file.Contents], information: dict[str, Any]) -> dict[str, str]:
    records: dict[str, dict[str, str]] = {}
    for contents in files:
        records |= contents.metadata
    if METADATA_NAME in records:
        return records[METADATA_NAME]
    tree = information or _parse_yaml(path, records.get(ROSBAG2, {}).get(SERIALIZED, ""))
    custom = tree.get("custom_data")
    return {str(key): str(value) for key, value in custom.items()} if isinstance(custom, dict) else {}


def find_bags(paths: Iterable[Path | str]) -> list[Path]:
    """The bags of run folders, folders of bags, bag folders and .mcap files, in the order they were recorded in.

    A recording that is still there beside the bag it was sealed into is left out.

    Raises:
        BagError: a path holds none.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if _is_bag(path):
            bags = [path]
        elif path.is_dir():
            bags = _bags_in(path / "bags" if (path / "bags").is_dir() else path)
        else:
            bags = []
        if not bags:
            raise BagError(f"{path} holds no bag: give a run folder, a rosbag2 folder (MCAP) or an .mcap file")
        found += [bag for bag in bags if bag not in found]
    return found


def recording_order(path: Path) -> list[tuple[int, str]]:
    """Sorts episode-2 before episode-10, and episode-0002 before its continuation episode-0002-2."""
    stem = path.name.removesuffix(".mcap")
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", stem)]


def _bags_in(folder: Path) -> list[Path]:
    bags = [entry for entry in folder.iterdir() if entry.name != SEALING and _is_bag(entry)]
    sealed = {bag.name for bag in bags if bag.is_dir()}
    return sorted((bag for bag in bags if bag.is_dir() or bag.stem not in sealed), key=recording_order)


def _is_bag(path: Path) -> bool:
    if path.is_dir():
        return (path / METADATA_YAML).is_file() or (path / f"{path.name}.mcap").is_file()
    return path.is_file() and path.suffix == ".mcap"


def _where(path: Path) -> Path:
    """The bag itself, also when it was an open recording a moment ago and has been sealed since."""
    sealed = path.with_suffix("")
    return sealed if path.suffix == ".mcap" and not path.exists() and _is_bag(sealed) else path


def _information(folder: Path) -> dict[str, Any]:
    """What a bag folder's metadata.yaml says."""
    path = folder / METADATA_YAML
    if not path.is_file():
        raise BagError(f"{folder} is no bag: give a rosbag2 folder (MCAP) or an .mcap file")
    try:
        tree = _parse_yaml(path, path.read_text()).get(INFORMATION)
    except OSError as error:
        raise BagError(f"{path}: cannot be read ({error.strerror}): check its rights") from error
    except UnicodeDecodeError as error:
        raise BagError(f"{path} is no text: restore it from a copy") from error
    if not isinstance(tree, dict):
        raise BagError(f"{path} does not describe a bag: restore it from a copy")
    return tree


def _files(path: Path, information: dict[str, Any]) -> list[Path]:
    if path.is_file():
        return [path]
    if information.get("storage_identifier") != "mcap" or information.get("compression_mode"):
        raise BagError(f"{path} is not stored as plain MCAP: convert it with `ros2 bag convert`")
    names = information.get("relative_file_paths")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BagError(f"{path}: its metadata.yaml names no files: make it anew with `ros2 bag reindex`")
    files = [path / Path(name).name for name in names]
    for file in files:
        if not file.is_file():
            raise BagError(f"{path}: its file {file.name} is missing: copy the whole folder again")
    return files


def _parse_yaml(path: Path, text: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise BagError(f"{path}: not YAML ({' '.join(str(error).split())}): restore it from a copy") from error
    return tree if isinstance(tree, dict) else {}


@functools.lru_cache(maxsize=256)
def _typestore(type: str, encoding: str, definition: bytes) -> Typestore:
    """Shared by all bags that define a type alike: making it takes longer than reading a small bag."""
    text = definition.decode()
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_idl(text) if encoding == "ros2idl" else get_types_from_msg(text, type))
    return store
