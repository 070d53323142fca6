"""The console's parameters."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sarl_ros.parameters.base import NodeName, NodeParameters, TopicPart


class ConsoleParameters(NodeParameters):
    host: NodeName = Field(
        default="127.0.0.1", description="address to serve on; one that other machines reach needs a token"
    )
    port: int = Field(default=8080, ge=0, le=65535, description="port to serve on, 0 takes a free one")
    names: str = Field(
        default="", description="further names of this machine in a browser's address line, comma-separated"
    )
    token_file: str = Field(default="", description="file with the operator's token, else $SARL_CONSOLE_TOKEN")
    view_token_file: str = Field(default="", description="file with the viewers' token, else $SARL_CONSOLE_VIEW_TOKEN")
    front_camera: TopicPart = Field(default="front", description="camera on the scene")
    wrist_camera: TopicPart = Field(default="wrist", description="camera on the wrist")

    @model_validator(mode="after")
    def _two_cameras(self) -> Self:
        if self.front_camera == self.wrist_camera:
            raise ValueError(f"front_camera and wrist_camera are both {self.front_camera}: name two cameras")
        return self
