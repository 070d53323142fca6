"""What a person chooses of a training run, in the same words for `sarl train`, `ros2 launch` and a script.

`RunChoices` has each choice once, with its default, its limits and its help; `settings` makes of them what a run folder
is made from, and refuses what cannot work before anything is written.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sarl_ros.core.paths import config_dir
from sarl_ros.core.task import load_task
from sarl_ros.core.yaml_file import first_fault
from sarl_ros.methods.preset import PresetError, load_preset
from sarl_ros.methods.registry import METHODS, learns
from sarl_ros.policies.registry import BACKENDS, identity
from sarl_ros.proposers.proposer import ProposerError
from sarl_ros.proposers.registry import check_proposer
from sarl_ros.runs.folder import RunError, RunSettings, check_environment
from sarl_ros.runs.robots import is_simulated

DEMONSTRATIONS = 3
OFF, ON = ("", "false"), "true"


class RunChoices(BaseModel):
    """See the module. An empty text is as good as no choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field("hammer", description="a file under config/tasks, or a path")
    episodes: int = Field(100, ge=1, le=1_000_000, description="episodes that complete the run")
    seed: int = Field(0, ge=0, le=799, description="of the run")
    agent: str = Field("sarl", description="what chooses the prompts")
    preset: str = Field("sim", description="of the agent: a file under config/agents, or a path")
    demos: int | None = Field(
        None, ge=0, le=1000, description="demonstrations to start from (default: 3 if there are any, and it learns)"
    )
    demo_file: Path | None = Field(None, description="made by `sarl steer` (default: config/demos/TASK.demos)")
    warm_start: Path | None = Field(None, description="folder of what --offline made, to begin with")
    robot: str = Field("sim", description="widowx: the arm and cameras themselves, operated; or a parameter file")
    policy: str = Field("mini", description="mini, still, or a folder of weights")
    proposer: str = Field("scene", description="of prompts: scene, scene:FOLDER of weights, or fixed:FILE of prompts")
    wide: bool = Field(False, description="wide layouts instead of the jittered fixed one")
    time: Literal["lockstep", "realtime"] = Field("lockstep", description="of the simulator")
    fault_script: Path | None = Field(None, description="faults that the simulator has on purpose, a YAML file")
    record: bool = Field(True, description="write a bag an episode, in RUN/bags")
    console: str = Field("", description="serve the operator's page: true, or HOST:PORT")
    operate: bool = Field(False, description="a person starts, judges and confirms resets on the operator's page")

    @field_validator("demos", "demo_file", "warm_start", "fault_script", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("robot")
    @classmethod
    def _there(cls, value: str) -> str:
        is_simulated(value)
        return value

    @field_validator("agent")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in AGENTS:
            raise ValueError(f"choose one of {', '.join(AGENTS)}")
        return value

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Choices by name, as values or as texts.

        Raises:
            RunError: one is unknown or absurd; a line that names it.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise RunError(first_fault(error)) from None

    def settings(self, graph: bool = True) -> RunSettings:
        """What these choices mean.

        Args:
            graph: the run is to be played through ROS nodes.

        Raises:
            RunError, TaskError, ScriptError, PolicyError: they cannot work, or do not go together.
        """
        check_environment(graph)
        check_task(self.task, self.wide, self.robot)
        try:
            load_preset(self.preset)
            check_proposer(self.proposer)
        except (PresetError, ProposerError) as error:
            raise RunError(str(error)) from None
        kind, colon, rest = self.proposer.partition(":")
        demo_file = self.demo_file or default_demo_file(self.task)
        count = self.demos
        if count is None:
            count = DEMONSTRATIONS if learns(self.agent) and demo_file.is_file() and not self.warm_start else 0
        if self.warm_start and (count or not learns(self.agent)):
            raise RunError("warm_start is for an agent that learns, and brings its own demonstrations: leave out demos")
        if count and not demo_file.is_file():
            raise RunError(f"{demo_file} is missing: make it with `sarl steer --task {self.task}`, or choose 0 demos")
        if self.fault_script:
            from sarl_ros.sim.fault_script import load_script

            load_script(self.fault_script)
        needs_graph = self.operate or self.console or self.fault_script or self.time == "realtime"
        if not graph and (needs_graph or not is_simulated(self.robot)):
            raise RunError(
                "a robot, a page, a person who operates, faults on purpose and real time need the graph:"
                " leave out --headless"
            )
        return RunSettings(
            task=_file(self.task),
            episodes=self.episodes,
            robot=_file(self.robot),
            seed=self.seed,
            agent=self.agent,
            preset=_file(self.preset),
            demos=str(demo_file.resolve()) if count else "",
            demo_count=count,
            policy=_resolved(self.policy, BACKENDS),
            proposer=f"{kind}{colon}{_resolved(rest)}",
            weights_hash=identity(self.policy),
            warm_start=_whole(self.warm_start),
            wide=self.wide,
            time=self.time,
            fault_script=_whole(self.fault_script),
            record=self.record,
            console=self.console not in OFF or self.operate,
            console_at="" if self.console in (*OFF, ON) else self.console,
            operate=self.operate,
        )


AGENTS = tuple(name for name in METHODS if name != "steer")


def as_text(default: Any) -> str:
    """A default of `RunChoices` as a text that means the same."""
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _resolved(name: str, names: Container[str] = ()) -> str:
    """A path as it is found from anywhere; what is a name stays one."""
    return name if not name or name in names or not Path(name).exists() else str(Path(name).resolve())


def _file(name: str) -> str:
    """The same of what is a YAML file's path or, without an ending, a name."""
    return _resolved(name) if name.endswith((".yaml", ".yml")) else name


def _whole(path: Path | None) -> str:
    return str(path.resolve()) if path else ""


def check_task(task: str, wide: bool = False, robot: str = "sim") -> None:
    """Load a task, and lay it out once where it is simulated, so that one that cannot work is refused at once.

    Raises:
        TaskError: the file is malformed, an object is unknown, or the start is out of reach.
    """
    load_task(task)
    if is_simulated(robot):
        from sarl_ros.sim.tasks import load_sim_task
        from sarl_ros.sim.world import World

        World(render=False).reset(load_sim_task(task), seed=0, wide=wide)


def default_demo_file(task: str) -> Path:
    """Where the demonstrations of a task lie: config/demos/TASK.demos."""
    return config_dir() / "demos" / f"{Path(task).stem}.demos"
