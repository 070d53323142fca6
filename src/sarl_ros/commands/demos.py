"""`sarl demos`: what the mini VLA is trained on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sarl_ros.commands.options import output_folder, positive

HELP = "let scripted experts demonstrate atomic skills in the simulator"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=output_folder, default=Path("data/demos"))
    parser.add_argument("--episodes", type=positive, default=3000)
    parser.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.training.demonstrations import generate

    return generate(options.output, episodes=options.episodes, seed=options.seed)
