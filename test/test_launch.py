"""The launch files: their structure everywhere, and what they resolve to wherever ROS's `launch` is installed."""

from __future__ import annotations

import ast
import importlib.util
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from sarl_ros.cli import build_parser
from sarl_ros.runs.bringup import NODES, REPLAY_NODES
from sarl_ros.runs.folder import FolderInUse, RunFolder, RunSettings

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


def argument_names(tree: ast.Module) -> list[str]:
    return [key.value for key in assigned(tree, "ARGUMENTS").keys if isinstance(key, ast.Constant)]


def test_every_node_is_a_program_of_the_package():
    programs = {each.name: each.value for each in metadata.distribution("sarl_ros").entry_points}
    for spec in (*NODES, *REPLAY_NODES):
        assert programs[spec.executable] == f"{spec.module}:main"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
class TestStructure:
    def test_it_makes_a_launch_description(self, path):
        functions = {node.name for node in syntax(path).body if isinstance(node, ast.FunctionDef)}
        assert "generate_launch_description" in functions

    def test_every_argument_has_a_default_a_description_and_a_reader(self, path):
        tree = syntax(path)
        names = argument_names(tree)
        assert names
        for value in assigned(tree, "ARGUMENTS").values:
            _, description = value.elts
            assert ast.literal_eval(description).strip()
        read = {
            node.slice.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "value"
        }
        assert read == set(names)

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


def test_a_launched_run_has_the_choices_of_sarl_train():
    tree = syntax(LAUNCH / "train.launch.py")
    choices = ast.literal_eval(assigned(tree, "CHOICES"))
    actions = {action.dest: action for action in build_parser()._subparsers._group_actions[0].choices["train"]._actions}
    for name in ("robot", "agent", "time"):
        assert choices[name] == list(actions[name].choices), name
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RunSettings"
    ]
    assert {keyword.arg for keyword in calls[0].keywords} <= set(RunSettings.__dataclass_fields__)


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
    assert {"sim_world", "widowx_bridge", "vla_executor", "prompt_proposer", "operator", "sarl_learner"} <= set(started)
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
    assert {"camera_front", "camera_wrist", "widowx_bridge", "console"} <= set(started)
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

    actions = module.end_on_refusal(SimpleNamespace(returncode=code, process_name="widowx_bridge-1"), None)
    assert bool(actions) == ends


def test_an_unknown_robot_is_refused(tmp_path):
    load("train.launch.py")
    with pytest.raises(RuntimeError, match="robot"):
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
        assert [argument.name for argument in declared] == argument_names(syntax(path))
        assert all(argument.description for argument in declared)
