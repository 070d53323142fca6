"""`sarl compare`: whether two runs made the same decisions and transitions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = "whether two runs made the same decisions and transitions"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN")


def run(options: argparse.Namespace) -> dict[str, Any]:
    return compare_runs(*options.runs)


def compare_runs(one: Path, other: Path) -> dict[str, Any]:
    """Print `identical` and a hash, or the first difference and end with 1.

    Raises:
        RunError, StoreError: a folder is no run, or has no whole replay store.
    """
    from sarl_ros.records.compare import compare, of_any_run
    from sarl_ros.runs.folder import open_run
    from sarl_ros.store.appendfile import StoreError
    from sarl_ros.store.replay_store import FILE_NAME, read_entries

    stores = []
    for path in (one, other):
        folder = open_run(path)
        file = folder.path / FILE_NAME
        if not file.is_file():
            raise StoreError(f"{file} is missing: make it again with `sarl replay --rebuild {path} --restore`")
        entries, whole = read_entries(file, 0, file.stat().st_size)
        if whole != file.stat().st_size:
            raise StoreError(f"{file}: half a record at its end: let the run go on, or end it in order, then compare")
        stores.append(of_any_run(entries, folder.name))
    comparison = compare(*stores)
    difference, digest = comparison.difference, comparison.live
    figures = {"identical": difference is None, "transitions": digest.transitions, "sha256": digest.total}
    if difference is None:
        print(f"identical: {digest.decisions} decisions, {digest.transitions} transitions, sha256 {digest.total}")
        return figures
    print(f"{difference.key}, {difference.field}: {one.name} {difference.live!r}, {other.name} {difference.rebuilt!r}")
    sys.exit(1)
