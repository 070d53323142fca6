"""The launch files: their structure everywhere, and what they resolve to wherever ROS's `launch` is installed."""

from __future__ import annotations

import ast
import importlib.util
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from sarl_ros.cli import build_parser
from sarl_ros.commands.options import choices_of
from sarl_ros.core.paths import config_dir
from sarl_ros.core.task import TaskError
from sarl_ros.policies.mini.files import SHIPPED
from sarl_ros.policies.policy import PolicyError
from sarl_ros.runs.bringup import NODES, REPLAY_NODES
from sarl_ros.runs.choices import RunChoices, as_text
from sarl_ros.runs.folder import FolderInUse, RunError, RunFolder, RunSettings

LAUNCH = Path(__file__).resolve().parents[1] / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))
KNOWN = {spec.name: spec.executable for spec in (*NODES, *REPLAY_NODES)}
# Modules that only a ROS installation has; whatever else a launch file imports must be there now.
ROS_MODULES = ("launch", "launch_ros")


def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def assigned(tree: ast.Module, name: str) -> ast.Dict:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and any(getattr(target, "id", "") == name for target in statement.targets):
            assert isinstance(statement.value, ast.Dict)
            return statement.value
    raise AssertionError(f"no {name}")


def argument_names(path: Path) -> list[str]:
    """Those that a launch file has of its own, after those of a run."""
    name = "OTHERS" if path.name.startswith("train") else "ARGUMENTS"
    own = [key.value for key in assigned(syntax(path), name).keys if isinstance(key, ast.Constant)]
    return [*RunChoices.model_fields, *own] if name == "OTHERS" else own


def test_every_node_is_a_program_of_the_package():
    programs = {each.name: each.value for each in metadata.distribution("sarl_ros").entry_points}
    for spec in (*NODES, *REPLAY_NODES):
        assert programs[spec.executable] == f"{spec.module}:main"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
class TestStructure:
    def test_it_makes_a_launch_description(self, path):
        functions = {node.name for node in syntax(path).body if isinstance(node, ast.FunctionDef)}
        assert "generate_launch_description" in functions

    def test_what_it_imports_is_there(self, path):
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] not in ROS_MODULES:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")

    def test_it_names_no_node_by_itself(self, path):
        """Which nodes there are is said once, in bringup."""
        named = {node.value for node in ast.walk(syntax(path)) if isinstance(node, ast.Constant)}
        assert not named & (set(KNOWN) - {"console"})


TABLE = [
    {},
    {"task": "banana", "episodes": "7", "seed": "3"},
    {"agent": "random", "policy": "still", "wide": "true", "time": "realtime", "record": "false"},
    {"task": "lid", "demos": "0", "preset": "paper"},
    {"demos": "2", "operate": "true"},
    {"console": "127.0.0.1:9000"},
    {"console": "true"},
    {"robot": "widowx", "agent": "zero_shot"},
]


def by_command(choices: dict[str, str]) -> RunSettings:
    """What `sarl train` makes of choices that are written as launch arguments."""
    arguments = ["train"]
    for name, value in choices.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "record":
            arguments += ["--no-record"] if value == "false" else []
        elif value == "true":
            arguments += [flag]
        else:
            arguments += [flag, value]
    return choices_of(build_parser().parse_args(arguments)).settings()


@pytest.mark.parametrize("choices", TABLE, ids=str)
def test_the_same_words_mean_the_same_for_the_command_and_for_ros2_launch(choices):
    texts = {name: as_text(field.default) for name, field in RunChoices.model_fields.items()}
    assert RunChoices.of(texts | choices).settings() == by_command(choices)


def test_the_command_and_launch_take_demonstrations_where_there_are_some():
    assert RunChoices.of({"task": "hammer"}).settings().demo_count == 3
    assert RunChoices.of({"task": "lid"}).settings().demo_count == 0
    assert RunChoices.of({"task": "hammer", "agent": "random"}).settings().demo_count == 0


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"robot": "ur5"}, "robot is 'ur5': no parameter file .*ur5.yaml: choose sim, widowx"),
        ({"agent": "ppo"}, "agent is 'ppo': choose one of sarl"),
        ({"agent": "steer"}, "choose one of"),
        ({"episodes": "0"}, "episodes is '0'"),
        ({"episodes": "many"}, "episodes is 'many'"),
        ({"seed": "-1"}, "seed is '-1'"),
        ({"demos": "nan"}, "demos is 'nan'"),
        ({"record": "maybe"}, "record is 'maybe'"),
        ({"colour": "red"}, "colour is unknown"),
        ({"task": "lid", "demos": "2"}, "lid.demos is missing"),
        ({"agent": "random", "warm_start": "x"}, "warm_start is for an agent that learns"),
    ],
)
def test_absurd_or_unknown_choices_are_refused_in_a_line_that_names_them(choices, says):
    with pytest.raises(RunError, match=says):
        RunChoices.of(choices).settings()


