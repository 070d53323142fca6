"""Policies by name. A further back-end is one file and one line here.

A name is that of a back-end ("mini"), an address with its scheme ("SCHEME://..."), or a folder of weights that
`sarl vla-train` wrote. A back-end is a module with `identity(name) -> str`, which loads and connects to nothing, and
`load(name) -> Policy`; both raise PolicyError.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from sarl_ros.policies.policy import Policy, PolicyError

BACKENDS = {
    "mini": "sarl_ros.policies.mini",
    "still": "sarl_ros.policies.still",
    "jog": "sarl_ros.policies.jog",
}


def identity(name: str | Path) -> str:
    """What names the weights of a policy, see `PolicySpec.identity`; nothing is loaded.

    Raises:
        PolicyError: there is no such policy, or its weights are missing.
    """
    return _backend(str(name)).identity(str(name))


def load_policy(name: str | Path) -> Policy:
    """A policy, ready to plan.

    Raises:
        PolicyError: there is no such policy, or its weights are missing or damaged.
    """
    return _backend(str(name)).load(str(name))


def _backend(name: str) -> ModuleType:
    scheme, separator, _ = name.partition("://")
    if scheme in BACKENDS:
        return importlib.import_module(BACKENDS[scheme])
    if not separator and Path(name).is_dir():
        return importlib.import_module(BACKENDS["mini"])
    known = ", ".join(BACKENDS)
    raise PolicyError(f"policy {name}: there is none: choose {known}, or a folder that `sarl vla-train` wrote")
