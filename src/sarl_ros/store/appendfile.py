"""Files that outlive a power cut: one that only grows, and ones that are replaced as a whole.

What `append` returned from is on the disk, and a failed append leaves no trace. Journal and replay store are built on
it. It knows nothing of records; whoever opens one says up to where it is sound.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path


class StoreError(Exception):
    """A store cannot be used; the message is one line that names the file and the remedy."""


def sync_directory(path: Path) -> None:
    """Make a new or renamed entry of the directory `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file as a whole: after any death or power cut it has all of `parts`, or is as it was before.

    Raises:
        OSError: it could not be written; it is as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_directory(path.parent)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_error(path: Path, error: OSError) -> StoreError:
    """The one line for a write that failed; a full disk is named as such."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"{path}: the disk is full: free some space and start again, nothing recorded is lost")
    return StoreError(f"{path}: cannot be written ({error.strerror}): check the folder's rights and start again")


class AppendFile:
    """An append-only file, created if absent.

    Raises:
        StoreError: it cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            sync_directory(path.parent)
        except OSError as error:
            raise write_error(path, error) from error
        self.size = os.fstat(self._descriptor).st_size

    def read_all(self) -> bytes:
        """Everything up to `size`."""
        parts, offset = [], 0
        while offset < self.size:
            part = os.pread(self._descriptor, self.size - offset, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def cut(self, size: int) -> str:
        """Move what lies beyond `size`, a torn tail, to a file beside this one; says so in one line.

        Raises:
            StoreError: it could not be kept; nothing is cut.
        """
        tail = self.read_all()[size:]
        kept, number = self.path.with_name(f"{self.path.name}.cut-{size}"), 1
        while kept.exists():
            number += 1
            kept = self.path.with_name(f"{self.path.name}.cut-{size}-{number}")
        try:
            replace_file(kept, [tail])
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        except OSError as error:
            raise write_error(kept, error) from error
        self.size = size
        return f"{self.path}: its last {len(tail)} bytes were never whole and are now in {kept.name}"

    def append(self, data: bytes) -> None:
        """Write `data` at the end and wait until the disk has it.

        Raises:
            StoreError: it could not be written; the file is as it was.
        """
        offset, left = self.size, memoryview(data)
        try:
            while left:
                written = os.pwrite(self._descriptor, left, offset)
                offset, left = offset + written, left[written:]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self.size)
            raise write_error(self.path, error) from error
        self.size = offset

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
