"""Options that several verbs share, and what they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from sarl_ros.runs.choices import AGENTS, ON, RunChoices
from sarl_ros.runs.folder import RunFolder

ENUMERATED = ("time",)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return value


def add_choice(parser: argparse.ArgumentParser, name: str) -> None:
    """An option for a choice of `RunChoices`, in its words; what it must be is checked there."""
    field = RunChoices.model_fields[name]
    flag, text = f"--{name.replace('_', '-')}", field.description
    if field.annotation is bool:
        parser.add_argument(flag, action="store_true", help=text)
        return
    choices = list(AGENTS) if name == "agent" else list(get_args(field.annotation)) if name in ENUMERATED else None
    shown = f"{text} (default: {field.default})" if field.default not in (None, "") else text
    kind = int if field.annotation in (int, int | None) else Path if field.annotation == Path | None else str
    metavar = None if choices else {int: "N", Path: "PATH"}.get(kind, name.upper())
    parser.add_argument(flag, type=kind, default=field.default, choices=choices, metavar=metavar, help=shown)


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """What the verbs that start a graph have in common."""
    for name in ("robot", "policy", "proposer", "wide", "time", "fault_script", "operate"):
        add_choice(parser, name)
    parser.add_argument(
        "--console",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="serve the operator's page (default: 127.0.0.1:8080); wider than this machine it needs a token",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are made (default: runs)")
    parser.add_argument(
        "--no-record", dest="record", action="store_false", help="write no bags (default: one an episode, in RUN/bags)"
    )


def choices_of(options: argparse.Namespace, **changed: Any) -> RunChoices:
    """The choices that a command's options make; a bag needs the graph."""
    values = {name: value for name, value in vars(options).items() if name in RunChoices.model_fields}
    if values["console"] is not None:
        values["console"] = values["console"] or ON
    values["console"] = values["console"] or ""
    values["record"] = values["record"] and not getattr(options, "headless", False)
    return RunChoices.of({**values, **changed})


def player(headless: bool) -> Callable[[RunFolder], dict[str, Any]]:
    """What plays the run of a folder to its end."""
    if headless:
        from sarl_ros.runs.headless import run_headless

        return run_headless
    from sarl_ros.runs.run import run_graph

    return run_graph
