"""`sarl doctor`: what this machine brings for a run, a line for each check."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from sarl_ros.commands.options import add_choice
from sarl_ros.runs.folder import RunError

HELP = "check what this machine brings for a run, with the remedy for what it lacks"
SIGNS = {"good": "\033[32mgood\033[0m", "absent": "\033[33mabsent\033[0m", "bad": "\033[31mbad\033[0m"}


def add_options(parser: argparse.ArgumentParser) -> None:
    for name in ("robot", "policy", "proposer"):
        add_choice(parser, name)
    parser.add_argument(
        "--console", nargs="?", const="", metavar="HOST:PORT", help="the operator's page is wanted, there"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are made (default: runs)")


def run(options: argparse.Namespace) -> None:
    """Print the checks as they are made.

    Raises:
        RunError: something is bad; --json is written before.
    """
    from sarl_ros.runs.doctor import Wanted, check_machine

    wanted = Wanted(options.runs, options.robot, options.policy, options.proposer, options.console)
    checks = []
    for check in check_machine(os.environ, wanted):
        print(line(check.judgement, check.name, check.words), flush=True)
        checks.append(check)
    if options.json:
        figures = [{"name": check.name, "judgement": check.judgement, "words": check.words} for check in checks]
        options.json.write_text(json.dumps({"checks": figures}, indent=2) + "\n")
    if bad := [check.name for check in checks if check.judgement == "bad"]:
        raise RunError(f"not ready: {', '.join(bad)}")


def line(judgement: str, name: str, words: str) -> str:
    """A check as it is printed, in colour on a terminal."""
    sign = SIGNS[judgement] if os.isatty(1) else judgement
    return f"{sign}{' ' * (8 - len(judgement))}{name}: {words.removeprefix(f'{name} is ')}"
