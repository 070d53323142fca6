"""`sarl doctor`: what this machine brings for a run, a line for each check."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from sarl_ros.runs.folder import RunError

HELP = "check what this machine brings for a run, with the remedy for what it lacks"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--robot", default="", help="judge what this robot needs as well: a name, or its file")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are made (default: runs)")


def run(options: argparse.Namespace) -> None:
    """Print the checks as they are made.

    Raises:
        RunError: something is bad; --json is written before.
    """
    from sarl_ros.runs.doctor import check_machine

    checks = []
    for check in check_machine(os.environ, options.runs, options.robot):
        print(f"{check.judgement:6}  {check.name}: {check.words.removeprefix(f'{check.name} is ')}", flush=True)
        checks.append(check)
    if options.json:
        figures = [{"name": check.name, "judgement": check.judgement, "words": check.words} for check in checks]
        Path(options.json).write_text(json.dumps({"checks": figures}, indent=2) + "\n")
    if bad := [check.name for check in checks if check.judgement == "bad"]:
        raise RunError(f"not ready: {', '.join(bad)}")
