"""Weights on disk: safetensors whose metadata holds the network's sizes, so that a file alone rebuilds its network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sarl_ros.policies.policy import PolicyError


def save_weights(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write tensors and their configuration, replacing the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, partial, {"config": json.dumps(config)})
    os.replace(partial, path)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_weights` wrote.

    Raises:
        PolicyError: the file is missing or damaged.
    """
    if not path.is_file():
        raise PolicyError(f"{path} is missing: run `sarl vla-train`, or restore the shipped weights")
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            return {key: file.get_tensor(key) for key in file.keys()}, config  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise PolicyError(
            f"{path} is damaged ({error}): run `sarl vla-train`, or restore the shipped weights"
        ) from None
