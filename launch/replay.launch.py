"""`ros2 launch sarl_ros replay.launch.py bags:=RUN console:=true`: what `sarl replay` does, by ros2 launch."""

import os
import shlex
import tempfile
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from sarl_ros.commands.replay import ReplaySettings, make_session
from sarl_ros.core.processes import PARENT, ending_with_us
from sarl_ros.runs import bringup
from sarl_ros.runs.domains import DOMAINS, keep_domain

ARGUMENTS = {
    "bags": ("", "run folders, bag folders or .mcap files, separated by spaces"),
    "rate": ("1.0", "times the recording's speed"),
    "start": ("0.0", "seconds of the recording to leave out"),
    "episode": ("0", "play this episode alone; 0 for all"),
    "loop": ("false", "begin again at the end"),
    "console": ("false", "serve the operator's page"),
    "domain": (str(DOMAINS[-1]), "ROS domain of the replay; never one that a robot is in"),
}


def start_replay(context):
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    settings = ReplaySettings(
        bags=tuple(Path(bag) for bag in value["bags"].split()),
        rate=float(value["rate"]),
        start_s=float(value["start"]),
        episode=int(value["episode"]),
        loop=value["loop"].lower() == "true",
        console="" if value["console"].lower() == "true" else None,
        domain=int(value["domain"]),
    )
    session = make_session(settings, Path(tempfile.mkdtemp(prefix="sarl-replay-")))
    keep_domain(DOMAINS, value["domain"], "domain")
    with_us = [shlex.join(ending_with_us([])), " ", LaunchConfiguration("launch-prefix", default="")]
    environment = {
        PARENT: str(os.getpid()),
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(bringup.SHARED_MEMORY_PROFILE),
        "OMP_NUM_THREADS": "1",
    }
    return [
        SetEnvironmentVariable("ROS_DOMAIN_ID", value["domain"]),
        LogInfo(msg=f"replay in ROS domain {value['domain']}; commands to an arm are left out"),
        *(
            Node(
                package="sarl_ros",
                executable=spec.executable,
                name=spec.name,
                parameters=[str(session.parameters), {"ends": settings.console is None}],
                additional_env=environment,
                prefix=with_us,
                output="screen",
                sigterm_timeout="4",
                on_exit=Shutdown(reason=f"{spec.name} has ended"),
            )
            for spec in bringup.graph(session.tree(), bringup.REPLAY_NODES)
        ),
    ]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start_replay)])
