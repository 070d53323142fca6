"""The bag player's parameters."""

from __future__ import annotations

from pydantic import Field

from sarl_ros.parameters.base import Count, Names, NodeParameters, Seconds


class BagPlayerParameters(NodeParameters):
    bags: Names = Field(default=("",), description="run folders, bag folders or .mcap files")
    rate: float = Field(default=1.0, gt=0, le=1000, description="times the speed of the recording")
    start_s: float = Field(default=0.0, ge=0, le=1e9, description="seconds of the recording to leave out")
    episode: Count = Field(default=0, description="play this episode alone; 0 for all")
    loop: bool = Field(default=False, description="begin again at the end")
    ends: bool = Field(default=False, description="end this process once all is played")
    wait_s: Seconds = Field(default=1.0, description="how long to wait for a listener before the start")
