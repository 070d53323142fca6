"""An append-only journal of JSON lines: each entry is on the disk before `append` returns.

Each line ends with the CRC-32 of the rest of it, under the key `crc`; in a file of an earlier version no line has one.
A process that dies while writing leaves half a line: the next one to open the journal moves it to a file beside.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sarl_ros.store.appendfile import AppendFile, StoreError, replace_file, write_error

RESTORE = "restore it from a copy, or begin a new run"
CHECKSUM = re.compile(rb', "crc": (\d+)\}')
Entry = dict[str, Any]


class Journal:
    """JSON objects, one a line, oldest first.

    Args:
        check: called with the whole entries before half a line is cut off; raises StoreError if there were more.
        remedy: what a person is to do where a line is damaged.

    Attributes:
        path: of the file, created with its folders if absent.
        repair: what opening cut off, in one line; empty as a rule.

    Raises:
        StoreError: the file cannot be opened, or a line is damaged.
    """

    def __init__(
        self, path: Path | str, check: Callable[[list[Entry]], None] | None = None, remedy: str = RESTORE
    ) -> None:
        self.path = Path(path)
        self._file = AppendFile(self.path)
        data = self._file.read_all()
        try:
            self._entries, end, self._summed = _parse(self.path, data, remedy)
            if check is not None:
                check(self.read())
            self.repair = self._file.cut(end) if end < len(data) else ""
        except StoreError:
            self.close()
            raise

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one entry and wait until the disk has it.

        Raises:
            StoreError: it could not be written, for instance on a full disk; earlier entries are untouched.
        """
        line = _line(entry, self._summed)
        self._file.append(line)
        self._entries.append(_without_sum(json.loads(line)))

    def read(self) -> list[Entry]:
        """All entries, oldest first."""
        return list(self._entries)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_journal(path: Path, remedy: str = RESTORE) -> list[Entry]:
    """The whole entries of a journal that another process may be writing; none if it is not there.

    Raises:
        StoreError: it cannot be read, or a line is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}): {remedy}") from error
    return _parse(path, data, remedy)[0]


def write_journal(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Replace a journal as a whole.

    Raises:
        StoreError: it cannot be written; it is as it was.
    """
    try:
        replace_file(path, (_line(entry, True) for entry in entries))
    except OSError as error:
        raise write_error(path, error) from error


def _line(entry: Mapping[str, Any], summed: bool) -> bytes:
    line = json.dumps(dict(entry), allow_nan=False).encode()
    if summed:
        line = line[:-1] + b', "crc": %d}' % zlib.crc32(line)
    return line + b"\n"


def _parse(path: Path, data: bytes, remedy: str) -> tuple[list[Entry], int, bool]:
    """Entries, the offset after the last whole line, and whether lines have sums.

    A line that was never whole has no end, or blocks that the disk never got, which are zeros.
    """
    end = data.rfind(b"\n") + 1
    begin_of_last = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    if b"\0" in data[begin_of_last:end]:
        end = begin_of_last
    lines = data[:end].split(b"\n")[:-1]
    entries: list[Entry] = []
    summed = not lines or any(CHECKSUM.search(line) for line in lines)
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise StoreError(f"{path}: line {number} is damaged: {remedy}") from error
        if not isinstance(entry, dict) or (summed and not _sum_holds(line)):
            raise StoreError(f"{path}: line {number} is damaged: {remedy}")
        entries.append(_without_sum(entry))
    return entries, end, summed


def _sum_holds(line: bytes) -> bool:
    found = CHECKSUM.fullmatch(line, max(0, line.rfind(b', "crc": ')))
    return found is not None and zlib.crc32(line[: found.start()] + b"}") == int(found[1])


def _without_sum(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if name != "crc"}
