"""The operator's parameters."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from sarl_ros.core.episode_events import Button, EpisodeConfig
from sarl_ros.core.task import MAX_STEPS, Task
from sarl_ros.parameters.base import Count, Names, NodeName, PositiveSeconds, RunParameters, Seconds, Seed


def _button(name: str) -> str:
    if name not in (*Button, ""):
        raise ValueError(f"no button is called {name!r}: use {', '.join(Button)} or ''")
    return name


class OperatorParameters(RunParameters):
    task: str = Field(default="hammer", description="a task under config/tasks, or the path of a task file")
    episodes: Count = Field(default=0, description="completed episodes that end the run, 0 for no end")
    seed_base: Seed = Field(default=0, description="the reset seed of episode n is this + n")
    max_steps: int = Field(
        default=0, ge=0, le=MAX_STEPS, description="steps after which an episode times out, 0 for the task's own"
    )
    auto: bool = Field(
        default=True, description="a judge ends episodes, which start and reset by themselves; nobody presses"
    )
    judge: str = Field(default="sim_world", description="node that judges in auto mode; empty: a person does")
    sim: bool = Field(default=True, description="there is a simulated world to reset")
    wide: bool = Field(default=False, description="wide layouts instead of the jittered fixed one")
    wait_for_learner: bool = Field(default=True, description="start an episode only when no updates are owed")
    auto_clear_s: Seconds = Field(
        default=1.0, description="auto mode: leave HELD after a restart when all nodes are there so long; 0 never"
    )
    required_nodes: tuple[NodeName, ...] = Field(
        min_length=1,
        default=("vla_executor", "arm_bridge", "sim_world", "prompt_proposer", "sarl_learner"),
        description="nodes that an episode needs",
    )
    optional_nodes: Names = Field(
        default=("recorder",), description="no episode starts while one of these says it is not ready"
    )
    joy_buttons: tuple[Annotated[str, AfterValidator(_button)], ...] = Field(
        min_length=1,
        default=("start", "success", "failure", "subgoal", "reset_done", "abort", "hold", "clear"),
        description="buttons by their index in /joy, '' for none",
    )
    double_press_s: Seconds = Field(
        default=0.4, description="the same button again from the same source within this time is the same press"
    )
    silence_s: PositiveSeconds = Field(default=3.0, description="a node without a heartbeat for this long is lost")
    press_window_s: Seconds = Field(default=0.5, description="without auto: how long a result waits for a press")
    end_shown_s: Seconds = Field(default=0.1, description="how long the end of an episode is shown, and can be amended")
    answer_timeout_s: PositiveSeconds = Field(default=60.0, description="for the result, and the judgement, of a step")
    max_aborts_in_a_row: Count = Field(default=5, description="episodes aborted by faults, then the run is held")
    max_resets_in_a_row: Count = Field(default=5, description="resets that fail, then the run is held")

    @model_validator(mode="after")
    def _judged(self) -> Self:
        if self.auto and not self.judge:
            raise ValueError("auto needs a judge: name the node that judges, or let a person (auto: false)")
        return self

    def episode_config(self, task: Task) -> EpisodeConfig:
        return EpisodeConfig(
            max_steps=self.max_steps or task.max_steps,
            seed_base=self.seed_base if self.sim else None,
            auto=self.auto,
            max_aborts_in_a_row=self.max_aborts_in_a_row,
            max_resets_in_a_row=self.max_resets_in_a_row,
        )
