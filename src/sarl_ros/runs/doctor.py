"""What a machine brings for a run: one check a line, each good, absent without harm, or bad with the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sarl_ros.console.access import OPERATOR_TOKEN, AccessError, load_access
from sarl_ros.console.address import AddressError, bind, parse_address, shown_address
from sarl_ros.core.environment import VARIABLES, Environment, domain_remedy, fault_of, middlewares
from sarl_ros.core.paths import there_of, unwritable
from sarl_ros.core.yaml_file import load_yaml, read_text
from sarl_ros.policies.policy import PolicyError
from sarl_ros.policies.registry import identity
from sarl_ros.proposers.proposer import ProposerError
from sarl_ros.proposers.registry import check_proposer
from sarl_ros.runs import bringup
from sarl_ros.runs.domains import ROBOT_DOMAINS, holders_of_domain
from sarl_ros.runs.folder import RunError, check_space
from sarl_ros.runs.robots import is_simulated, parameter_file

PYTHONS = ((3, 11), (3, 12))
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_MB = 64
"""An estimate: four of the segments of 16 MB that fastdds_shm.xml gives each process, as far as they are filled."""
CHILD_S = 60.0
"""For a process that tries something which may hang."""
LATENCY_MS = 1
DISCOVERY_S = 4.0
"""Others in a domain are found within 3 s."""
PARTICIPANTS = """
import sys, time
import rclpy
rclpy.init(domain_id=int(sys.argv[1]))
node = rclpy.create_node("sarl_doctor")
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
print(*sorted({name for name, _ in node.get_node_names_and_namespaces()} - {"sarl_doctor"}))
"""
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the machine is to be ready for.

    Attributes:
        runs: where run folders are made.
        robot: its name, or its parameter file.
        policy, proposer: as for `sarl train`.
        console: HOST:PORT of the page; None where the robot's graph decides.
    """

    runs: Path
    robot: str = "sim"
    policy: str = "mini"
    proposer: str = "scene"
    console: str | None = None


def check_machine(environment: Environment, wanted: Wanted) -> Iterator[Check]:
    """Every check, one after the other.

    Raises:
        RobotError, YamlError: there is no such robot, or its file is none.
    """
    path = parameter_file(wanted.robot)
    simulated, tree = is_simulated(wanted.robot), load_yaml(read_text(path, "parameter file"), path)
    yield check_python(sys.version_info[:2])
    yield check_ros(environment)
    yield from check_variables(environment)
    yield check_domain(environment, simulated)
    if simulated:
        yield check_rendering(environment)
    yield check_shared_memory(SHARED_MEMORY)
    yield check_disk(tree, wanted.runs)
    yield check_console(tree, environment, wanted.console, needed=not simulated)
    yield check_policy(wanted.policy)
    yield check_prompts(wanted.proposer)
    if simulated:
        yield Check("arm and cameras", "absent", "not asked for: name a robot with --robot")
    else:
        yield from check_arm(tree)
        yield from check_cameras(tree)


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


def participants(environment: Environment, number: int) -> list[str] | None:
    """Names of the nodes in a domain, on whatever machine; None where no node can be made to listen."""
    command = [sys.executable, "-c", PARTICIPANTS, str(number), str(DISCOVERY_S)]
    try:
        listened = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=CHILD_S)
    except subprocess.TimeoutExpired:
        return None
    return listened.stdout.split() if listened.returncode == 0 else None


def check_domain(
    environment: Environment,
    simulated: bool = True,
    listen: Callable[[Environment, int], list[str] | None] = participants,
) -> Check:
    """Who is in the domain that a run would have; a simulated one without ROS_DOMAIN_ID takes a free one."""
    text = environment.get("ROS_DOMAIN_ID", "").strip()
    if not text and simulated:
        return Check("domain", "good", "none asked for: a run takes one that is free")
    if text and domain_remedy(text):
        return Check("domain", "absent", "not looked at, see ROS_DOMAIN_ID")
    number = int(text) if text else ROBOT_DOMAINS[0]
    remedy = "end that, or choose another with ROS_DOMAIN_ID"
    if holder := holders_of_domain(number):
        return Check("domain", "bad", f"{number} is in use by {holder}: {remedy}")
    others = listen(environment, number)
    if others is None:
        return Check("domain", "bad", f"no ROS node can be made in domain {number}: mend what is said above")
    if ours := sorted({spec.name for spec in bringup.NODES} & set(others)):
        return Check("domain", "bad", f"{number} has another graph, of {', '.join(ours)}: {remedy}")
    return Check("domain", "good", f"{number}, with {', '.join(others) or 'nobody in it'}")


