"""The images, the compose file and the udev rules: linted and consistent with each other. None is built here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sarl_ros.runs.choices import RunChoices

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
RULES = sorted((DOCKER / "udev").glob("*.rules"))
RULE_KEY = re.compile(
    r"(ACTION|KERNEL|SUBSYSTEM|DRIVER|GOTO|LABEL|MODE|GROUP|SYMLINK|ATTRS?\{[\w/]+\}|ENV\{\w+\})"
    r'(==|!=|=|\+=|:=)"[^"]*"'
)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(path):
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{Path(sys.prefix) / 'bin'}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: make setup")
    found = subprocess.run([hadolint, "-c", DOCKER / ".hadolint.yaml", path], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_and_starts_is_in_the_tree(path):
    text = path.read_text()
    for source in re.findall(r"^COPY (\S+)", text, re.MULTILINE):
        assert (ROOT / source).exists(), source
    for script in re.findall(r"/opt/sarl_ros/(docker/\S+?\.sh)", text):
        assert (ROOT / script).stat().st_mode & 0o111, script


@pytest.mark.parametrize("path", sorted(DOCKER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound_and_can_be_run(path):
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    assert path.stat().st_mode & 0o111


def test_the_driver_comes_from_fixed_commits():
    fetched = re.findall(r"^fetch (\S+) (\S+)$", (DOCKER / "fetch_interbotix.sh").read_text(), re.MULTILINE)
    assert {name for name, _ in fetched} == {
        "interbotix_ros_core",
        "interbotix_ros_manipulators",
        "interbotix_ros_toolboxes",
    }
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for _, commit in fetched)


def test_services_share_what_the_graph_needs_and_the_driver_never_restarts_by_itself():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert set(services) == {"driver", "robot", "robot-gpu"}
    for service in services.values():
        assert (service["network_mode"], service["ipc"], service["stop_signal"]) == ("host", "host", "SIGINT")
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source.startswith("/") or source == "../runs" or (DOCKER / source).is_dir()
    assert services["driver"]["restart"] == "no"
    assert not any("depends_on" in service for service in services.values()), "the driver starts when told to, alone"
    for name in ("robot", "robot-gpu"):
        assert "robot:=widowx" in services[name]["command"]
        arguments = re.findall(r"(\w+):=", services[name]["command"])
        assert set(arguments) <= {*RunChoices.model_fields, "runs"}


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_udev_rules_are_well_formed_and_open_nothing_to_everybody(path):
    rules = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert rules
    for rule in rules:
        for part in rule.split(", "):
            assert RULE_KEY.fullmatch(part), part
        assert "0666" not in rule
        assert "0777" not in rule
    text = "\n".join(rules)
    assert set(re.findall(r'GOTO="(\w+)"', text)) == set(re.findall(r'LABEL="(\w+)"', text))


def test_there_are_rules_for_cameras_arm_and_pedals():
    assert [path.name for path in RULES] == [
        "99-footswitch.rules",
        "99-interbotix-udev.rules",
        "99-realsense.rules",
    ]
    assert 'SYMLINK+="ttyDXL"' in (DOCKER / "udev" / "99-interbotix-udev.rules").read_text()
