"""`sarl steer`: demonstrations from prompts that a person chose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sarl_ros.commands.options import add_graph_options, choices_of, output_file, positive
from sarl_ros.runs.choices import default_demo_file
from sarl_ros.runs.folder import check_environment

HELP = "record demonstrations from prompt sequences, on seeds of their own"
MODES = {"run": {"output"}}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="hammer")
    parser.add_argument(
        "--prompts", type=Path, help="a file with one episode a line, prompts separated by '>' (default: type them)"
    )
    parser.add_argument("--episodes", type=positive, default=None, help="(default: one a line of the file)")
    parser.add_argument(
        "--run", type=Path, help="record nothing: export the episodes of this run that a person steered to success"
    )
    parser.add_argument(
        "--output", type=output_file, help="(default: config/demos/TASK.demos; with --run RUN/steered.demos)"
    )
    add_graph_options(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.runs.steering import export_steered, read_sequences, steer

    if options.run:
        return export_steered(options.run, options.output or options.run / "steered.demos")
    check_environment()
    output = output_file(str(options.output or default_demo_file(options.task)))
    sequences = read_sequences(options.prompts, options.task)
    settings = choices_of(options, episodes=options.episodes or len(sequences), demos=0).settings()
    return steer(settings, sequences, output, options.runs)
