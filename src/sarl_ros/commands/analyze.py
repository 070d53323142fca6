"""`sarl analyze`: a report of a recorded run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sarl_ros.commands.options import output_folder

HELP = "an HTML report of a recorded run, and the tables behind it"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bags", type=Path, nargs="+", metavar="RUN_OR_BAGS", help="run folders, bag folders or .mcap files of one run"
    )
    parser.add_argument("-o", "--output", type=output_folder, default=Path("report"), help="folder (default: report)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.analysis.analyze import analyze, closing_line

    figures = analyze(options.bags, options.output)
    print(closing_line(figures))
    return figures
