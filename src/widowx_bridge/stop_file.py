"""A stop on disk, so that it outlives the process that latched it. Free of ROS."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from sarl_ros.store.appendfile import replace_file, sync_directory


def new_stop() -> str:
    """Identity of a stop, unlike that of any other."""
    return uuid.uuid4().hex


class StopFile:
    """The file that holds the identity of the stop in force, and is not there when none is.

    Args:
        path: of the file, its folder is made; empty: nothing is kept.

    Attributes:
        problem: why the file does not say what it should, in one line; empty if it does.

    Raises:
        RuntimeError: the path begins with ~ and there is no home folder.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser() if path else None
        self._lock = threading.Lock()
        self.problem = ""

    def read(self) -> str:
        """The stop in force, empty for none. A file that cannot be read, or says no identity, is a stop of its own.

        `problem` says from then on whether the next stop could be kept.
        """
        if self._path is None:
            return ""
        self._try(self._path.with_name(f"{self._path.name}.trial"))
        try:
            return uuid.UUID(hex=self._path.read_text().strip()).hex
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            stop = new_stop()
            self.keep(lambda: stop)
            return stop

    def _try(self, path: Path) -> None:
        """Write beside the file and take it back: who needs a stop is not to learn only then that it cannot be kept."""
        try:
            _write(path, new_stop())
            _write(path, "")
        except OSError as error:
            self._complain(error, "a stop would not outlive the bridge")

    def _complain(self, error: OSError, outcome: str) -> None:
        self.problem = f"{self._path}: {error.strerror or error}: {outcome}; make it a file that can be written"

    def keep(self, stop: Callable[[], str]) -> None:
        """Have the file say what `stop` returns, on the disk itself when this returns; see `problem`.

        It is asked by one caller at a time, so that whoever comes last writes the newest.
        """
        if self._path is None:
            return
        with self._lock:
            now = stop()
            try:
                _write(self._path, now)
                self.problem = ""
            except OSError as error:
                outcome = "a stop would not outlive the bridge" if now else "the last stop will be back after a restart"
                self._complain(error, outcome)


def _write(path: Path, stop: str) -> None:
    """Raises OSError."""
    if stop:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, [f"{stop}\n".encode()])
    elif path.exists():
        path.unlink()
        sync_directory(path.parent)
