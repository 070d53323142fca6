"""The processes of a run, as /proc has them: for benches that kill or measure them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sarl_ros.runs.folder import RunFolder

SUPERVISOR = "sarl"
TRAINER = "trainer"


def processes_of(folder: RunFolder) -> dict[int, str]:
    """Name by process id of whatever lives and names the run folder: its nodes, their children, its `sarl`."""
    return {pid: _name(arguments) for pid, arguments in _commands() if any(str(folder.path) in a for a in arguments)}


def pid_of(folder: RunFolder, name: str) -> int | None:
    return next((pid for pid, found in processes_of(folder).items() if found == name), None)


def resident_mb(pid: int) -> float | None:
    """Memory that a process holds; None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return None


def _commands() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue


def _name(arguments: list[str]) -> str:
    for argument in arguments:
        if argument.startswith("__node:="):
            return argument.removeprefix("__node:=")
    if "sarl_ros.cli" in arguments:
        return SUPERVISOR
    return arguments[arguments.index("-m") + 1].rpartition(".")[2] if "-m" in arguments else arguments[0]
