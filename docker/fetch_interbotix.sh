#!/usr/bin/env bash
# Fetches the sources of the WidowX driver into a folder: branch jazzy of Interbotix' repositories, at fixed commits, and
# leaves out of the build what the driver does not need (MoveIt, Gazebo, examples, perception).
#   docker/fetch_interbotix.sh FOLDER
set -euo pipefail
mkdir -p "${1:?usage: fetch_interbotix.sh FOLDER}"
cd "$1"

fetch() { # repository, commit
  git init -q "$1"
  git -C "$1" fetch -q --depth 1 "https://github.com/Interbotix/$1.git" "$2"
  git -C "$1" checkout -q FETCH_HEAD
}
fetch interbotix_ros_core bf127b474e0554b93ef18b51becba38da9cbc255
fetch interbotix_ros_manipulators 04a3506c6a20474579e27ea75125d1680b256ca0
fetch interbotix_ros_toolboxes 4c720477ff36231d6cfc256c6e55b9930537a081
git -C interbotix_ros_core submodule -q update --init --depth 1 \
  interbotix_ros_xseries/dynamixel_workbench_toolbox interbotix_ros_xseries/interbotix_xs_driver

rm interbotix_ros_core/interbotix_ros_xseries/COLCON_IGNORE
manipulators=interbotix_ros_manipulators/interbotix_ros_xsarms
common=interbotix_ros_toolboxes/interbotix_common_toolbox
for folder in "$manipulators"/{examples,interbotix_ros_xsarms,interbotix_xsarm_moveit,interbotix_xsarm_ros_control} \
  "$manipulators"/interbotix_xsarm_sim "$common"/{interbotix_common_sim,interbotix_common_toolbox,interbotix_tf_tools} \
  "$common"/interbotix_gravity_compensation interbotix_ros_toolboxes/interbotix_xs_toolbox/interbotix_xs_ros_control \
  interbotix_ros_toolboxes/interbotix_xs_toolbox/{interbotix_xs_rviz,interbotix_xs_toolbox} \
  interbotix_ros_core/interbotix_ros_xseries/interbotix_ros_xseries; do
  rm -r "$folder"
done
