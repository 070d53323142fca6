"""The simulated world's parameters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sarl_ros.parameters.base import NodeParameters, Seconds, Seed, TopicPart


class SimWorldParameters(NodeParameters):
    robot_name: TopicPart = Field(default="wx250s", description="namespace of the xs_sdk wire")
    time: Literal["lockstep", "realtime"] = Field(
        default="lockstep", description="lockstep: as fast as commands come; realtime: on the steady clock"
    )
    task: str = Field(default="", description="laid out at the start; empty: an empty table")
    seed: Seed = Field(default=0, description="of that layout")
    pwm_wait_s: Seconds = Field(default=0.05, description="lockstep: wait for a PWM after a period that had none [s]")
    fault_script: str = Field(default="", description="faults on purpose, a YAML file; empty: none")
