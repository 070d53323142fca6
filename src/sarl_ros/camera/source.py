"""The seam between a camera and everything else: open, read, close, reset."""

from __future__ import annotations

from typing import Protocol

from sarl_ros.camera.types import CameraSettings, Description, Frame


class Source(Protocol):
    """One camera, used by one thread. Any call may hang for ever: the process around it is killed then."""

    def open(self) -> Description:
        """Start the stream with exposure and white balance as the settings say, read back.

        Raises:
            CameraAbsent: the device is not there.
            CameraError: it is there and cannot be used so.
        """
        ...

    def read(self, timeout_s: float) -> Frame:
        """The next frame, RGB, of the stream's size.

        Raises:
            FrameTimeout: none came in time.
            CameraGone: the device has been removed.
            CameraError: the stream has failed.
        """
        ...

    def close(self) -> None:
        """Stop the stream."""
        ...

    def reset(self) -> None:
        """Restart the hardware, which makes the device vanish and return; not while the stream runs.

        Raises:
            CameraAbsent: the device is not there.
            CameraError: it cannot be reset by software.
        """
        ...


def make_source(settings: CameraSettings) -> Source:
    """The back-end that the settings ask for; its libraries are imported here and not before.

    Raises:
        CameraError: a library cannot be loaded.
    """
    if settings.kind == "realsense" or settings.plays_sdk_recording:
        from sarl_ros.camera.realsense import RealsenseSource

        return RealsenseSource(settings)
    from sarl_ros.camera.video import UvcSource, VideoFileSource

    return UvcSource(settings) if settings.kind == "uvc" else VideoFileSource(settings)
