"""Large images as serialized messages, built without rclpy's three copies of the pixels."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"


def _string(text: str) -> bytes:
    data = text.encode() + b"\x00"
    return struct.pack("<I", len(data)) + data


def _align(data: bytes) -> bytes:
    return data + b"\x00" * (-len(data) % 4)


def image_cdr(pixels: NDArray[np.uint8], nanoseconds: int, frame_id: str) -> bytes:
    """What serializing `convert.image_to(...)` gives: an rgb8 sensor_msgs/Image of uint8 (H, W, 3), to be published."""
    height, width, _ = pixels.shape
    head = struct.pack("<iI", *divmod(nanoseconds, 1_000_000_000))
    head = _align(head + _string(frame_id)) + struct.pack("<II", height, width)
    head = _align(head + _string("rgb8") + b"\x00") + struct.pack("<II", 3 * width, pixels.size)
    return b"".join((_LITTLE_ENDIAN, head, np.ascontiguousarray(pixels).data))
