"""Options that several verbs share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from sarl_ros.core.paths import unwritable
from sarl_ros.runs.choices import AGENTS, ON, RunChoices
from sarl_ros.runs.folder import RunError, RunFolder

ENUMERATED = ("time",)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return value


class Unwritable(RunError, argparse.ArgumentTypeError):
    """A result could not be written; said before the work, whether the path was typed or not."""


def output_folder(text: str) -> Path:
    """A folder that can be made, so that what is to be written there is not lost after the work."""
    path = Path(text)
    if why := unwritable(path):
        raise Unwritable(f"{text}: {why}: choose another place")
    return path


def output_file(text: str) -> Path:
    """A file that can be written; the folder it is to lie in is made."""
    path = Path(text)
    if os.path.isdir(path):
        raise Unwritable(f"{text} is a folder: name a file")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise Unwritable(f"{text} may not be written to: choose another file")
    output_folder(str(path.parent)).mkdir(parents=True, exist_ok=True)
    return path


class _Typed(argparse.Namespace):
    """Takes what was typed, and no defaults: argparse finds every name there already."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


def refuse_without_effect(verb: ModuleType, arguments: Sequence[str]) -> None:
    """Refuse options that change nothing beside the others.

    A verb says what it is of: `MODES`, options with which it does something else, each with those that go with it;
    and `NEEDS`, options that change nothing without another.

    Raises:
        RunError: it names both.
    """
    modes: dict[str, set[str]] = getattr(verb, "MODES", {})
    needs: dict[str, str] = getattr(verb, "NEEDS", {})
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    verb.add_options(parser)
    typed = {name for name, value in vars(parser.parse_args(arguments, _Typed())).items() if value not in (None, [])}
    for mode in sorted(modes.keys() & typed):
        if ignored := typed - modes[mode] - {mode, "json"}:
            raise RunError(f"{_flag(min(ignored))} changes nothing with {_flag(mode)}: leave it out")
    for name in sorted(needs.keys() & typed):
        if needs[name] not in typed:
            raise RunError(f"{_flag(name)} is for {_flag(needs[name])}: leave it out, or say both")


def _flag(name: str) -> str:
    return "--no-record" if name == "record" else f"--{name.replace('_', '-')}"


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
