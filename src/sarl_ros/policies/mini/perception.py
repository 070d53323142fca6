"""Perception at run time: two camera images and the proprio in, the objects that are there out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarl_ros.policies.mini.files import PERCEPTION_FILE
from sarl_ros.policies.mini.keypoints import KeypointConfig, KeypointNet, View, ViewReading
from sarl_ros.policies.mini.weights import load_weights, save_weights
from sarl_ros.policies.policy import PolicyError


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """An object that perception believes is on the table or in the gripper.

    Attributes:
        name: class of the object.
        position: (3,) float32 in the base frame [m].
        yaw: about the vertical [rad].
        confidence: 0 .. 1 that it is there.
        code: (6,) float32, colour and size as the policy sees them.
    """

    name: str
    position: NDArray[np.float32]
    yaw: float
    confidence: float
    code: NDArray[np.float32]


def shrink(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Average an RGB image down to `size` (width, height); it must have the same aspect ratio.

    Raises:
        ValueError: not uint8 (H, W, 3), or another aspect ratio.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is {image.dtype} {image.shape}: pass uint8 (height, width, 3) RGB")
    if image.shape[1] * size[1] != image.shape[0] * size[0]:
        raise ValueError(f"an image is {image.shape[1]}x{image.shape[0]}: the policy needs 4:3, crop it first")
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


@torch.inference_mode()
def _read(view: View, image: NDArray[np.uint8], size: tuple[int, int]) -> ViewReading:
    reading: ViewReading = view(torch.from_numpy(shrink(image, size)).permute(2, 0, 1)[None])
    return reading


class Perception:
    """The keypoint network in inference; the wrist image is read in a thread of its own, beside the front image.

    Attributes:
        classes: names of all objects that it can tell apart.
        codes: (K, 6) float32 appearance codes of the classes.
    """

    def __init__(self, net: KeypointNet, codes: Tensor) -> None:
        self.net = net.eval()
        self.classes = net.config.classes
        self.codes = codes
        self._beside = ThreadPoolExecutor(1, "wrist view")

    @classmethod
    def load(cls, folder: Path) -> Perception:
        """Read the weights in a folder.

        Raises:
            PolicyError: they are missing, damaged or of another version.
        """
        tensors, config = load_weights(folder / PERCEPTION_FILE)
        try:
            codes = tensors.pop("codes")
            sizes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
            net = KeypointNet(KeypointConfig(**sizes))
            net.load_state_dict(tensors)
        except (KeyError, TypeError, RuntimeError):
            raise PolicyError(f"{folder / PERCEPTION_FILE} is of another version: run `sarl vla-train` again") from None
        return cls(net, codes)

    def save(self, folder: Path) -> None:
        """Write the weights into a folder."""
        save_weights(folder / PERCEPTION_FILE, {**self.net.state_dict(), "codes": self.codes}, asdict(self.net.config))

    @torch.inference_mode()
    def locate(
        self, front: NDArray[np.uint8], wrist: NDArray[np.uint8], proprio: NDArray[np.float32]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Where every class would be: position (K, 3) [m], yaw (K,) [rad], probability that it is there (K,)."""
        net = self.net
        reading = self._beside.submit(_read, net.wrist, wrist, net.config.wrist_size)
        front_view = _read(net.front, front, net.config.front_size)
        seen = net.merge(front_view, reading.result(), torch.from_numpy(np.asarray(proprio, np.float32))[None])
        return seen.position[0], torch.atan2(seen.yaw[0, :, 1], seen.yaw[0, :, 0]), torch.sigmoid(seen.presence[0])

    def detect(
        self, front: NDArray[np.uint8], wrist: NDArray[np.uint8], proprio: NDArray[np.float32]
    ) -> list[Detection]:
        """Find the objects that are there, in the order of `classes`.

        Args:
            front, wrist: uint8 (H, W, 3) RGB, 4:3.
            proprio: (8,) as `Observation.proprio`.

        Raises:
            ValueError: an image has the wrong shape.
        """
        position, yaw, probability = self.locate(front, wrist, proprio)
        return [
            Detection(name, position[i].numpy(), float(yaw[i]), float(probability[i]), self.codes[i].numpy())
            for i, name in enumerate(self.classes)
            if probability[i] > 0.5
        ]
