"""`sarl`: train, evaluate and steer through the ROS graph; make demonstrations, train and evaluate the mini VLA."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from types import ModuleType

from sarl_ros.commands.options import output_file, refuse_without_effect
from sarl_ros.runs.folder import Interrupted, RunError

# In the order of --help; each is a file in commands/, with "_" for "-".
VERBS = (
    "train",
    "operate",
    "watch",
    "eval",
    "compare",
    "steer",
    "replay",
    "analyze",
    "cameras",
    "doctor",
    "demos",
    "vla-train",
    "vla-eval",
)
FAILED = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        sys.exit(FAILED)
    from sarl_ros.policies.policy import PolicyError
    from sarl_ros.store.appendfile import StoreError
    from sarl_ros.store.mcap_file import BagError

    try:
        refuse_without_effect(verb_of(arguments[0]), arguments[1:])
        figures = options.command(options)
    except (RunError, PolicyError, BagError, StoreError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except (Interrupted, KeyboardInterrupt) as stopped:
        print(str(stopped) or "stopped; what was recorded is saved")
        sys.exit(INTERRUPTED)
    if figures is not None and options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sarl", description=__doc__)
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in VERBS:
        verb = verb_of(name)
        command = commands.add_parser(name, help=verb.HELP, description=verb.HELP)
        command.set_defaults(command=verb.run)
        command.add_argument("--json", type=output_file, metavar="FILE", help="write the figures to FILE as well")
        verb.add_options(command)
    return parser


def verb_of(name: str) -> ModuleType:
    return importlib.import_module(f"sarl_ros.commands.{name.replace('-', '_')}")


if __name__ == "__main__":
    main()
