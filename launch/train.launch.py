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
from sarl_ros.runs import bringup
from sarl_ros.runs.choices import RunChoices, as_text
from sarl_ros.runs.domains import ROBOT_DOMAINS, keep_domain
from sarl_ros.runs.folder import create_run
from sarl_ros.runs.resume import resume_run
from sarl_ros.runs.running import keep_folder
from sarl_ros.runs.supervisor import SETUP_ERROR

OTHERS = {
    "runs": ("runs", "where run folders are made"),
    "resume": ("", "an earlier run's folder to go on with"),
}


def end_on_refusal(event, context):
    """A node that has refused its settings would do so again."""
    if event.returncode == SETUP_ERROR:
        return [Shutdown(reason=f"{event.process_name} refused its settings; its error says what to change")]
    return None


def start_graph(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    if value("resume"):
        folder = resume_run(value("resume"))
    else:
        choices = RunChoices.of({name: value(name) for name in RunChoices.model_fields})
        folder = create_run(choices.settings(), Path(value("runs")))
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
    choices = {name: (as_text(field.default), field.description) for name, field in RunChoices.model_fields.items()}
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in {**choices, **OTHERS}.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start_graph)])
