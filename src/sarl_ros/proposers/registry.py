"""Proposers by name. A further back-end is one file and one line here.

A proposer is named by its back-end, with what that needs after a colon: "scene", "scene:FOLDER", "fixed:FILE". A
back-end is a module with `load(rest) -> Proposer`, and with `check(rest)`, which looks at what there is to see without
loading or connecting to anything; both get what stands after the colon, and raise ProposerError.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from sarl_ros.proposers.proposer import Proposer, ProposerError

BACKENDS = {
    "scene": "sarl_ros.proposers.scene",
    "fixed": "sarl_ros.proposers.fixed",
}


def check_proposer(name: str) -> None:
    """Raises ProposerError where there is no such proposer, or a file that it needs is missing."""
    backend, rest = _backend(name)
    backend.check(rest)


def load_proposer(name: str) -> Proposer:
    """A proposer, ready to propose.

    Raises:
        ProposerError: there is none of that name, or what it needs is missing.
    """
    backend, rest = _backend(name)
    proposer: Proposer = backend.load(rest)
    return proposer


def _backend(name: str) -> tuple[ModuleType, str]:
    kind, _, rest = name.partition(":")
    if kind not in BACKENDS:
        raise ProposerError(f"proposer {name}: there is none: choose {' or '.join(BACKENDS)}")
    return importlib.import_module(BACKENDS[kind]), rest
