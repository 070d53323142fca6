"""Checkpoints of a learner: one safetensors file each, with the counts, the prompt pool and the settings as JSON in it.

A file appears whole or not at all, and holds a SHA-256 of all that is in it. The newest is kept, and those of chosen
episode counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sarl_ros.store.appendfile import StoreError, replace_file, write_error

if TYPE_CHECKING:  # whoever wants the counts alone need not wait for it
    import torch

FOLDER = "checkpoints"
LATEST = "latest"
NAME = "episode-"
METADATA, DIGEST, VERSION = "sarl", "sha256", "version"
REMEDY = (
    "restore it from a copy, or delete it: a run that goes on does its updates again from the store, on top of the"
    " checkpoint before it where there is one"
)


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
    """Write `folder`/episode-NNNNNN, and a link `latest` to it where the file system has links.

    Args:
        folder: of the run's checkpoints, created if absent.
        episodes: completed so far; names the file, an older one of that name is replaced.
        keep_every: earlier checkpoints stay where their number is a multiple of this; 0 keeps none of them.

    Raises:
        StoreError: it could not be written; the earlier ones are untouched.
    """
    path = folder / f"{NAME}{episodes:06}"
    facts = json.dumps(dict(checkpoint.facts), allow_nan=False)
    arrays = {name: tensor.detach().contiguous().numpy() for name, tensor in checkpoint.tensors.items()}
    data = save(arrays, {METADATA: facts, DIGEST: digest(arrays, facts), VERSION: "2"})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, [data])
        _link(folder, path.name)
        for old in _checkpoints(folder):
            if old != path and not (keep_every and _number(old) % keep_every == 0):
                old.unlink()
    except OSError as error:
        raise write_error(path, error) from error
    return path


def _link(folder: Path, name: str) -> None:
    """For people alone: what is newest follows from the numbers."""
    link = folder / "partial-link"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        link.replace(folder / LATEST)
    except OSError:  # no links on this file system
        return


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{NAME}*") if path.name.removeprefix(NAME).isdigit()]


def _number(path: Path) -> int:
    return int(path.name.removeprefix(NAME))


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a folder, None before the first."""
    return max((path.resolve() for path in _checkpoints(folder)), key=_number, default=None)


def digest(arrays: Mapping[str, NDArray[Any]], facts: str) -> str:
    """SHA-256 of names, types, shapes and values of tensors, and of the facts as they are written."""
    sha = hashlib.sha256(facts.encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote, in this version or before there were digests.

    Raises:
        StoreError: the file is missing, damaged or no checkpoint.
    """
    import torch

    arrays, facts = _read(path)
    return Checkpoint({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, facts)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a checkpoint alone. Raises StoreError as `read_checkpoint` does."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise StoreError(f"{path}: no readable checkpoint ({why}): {REMEDY}") from error
    facts = metadata.get(METADATA, "")
    if (DIGEST in metadata or VERSION in metadata) and metadata.get(DIGEST) != digest(arrays, facts):
        raise StoreError(f"{path}: is damaged, it is not what was written: {REMEDY}")
    try:
        return arrays, dict(json.loads(facts))
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{path}: no checkpoint of a SARL agent: choose a file of a run's checkpoints folder"
        ) from error
