"""Raw camera images to compressed ones, both as serialized messages: nothing but the pixels is looked at."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from sarl_ros.ros.cdr import BODY, ImageHead

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
LITTLE_ENDIAN = b"\x00\x01"
LENGTH = struct.Struct("<I")

# Channels, bytes a channel, and what turns the pixels into what the encoder takes.
ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    "bgr8": (3, 1, None),
    "8UC3": (3, 1, None),
    "rgb8": (3, 1, cv2.COLOR_RGB2BGR),
    "bgra8": (4, 1, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, 1, cv2.COLOR_RGBA2BGR),
    "mono8": (1, 1, None),
    "8UC1": (1, 1, None),
    "mono16": (1, 2, None),
    "16UC1": (1, 2, None),
}


class ImageError(Exception):
    """An image that cannot be compressed; one line that says why."""


class ImageCompressor:
    """Serialized sensor_msgs/Image to serialized sensor_msgs/CompressedImage: JPEG, or PNG where pixels have 16 bits.

    Args:
        quality: of JPEG, 1 to 100.
    """

    def __init__(self, quality: int) -> None:
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality]

    def __call__(self, data: bytes) -> bytes:
        """Raises ImageError: the encoding has no compressed form, or the message is malformed."""
        try:
            return self._compress(*_parse(data), data)
        except (ValueError, cv2.error) as error:
            raise ImageError(f"the image is malformed ({' '.join(str(error).split())})") from error

    def _compress(self, frame_end: int, encoding: str, pixels: NDArray, data: bytes) -> bytes:
        _, width, conversion = ENCODINGS[encoding]
        if conversion is not None:
            pixels = cv2.cvtColor(pixels, conversion)
        if width == 1:
            ok, encoded = cv2.imencode(".jpg", pixels, self._options)
            form = f"{encoding}; jpeg compressed {'bgr8' if pixels.ndim == 3 else 'mono8'}"
        else:
            ok, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            form = f"{encoding}; png compressed {encoding}"
        if not ok:
            raise ImageError(f"an image of {pixels.shape} pixels cannot be encoded")
        head = _aligned(data[:frame_end])
        name = form.encode() + b"\x00"
        head = _aligned(head + LENGTH.pack(len(name)) + name) + LENGTH.pack(encoded.size)
        return b"".join((head, encoded.data))


def _aligned(data: bytes) -> bytes:
    return data + bytes(-(len(data) - BODY) % 4)


def _parse(data: bytes) -> tuple[int, str, NDArray]:
    """Where the frame's name ends, the encoding, and the pixels: uint8 or uint16 (H, W) or (H, W, channels)."""
    if data[:2] != LITTLE_ENDIAN:
        raise ImageError("the image is not little-endian CDR")
    head = ImageHead.read(data)
    if head.encoding not in ENCODINGS:
        raise ImageError(f"images of encoding {head.encoding[:40]!r} have no compressed form")
    channels, item, _ = ENCODINGS[head.encoding]
    kind = np.dtype(np.uint8 if item == 1 else ">u2" if head.big_endian else "<u2")
    pixels = head.pixels(data, channels, kind)
    if channels == 1:
        pixels = pixels[..., 0]
    return head.frame_end, head.encoding, pixels.astype(np.uint16) if item == 2 else pixels
