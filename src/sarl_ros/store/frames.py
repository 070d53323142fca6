"""Framing of records in an append-only file: a frame is written whole or not at all.

A frame is `SRL2`, the length and the CRC-32 of its payload, the CRC-32 of these twelve bytes, and the payload: a JSON
list of records, its length before it, followed by the records' binary parts. Several records in one frame are stored
together or not at all. Frames of earlier versions, `SRL1` without the second sum, are read as well.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MAGIC, MAGIC_1 = b"SRL2", b"SRL1"
HEADER = struct.Struct("<4sII")
LENGTH = struct.Struct("<I")


class FrameError(Exception):
    """A frame is damaged though others follow it; carries its offset."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"damaged at byte {offset}")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Record:
    """One entry: what JSON can hold, and one binary part, empty for none."""

    fields: dict[str, Any]
    binary: bytes = b""


def encode(records: Sequence[Record]) -> bytes:
    """One frame that holds `records`."""
    head = json.dumps(
        [{**record.fields, "_binary": len(record.binary)} for record in records], allow_nan=False
    ).encode()
    payload = b"".join([LENGTH.pack(len(head)), head, *(record.binary for record in records)])
    header = HEADER.pack(MAGIC, len(payload), zlib.crc32(payload))
    return header + LENGTH.pack(zlib.crc32(header)) + payload


def decode(data: bytes, start: int = 0) -> Iterator[tuple[int, list[Record]]]:
    """Frames of `data` from `start` on, each as the offset after it and its records.

    Stops at what may be a torn tail: a frame that is not whole and that nothing follows but blocks the disk never got,
    which are zeros. Whether such a tail was whole once only other records can tell.

    Raises:
        FrameError: a damaged frame that others follow, which no crash while writing explains.
    """
    offset = start
    while offset < len(data):
        payload = _payload(data, offset)
        if payload is None:
            if _is_followed(data, offset):
                raise FrameError(offset)
            return
        begin, end = payload
        (length,) = LENGTH.unpack_from(data, begin)
        position, records = begin + LENGTH.size + length, []
        for fields in json.loads(data[begin + LENGTH.size : position]):
            size = fields.pop("_binary")
            records.append(Record(fields, data[position : position + size]))
            position += size
        offset = end
        yield offset, records


def _payload(data: bytes, offset: int) -> tuple[int, int] | None:
    """Where the payload of a whole frame lies, None if there is no whole frame at `offset`."""
    header = _header(data, offset)
    if header is None:
        return None
    begin, end, checksum = header
    return (begin, end) if end <= len(data) and zlib.crc32(memoryview(data)[begin:end]) == checksum else None


def _header(data: bytes, offset: int) -> tuple[int, int, int] | None:
    """Beginning, end and sum of the payload as a frame's header has them, None if there is no sound header."""
    if len(data) - offset < HEADER.size:
        return None
    magic, length, checksum = HEADER.unpack_from(data, offset)
    begin = offset + HEADER.size
    if magic == MAGIC:
        begin += LENGTH.size
        if begin > len(data):
            return None
        (own,) = LENGTH.unpack_from(data, begin - LENGTH.size)
        if zlib.crc32(memoryview(data)[offset : begin - LENGTH.size]) != own:
            return None
    elif magic != MAGIC_1:
        return None
    return begin, begin + length, checksum


def _is_followed(data: bytes, offset: int) -> bool:
    """Whether anything was written after the frame at `offset`, which is not whole.

    A frame is begun only when the one before is on the disk. Where the length of this one cannot be believed, a whole
    frame anywhere behind it tells.
    """
    header = _header(data, offset)
    if header is not None and data.startswith(MAGIC, offset):
        return any(memoryview(data)[header[1] :])
    later = offset
    while (later := data.find(MAGIC[:3], later + 1)) >= 0:
        if _payload(data, later) is not None:
            return True
    return False
