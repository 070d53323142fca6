"""`sarl train`: a run through the ROS graph or in this process, an earlier one resumed, or learning from bags alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sarl_ros.commands.options import add_choice, add_graph_options, choices_of, output_folder, player, positive
from sarl_ros.runs.folder import Interrupted, create_run, unused_folder
from sarl_ros.runs.progress import print_summary

HELP = "learn to choose prompts, through the ROS graph"
MODES = {
    "resume": {"headless"},
    "offline": {"updates", "output", "agent", "preset", "seed", "runs"},
}
NEEDS = {"updates": "offline", "output": "offline"}


def add_options(parser: argparse.ArgumentParser) -> None:
    for name in ("task", "episodes", "seed", "agent", "preset", "demos", "demo_file", "warm_start"):
        add_choice(parser, name)
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with an earlier run's folder")
    parser.add_argument(
        "--offline",
        type=Path,
        nargs="+",
        metavar="BAG",
        help="learn from these bags or run folders alone, without a run",
    )
    parser.add_argument("--updates", type=positive, help="with --offline (default: as many as a run would pay for)")
    parser.add_argument(
        "--output", type=output_folder, help="with --offline: the folder to make (default: one under --runs)"
    )
    parser.add_argument("--headless", action="store_true", help="in this process, without ROS and without bags")
    add_graph_options(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.offline:
        return _offline(options)
    if options.resume:
        from sarl_ros.runs.resume import resume_run

        folder = resume_run(options.resume, graph=not options.headless)
    else:
        folder = create_run(choices_of(options).settings(graph=not options.headless), options.runs)
    try:
        summary = player(options.headless)(folder)
    except Interrupted:
        print(f"go on with: sarl train --resume {folder.path}{' --headless' if options.headless else ''}")
        raise
    print_summary(folder, summary)
    return summary


def _offline(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.runs.offline import OfflineSettings, train_offline

    output = options.output or unused_folder(options.runs, f"offline-s{options.seed}")
    return train_offline(
        OfflineSettings(tuple(options.offline), output, options.preset, options.updates, options.seed, options.agent)
    )
