"""`sarl eval`: references and checkpoints on seeds that nothing is learned from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sarl_ros.commands.options import add_graph_options, choices_of, player, positive

HELP = "success on held-out seeds: references, and a run's checkpoints"
NEEDS = {"at": "run", "workers": "headless"}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="hammer")
    parser.add_argument("--episodes", type=positive, default=20)
    parser.add_argument(
        "--agents",
        metavar="NAME,NAME",
        help="references to run, '' for none (default: zero_shot,random, and in the simulator oracle)",
    )
    parser.add_argument(
        "--run", type=Path, action="append", default=[], help="a training run to evaluate, may be repeated"
    )
    parser.add_argument(
        "--at", type=_numbers, default=[], metavar="N,N", help="checkpoints of it, by episodes (default: the newest)"
    )
    parser.add_argument("--headless", action="store_true", help="without ROS and without bags")
    parser.add_argument("--workers", type=positive, default=1, help="with --headless: so many runs at a time")
    add_graph_options(parser)


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give numbers of episodes, such as 25,50") from None


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.runs.evaluation import evaluate
    from sarl_ros.runs.robots import is_simulated

    agents = options.agents
    if agents is None:
        agents = "zero_shot,random,oracle" if is_simulated(options.robot) else "zero_shot,random"
    return evaluate(
        choices_of(options, demos=0).settings(graph=not options.headless),
        references=[name for name in agents.split(",") if name],
        runs=options.run,
        at=options.at,
        root=options.runs,
        play=player(options.headless),
        workers=options.workers,
    )
