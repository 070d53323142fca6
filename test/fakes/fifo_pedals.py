"""Pedals whose events come through a named pipe, in the kernel's own form: `struct input_event` after another.

A pipe that nobody writes to any more is a device that was unplugged.
"""

import errno
import os
import struct
import sys

from evdev import ecodes
from evdev.eventio import EventIO

from sarl_ros.nodes.pedals import PedalsNode
from sarl_ros.operating.pedals import PedalsError
from sarl_ros.ros.node import run_node

EVENT = struct.Struct("llHHi")


def encode(*events):
    """Events as (type, code, value), each followed by a report, as bytes."""
    report = (ecodes.EV_SYN, ecodes.SYN_REPORT, 0)
    return b"".join(EVENT.pack(0, 0, *event) for each in events for event in (each, report))


def key(name, value):
    return ecodes.EV_KEY, ecodes.ecodes[name], value


class FifoDevice(EventIO):
    """Read as a device is, by evdev's own decoder."""

    def __init__(self, path, down=()):
        if not os.path.exists(path):
            raise PedalsError(f"{path} is not there: plug the device in")
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.down = list(down)

    def read(self):
        events = list(super().read())
        if not events:
            raise OSError(errno.ENODEV, "No such device")
        return events

    def active_keys(self):
        return self.down

    def close(self):
        os.close(self.fd)


class FifoPedals(PedalsNode):
    def open(self, device, codes):
        return FifoDevice(device)


if __name__ == "__main__":
    run_node(FifoPedals, threads=1)
    sys.exit(0)
