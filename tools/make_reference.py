"""Writes docs/reference.md from the code: commands, parameters, topics, messages. `--check` only compares."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from sarl_ros.cli import build_parser
from sarl_ros.parameters.base import NodeParameters
from sarl_ros.ros import topics
from sarl_ros.runs.bringup import BRIDGES
from sarl_ros.runs.parameters import MODELS, bridge_model

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
SRC = ROOT / "src"
GIVES = ("publisher", "service", "serve")
HEAD = """# Reference

Made by `tools/make_reference.py` from the code; a test holds it against the code. Change it there.
"""


def page() -> str:
    parts = [HEAD, *commands(), *parameters(), *wire(), *interfaces()]
    return "\n".join(parts).rstrip() + "\n"


def commands() -> Iterator[str]:
    yield "## Commands\n"
    verbs = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    for name, parser in verbs.choices.items():
        yield f"### `sarl {name}`\n\n{_sentence(parser.description)}\n\n| option | |\n| --- | --- |"
        for action in parser._actions:
            if "-h" not in action.option_strings:
                yield f"| {_option(action)} | {_cell(_help(action))} |"
        yield ""


def _option(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if isinstance(value, tuple):
        value = " ".join(value)
    if action.choices is not None:
        value = "\\|".join(map(str, action.choices))
    words = [", ".join(action.option_strings), value] if action.option_strings else [value]
    return f"`{' '.join(filter(None, words))}`"


def _help(action: argparse.Action) -> str:
    text = action.help or ""
    plain = isinstance(action.default, int | float | str) and not isinstance(action.default, bool)
    if plain and action.default != "" and "default" not in text:
        text = f"{text} (default: {action.default})".strip()
    return text


def parameters() -> Iterator[str]:
    yield "## Parameters of nodes\n\nValues of a run are in its `config.yaml`; `config/*.yaml` are where they start.\n"
    arms = {f"arm_bridge, bridge {name}": bridge_model(bridge) for name, bridge in BRIDGES.items()}
    models: dict[str, type[NodeParameters]] = MODELS | arms
    for node, model in models.items():
        yield f"### `{node}`\n\n| parameter | default | |\n| --- | --- | --- |"
        for name, field in model.model_fields.items():
            default = "" if field.is_required() else json.dumps(field.default)
            yield f"| `{name}` | `{default}` | {_cell(field.description or '')} |"
        yield ""


def wire() -> Iterator[str]:
    yield "## Topics and services\n\n| name | type | given by | used by |\n| --- | --- | --- | --- |"
    endpoints = list(_endpoints())
    for constant, value in vars(topics).items():
        here = [(kind, gives, place) for topic, kind, gives, place in endpoints if topic == constant]
        if isinstance(value, str) and here:
            given, used = (sorted({place for _, gives, place in here if gives is side}) for side in (True, False))
            yield f"| `{value}` | `{here[0][0]}` | {', '.join(given)} | {', '.join(used)} |"
    yield ""


def _endpoints() -> Iterator[tuple[str, str, bool, str]]:
    """Each mention of a type with a topic: (constant of `ros.topics`, type, whether it is given there, module)."""
    for path in sorted(SRC.rglob("*.py")):
        place = ".".join(path.relative_to(SRC).with_suffix("").parts).removeprefix("sarl_ros.").removesuffix(".node")
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=function, args=[ast.Name(id=kind), ast.Attribute(ast.Name(id="topics"), topic), *_]):
                    gives = ast.unparse(function).endswith(GIVES)
                case ast.Tuple(elts=[ast.Name(id=kind), ast.Attribute(ast.Name(id="topics"), topic), *_]):
                    gives = False
                case ast.Tuple(elts=[ast.Attribute(ast.Name(id="topics"), topic), ast.Name(id=kind), *_]):
                    gives = True
                case _:
                    continue
            yield topic, kind, gives, place


def interfaces() -> Iterator[str]:
    for title, folder, ending in (("Messages", "msg", "msg"), ("Services", "srv", "srv")):
        yield f"## {title}\n"
        for path in sorted((SRC / "sarl_interfaces" / folder).glob(f"*.{ending}")):
            yield f"### `sarl_interfaces/{path.stem}`\n\n```\n{path.read_text().rstrip()}\n```\n"


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the page is not current")
    if not parser.parse_args().check:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit(f"{PAGE} is not what the code says: run tools/make_reference.py")


if __name__ == "__main__":
    main()
