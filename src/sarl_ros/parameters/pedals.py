"""The pedals' parameters."""

from __future__ import annotations

from pydantic import Field

from sarl_ros.parameters.base import Names, NodeName, NodeParameters, Seconds


class PedalsParameters(NodeParameters):
    device: NodeName = Field(description="a part of the device's name as `evtest` lists it, or its path in /dev/input")
    keys: Names = Field(default=("",), description="keys in the order of the joystick's buttons, '' for none")
    debounce_s: Seconds = Field(default=0.03, description="a key that has changed does not change again before")