def check_rendering(environment: Environment, code: str = RENDER) -> Check:
    """A context is made in a process of its own, so that a crash of the driver is a line."""
    try:
        made = subprocess.run(
            [sys.executable, "-c", code], env=dict(environment), capture_output=True, text=True, timeout=CHILD_S
        )
    except subprocess.TimeoutExpired:
        return Check("rendering", "bad", f"no picture in {CHILD_S:.0f} s: set MUJOCO_GL to osmesa")
    if made.returncode == 0:
        return Check("rendering", "good", made.stdout.strip())
    said = (made.stderr.strip().splitlines() or [f"ended with {made.returncode}"])[-1]
    return Check(
        "rendering", "bad", f"{said}: apt install libegl1 (or libosmesa6), and set MUJOCO_GL to egl (or osmesa)"
    )


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
    if why := unwritable(path):
        return Check("disk", "bad", f"{why}: choose another folder with --runs")
    there = there_of(path)
    return Check("disk", "good", f"{shutil.disk_usage(there).free // 1_000_000} MB are free in {there}")


def check_console(
    tree: dict[str, Any], environment: Environment, address: str | None = None, needed: bool = False
) -> Check:
    """The operator's page: its token and its port."""
    settings = tree.get(bringup.CONSOLE.name, {}).get("ros__parameters", {}) | parse_address(address or "")
    host, port = str(settings.get("host", "127.0.0.1")), int(settings.get("port", 8080))
    try:
        load_access(host, settings.get("token_file", ""), settings.get("view_token_file", ""), environment)
    except AccessError as error:
        return Check("console", "bad", str(error))
    try:
        bind(host, port).close()
    except AddressError as error:
        return Check("console", "bad" if needed or address is not None else "absent", str(error))
    token = "a token is set" if environment.get(OPERATOR_TOKEN) else "for this machine alone, without a token"
    return Check("console", "good", f"{shown_address(host, port)} is free, {token}")


def check_policy(name: str) -> Check:
    """Whether its weights are there; they are not loaded."""
    try:
        return Check("policy", "good", f"{name}, weights {identity(name)[:12]}")
    except PolicyError as error:
        return Check("policy", "bad", str(error))


def check_prompts(name: str) -> Check:
    """Whether what the proposer needs is there."""
    try:
        check_proposer(name)
    except ProposerError as error:
        return Check("proposer", "bad", str(error))
    return Check("proposer", "good", name)


def check_arm(tree: dict[str, Any], adapters: Path = Path("/sys/bus/usb-serial/devices")) -> Iterator[Check]:
    """The arm's USB device, if the robot's file names it, and the latency [ms] of its adapter."""
    device = str(tree.get(bringup.ARM_BRIDGE.name, {}).get("ros__parameters", {}).get("usb_device", ""))
    if not device:
        yield Check("arm", "absent", "the robot's file names no usb_device, such as /dev/ttyDXL: USB is not watched")
        return
    if not Path(device).exists():
        yield Check("arm", "bad", f"{device} is not there: plug in the arm and power it, see docs/hardware.md")
        return
    yield Check("arm", "good", device)
    timer = adapters / Path(device).resolve().name / "latency_timer"
    if timer.is_file():
        value = timer.read_text().strip()
        good = value == str(LATENCY_MS)
        words = f"{value} ms" if good else f"{value} ms instead of {LATENCY_MS}: install the rules of docker/udev"
        yield Check("arm's latency", "good" if good else "bad", words)


def check_cameras(tree: dict[str, Any]) -> Iterator[Check]:
    """The cameras that the robot's file names."""
    for name, node in tree.items():
        settings = node["ros__parameters"]
        match settings.get("source"):
            case "uvc":
                device = str(settings.get("device", ""))
                there = bool(device) and Path(device).exists()
                words = device if there else f"{device!r} is not there: plug it in, or name one of `sarl cameras`"
                yield Check(name, "good" if there else "bad", words)
            case "realsense":
                yield _check_realsense(name, str(settings.get("serial", "")))
            case "recording":
                recording = str(settings.get("recording", ""))
                there = bool(recording) and Path(recording).exists()
                yield Check(
                    name, "good" if there else "bad", f"recording {recording!r} is{'' if there else ' not'} there"
                )
            case _:
                continue


def _check_realsense(name: str, serial: str) -> Check:
    from sarl_ros.camera.listing import realsense_cameras
    from sarl_ros.camera.types import CameraError

    try:
        found = [facts.get("serial_number", "in recovery mode") for facts in realsense_cameras()]
    except CameraError as error:
        return Check(name, "bad", str(error))
    if serial in found or (found and not serial):
        return Check(name, "good", f"RealSense {serial or found[0]}")
    there = ", ".join(found) or "none"
    which = f"RealSense {serial}" if serial else "a RealSense"
    return Check(name, "bad", f"{which} is not there (there are: {there}): plug it into a USB 3 port")
