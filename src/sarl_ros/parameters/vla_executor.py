"""The executor's parameters."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sarl_ros.core.types import CONTROL_PERIOD_S
from sarl_ros.parameters.base import Count, NodeParameters, PositiveSeconds, Seconds, TopicPart


class ExecutorParameters(NodeParameters):
    policy: str = Field(default="mini", description="a name of policies.registry, or a folder of weights")
    execute: int = Field(
        default=2, ge=1, le=1000, description="steps of an action chunk that are executed before planning again"
    )
    control_period_s: PositiveSeconds = Field(
        default=CONTROL_PERIOD_S, description="of the arm; how long a stop may take"
    )
    front_camera: TopicPart = Field(default="front", description="name of the third-person camera")
    wrist_camera: TopicPart = Field(default="wrist", description="name of the wrist camera")
    image_slack_s: Seconds = Field(
        default=0.0, description="images may be older than the arm state by this; hardware: a frame"
    )
    arm_timeout_s: PositiveSeconds = Field(
        default=3.0, description="without an answer of the arm, or an image, a step fails"
    )
    plan_timeout_s: PositiveSeconds = Field(default=30.0, description="without a plan of the policy a step fails")
    max_refusals: Count = Field(default=5, description="refused actions in a row; more than these fail the step")

    @model_validator(mode="after")
    def _two_cameras(self) -> Self:
        if self.front_camera == self.wrist_camera:
            raise ValueError(f"front_camera and wrist_camera are both {self.front_camera}: name two cameras")
        return self
