"""Parameter files: what a node does not take is refused by file, node and name, before anything starts."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarl_ros.core.paths import config_dir
from sarl_ros.core.yaml_file import YamlError, dump_yaml, load_yaml
from sarl_ros.runs.bringup import ARM_BRIDGE, BRIDGES, NODES, REPLAY_NODES, Bridge, graph
from sarl_ros.runs.folder import RunError, RunFolder, RunSettings, create_run
from sarl_ros.runs.parameters import MODELS, checked, parameters_of
from sarl_ros.runs.resume import resume_run
from sarl_ros.runs.robots import robot_names

SHIPPED = {name: load_yaml((config_dir() / f"{name}.yaml").read_text(), name) for name in robot_names()}


def of_a_run(robot: str) -> dict:
    tree = copy.deepcopy(SHIPPED[robot])
    for values in tree.values():
        values["ros__parameters"] |= {"run": "r"}
    for node in ("operator", "recorder", "sarl_learner"):
        tree[node]["ros__parameters"]["run_dir"] = "/runs/r"
    return tree


def test_every_node_has_a_model():
    assert {spec.name for spec in (*NODES, *REPLAY_NODES)} == MODELS.keys() | {ARM_BRIDGE.name}


@pytest.mark.parametrize("robot", sorted(SHIPPED))
def test_what_is_shipped_is_taken(robot):
    checked(of_a_run(robot), robot)


BAD = [
    ("operator", "epsiodes", 3, "epsiodes is unknown"),
    ("operator", "episodes", -1, "episodes is -1"),
    ("operator", "episodes", "3", "episodes is '3'"),
    ("operator", "episodes", True, "episodes is True"),
    ("operator", "silence_s", math.inf, "silence_s is inf"),
    ("operator", "silence_s", math.nan, "silence_s is nan"),
    ("operator", "silence_s", 0, "silence_s is 0"),
    ("operator", "joy_buttons", ["start", "jump"], "no button is called 'jump'"),
    ("operator", "judge", "", "auto needs a judge"),
    ("operator", "run_dir", "", "run_dir is not set"),
    ("vla_executor", "execute", 0, "execute is 0"),
    ("vla_executor", "front_camera", "wrist", "name two cameras"),
    ("arm_bridge", "workspace_low", [0.5, -0.2, 0.0], "not below workspace_high"),
    ("arm_bridge", "workspace_low", [0.1, -0.2], "workspace_low"),
    ("arm_bridge", "table_height", 0.5, "leaves nothing of the workspace"),
    ("arm_bridge", "reset_position", [0.9, 0.0, 0.13], "reset"),
    ("arm_bridge", "robot_name", "a b", "robot_name is 'a b': no topic"),
    ("vla_executor", "front_camera", "1st", "front_camera is '1st': no topic"),
    ("recorder", "exclude", [], r"exclude is \[\]: .*write \[\"\"\]"),
    ("operator", "required_nodes", [], "required_nodes"),
    ("recorder", "backlog_mb", 0, "backlog_mb is 0"),
    ("arm_bridge", "speed_scale", 1.5, "speed_scale is 1.5"),
    ("arm_bridge", "effort_limits", [1.0, 2.0], "has 2 numbers: give 6"),
    ("arm_bridge", "bridge", "ur5", "bridge is 'ur5'"),
    ("recorder", "jpeg_quality", 101, "jpeg_quality is 101"),
    ("recorder", "warn_below_mb", 1.0, "must fall"),
    ("console", "port", 70000, "port is 70000"),
    ("sim_world", "time", "fast", "time is 'fast'"),
]


@pytest.mark.parametrize(("node", "name", "value", "said"), BAD)
def test_what_a_node_does_not_take_is_named(node, name, value, said, tmp_path):
    tree = of_a_run("sim")
    tree[node]["ros__parameters"][name] = value
    with pytest.raises(YamlError, match=f"^f.yaml: {node}: .*{said}") as error:
        checked(tree, "f.yaml")
    assert "\n" not in str(error.value)


def test_a_further_arm_is_one_line(monkeypatch):
    tree = of_a_run("widowx") | {"arm_bridge": {"ros__parameters": {"bridge": "mine", "host": "arm.local"}}}
    with pytest.raises(YamlError, match="f: arm_bridge: bridge is 'mine': choose one of widowx, dry"):
        checked(tree, "f")
    monkeypatch.setitem(BRIDGES, "mine", Bridge("my_arm.node", "sarl_ros.parameters.dry_arm:DryArmParameters"))
    checked(tree, "f")
    assert next(spec for spec in graph(tree) if spec.name == "arm_bridge").module == "my_arm.node"


def test_the_robot_s_file_is_taken_with_an_arm_that_is_not_there():
    tree = of_a_run("widowx")
    tree["arm_bridge"]["ros__parameters"]["bridge"] = "dry"
    checked(tree, "f")


def test_a_node_that_is_not_there_is_named():
    with pytest.raises(YamlError, match=r"f: there is no node '/\*\*': use sim_world"):
        checked(of_a_run("sim") | {"/**": {"ros__parameters": {}}}, "f")


def test_a_whole_number_does_for_a_time():
    tree = of_a_run("sim")
    tree["operator"]["ros__parameters"]["silence_s"] = 4
    checked(tree, "f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("operator:\n  ros__parameters:\n    auto: true\n    auto: false\n", "line 4: auto is there twice"),
        ("operator:\n  ros__parameters:\n    auto: on\n", "line 3: on is read differently"),
        ("operator: {ros__parameters: {silence: 3.0}}", "operator: silence is unknown"),
        ("operator: 3", "not a ROS parameter file"),
    ],
)
def test_a_persons_parameter_file_is_refused_before_a_folder_is_made(tmp_path, text, said):
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    with pytest.raises(RunError, match=f"mine.yaml:? .*{said}|mine.yaml: {said}"):
        create_run(RunSettings(task="hammer", episodes=1, config=mine, record=False), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_parameters_were_changed_for_the_worse_is_not_resumed(tmp_path):
    folder = create_run(RunSettings(task="hammer", episodes=1), tmp_path)
    with pytest.raises(RunError, match=r"config.yaml: operator: silence_s is -1.0"):
        folder.set("operator", "silence_s", -1.0)
    tree = folder.tree()
    tree["operator"]["ros__parameters"]["silence_s"] = -1.0
    del tree["arm_bridge"]["ros__parameters"]["stop_file"]  # as of an earlier version, which would be added
    folder.parameters.write_text(dump_yaml(tree))
    folder.journal.write_bytes(b'{"a torn')
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"config.yaml: operator: silence_s is -1.0"):
        resume_run(folder.path)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(folder.path.glob("*.cut-*"))


def test_whole_numbers_among_others_are_written_as_ros_reads_them(tmp_path):
    mine = tmp_path / "mine.yaml"
    text = (config_dir() / "sim.yaml").read_text()
    mine.write_text(text.replace("[0.30, 0.0, 0.13]", "[0.30, 0, 0.13]").replace("silence_s: 3.0", "silence_s: 4"))
    folder = create_run(RunSettings(task="hammer", episodes=1, config=mine), tmp_path)
    assert [type(x) for x in folder.setting("arm_bridge", "reset_position")] == [float] * 3
    by_hand = folder.parameters.read_text().partition("\n")[2].replace("- 0.0\n", "- 0\n").replace("4.0", "4")
    folder.parameters.write_text(by_hand)
    folder.settle()
    assert [type(x) for x in folder.setting("arm_bridge", "reset_position")] == [float] * 3
    assert type(folder.setting("operator", "silence_s")) is float


@pytest.mark.parametrize("name", ["on", "1e3", "007", "1:30", "y", "null", "a: b", "ü"])
def test_a_name_means_the_same_to_whoever_reads_the_file(tmp_path, name):
    folder = create_run(RunSettings(task=name, episodes=1, record=False), tmp_path)
    import yaml

    text = folder.parameters.read_text()
    assert yaml.safe_load(text)["operator"]["ros__parameters"]["task"] == name
    assert RunFolder(folder.path).setting("operator", "task") == name


ABSURD = st.one_of(
    st.none(),
    st.just(math.nan),
    st.just(-math.inf),
    st.integers(max_value=-1),
    st.integers(min_value=2**63),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.lists(st.none(), min_size=1, max_size=2),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), robot=st.sampled_from(sorted(SHIPPED)), value=ABSURD)
def test_whatever_absurd_a_parameter_is_it_is_named_in_one_line(data, robot, value):
    tree = of_a_run(robot)
    node = data.draw(st.sampled_from(sorted(tree)))
    name = data.draw(st.sampled_from(sorted(type(parameters_of(node, of_a_run(robot), robot)).model_fields)))
    tree[node]["ros__parameters"][name] = value
    metres = name == "table_height" and isinstance(value, int) and value >= -2
    if metres:
        return
    with pytest.raises(YamlError, match=rf"f: {node}: .*{name}") as error:
        checked(tree, "f")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_what_is_written_is_what_was_meant(tmp_path):
    tree = of_a_run("widowx")
    assert load_yaml(dump_yaml(tree), "f") == tree
