#!/usr/bin/env bash
# Runs a command with ROS 2, the Interbotix driver and this package on its paths.
set -e
source /opt/interbotix/install/setup.bash
source /opt/sarl_ros/install/setup.bash
exec "$@"
