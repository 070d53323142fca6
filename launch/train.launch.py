"""`ros2 launch sarl_ros train.launch.py task:=hammer episodes:=100 seed:=0`: what `sarl train` does, by ros2 launch."""

import os
import shlex
from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from sarl_ros.core.processes import PARENT, ending_with_us
from sarl_ros.policies.registry import identity
from sarl_ros.runs import bringup
from sarl_ros.runs.domains import ROBOT_DOMAINS, keep_domain
from sarl_ros.runs.folder import RunSettings, create_run
from sarl_ros.runs.resume import resume_run
from sarl_ros.runs.running import keep_folder
from sarl_ros.runs.supervisor import SETUP_ERROR

ARGUMENTS = {
    "robot": ("sim", "sim, or widowx for the arm and the cameras themselves, where a person operates"),
    "task": ("hammer", "a file under config/tasks, or a path"),
    "episodes": ("100", "episodes that complete the run"),
    "seed": ("0", "of the run"),
    "agent": ("sarl", "sarl, zero_shot, random or oracle"),
    "preset": ("sim", "of the agent: a file under config/agents"),
    "demos": ("", "file of demonstrations made by `sarl steer`; empty for none"),
    "demo_count": ("3", "how many of them"),
    "policy": ("mini", "of the executor: mini, still, or a folder of weights"),
    "time": ("lockstep", "of the simulator: lockstep or realtime"),
    "fault_script": ("", "of the simulator: a YAML file of faults on purpose; empty for none"),
    "record": ("true", "write a bag an episode"),
    "console": ("false", "serve the operator's page"),
    "operate": ("false", "a person starts, judges and confirms resets, on the operator's page"),
    "runs": ("runs", "where run folders are made"),
    "resume": ("", "an earlier run's folder to go on with"),
}
CHOICES = {
    "robot": ["sim", "widowx"],
    "agent": ["sarl", "zero_shot", "random", "oracle"],
    "time": ["lockstep", "realtime"],
    "record": ["true", "false"],
    "console": ["true", "false"],
    "operate": ["true", "false"],
}


def end_on_refusal(event, context):
    """A node that has refused its settings would do so again."""
    if event.returncode == SETUP_ERROR:
        return [Shutdown(reason=f"{event.process_name} refused its settings; its error says what to change")]
    return None


def start_graph(context):
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if value["resume"]:
        folder = resume_run(value["resume"])
    else:
        settings = RunSettings(
            robot=value["robot"],
            task=value["task"],
            episodes=int(value["episodes"]),
            seed=int(value["seed"]),
            agent=value["agent"],
            preset=value["preset"],
            demos=str(Path(value["demos"]).resolve()) if value["demos"] else "",
            demo_count=int(value["demo_count"]) if value["demos"] else 0,
            policy=value["policy"],
            weights_hash=identity(value["policy"]),
            time=value["time"],
            fault_script=str(Path(value["fault_script"]).resolve()) if value["fault_script"] else "",
            record=value["record"] == "true",
            console=value["console"] == "true" or value["operate"] == "true",
            operate=value["operate"] == "true",
        )
        folder = create_run(settings, Path(value["runs"]))
    keep_folder(folder)
    keep_domain(ROBOT_DOMAINS)  # where ROS is unless ROS_DOMAIN_ID says otherwise
    with_us = [shlex.join(ending_with_us([])), " ", LaunchConfiguration("launch-prefix", default="")]
    environment = {
        PARENT: str(os.getpid()),
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(bringup.SHARED_MEMORY_PROFILE),
        "OMP_NUM_THREADS": "1",
    }
    # A simulation moves an arm by the same names as a robot's graph does: other machines must not hear this one.
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "LOCALHOST"
    return [
        SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", reach),
        LogInfo(msg=f"run {folder.path}"),
        *(
            Node(
                package="sarl_ros",
                executable=spec.executable,
                name=spec.name,
                parameters=[str(folder.parameters)],
                additional_env=environment,
                prefix=with_us,
                output="screen",
                respawn=True,
                respawn_delay=0.5,
                on_exit=end_on_refusal,
                sigterm_timeout="10",
            )
            for spec in bringup.graph(folder.tree())
        ),
        ExecuteProcess(
            cmd=[ExecutableInPackage(package="sarl_ros", executable="sarl"), "watch", str(folder.path)],
            prefix=with_us,
            output="screen",
            additional_env={"PYTHONUNBUFFERED": "1"},
            on_exit=Shutdown(reason="the run is over"),
        ),
    ]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=CHOICES.get(name))
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start_graph)])