@pytest.mark.parametrize(
    ("choices", "error"),
    [({"policy": "nope"}, PolicyError), ({"task": "nope"}, TaskError), ({"preset": "nope"}, RunError)],
)
def test_what_is_not_there_is_refused_before_anything_is_written(choices, error):
    with pytest.raises(error, match="nope"):
        RunChoices.of(choices).settings()


def load(name: str):
    """The module of a launch file; skips where ROS's launch is not installed."""
    pytest.importorskip("launch_ros", reason="ROS's launch is not installed")
    specification = importlib.util.spec_from_file_location(name.replace(".", "_"), LAUNCH / name)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def resolve(name: str, **arguments: str) -> list:
    """What a launch file comes to with these arguments: its description's entities, all functions called."""
    module = load(name)
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    entities = []
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            entities += entity.execute(context)
    return entities


def nodes(entities: list) -> dict[str, str]:
    """Executable by node name."""
    from launch_ros.actions import Node

    found = [entity for entity in entities if isinstance(entity, Node)]
    assert all(node.node_package == "sarl_ros" for node in found)
    return {node.__dict__["_Node__node_name"]: node.node_executable for node in found}


def test_a_simulated_run_resolves_to_its_nodes(tmp_path):
    started = nodes(resolve("train.launch.py", runs=str(tmp_path), episodes="3"))
    assert {"sim_world", "arm_bridge", "vla_executor", "prompt_proposer", "operator", "sarl_learner"} <= set(started)
    assert "camera_front" not in started
    assert started.items() <= KNOWN.items()
    (folder,) = tmp_path.iterdir()
    assert yaml.safe_load((folder / "config.yaml").read_text())["operator"]["ros__parameters"]["episodes"] == 3


def test_a_launched_run_holds_its_folder(tmp_path):
    resolve("train.launch.py", runs=str(tmp_path), episodes="3")
    (folder,) = tmp_path.iterdir()
    with pytest.raises(FolderInUse):
        RunFolder(folder).lock()


def test_a_run_on_the_robot_resolves_to_cameras_arm_and_console(tmp_path):
    started = nodes(resolve("train.launch.py", runs=str(tmp_path), robot="widowx"))
    assert {"camera_front", "camera_wrist", "arm_bridge", "console"} <= set(started)
    assert "sim_world" not in started
    assert (started["camera_front"], started["camera_wrist"]) == ("camera", "camera")


def test_a_launched_graph_stays_on_its_machine_unless_told_otherwise(tmp_path, monkeypatch):
    load("train.launch.py")
    from launch import LaunchContext
    from launch.actions import SetEnvironmentVariable

    def reach() -> str:
        entities = resolve("train.launch.py", runs=str(tmp_path), episodes="3")
        (action,) = [entity for entity in entities if isinstance(entity, SetEnvironmentVariable)]
        return "".join(part.perform(LaunchContext()) for part in action.value)

    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    assert reach() == "LOCALHOST"
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    assert reach() == "SUBNET"


@pytest.mark.parametrize(("code", "ends"), [(2, True), (1, False), (-9, False)])
def test_a_node_that_refuses_its_settings_ends_the_launch_and_one_that_dies_does_not(code, ends):
    module = load("train.launch.py")
    from types import SimpleNamespace

    actions = module.end_on_refusal(SimpleNamespace(returncode=code, process_name="arm_bridge-1"), None)
    assert bool(actions) == ends


def test_an_unknown_robot_is_refused(tmp_path):
    load("train.launch.py")
    with pytest.raises(RunError, match="robot"):
        resolve("train.launch.py", runs=str(tmp_path), robot="ur5")


def test_every_launch_file_describes_its_arguments():
    load("train.launch.py")
    from launch.actions import DeclareLaunchArgument

    for path in FILES:
        declared = [
            entity
            for entity in load(path.name).generate_launch_description().entities
            if isinstance(entity, DeclareLaunchArgument)
        ]
        assert [argument.name for argument in declared] == argument_names(path)
        assert all(argument.description for argument in declared)


def test_what_is_given_by_a_relative_path_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text((config_dir() / "tasks" / "hammer.yaml").read_text())
    Path("prompts.txt").write_text("grasp the mushroom.")
    Path("weights").symlink_to(SHIPPED)
    given = {"task": "mine.yaml", "proposer": "fixed:prompts.txt", "policy": "weights", "demos": "0"}
    settings = RunChoices.of(given).settings()
    here = tmp_path.resolve()
    assert (settings.task, settings.proposer) == (str(here / "mine.yaml"), f"fixed:{here / 'prompts.txt'}")
    assert settings.policy == str(SHIPPED.resolve())
    plain = RunChoices.of({}).settings()
    assert (plain.task, plain.proposer, plain.policy, plain.preset) == ("hammer", "scene", "mini", "sim")
