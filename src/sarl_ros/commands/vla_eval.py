"""`sarl vla-eval`: what the mini VLA can do, prompt by prompt."""

from __future__ import annotations

import argparse
from typing import Any

from sarl_ros.commands.options import output_file, positive

HELP = "success of each skill, of the long prompts, and what unseen prompts do"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", default="mini")
    parser.add_argument("--trials", type=positive, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=output_file, help="write a bar chart to this PNG")


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.training.evaluate import evaluate

    return evaluate(options.policy, trials=options.trials, seed=options.seed, picture=options.picture)
