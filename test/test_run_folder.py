"""A run folder holds all settings of a run, and what cannot be a run says why in one line."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from sarl_ros.core import seeds
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError, RunSettings, create_run, open_run


def test_a_run_folder_alone_holds_every_setting(tmp_path):
    folder = create_run(RunSettings(task="hammer", episodes=7, seed=2), tmp_path)
    assert re.fullmatch(r"\d{8}-\d{6}-hammer-sarl-s2", folder.name)
    again = open_run(folder.path)
    assert again.setting("operator", "episodes") == 7
    assert again.setting("operator", "run_dir") == str(folder.path)
    assert again.setting("sarl_learner", "seed_base") == seeds.training(2)


def _make(root: Path) -> str:
    return create_run(RunSettings(task="hammer", episodes=1), root).name


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(_make, [tmp_path] * 24))
    assert len(set(names)) == 24
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert open_run(tmp_path / name).setting("operator", "run") == name


def test_a_run_is_recorded_unless_told_otherwise(tmp_path):
    folder = create_run(RunSettings(task="hammer", episodes=1), tmp_path)
    assert folder.setting("recorder", "run_dir") == str(folder.path)
    assert bringup.RECORDER in bringup.graph(folder.tree())
    folder = create_run(RunSettings(task="hammer", episodes=1, record=False), tmp_path)
    assert bringup.RECORDER not in bringup.graph(folder.tree())


def test_a_simulated_arms_stop_is_kept_in_its_run_wherever_that_goes_and_a_real_ones_beside_none(tmp_path):
    folder = create_run(RunSettings(task="hammer", episodes=1), tmp_path)
    assert folder.setting("arm_bridge", "stop_file") == str(folder.path / "arm.stop")
    shutil.copytree(folder.path, tmp_path / "copy")
    copy = open_run(tmp_path / "copy")
    copy.settle()
    assert copy.setting("arm_bridge", "stop_file") == str(copy.path / "arm.stop")
    real = create_run(RunSettings(task="hammer", episodes=1, robot="widowx"), tmp_path)
    assert str(tmp_path) not in real.setting("arm_bridge", "stop_file")


def test_a_run_of_an_earlier_version_keeps_its_name_in_every_node_wherever_it_goes(tmp_path):
    folder = create_run(RunSettings(task="hammer", episodes=1), tmp_path)
    tree = folder.tree()
    for node, section in tree.items():
        if node not in ("operator", "vla_executor"):
            del section["ros__parameters"]["run"]
    folder.write(tree)
    moved = open_run(folder.path.rename(tmp_path / "moved"))
    moved.settle()
    assert {section["ros__parameters"]["run"] for section in moved.tree().values()} == {folder.path.name}
    written = moved.parameters.stat().st_mtime_ns
    moved.settle()
    assert moved.parameters.stat().st_mtime_ns == written, "once is enough"


def test_two_runs_of_the_same_second_get_two_folders(tmp_path):
    settings = RunSettings(task="hammer", episodes=1)
    assert create_run(settings, tmp_path).path != create_run(settings, tmp_path).path


def test_a_folder_without_config_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"no run folder: it has no config\.yaml"):
        open_run(tmp_path)


def test_a_malformed_parameter_file_is_named_with_what_it_needs(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump({"operator": [1, 2]}))
    with pytest.raises(RunError, match=r"bad\.yaml: not a ROS parameter file"):
        create_run(RunSettings(task="hammer", episodes=1, config=bad), tmp_path)


def test_training_evaluation_and_steering_seeds_never_meet():
    last_training = seeds.training(799) + seeds.RANGE - 1
    assert last_training < seeds.STEERING
    assert seeds.STEERING + seeds.RANGE <= seeds.EVALUATION
    with pytest.raises(ValueError, match="choose one from 0 to 799"):
        seeds.training(800)


def test_a_run_on_the_robot_has_its_cameras_and_arm_and_a_person_who_operates(tmp_path):
    folder = create_run(RunSettings(task="hammer", episodes=1, robot="widowx", record=True), tmp_path)
    assert [spec.name for spec in bringup.graph(folder.tree())] == [
        "camera_front",
        "camera_wrist",
        "arm_bridge",
        "vla_executor",
        "prompt_proposer",
        "operator",
        "sarl_learner",
        "recorder",
        "console",
    ]
    assert folder.setting("operator", "auto") is False
    assert folder.setting("operator", "sim") is False
    started = {spec.name for spec in bringup.graph(folder.tree())}
    assert set(folder.setting("operator", "required_nodes")) < started


def test_a_run_in_the_simulator_has_no_camera_of_its_own(tmp_path):
    folder = create_run(RunSettings(task="hammer", episodes=1), tmp_path)
    names = [spec.name for spec in bringup.graph(folder.tree())]
    assert "sim_world" in names
    assert not [name for name in names if name.startswith("camera")]


def test_the_oracle_is_refused_where_there_is_no_simulated_world(tmp_path):
    with pytest.raises(RunError, match="reads the simulated world's truth"):
        create_run(RunSettings(task="hammer", episodes=1, robot="widowx", agent="oracle"), tmp_path)


def test_a_configuration_that_could_not_be_written_is_as_it_was(tmp_path, monkeypatch):
    folder = create_run(RunSettings(task="hammer", episodes=1), tmp_path)
    before = folder.parameters.read_bytes()

    def fails(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        folder.set("operator", "episodes", 2)
    assert folder.parameters.read_bytes() == before
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.yaml", "logs"]
