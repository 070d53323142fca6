"""Definitions of message types as the installed packages have them, in the form that bags keep.

rosbags generates definitions from parsed types, without the comments that a reader of a bag wants to see, and would
have to be given the same files first.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from pathlib import Path

SEPARATOR = "=" * 80
PRIMITIVES = {"bool", "byte", "char", "float32", "float64", "string", "wstring"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
FIELD_TYPE = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w", re.MULTILINE)


class DefinitionError(Exception):
    """A type's definition cannot be found; one line that names it and the remedy."""


@functools.cache
def message_definition(type: str) -> str:
    """The .msg file of a type such as "sensor_msgs/msg/Image", followed by those of all types it needs.

    Raises:
        DefinitionError: a file is missing.
    """
    needed = _needed(type)
    parts = [_text(type)]
    parts += [f"{SEPARATOR}\nMSG: {other.replace('/msg/', '/')}\n{_text(other)}" for other in needed]
    return "\n".join(parts)


@functools.cache
def type_hash(type: str) -> str:
    """The REP 2016 hash of a type, as its package says.

    Raises:
        DefinitionError: its description is missing or malformed.
    """
    path = _installed(type, ".json")
    try:
        described = json.loads(path.read_text())["type_hashes"]
        return next(entry["hash_string"] for entry in described if entry["type_name"] == type)
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise DefinitionError(f"{path} does not say the hash of {type}: install its package again") from error


def _needed(type: str) -> list[str]:
    found: list[str] = []
    open_types = [type]
    while open_types:
        current = open_types.pop()
        package = current.split("/")[0]
        for name in FIELD_TYPE.findall(_text(current)):
            if name in PRIMITIVES:
                continue
            base, _, last = name.rpartition("/")
            other = f"{base.split('/')[0] or package}/msg/{last}"
            if other != type and other not in found:
                found.append(other)
                open_types.append(other)
    return found


def _text(type: str) -> str:
    return _installed(type, ".msg").read_text()


def _installed(type: str, suffix: str) -> Path:
    package, kind, name = type.split("/")
    for prefix in [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]:
        path = Path(prefix, "share", package, kind, name + suffix)
        if path.is_file():
            return path
    raise DefinitionError(f"{type}: no file share/{package}/{kind}/{name}{suffix}: install package {package}")
