"""Demonstration shards on disk and in memory: what the scripted experts saw and did, and camera frames of a part of it.

A shard is one npz file (no pickle). Rows are states in time order; a frame belongs to a row. Both trainings read the
same shards: perception the frames with their rows' true positions, the policy the rows that carry actions.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarl_ros.policies.policy import PolicyError

SHARDS = "shard-*.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """N states, M frames, K classes.

    Attributes:
        proprio: (N, 8) float32, as `Observation.proprio`.
        position: (N, K, 3) float32 [m]; heading: (N, K, 2) float32, cosine and sine of the yaw.
        present: (N, K) bool, on the table or held; held: (N,) int64, class in the gripper or -1.
        action: (N, chunk, 7) float32, the expert's next actions; acts: (N,) bool, False where there is no expert.
        prompt: (N,) int64 into `prompts`; skill: (N,) int64 into `skills`; episode: (N,) int64.
        wrist_position: (N, 3) [m], wrist_rotation: (N, 3, 3), float32, true pose of the wrist camera.
        front: (M, 96, 128, 3), wrist: (M, 60, 80, 3) uint8; frame_row: (M,) int64, the row that a frame shows.
        prompts, skills, classes: unicode arrays; codes: (K, 6) float32 appearance codes.
        front_position (3,), front_rotation (3, 3), front_tangent (2,), wrist_tangent (2,): float32 calibration.
    """

    proprio: NDArray[np.float32]
    position: NDArray[np.float32]
    heading: NDArray[np.float32]
    present: NDArray[np.bool_]
    held: NDArray[np.int64]
    action: NDArray[np.float32]
    acts: NDArray[np.bool_]
    prompt: NDArray[np.int64]
    skill: NDArray[np.int64]
    episode: NDArray[np.int64]
    wrist_position: NDArray[np.float32]
    wrist_rotation: NDArray[np.float32]
    front: NDArray[np.uint8]
    wrist: NDArray[np.uint8]
    frame_row: NDArray[np.int64]
    prompts: NDArray[np.str_]
    skills: NDArray[np.str_]
    classes: NDArray[np.str_]
    codes: NDArray[np.float32]
    front_position: NDArray[np.float32]
    front_rotation: NDArray[np.float32]
    front_tangent: NDArray[np.float32]
    wrist_tangent: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the shard; a half-written file never bears its final name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial-{path.name}")
        np.savez(partial, **{f.name: getattr(self, f.name) for f in fields(self)})
        partial.replace(path)

    def tensor(self, name: str) -> Tensor:
        """One of the numeric arrays as a tensor that shares its memory."""
        return torch.from_numpy(getattr(self, name))


_SHARED = ("skills", "classes", "codes", "front_position", "front_rotation", "front_tangent", "wrist_tangent")


def load_shard(path: Path) -> Shard:
    """Read one shard.

    Raises:
        PolicyError: it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Shard(**{f.name: file[f.name] for f in fields(Shard)})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise PolicyError(f"{path} is damaged ({error}): delete it and run `sarl demos` again") from None


def join(shards: Sequence[Shard]) -> Shard:
    """Put shards one after another.

    Raises:
        PolicyError: they were made with different catalogues or cameras.
    """
    first = shards[0]
    if any(not _equal(getattr(s, name), getattr(first, name)) for s in shards for name in _SHARED):
        raise PolicyError("the demonstrations come from different scenes: delete them and run `sarl demos` again")
    prompts = np.array(sorted({str(p) for s in shards for p in s.prompts}))
    rows = np.cumsum([0, *(len(s.proprio) for s in shards)])
    joined: dict[str, NDArray] = {}
    for field in fields(Shard):
        name = field.name
        if name in _SHARED:
            joined[name] = getattr(first, name)
        elif name == "prompts":
            joined[name] = prompts
        elif name == "prompt":
            joined[name] = np.concatenate([np.searchsorted(prompts, s.prompts)[s.prompt] for s in shards])
        elif name == "frame_row":
            joined[name] = np.concatenate([s.frame_row + start for s, start in zip(shards, rows, strict=False)])
        else:
            joined[name] = np.concatenate([getattr(s, name) for s in shards])
    return Shard(**joined)


def _equal(a: NDArray, b: NDArray) -> bool:
    if a.dtype.kind == "U":
        return np.array_equal(a, b)
    return a.shape == b.shape and np.allclose(a, b, atol=1e-5)
