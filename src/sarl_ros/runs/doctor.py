"""What a machine brings for a run: one check a line, each good, absent without harm, or bad with the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sarl_ros.console.access import OPERATOR_TOKEN, AccessError, load_access
from sarl_ros.core.environment import VARIABLES, Environment, fault_of, middlewares
from sarl_ros.core.yaml_file import load_yaml
from sarl_ros.runs.domains import holders_of_domain
from sarl_ros.runs.folder import RunError, check_space
from sarl_ros.runs.robots import parameter_file

PYTHONS = ((3, 11), (3, 12))
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_MB = 64
RENDER_S = 60.0
LATENCY_MS = 1
RENDER = (
    "import mujoco; from sarl_ros.sim.rendering import CameraRenderer, choose_backend;"
    "CameraRenderer(mujoco.MjModel.from_xml_string('<mujoco><worldbody/></mujoco>')); print(choose_backend())"
)

Judgement = Literal["good", "absent", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found, or what is wrong and the remedy; "absent" is a warning."""

    name: str
    judgement: Judgement
    words: str


def check_machine(environment: Environment, runs: Path, robot: str = "") -> Iterator[Check]:
    """Every check, one after the other.

    Args:
        runs: where run folders are made.
        robot: judge what this one needs as well; the simulator's graph where empty.

    Raises:
        RobotError: there is no such robot.
    """
    path = parameter_file(robot or "sim")
    tree = load_yaml(path.read_text(), path)
    yield check_python(sys.version_info[:2])
    yield check_ros(environment)
    yield from check_variables(environment)
    yield check_domain(environment)
    yield check_rendering(environment)
    yield check_shared_memory(SHARED_MEMORY)
    yield check_disk(tree, runs)
    yield check_token(environment)
    yield from check_arm(tree, robot)
    yield from check_cameras(tree, robot)


def check_python(version: tuple[int, ...]) -> Check:
    words = ".".join(map(str, version))
    if version in PYTHONS:
        return Check("python", "good", words)
    return Check("python", "bad", f"{words}: install 3.11 or 3.12")


def check_ros(environment: Environment) -> Check:
    spec = importlib.util.find_spec("rclpy")
    if spec is None:
        return Check(
            "ROS", "bad", "no rclpy: install this package with its wheels, or source /opt/ros/jazzy/setup.bash"
        )
    source = "sourced" if (spec.origin or "").startswith("/opt/ros") else "wheels"
    return Check("ROS", "good", f"rclpy ({source}), {', '.join(middlewares(environment)) or 'no middleware found'}")


def check_variables(environment: Environment) -> Iterator[Check]:
    """Each variable of the table that is set."""
    for variable in VARIABLES:
        if value := environment.get(variable.name, "").strip():
            fault = fault_of(variable, environment)
            yield Check(variable.name, "bad" if fault else "good", fault or value)


def check_domain(environment: Environment) -> Check:
    """Who of ours is in the domain that is asked for; a simulated run without one takes a free one."""
    text = environment.get("ROS_DOMAIN_ID", "").strip()
    if not text.isdigit():
        return Check("domain", "good", "none asked for: a run takes one that is free")
    holder = holders_of_domain(int(text))
    if not holder:
        return Check("domain", "good", f"{text} is free")
    return Check("domain", "bad", f"{text} is in use by {holder}: end that, or choose another with ROS_DOMAIN_ID")


def check_rendering(environment: Environment, code: str = RENDER) -> Check:
    """A context is made in a process of its own, so that a crash of the driver is a line."""
    try:
        made = subprocess.run(
            [sys.executable, "-c", code], env=dict(environment), capture_output=True, text=True, timeout=RENDER_S
        )
    except subprocess.TimeoutExpired:
        return Check("rendering", "bad", f"no picture in {RENDER_S:.0f} s: set MUJOCO_GL to osmesa")
    if made.returncode == 0:
        return Check("rendering", "good", made.stdout.strip())
    said = (made.stderr.strip().splitlines() or [f"ended with {made.returncode}"])[-1]
    return Check("rendering", "bad", f"{said}: apt install libosmesa6 (or libegl1)")


def check_shared_memory(folder: Path, needed_mb: int = SHARED_MEMORY_MB) -> Check:
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Check("shared memory", "bad", f"{folder} cannot be written: mount it (docker run --ipc=host)")
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < needed_mb:
        words = f"{folder}: {free_mb} MB are free, images need {needed_mb}: docker run --shm-size=256m, or empty it"
        return Check("shared memory", "bad", words)
    return Check("shared memory", "good", f"{free_mb} MB are free in {folder}")


def check_disk(tree: dict[str, Any], runs: Path) -> Check:
    path = runs.resolve()
    try:
        check_space(tree, path)
    except RunError as error:
        return Check("disk", "bad", str(error))
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        return Check("disk", "bad", f"{there} cannot be written: choose another folder with --runs")
    return Check("disk", "good", f"{shutil.disk_usage(there).free // 1_000_000} MB are free in {there}")


def check_token(environment: Environment) -> Check:
    try:
        load_access("127.0.0.1", environment=environment)
    except AccessError as error:
        return Check("console", "bad", str(error))
    given = bool(environment.get(OPERATOR_TOKEN))
    return Check("console", "good", "a token is set" if given else "this machine only: no token is set")


def check_arm(
    tree: dict[str, Any], robot: str, adapters: Path = Path("/sys/bus/usb-serial/devices")
) -> Iterator[Check]:
    """The arm's USB device, where the robot's file names one, and the latency [ms] of the adapters."""
    if not robot:
        yield Check("arm", "absent", "not asked: name a robot with --robot")
        return
    device = tree.get("arm_bridge", {}).get("ros__parameters", {}).get("usb_device", "")
    if device:
        there = Path(device).exists()
        yield Check(
            "arm", "good" if there else "bad", device if there else f"{device} is not there: see docs/hardware.md"
        )
    for timer in sorted(adapters.glob("*/latency_timer")):
        value = timer.read_text().strip()
        good = value == str(LATENCY_MS)
        words = f"{value} ms" if good else f"{value} ms, not {LATENCY_MS}: install the rules of docker/udev"
        yield Check(f"latency of {timer.parent.name}", "good" if good else "bad", words)


def check_cameras(tree: dict[str, Any], robot: str) -> Iterator[Check]:
    """The UVC cameras that the robot's file names by path; RealSense devices are for `sarl cameras`."""
    for node in ("camera_front", "camera_wrist"):
        settings = tree.get(node, {}).get("ros__parameters", {})
        if not robot or not settings:
            continue
        if settings.get("source") != "uvc":
            yield Check(
                node, "absent", f"{settings.get('source')} is not opened here: `sarl cameras` lists what is there"
            )
        elif Path(settings.get("device") or "none").exists():
            yield Check(node, "good", settings["device"])
        else:
            yield Check(
                node, "bad", f"{settings.get('device')!r} is not there: plug it in, or name one of `sarl cameras`"
            )
