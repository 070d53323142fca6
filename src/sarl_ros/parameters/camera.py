"""A camera's parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal, Self

from pydantic import Field, model_validator

from sarl_ros.camera.types import CameraError, CameraSettings
from sarl_ros.parameters.base import NodeParameters, PositiveSeconds


class CameraParameters(NodeParameters):
    camera: str = Field(default="", description="name in the topics; empty: the node's name without camera_")
    source: Literal["realsense", "uvc", "recording"] = Field(
        default="realsense", description="realsense, uvc or recording"
    )
    serial: str = Field(default="", description="of a RealSense; empty: the only one that is connected")
    device: str = Field(default="", description="of a UVC camera, under /dev/v4l/by-id")
    recording: str = Field(default="", description="a .bag or .db3 of the RealSense SDK, or a video file")
    width: int = Field(default=640, ge=16, le=8192, description="of the stream [pixels]")
    height: int = Field(default=480, ge=16, le=8192, description="of the stream [pixels]")
    fps: int = Field(default=30, ge=1, le=300, description="of the stream [Hz]")
    downscale: int = Field(default=1, ge=1, le=64, description="images are made smaller by this whole factor")
    exposure: float = Field(
        default=0.0, ge=0, le=1e6, description="in the sensor's unit, D435 and UVC: 100 us, D405: 1 us; 0: automatic"
    )
    gain: float = Field(
        default=0.0, ge=0, le=1e6, description="in the sensor's unit, with a fixed exposure; 0: as it is"
    )
    white_balance: float = Field(default=0.0, ge=0, le=1e6, description="[K]; 0: automatic")
    max_age_s: PositiveSeconds = Field(default=0.2, description="a frame older than this is withheld [s]")
    warm_up_frames: int = Field(default=5, ge=0, le=1000, description="dropped after each start")
    max_silence_s: PositiveSeconds = Field(
        default=0.5, description="without a new frame for this long the camera is lost"
    )

    @model_validator(mode="after")
    def _a_camera(self) -> Self:
        try:
            self.settings()
        except CameraError as error:
            raise ValueError(str(error)) from None
        return self

    def settings(self) -> CameraSettings:
        """Raises CameraError where they cannot mean a camera."""
        chosen = {field.name: getattr(self, field.name) for field in fields(CameraSettings) if field.name != "kind"}
        return CameraSettings(kind=self.source, **chosen)
