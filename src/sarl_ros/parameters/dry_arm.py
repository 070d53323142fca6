"""The parameters of the arm that is not there. Those of another bridge are taken and not used: see `bridge`."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from sarl_ros.parameters.base import NodeParameters


class DryArmParameters(NodeParameters):
    model_config = ConfigDict(extra="ignore")

    bridge: str = Field(default="dry", description="whose driver this is, see runs.bringup.BRIDGES")
    stop_file: str = Field(default="", description="where a stop outlives this process; empty: it does not")
