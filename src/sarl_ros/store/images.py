"""The image a critic sees and a replay store keeps: 64x64, made from a camera's image by one function everywhere."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

CRITIC_PIXELS = 64
JPEG_QUALITY = 95


def critic_image(front: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Third-person image uint8 (H, W, 3) RGB to uint8 (64, 64, 3) RGB, each pixel the mean of the area it covers."""
    if front.shape[:2] == (CRITIC_PIXELS, CRITIC_PIXELS):
        return np.ascontiguousarray(front)
    resized = cv2.resize(front, (CRITIC_PIXELS, CRITIC_PIXELS), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """uint8 (H, W, 3) RGB to PNG, without loss."""
    ok, encoded = cv2.imencode(".png", image[..., ::-1])
    if not ok:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as PNG")
    return encoded.tobytes()


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """PNG to uint8 (H, W, 3) RGB. Raises ValueError when `data` is none."""
    return _decode(np.frombuffer(data, np.uint8), "PNG")


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """uint8 (H, W, 3) RGB to JPEG, as observations travel in messages."""
    ok, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as JPEG")
    return encoded.tobytes()


def decode_jpeg(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """JPEG, uint8 (N,), to uint8 (H, W, 3) RGB. Raises ValueError when `data` is none."""
    return _decode(data, "JPEG")


def _decode(data: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    try:
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # of nothing, or of more pixels than are taken
        decoded = None
    if decoded is None:
        raise ValueError(f"{data.size} bytes are no {kind} image")
    return np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)
