"""`sarl watch`: the progress line of a run that another process started."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sarl_ros.runs.folder import check_environment, open_run
from sarl_ros.runs.progress import print_summary

HELP = "the progress of a run that `ros2 launch` started, until it ends"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="its folder")


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.runs.run import watch_graph

    check_environment()
    folder = open_run(options.run)
    summary = watch_graph(folder)
    print_summary(folder, summary)
    return summary
