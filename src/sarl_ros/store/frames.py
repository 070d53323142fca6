"""Framing of records in an append-only file: a frame is written whole or not at all.

A frame is `SRL1`, the length and the CRC-32 of its payload, and the payload: a JSON list of records, its length before
it, followed by the records' binary parts. Several records in one frame are stored together or not at all.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MAGIC = b"SRL1"
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
    payload = LENGTH.pack(len(head)) + head + b"".join(record.binary for record in records)
    return HEADER.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def decode(data: bytes, start: int = 0) -> Iterator[tuple[int, list[Record]]]:
    """Frames of `data` from `start` on, each as the offset after it and its records.

    Stops at a torn tail: an incomplete frame, or one whose blocks the disk never got (wrong sum, or zeros).

    Raises:
        FrameError: a damaged frame that others follow, which no crash while writing explains.
    """
    offset = start
    while offset < len(data):
        end = _end(data, offset)
        if end is None:
            return
        payload = data[offset + HEADER.size : end]
        (length,) = LENGTH.unpack_from(payload)
        position, records = LENGTH.size + length, []
        for fields in json.loads(payload[LENGTH.size : position]):
            size = fields.pop("_binary")
            records.append(Record(fields, payload[position : position + size]))
            position += size
        offset = end
        yield offset, records


def _end(data: bytes, offset: int) -> int | None:
    if len(data) - offset < HEADER.size:
        return None
    magic, length, checksum = HEADER.unpack_from(data, offset)
    if magic != MAGIC:
        if not any(data[offset:]):
            return None
        raise FrameError(offset)
    end = offset + HEADER.size + length
    if end > len(data):
        return None
    if zlib.crc32(memoryview(data)[offset + HEADER.size : end]) != checksum:
        if end == len(data) or not any(data[end:]):
            return None
        raise FrameError(offset)
    return end
