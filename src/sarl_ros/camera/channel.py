"""Frames from the child process to the node: pixels through shared memory, everything else through a socket.

Why not a pipe alone: 640x480 RGB is 900 KB, 28 MB/s a camera. A pipe copies each frame twice in pieces of 64 KB, with a
change of process for each; and frames that the reader has not taken yet block the writer or grow old in the queue.

Why the memory has no name: it is a memfd that both processes hold open. Whichever way they die the kernel frees it; a
named segment outlives a killed owner. Why frames never tear: the memory is divided into slots, and a slot belongs to
one side at a time. The child hands one over by naming it in a message, the node gives it back by naming it in return;
a frame for which no slot is free is dropped and counted.
"""

from __future__ import annotations

import mmap
import os
import socket
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from sarl_ros.camera.types import Description

SLOTS = 4


@dataclass(frozen=True, slots=True)
class Opening:
    """The child is about to open the device."""


@dataclass(frozen=True, slots=True)
class Absent:
    """The device is not there; the child goes on looking."""

    words: str


@dataclass(frozen=True, slots=True)
class Streaming:
    description: Description


@dataclass(frozen=True, slots=True)
class Late:
    """No new frame came in time, or an old one came again."""

    words: str
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """A new frame lies in a slot, which belongs to the receiver until it gives it back.

    Attributes:
        stamp_ns: of capture, on the system clock.
        taken_s: of capture, on the steady clock, which both processes share.
        dropped: frames dropped since the last one, because no slot was free.
    """

    slot: int
    number: int
    stamp_ns: int
    taken_s: float
    dropped: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The child gives up and ends.

    Attributes:
        reset: whether the hardware should be reset before the next attempt.
    """

    words: str
    reset: bool = False


Message = Opening | Absent | Streaming | Late | Arrived | Failed


class Slots:
    """The shared memory, as images of one shape."""

    def __init__(self, memory_fd: int, shape: tuple[int, int, int]) -> None:
        size = int(np.prod(shape))
        self._memory = mmap.mmap(memory_fd, SLOTS * size)
        self.images: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8).reshape(SLOTS, *shape)


def make_memory(shape: tuple[int, int, int]) -> int:
    """File descriptor of anonymous memory for `Slots` of this shape."""
    descriptor = os.memfd_create("camera", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, SLOTS * int(np.prod(shape)))
    return descriptor


def connection_pair() -> tuple[Connection, Connection]:
    """Two ends of a socket that carry pickled messages."""
    ours, theirs = socket.socketpair()
    return Connection(ours.detach()), Connection(theirs.detach())
