"""Values that camera sources, the child process and the node share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KINDS = ("realsense", "uvc", "recording")
SDK_RECORDINGS = (".bag", ".db3")


class CameraError(Exception):
    """A camera cannot be used as it is; one line that names the thing and the remedy."""


class CameraAbsent(CameraError):
    """The device is not there; the line says what to plug in. Waiting may help."""


class CameraGone(CameraError):
    """The device was there and has been removed."""


class FrameTimeout(Exception):
    """No frame came in time."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What a person chooses of a camera.

    Attributes:
        kind: realsense, uvc or recording.
        serial: of a RealSense; empty for the only one that is connected.
        device: of a UVC camera, a path such as /dev/v4l/by-id/usb-...-video-index0.
        recording: a file: .bag or .db3 that the RealSense SDK recorded, or a video.
        width, height: of the stream [pixels].
        fps: of the stream [Hz].
        downscale: images are reduced by this whole factor, by averaging, after the stream.
        exposure: in the sensor's own unit (RealSense D435 and UVC: 100 us; D405: 1 us); 0 leaves it automatic.
        gain: in the sensor's own unit; 0 leaves it as it is. Used with a fixed exposure only.
        white_balance: [K]; 0 leaves it automatic.
        max_age_s: a frame older than this on arrival is stale.
        warm_up_frames: dropped after each start.
    """

    kind: str = "realsense"
    serial: str = ""
    device: str = ""
    recording: str = ""
    width: int = 640
    height: int = 480
    fps: int = 30
    downscale: int = 1
    exposure: float = 0.0
    gain: float = 0.0
    white_balance: float = 0.0
    max_age_s: float = 0.2
    warm_up_frames: int = 5

    def __post_init__(self) -> None:
        """Raises CameraError where the settings cannot mean a camera."""
        if self.kind not in KINDS:
            raise CameraError(f"source is {self.kind!r}: set it to {', '.join(KINDS)}")
        if self.kind == "uvc" and not self.device:
            raise CameraError("device is empty: set it to the camera's path under /dev/v4l/by-id")
        if self.kind == "recording" and not self.recording:
            raise CameraError("recording is empty: set it to a .bag, a .db3 or a video file")
        if min(self.width, self.height, self.fps, self.downscale) < 1:
            raise CameraError("width, height, fps and downscale must be at least 1")
        if self.width % self.downscale or self.height % self.downscale:
            raise CameraError(f"{self.width}x{self.height} cannot be divided by {self.downscale}: choose a divisor")
        if self.max_age_s <= 0 or self.warm_up_frames < 0:
            raise CameraError("max_age_s must be above 0 and warm_up_frames not below")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the images that come out: height, width, 3."""
        return self.height // self.downscale, self.width // self.downscale, 3

    @property
    def plays_sdk_recording(self) -> bool:
        return self.kind == "recording" and Path(self.recording).suffix in SDK_RECORDINGS

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CameraSettings:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Of a pinhole with distortion, in pixels. All zero where the camera is not calibrated, as ROS has it.

    Attributes:
        distortion_model: plumb_bob, rational_polynomial or equidistant, as in sensor_msgs/CameraInfo.
        distortion: its coefficients in that model's order.
    """

    width: int
    height: int
    fx: float = 0.0
    fy: float = 0.0
    cx: float = 0.0
    cy: float = 0.0
    distortion_model: str = "plumb_bob"
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def downscaled(self, factor: int) -> Intrinsics:
        """Of the image reduced by averaging blocks of `factor` pixels; a pixel's centre has whole coordinates."""
        return Intrinsics(
            self.width // factor,
            self.height // factor,
            self.fx / factor,
            self.fy / factor,
            (self.cx + 0.5) / factor - 0.5 if self.fx else 0.0,
            (self.cy + 0.5) / factor - 0.5 if self.fy else 0.0,
            self.distortion_model,
            self.distortion,
        )


@dataclass(frozen=True, slots=True)
class Description:
    """What a started camera is, for people and for camera_info.

    Attributes:
        facts: name, serial, firmware, USB type and the like, in words.
        warning: what works less well than it could, with the remedy; empty if nothing does.
    """

    intrinsics: Intrinsics
    facts: dict[str, str] = field(default_factory=dict)
    warning: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image.

    Attributes:
        pixels: uint8 (H, W, 3) RGB; valid until the next frame is asked for.
        number: counts what the sensor took; the same number again is the same picture again.
        stamp_ns: of capture, on the system clock, which is ROS time on hardware.
        age_s: how long ago it was taken when it arrived.
    """

    pixels: NDArray[np.uint8]
    number: int
    stamp_ns: int
    age_s: float
