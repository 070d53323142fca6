"""The ROS packages are found and build with plain colcon, at the root and inside a workspace."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PREFIX = Path(sys.prefix)
COLCON = PREFIX / "bin" / "colcon"


def colcon(*arguments, cwd):
    environment = os.environ | {
        "AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", str(PREFIX)),
        "PATH": f"{PREFIX / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        [str(COLCON), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=True
    ).stdout


def test_plain_colcon_at_the_root_finds_both_packages():
    assert colcon("list", "--names-only", cwd=ROOT).split() == ["sarl_interfaces", "sarl_ros"]


def test_a_clone_inside_a_workspace_needs_only_the_documented_base_paths(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "sarl_ros").symlink_to(ROOT)
    paths = ["--base-paths", "src/sarl_ros", "src/sarl_ros/src/sarl_interfaces"]
    assert colcon("list", "--names-only", *paths, cwd=tmp_path).split() == ["sarl_interfaces", "sarl_ros"]
    assert " ".join(paths) in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_colcon_installs_every_node_the_launch_files_and_the_configuration(tmp_path):
    mine = {ROOT / name for name in ("runs", "data", "build", "install")}
    hidden = shutil.ignore_patterns(".*")

    def ignored(folder: str, names: list[str]) -> set[str]:
        return hidden(folder, names) | {name for name in names if Path(folder) / name in mine}

    shutil.copytree(ROOT, tmp_path / "src", ignore=ignored)
    colcon("build", "--base-paths", "src", "--packages-select", "sarl_ros", cwd=tmp_path)
    installed = tmp_path / "install" / "sarl_ros"
    from sarl_ros.runs.bringup import NODES

    for spec in NODES:
        assert os.access(installed / "lib" / "sarl_ros" / spec.executable, os.X_OK)
    share = installed / "share" / "sarl_ros"
    for path in ("launch/train.launch.py", "config/sim.yaml", "config/tasks/hammer.yaml", "config/agents/sim.yaml"):
        assert (share / path).is_file()


@pytest.mark.parametrize("name", ["sarl_interfaces", "interbotix_xs_msgs"])
def test_every_interface_file_is_built(name):
    package = ROOT / "src" / name
    listed = (package / "CMakeLists.txt").read_text()
    for path in [*package.glob("msg/*.msg"), *package.glob("srv/*.srv")]:
        assert f"{path.parent.name}/{path.name}" in listed
