"""Checkpoints of a learner: one safetensors file each, with the counts, the prompt pool and the settings as JSON in it.

A file appears whole or not at all. The newest is kept, and those of chosen episode counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sarl_ros.store.appendfile import StoreError, sync_directory, write_error

FOLDER = "checkpoints"
LATEST = "latest"
METADATA = "sarl"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything that learning goes on from.

    Attributes:
        tensors: by name; networks, optimizer moments, state of the random generator.
        facts: JSON; counts, pool, preset.
    """

    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]


def write_checkpoint(folder: Path, episodes: int, checkpoint: Checkpoint, keep_every: int = 0) -> Path:
    """Write `folder`/episode-NNNNNN and let `latest` point to it.

    Args:
        folder: of the run's checkpoints, created if absent.
        episodes: completed so far; names the file, an older one of that name is replaced.
        keep_every: earlier checkpoints stay where their number is a multiple of this; 0 keeps none of them.

    Raises:
        StoreError: it could not be written; the earlier ones are untouched.
    """
    path = folder / f"episode-{episodes:06}"
    partial, link = folder / "partial", folder / "partial-link"
    data = save(dict(checkpoint.tensors), {METADATA: json.dumps(dict(checkpoint.facts), allow_nan=False)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        link.replace(folder / LATEST)
        sync_directory(folder)
        for old in folder.glob("episode-*"):
            number = int(old.name.removeprefix("episode-"))
            if old != path and not (keep_every and number % keep_every == 0):
                old.unlink()
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_error(path, error) from error
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a folder, None before the first."""
    link = folder / LATEST
    return link.resolve() if link.exists() else None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        StoreError: the file is missing, damaged or no checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})[METADATA])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: no readable checkpoint ({error}): choose another one of its folder") from error
    except (KeyError, ValueError) as error:
        raise StoreError(
            f"{path}: no checkpoint of a SARL agent: choose a file of a run's checkpoints folder"
        ) from error
    return Checkpoint(tensors, facts)
