"""Proposers by name. A further back-end is one file and one line here.

A back-end is a module with `load(weights) -> Proposer`; `weights` names what it sees with, where it needs any.
"""

from __future__ import annotations

import importlib

from sarl_ros.proposers.proposer import Proposer, ProposerError

BACKENDS = {"scene": "sarl_ros.proposers.scene"}


def load_proposer(backend: str, weights: str) -> Proposer:
    """The back-end of that name, ready to propose.

    Raises:
        ProposerError: there is no such back-end, or its weights are missing.
    """
    if backend not in BACKENDS:
        raise ProposerError(f"there is no back-end '{backend}': set backend to {' or '.join(BACKENDS)}")
    return importlib.import_module(BACKENDS[backend]).load(weights)
