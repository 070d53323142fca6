"""Checksums of MCAP files: the two that a closed file has, and one of our own for a recording that is still open.

A closed file has a CRC-32 of its data and one of its summary; 0 stands for none. An open recording gets at every flush
a record that the format leaves to applications and readers skip: where it lies, and the CRC-32 of all bytes before it.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import BinaryIO

from mcap.opcode import Opcode

MAGIC = b"\x89MCAP0\r\n"
RECORD = Struct("<BQ")  # opcode, length
DATA_END = Struct("<BQI")  # opcode, length, CRC-32 of all before it
END = Struct("<BQQQI8s")  # opcode, length, where the summary begins, where its offsets do, CRC-32, magic
CRC_AND_MAGIC = 12  # bytes at the end that the sum of the summary does not cover
SUM = Struct("<BQ8sQI")  # opcode, length, name, where it lies, CRC-32 of all before it
SUM_HEAD = (0x90, SUM.size - RECORD.size, b"sarl-sum")
SUM_BEGINS = Struct("<BQ8s").pack(*SUM_HEAD)
BLOCK_BYTES = 1 << 20


class DamageError(Exception):
    """Bytes from `begin` to `end` are not what was written."""

    def __init__(self, begin: int, end: int) -> None:
        super().__init__(f"damaged between bytes {begin} and {end}")


class SummedFile:
    """An open recording's file: what was written by `flush` is covered by a sum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = self._sum = self._covered = 0

    def write(self, data: bytes) -> int:
        self._sum = zlib.crc32(data, self._sum)
        self._size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        if self._size > self._covered:
            self.write(SUM.pack(*SUM_HEAD, self._size, self._sum))
            self._covered = self._size
        self._file.flush()

    def close(self) -> None:
        """Without a sum of what came after the last `flush`: it may be that the disk has refused it."""
        self._file.close()


def check_closed(file: BinaryIO) -> bool:
    """Whether an MCAP file has been closed; what its sums cover is then as it was written.

    Raises:
        DamageError: it is not.
    """
    size = file.seek(0, 2)
    footer = size - END.size
    if footer < len(MAGIC) + DATA_END.size:
        return False
    file.seek(footer)
    opcode, length, summary, _, summary_sum, magic = END.unpack(file.read(END.size))
    if magic != MAGIC:
        return False
    data_end = (summary or footer) - DATA_END.size
    if (opcode, length) != (Opcode.FOOTER, 20) or not len(MAGIC) <= data_end <= footer - DATA_END.size:
        raise DamageError(footer, size)
    file.seek(data_end)
    opcode, length, data_sum = DATA_END.unpack(file.read(DATA_END.size))
    if (opcode, length) != (Opcode.DATA_END, 4):
        raise DamageError(data_end, footer)
    for begin, end, wanted in ((data_end + DATA_END.size, size - CRC_AND_MAGIC, summary_sum), (0, data_end, data_sum)):
        if wanted and _sum_of(file, begin, end) != wanted:
            raise DamageError(begin, end)
    return True


def _sum_of(file: BinaryIO, begin: int, end: int) -> int:
    found = 0
    file.seek(begin)
    while begin < end:
        block = file.read(min(BLOCK_BYTES, end - begin))
        if not block:
            raise DamageError(begin, end)
        found, begin = zlib.crc32(block, found), begin + len(block)
    return found


def covered(file: BinaryIO) -> int:
    """Up to which byte the sums in an open recording cover it, wherever its records have got to; 0 without any.

    Raises:
        DamageError: a sum does not hold.
    """
    file.seek(0)
    data, offset, found, end = b"", 0, 0, 0  # bytes from `offset` on, the sum of all before, the end of the newest sum
    while block := file.read(BLOCK_BYTES):
        data += block
        begin = 0
        while (at := data.find(SUM_BEGINS, begin)) >= 0 and at + SUM.size <= len(data):
            *_, place, wanted = SUM.unpack_from(data, at)
            found, begin = zlib.crc32(memoryview(data)[begin:at], found), at
            if place == offset + at:
                if found != wanted:
                    if _only_zeros(file, place + SUM.size - 1):  # a sum whose blocks the disk never got
                        return end
                    raise DamageError(end, place)
                end = place + SUM.size
            found, begin = zlib.crc32(memoryview(data)[at : at + 1], found), at + 1
        done = at if at >= 0 else max(begin, len(data) - SUM.size + 1)
        found = zlib.crc32(memoryview(data)[begin:done], found)
        data, offset = data[done:], offset + done
    return end


def _only_zeros(file: BinaryIO, begin: int) -> bool:
    file.seek(begin)
    while block := file.read(BLOCK_BYTES):
        if block.strip(b"\0"):
            return False
    return True
