"""How much space a recording has left, and what that allows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

MB = 1_000_000
HYSTERESIS = 1.1


class Space(IntEnum):
    """What the free space allows, from all to nothing."""

    ENOUGH = 0
    LOW = 1  # a warning
    NO_IMAGES = 2  # images are dropped and no episode should start
    FULL = 3  # nothing is written


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """Free space [bytes] below which there is a warning, images are dropped, and the bag is closed.

    Raises:
        ValueError: they do not fall in this order.
    """

    warn: int
    images: int
    close: int

    def __post_init__(self) -> None:
        if not self.warn >= self.images >= self.close >= 0:
            raise ValueError(
                f"free-space limits of {self.warn // MB}, {self.images // MB} and {self.close // MB} MB:"
                " each must be below the one before it"
            )


def free_bytes(folder: Path) -> int:
    """Space [bytes] that is left to us where `folder` lies."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


class DiskWatch:
    """Judges the free space of `folder`; once it was full it counts as such until images fit again.

    Args:
        free: reads the free space [bytes].
    """

    def __init__(self, folder: Path, limits: DiskLimits, free: Callable[[Path], int] = free_bytes) -> None:
        self._folder, self._limits, self._free = folder, limits, free
        self.space = Space.ENOUGH
        self.free = 0

    def check(self) -> Space:
        """Read the free space anew.

        Raises:
            OSError: the folder is gone.
        """
        self.free = self._free(self._folder)
        limits = self._limits
        for space, limit in ((Space.FULL, limits.close), (Space.NO_IMAGES, limits.images), (Space.LOW, limits.warn)):
            leave_at = limits.images if space is Space.FULL else limit
            if self.free < (leave_at * HYSTERESIS if self.space >= space else limit):
                self.space = space
                break
        else:
            self.space = Space.ENOUGH
        return self.space

    def words(self) -> str:
        """What is wrong, what it means and what to do; empty when there is space enough."""
        if self.space is Space.ENOUGH:
            return ""
        meaning = {
            Space.LOW: "the recorder will stop when it is full",
            Space.NO_IMAGES: "images are no longer recorded and no further episode should start",
            Space.FULL: "nothing is recorded",
        }[self.space]
        return (
            f"{self.free // MB} MB are free for bags in {self._folder}: {meaning}; delete or move bags of earlier runs"
        )
