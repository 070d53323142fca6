"""`sarl vla-train`: weights of the mini VLA from demonstrations."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sarl_ros.commands.options import output_folder

HELP = "train the mini VLA on demonstrations"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--demos", type=Path, default=Path("data/demos"))
    parser.add_argument("--output", type=output_folder, default=Path("data/mini"))
    parser.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.training.train import train

    return train(options.demos, options.output, seed=options.seed)
