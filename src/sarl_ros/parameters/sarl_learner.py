"""The learner's parameters."""

from __future__ import annotations

from pydantic import Field

from sarl_ros.parameters.base import Count, PositiveSeconds, RunParameters, Seed


class LearnerParameters(RunParameters):
    task: str = Field(default="", description="name of the task")
    agent: str = Field(default="sarl", description="a name of methods.registry")
    preset: str = Field(default="sim", description="a file under config/agents, or a path to one")
    seed: Seed = Field(default=0, description="of choices and of training")
    seed_base: Seed = Field(default=0, description="episode n is reset with seed_base + n")
    control_steps: int = Field(default=24, ge=1, le=10_000, description="control periods a prompt is run for")
    evaluate: bool = Field(default=False, description="choose greedily and learn nothing")
    keep_checkpoints_every: Count = Field(default=25, description="episodes; 0 keeps the newest alone")
    demos: str = Field(default="", description="file of demonstrations")
    demo_count: Count = Field(default=0, description="how many of them to begin with")
    prompts: str = Field(default="", description="file of prompts for agent steer")
    checkpoint: str = Field(default="", description="critics to choose with, for evaluation")
    weights_hash: str = Field(default="", description="of the policy's weights, which demonstrations must share")
    warm_start: str = Field(default="", description="folder of what was learned offline, to begin with")
    proposer_timeout_s: PositiveSeconds = Field(default=20.0, description="without an answer it is asked again")
