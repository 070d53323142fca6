"""What was learned offline, as the first checkpoint of a run."""

from __future__ import annotations

from pathlib import Path

from sarl_ros.methods.preset import Preset
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.checkpoint import FOLDER, Checkpoint, latest_checkpoint, read_checkpoint, write_checkpoint


def take_over_checkpoint(offline: Path, run_dir: Path, preset: Preset) -> None:
    """Copy the newest checkpoint of `offline` into a new run's folder, where its trainer finds it.

    Raises:
        StoreError: there is none, it is of other preset values, or it cannot be written.
    """
    newest = latest_checkpoint(offline / FOLDER)
    if newest is None:
        raise StoreError(f"{offline}: no checkpoint in it: name a folder that `sarl train --offline` made")
    checkpoint = read_checkpoint(newest)
    learned = {**checkpoint.facts["preset"], "strides": tuple(checkpoint.facts["preset"]["strides"])}
    wanted = preset.model_dump()
    if differing := [name for name, value in wanted.items() if learned.get(name) != value]:
        raise StoreError(f"{newest}: learned with another {differing[0]} than the preset's: use the preset it is from")
    facts = {**checkpoint.facts, "transitions": 0, "store_offset": 0}  # nothing is read of this run's store yet
    write_checkpoint(run_dir / FOLDER, 0, Checkpoint(checkpoint.tensors, facts))
