"""The recorder's parameters."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from sarl_ros.parameters.base import Names, RunParameters

Megabytes = Annotated[float, Field(ge=0, le=1e9)]


class RecorderParameters(RunParameters):
    jpeg_quality: int = Field(default=85, ge=1, le=100, description="of camera images, 1 to 100")
    raw_images: bool = Field(default=False, description="record camera images as they come")
    exclude: Names = Field(default=("",), description="topics that are not recorded; one '' for none")
    warn_below_mb: Megabytes = Field(default=0.0, description="free space below which there is a warning")
    no_images_below_mb: Megabytes = Field(default=0.0, description="free space below which images are dropped")
    close_below_mb: Megabytes = Field(default=0.0, description="free space below which the bag is closed")
    backlog_mb: Megabytes = Field(default=256.0, gt=0, description="of messages that may wait for the disk")

    @model_validator(mode="after")
    def _falling(self) -> Self:
        if not self.warn_below_mb >= self.no_images_below_mb >= self.close_below_mb:
            raise ValueError("warn_below_mb, no_images_below_mb and close_below_mb must fall in this order")
        return self
