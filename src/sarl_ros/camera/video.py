"""UVC cameras and video files through OpenCV."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sarl_ros.camera.freshness import capture_stamp
from sarl_ros.camera.types import (
    CameraAbsent,
    CameraError,
    CameraGone,
    CameraSettings,
    Description,
    Frame,
    FrameTimeout,
    Intrinsics,
)

# OpenCV waits this long [s] for a V4L2 frame; its default of 10 s would look like a hang.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")

MANUAL_EXPOSURE, AUTOMATIC_EXPOSURE = 1, 3  # V4L2_EXPOSURE_MANUAL, V4L2_EXPOSURE_APERTURE_PRIORITY
LONGEST_AGE_S = 10.0


class UvcSource:
    """A USB camera through V4L2. It knows no intrinsics; calibrate it for those.

    Args:
        open_capture: makes a cv2.VideoCapture of a device's path.
    """

    def __init__(self, settings: CameraSettings, open_capture: Callable[[str], Any] | None = None) -> None:
        self._settings = settings
        self._open_capture = open_capture or _open_v4l2
        self._capture: Any = None
        self._number = 0

    def open(self) -> Description:
        import cv2

        settings = self._settings
        if not Path(settings.device).exists():
            raise CameraAbsent(f"{settings.device} is not there: plug the camera in, or correct `device`")
        capture = self._capture = self._open_capture(settings.device)
        if not capture.isOpened():
            raise CameraError(
                f"{settings.device} cannot be opened: end other programs that use it, or join group video"
            )
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for name, prop, value in (
            ("width", cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
            ("fps", cv2.CAP_PROP_FPS, settings.fps),
        ):
            _set(capture, prop, value, name)
        facts = {"name": settings.device}
        facts["exposure"] = self._fix(
            "exposure",
            settings.exposure,
            (cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL_EXPOSURE, AUTOMATIC_EXPOSURE),
            cv2.CAP_PROP_EXPOSURE,
        )
        facts["white_balance"] = self._fix(
            "white_balance", settings.white_balance, (cv2.CAP_PROP_AUTO_WB, 0, 1), cv2.CAP_PROP_WB_TEMPERATURE
        )
        if settings.exposure and settings.gain:
            facts["gain"] = _set(capture, cv2.CAP_PROP_GAIN, settings.gain, "gain")
        return Description(Intrinsics(settings.width, settings.height), facts)

    def read(self, timeout_s: float) -> Frame:
        import cv2

        ok, picture = self._capture.read()
        now_ns, now_s = time.time_ns(), time.monotonic()
        if not ok:
            if not Path(self._settings.device).exists():
                raise CameraGone(f"{self._settings.device} was unplugged, or lost its power: check its cable")
            raise FrameTimeout
        self._number += 1
        # The driver dates frames on the steady clock.
        age_s = now_s - self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e-3
        device_ns = now_ns - round(age_s * 1e9) if 0 <= age_s < LONGEST_AGE_S else None
        return Frame(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), self._number, *capture_stamp(device_ns, now_ns))

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def reset(self) -> None:
        raise CameraError(f"{self._settings.device} cannot be reset by software: unplug it and plug it in")

    def _fix(self, name: str, value: float, automatic: tuple[int, float, float], target: int) -> str:
        switch, off, on = automatic
        self._capture.set(switch, off if value else on)
        return _set(self._capture, target, value, name) if value else "automatic"


class VideoFileSource:
    """A video file at the pace of the settings' rate, over and over."""

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._capture: Any = None
        self._number = 0
        self._next_s = 0.0

    def open(self) -> Description:
        import cv2

        settings = self._settings
        if not Path(settings.recording).is_file():
            raise CameraAbsent(f"the recording {settings.recording} is missing: correct `recording`")
        self._capture = cv2.VideoCapture(settings.recording)
        size = tuple(int(self._capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not self._capture.isOpened():
            raise CameraError(f"{settings.recording} is no video that OpenCV can read: convert it to MP4 or AVI")
        if size != (settings.width, settings.height):
            raise CameraError(f"{settings.recording} is {size[0]}x{size[1]}: set width and height to that")
        self._next_s = time.monotonic()
        return Description(
            Intrinsics(settings.width, settings.height), {"name": settings.recording, "exposure": "as recorded"}
        )

    def read(self, timeout_s: float) -> Frame:
        import cv2

        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = max(self._next_s + 1 / self._settings.fps, time.monotonic())
        ok, picture = self._capture.read()
        if not ok:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            ok, picture = self._capture.read()
        if not ok:
            raise CameraError(f"{self._settings.recording} has no frame that can be read: record it again")
        self._number += 1
        return Frame(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)), self._number, time.time_ns(), 0.0)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def reset(self) -> None:
        raise CameraError("a recording cannot be reset: play it again")


def _open_v4l2(device: str) -> Any:
    import cv2

    return cv2.VideoCapture(device, cv2.CAP_V4L2)


def _set(capture: Any, prop: int, value: float, name: str) -> str:
    """Set a property and read it back. Raises CameraError when it differs."""
    capture.set(prop, value)
    found = capture.get(prop)
    if abs(found - value) > 0.5:
        raise CameraError(f"{name} was set to {value:g} and reads back {found:g}: choose a value that the camera has")
    return f"{found:g}"
