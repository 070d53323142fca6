"""Large images as serialized messages: built and looked into without rclpy's three copies of the pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.message_checks import COLOURS

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
BODY = 4  # bytes before the message itself, which alignment counts from


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


@dataclass(frozen=True, slots=True)
class ImageHead:
    """The fields of a serialized sensor_msgs/Image before its pixels.

    Attributes:
        frame_end: where the frame's name ends, in bytes from the begin.
        begin, size: of the pixels, as the message says; there may be fewer bytes.
    """

    seconds: int
    nanoseconds: int
    frame_end: int
    height: int
    width: int
    encoding: str
    big_endian: bool
    step: int
    begin: int
    size: int

    @classmethod
    def read(cls, data: bytes) -> ImageHead:
        """Raises ValueError: these are not the bytes of an image."""
        order = "<" if len(data) > 1 and data[1] & 1 else ">"
        try:
            seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, BODY)
            frame_end, _ = _text_at(data, BODY + 8, order)
            position = _aligned(frame_end)
            height, width = struct.unpack_from(f"{order}II", data, position)
            position, encoding = _text_at(data, position + 8, order)
            big_endian = bool(data[position])
            position = _aligned(position + 1)
            step, size = struct.unpack_from(f"{order}II", data, position)
            if position + 8 + size > len(data):
                raise IndexError(f"{size} bytes of pixels")
        except (struct.error, IndexError) as error:
            raise ValueError(f"{len(data)} bytes are no image: {error}") from None
        return cls(seconds, nanoseconds, frame_end, height, width, encoding, big_endian, step, position + 8, size)

    @property
    def stamp_ns(self) -> int:
        return self.seconds * 1_000_000_000 + self.nanoseconds

    def pixels(self, data: bytes, channels: int, kind: np.dtype) -> NDArray:
        """A view into `data`, (H, W, channels). Raises ValueError: there are fewer pixels than that."""
        row = self.width * channels * kind.itemsize
        if self.size < self.step * self.height or self.step < row:
            raise ValueError(f"{self.size} bytes for {self.height} rows of {self.step}")
        strides = (self.step, channels * kind.itemsize, kind.itemsize)
        return np.ndarray((self.height, self.width, channels), kind, data, self.begin, strides)


def image_rgb(data: bytes) -> NDArray[np.uint8]:
    """A serialized rgb8 or bgr8 image to uint8 (H, W, 3) RGB.

    Raises:
        ValueError: it is no such image.
    """
    head = ImageHead.read(data)
    if head.encoding not in COLOURS:
        raise ValueError(f"image encoding {head.encoding[:40]!r}: set the camera to rgb8 or bgr8")
    pixels = head.pixels(data, 3, np.dtype(np.uint8))
    return pixels[..., ::-1].copy() if head.encoding == "bgr8" else pixels.copy()


def _aligned(position: int) -> int:
    return position + -(position - BODY) % 4


def _text_at(data: bytes, position: int, order: str) -> tuple[int, str]:
    """End of the string at `position`, and the string. Raises struct.error or IndexError where it does not end."""
    (length,) = struct.unpack_from(f"{order}I", data, position)
    end = position + 4 + length
    if end > len(data):
        raise IndexError(f"a text of {length} bytes")
    return end, data[position + 4 : end - 1].decode(errors="replace")
