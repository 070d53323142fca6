"""The operator's parameters, and what follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor

from sarl_ros.core.episode_events import EpisodeConfig
from sarl_ros.core.task import Task
from sarl_ros.ros.node import SarlNode, SetupError

OPTIONAL_NODES = ["recorder"]
JOY_BUTTONS = ["start", "success", "failure", "subgoal", "reset_done", "abort", "hold", "clear"]
DEFAULT_NODES = ["vla_executor", "widowx_bridge", "sim_world", "prompt_proposer", "sarl_learner"]


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """The node's parameters of the same names, described where they are read; `task` is its name or its file."""

    run_dir: Path
    run: str
    task: str
    episodes: int
    seed_base: int
    max_steps: int
    auto: bool
    sim: bool
    wide: bool
    wait_for_learner: bool
    auto_clear_s: float
    required_nodes: list[str]
    optional_nodes: list[str]
    joy_buttons: list[str]
    double_press_s: float
    silence_s: float
    press_window_s: float
    end_shown_s: float
    answer_timeout_s: float
    max_aborts_in_a_row: int
    max_resets_in_a_row: int

    @classmethod
    def read(cls, node: SarlNode) -> OperatorSettings:
        """Declare the parameters and take their values.

        Raises:
            SetupError: they do not go together.
        """

        def declare(name: str, default: Any, description: str) -> Any:
            return node.declare_parameter(name, default, ParameterDescriptor(description=description)).value

        run_dir = Path(declare("run_dir", "", "folder of the run; the journal is kept there"))
        settings = cls(
            run_dir=run_dir,
            run=node.boundary.run or run_dir.name,
            task=declare("task", "hammer", "a task under config/tasks, or the path of a task file"),
            episodes=declare("episodes", 0, "completed episodes that end the run, 0 for no end"),
            seed_base=declare("seed_base", 0, "the reset seed of episode n is this + n"),
            max_steps=declare("max_steps", 0, "steps after which an episode times out, 0 for the task's own"),
            auto=declare("auto", True, "the simulated world judges and resets, nobody presses buttons"),
            sim=declare("sim", True, "there is a simulated world to reset"),
            wide=declare("wide", False, "wide layouts instead of the jittered fixed one"),
            wait_for_learner=declare("wait_for_learner", True, "start an episode only when no updates are owed"),
            auto_clear_s=declare(
                "auto_clear_s", 1.0, "auto mode: leave HELD after a restart when all nodes are there so long; 0 never"
            ),
            required_nodes=list(declare("required_nodes", DEFAULT_NODES, "nodes that an episode needs")),
            optional_nodes=list(
                declare("optional_nodes", OPTIONAL_NODES, "no episode starts while one of these says it is not ready")
            ),
            joy_buttons=list(declare("joy_buttons", JOY_BUTTONS, "buttons by their index in /joy, '' for none")),
            double_press_s=declare(
                "double_press_s", 0.4, "the same button again from the same source within this time is the same press"
            ),
            silence_s=declare("silence_s", 3.0, "a node without a heartbeat for this long is lost"),
            press_window_s=declare("press_window_s", 0.5, "without auto: how long a result waits for a press"),
            end_shown_s=declare("end_shown_s", 0.1, "how long the end of an episode is shown, and can be amended"),
            answer_timeout_s=declare("answer_timeout_s", 60.0, "for the result, and the judgement, of a step"),
            max_aborts_in_a_row=declare("max_aborts_in_a_row", 5, "episodes aborted by faults, then the run is held"),
            max_resets_in_a_row=declare("max_resets_in_a_row", 5, "resets that fail, then the run is held"),
        )
        if run_dir == Path(""):
            raise SetupError("operator: run_dir is empty: give the run's folder as a parameter")
        if settings.auto and not settings.sim:
            raise SetupError("operator: auto needs sim: without a simulated world a person judges and resets")
        return settings

    def episode_config(self, task: Task) -> EpisodeConfig:
        return EpisodeConfig(
            max_steps=self.max_steps or task.max_steps,
            seed_base=self.seed_base if self.sim else None,
            auto=self.auto,
            max_aborts_in_a_row=self.max_aborts_in_a_row,
            max_resets_in_a_row=self.max_resets_in_a_row,
        )
