"""The proposer's parameters."""

from __future__ import annotations

from pydantic import Field

from sarl_ros.parameters.base import NodeParameters


class ProposerParameters(NodeParameters):
    proposer: str = Field(
        default="scene", description="scene, scene:FOLDER of weights that it sees with, or fixed:FILE of prompts"
    )
