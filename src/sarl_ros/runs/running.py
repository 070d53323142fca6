"""Which graphs run on this machine, and in which ROS domain: RUN/graph.json, for whoever wants to join one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sarl_ros.runs.domains import holders_words
from sarl_ros.runs.folder import FolderInUse, RunError, RunFolder
from sarl_ros.store.appendfile import replace_file

FILE_NAME = "graph.json"
ORPHANS_END_S = 15.0
LOOK_S = 0.1

_kept: list[IO[str]] = []


@dataclass(frozen=True, slots=True)
class RunningGraph:
    """A run folder whose graph is up; `pid` is that of the process which started it."""

    folder: Path
    domain: int
    pid: int


@contextmanager
def announced(folder: Path, domain: int) -> Iterator[None]:
    """Say that this process runs the folder's graph, until the end of the block."""
    path, pid = folder / FILE_NAME, os.getpid()
    said = {"folder": str(folder), "domain": domain, "pid": pid, "started": _started(pid)}
    replace_file(path, [json.dumps(said).encode() + b"\n"])
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def hold(folder: RunFolder, report: Callable[[str], None]) -> IO[str]:
    """As `folder.lock`; where the process that ran the folder's graph was killed, its nodes are given time to end.

    Args:
        report: takes one line on what is waited for.

    Raises:
        RunError: another run holds it, or nodes of an earlier one do not end.
    """
    begun_s, told = time.monotonic(), False
    while True:
        try:
            return folder.lock()
        except FolderInUse:
            if not _was_orphaned(folder.path):
                raise
        if not told:
            told = True
            report(f"{folder.path}: its earlier run was killed; waiting for the nodes of that to end")
        if time.monotonic() - begun_s > ORPHANS_END_S:
            who = holders_words({str(folder.lock_file)})
            raise RunError(f"{folder.path}: nodes of its earlier run do not end: end {who or 'them'} with `kill -9`")
        time.sleep(LOOK_S)  # a file's lock can be waited for without end alone


def keep_folder(folder: RunFolder) -> None:
    """Hold a run folder until this process ends. Raises FolderInUse: another process holds it."""
    _kept.append(folder.lock())


def find_running(run: Path | None, root: Path) -> RunningGraph:
    """The graph of a run folder, or of the newest run under `root` that has one.

    Raises:
        RunError: there is none.
    """
    if run is not None:
        graph = _running(run)
        if graph is None:
            raise RunError(f"{run} does not run: start it with `sarl train --resume {run}`")
        return graph
    folders = sorted(root.glob(f"*/{FILE_NAME}"), key=lambda path: path.stat().st_mtime, reverse=True)
    graph = next((found for path in folders if (found := _running(path.parent)) is not None), None)
    if graph is None:
        raise RunError(f"no run under {root} is up: start one with `sarl train --operate`, or name it with --run")
    return graph


def _running(folder: Path) -> RunningGraph | None:
    try:
        said = json.loads((folder / FILE_NAME).read_text())
        graph = RunningGraph(folder.resolve(), int(said["domain"]), int(said["pid"]))
        copied = said.get("folder", str(graph.folder)) != str(graph.folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return graph if not copied and _started(graph.pid) == said.get("started") != "" else None


def _was_orphaned(folder: Path) -> bool:
    """Whether the process that last ran the folder's graph was killed: it takes its word back at any other end."""
    return (folder / FILE_NAME).exists() and _running(folder) is None


def _started(pid: int) -> str:
    """When a process began, in clock ticks since the boot: with it a number that is used again is told apart.

    Empty if it has ended.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    except (OSError, ValueError, IndexError):
        return ""
