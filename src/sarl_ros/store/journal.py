"""An append-only journal of JSON lines: each entry is on the disk before `append` returns.

A process that dies while writing leaves half a line; the next one to open the journal cuts it off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarl_ros.store.appendfile import AppendFile, StoreError


class Journal:
    """JSON objects, one a line, oldest first.

    Attributes:
        path: of the file, created with its folders if absent.
        cut_bytes: length of the torn tail that opening dropped, 0 as a rule.

    Raises:
        StoreError: the file cannot be opened, or a line before the last is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = AppendFile(self.path)
        data = self._file.read_all()
        end = data.rfind(b"\n") + 1
        self.cut_bytes = len(data) - end
        if self.cut_bytes:
            self._file.cut(end)
        self._entries = [self._parse(number, line) for number, line in enumerate(data[:end].splitlines(), 1)]

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise StoreError(f"{self.path}: line {number} is damaged: restore the file or delete that line") from error
        if not isinstance(entry, dict):
            raise StoreError(f"{self.path}: line {number} is no JSON object: restore the file or delete that line")
        return entry

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one entry and wait until the disk has it.

        Raises:
            StoreError: it could not be written, for instance on a full disk; earlier entries are untouched.
        """
        line = json.dumps(dict(entry), allow_nan=False)
        self._file.append(line.encode() + b"\n")
        self._entries.append(json.loads(line))

    def read(self) -> list[dict[str, Any]]:
        """All entries, oldest first."""
        return list(self._entries)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
