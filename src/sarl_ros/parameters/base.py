"""What the parameters of all nodes share."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from sarl_ros.core.yaml_file import FileModel

Seconds = Annotated[float, Field(ge=0, le=86_400)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400)]
Metres = Annotated[float, Field(ge=-2, le=2)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**53)]
NodeName = Annotated[str, Field(min_length=1)]
_TOPIC_PART = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


def _topic_part(name: str) -> str:
    if not _TOPIC_PART.fullmatch(name):
        raise ValueError("no topic can have that in its name: use letters, digits and _, and begin with a letter")
    return name


def _some(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError('ROS tells an empty list from none at all by no type: write [""]')
    return names


TopicPart = Annotated[str, AfterValidator(_topic_part)]
"""A name that topics have in them."""
Names = Annotated[tuple[str, ...], AfterValidator(_some)]
"""Texts, where an empty one is none."""


class NodeParameters(FileModel):
    """Of every node."""

    run: str = Field(default="", description="name of the run, whose messages alone are taken; empty: those of any")
    use_sim_time: bool = Field(default=False, description="whether stamps are of the simulator's clock")


class RunParameters(NodeParameters):
    """Of a node that keeps records of a run."""

    run_dir: str = Field(default="", description="folder of the run, where its records are kept")

    @model_validator(mode="after")
    def _a_folder(self) -> Self:
        if not self.run_dir:
            raise ValueError("run_dir is not set: give the run's folder")
        return self

    @property
    def run_name(self) -> str:
        """As the records have it: the parameter, else the folder's name."""
        return self.run or self.run_dir.rstrip("/").rpartition("/")[2]
