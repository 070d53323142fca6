"""One MCAP file: where its messages lie and what describes them, up to its last whole record.

The `mcap` package gives up where a file is cut; a recording that was killed is cut anywhere. Sums are held against
before anything else is believed.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Header, Metadata, Schema

from sarl_ros.store.mcap_sums import MAGIC, RECORD, DamageError, check_closed, covered

MESSAGE = Struct("<HIQQ")  # channel, sequence, log time, publish time
CHUNK_TIMES = Struct("<QQ")
LEAST_LENGTH = {Opcode.MESSAGE: MESSAGE.size, Opcode.CHUNK: 40}
RUN_BYTES = 1 << 20
REMEDY = "restore it from a copy, or move the bag elsewhere to go on without it"


class BagError(Exception):
    """A bag cannot be used; the message is one line that names it and the remedy."""


@dataclass(slots=True)
class Piece:
    """A chunk, or a run of bare records, with messages from `start_ns` to `end_ns`; bytes in the file at `offset`."""

    path: Path
    start_ns: int
    end_ns: int
    offset: int
    length: int
    chunk: bool


@dataclass(slots=True)
class Contents:
    """What a file holds.

    Attributes:
        whole: false when it has no end: never closed, or cut off.
        library: what wrote it.
        uncovered: messages in a file without an end that came after its last sum.
    """

    path: Path
    library: str = ""
    pieces: list[Piece] = field(default_factory=list)
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    whole: bool = False
    uncovered: int = 0

    def learn(self, opcode: int, payload: bytes) -> None:
        stream = ReadDataStream(BytesIO(payload))
        if opcode == Opcode.HEADER:
            self.library = Header.read(stream).library
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self.schemas.setdefault(schema.id, schema)
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            self.channels.setdefault(channel.id, channel)  # a torn tail may hold another
        elif opcode == Opcode.METADATA:
            record = Metadata.read(stream)
            self.metadata[record.name] = record.metadata


def scan(path: Path) -> Contents:
    """Go through a file's records without reading its messages.

    Raises:
        BagError: it is no MCAP file, damaged, or cannot be read.
    """
    contents = Contents(path)
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            never_written = not magic.strip(b"\0")  # by a recorder or a disk that died at its beginning
            if magic != MAGIC[: len(magic)] and not never_written:
                raise BagError(f"{path} is no MCAP file: give a rosbag2 folder (MCAP) or an .mcap file")
            contents.whole = check_closed(file)
            sound = 0 if contents.whole else covered(file)
            _scan_records(contents, file, sound)
            if not contents.whole or not contents.channels:
                _learn_from_chunks(contents, file)
    except DamageError as error:
        raise BagError(f"{path} is {error}: {REMEDY}") from error
    except OSError as error:
        raise BagError(f"{path}: cannot be read ({error.strerror}): check its rights") from error
    return contents


def _scan_records(contents: Contents, file: BinaryIO, sound: int) -> None:
    """Go through the records; those of messages from byte `sound` on have no sum."""
    size = file.seek(0, 2)
    offset = file.seek(len(MAGIC))
    run: Piece | None = None
    while offset + RECORD.size <= size:
        opcode, length = RECORD.unpack(file.read(RECORD.size))
        begin = offset + RECORD.size
        end = begin + length
        if opcode == 0 or end > size or length < LEAST_LENGTH.get(opcode, 0):
            break
        if opcode == Opcode.MESSAGE:
            _, _, time_ns, _ = MESSAGE.unpack(file.read(MESSAGE.size))
            adjoins = run is not None and run.offset + run.length == offset and run.end_ns <= time_ns
            if run is None or not adjoins or run.length >= RUN_BYTES:
                run = Piece(contents.path, time_ns, time_ns, offset, 0, chunk=False)
                contents.pieces.append(run)
            run.end_ns, run.length = time_ns, end - run.offset
            contents.uncovered += not contents.whole and offset >= sound
        elif opcode == Opcode.CHUNK:
            start_ns, end_ns = CHUNK_TIMES.unpack(file.read(CHUNK_TIMES.size))
            contents.pieces.append(Piece(contents.path, start_ns, end_ns, begin, length, chunk=True))
        elif opcode == Opcode.FOOTER:
            file.seek(end)
            if not MAGIC.startswith(file.read()):
                raise DamageError(end, size)
            return
        elif opcode in (Opcode.HEADER, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA):
            try:
                contents.learn(opcode, file.read(length))
            except (StructError, McapError, UnicodeDecodeError):  # blocks at the end that the disk never got
                break
        offset = file.seek(end)
    if contents.whole or offset < sound:
        raise DamageError(offset, size)


def _learn_from_chunks(contents: Contents, file: BinaryIO) -> None:
    """Types and topics of a file whose end does not repeat them, or that has lost it."""
    for piece in contents.pieces:
        if piece.chunk:
            data = load(file, piece)
            for opcode, begin, end in records(data):
                if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                    contents.learn(opcode, data[begin:end])


def load(file: BinaryIO, piece: Piece) -> bytes:
    """The records of a piece, uncompressed.

    Raises:
        BagError: it is damaged.
    """
    file.seek(piece.offset)
    data = file.read(piece.length)
    if not piece.chunk:
        return data
    try:
        chunk = Chunk.read(ReadDataStream(BytesIO(data)))
        unpacked = _decompress(piece, chunk)
    except (zstandard.ZstdError, RuntimeError, StructError, McapError) as error:
        raise _damaged(piece) from error
    if chunk.uncompressed_crc and zlib.crc32(unpacked) != chunk.uncompressed_crc:
        raise _damaged(piece)
    return unpacked


def _decompress(piece: Piece, chunk: Chunk) -> bytes:
    if chunk.compression == "zstd":
        return zstandard.ZstdDecompressor().decompress(chunk.data, chunk.uncompressed_size)
    if chunk.compression == "lz4":
        return lz4.frame.decompress(chunk.data)
    if chunk.compression:
        raise BagError(f"{piece.path}: unknown compression {chunk.compression!r}: convert it with `ros2 bag convert`")
    return chunk.data


def _damaged(piece: Piece) -> BagError:
    return BagError(f"{piece.path} is damaged between bytes {piece.offset} and {piece.offset + piece.length}: {REMEDY}")


def records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Opcode, begin and end of the payload of each record in `data`."""
    end = 0
    while end + RECORD.size <= len(data):
        opcode, length = RECORD.unpack_from(data, end)
        begin = end + RECORD.size
        end = begin + length
        yield opcode, begin, end


def messages(
    file: BinaryIO, piece: Piece, wanted: Mapping[int, object], described: Container[int]
) -> Iterator[tuple[int, int, bytes]]:
    """Channel, log time and data of each message of a piece whose channel is a key of `wanted`.

    Args:
        described: channels that a message may have.

    Raises:
        BagError: the piece is damaged, or a message has another channel.
    """
    data = load(file, piece)
    for opcode, begin, end in records(data):
        if opcode != Opcode.MESSAGE:
            continue
        if end > len(data) or end - begin < MESSAGE.size:
            raise _damaged(piece)
        channel, _, time_ns, _ = MESSAGE.unpack_from(data, begin)
        if channel in wanted:
            yield channel, time_ns, data[begin + MESSAGE.size : end]
        elif channel not in described:
            raise BagError(f"{piece.path} has messages of a channel {channel} that it does not describe: {REMEDY}")


def in_order(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Pieces in the order of time; those that overlap come together."""
    group: list[Piece] = []
    end_ns = 0
    for piece in sorted(pieces, key=lambda piece: piece.start_ns):
        if group and piece.start_ns >= end_ns:
            yield group
            group = []
        group.append(piece)
        end_ns = max(piece.end_ns, end_ns)
    if group:
        yield group
