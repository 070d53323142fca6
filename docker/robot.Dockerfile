# syntax=docker/dockerfile:1
# The robot computer: ROS 2 Jazzy, the Interbotix driver from source, RealSense through its Python wheel, and this package.
#   docker build -f docker/robot.Dockerfile -t sarl-robot .
FROM ros:jazzy-ros-base-noble
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG DEBIAN_FRONTEND=noninteractive

# libusb for the RealSense wheel; EGL for the simulator; evtest, lsusb and v4l2-ctl to look at devices.
RUN apt-get update && apt-get install -y --no-install-recommends \
        cmake evtest g++ git libegl1 libgl1-mesa-dri libusb-1.0-0 make ninja-build \
        python3-colcon-common-extensions python3-dev python3-rosdep python3-venv usbutils v4l-utils \
    && rm -rf /var/lib/apt/lists/*

# The arm's driver, at commits that stand in the script. transforms3d comes with ros-jazzy-tf-transformations.
WORKDIR /opt/interbotix
COPY docker/fetch_interbotix.sh /opt/interbotix/
RUN ./fetch_interbotix.sh src \
    && . /opt/ros/jazzy/setup.bash \
    && apt-get update && rosdep update --rosdistro jazzy \
    && rosdep install --from-paths src --ignore-src --rosdistro jazzy -y --skip-keys python-transforms3d-pip \
    && rm -rf /var/lib/apt/lists/* \
    && colcon build --packages-up-to interbotix_xsarm_control --cmake-args -DBUILD_TESTING=OFF \
    && rm -rf build log

# This package, in an environment of its own over the system's ROS, with the processor's torch.
WORKDIR /opt/sarl_ros
ENV PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY . /opt/sarl_ros
RUN . /opt/interbotix/install/setup.bash \
    && make setup \
    && .venv/bin/pip install modern_robotics==1.1.1 \
    && .venv/bin/python -m colcon build --symlink-install \
    && rm -rf log

ENV PATH=/opt/sarl_ros/.venv/bin:$PATH \
    FASTRTPS_DEFAULT_PROFILES_FILE=/opt/sarl_ros/src/sarl_ros/runs/fastdds_shm.xml
ENTRYPOINT ["/opt/sarl_ros/docker/entrypoint.sh"]
CMD ["sarl", "--help"]
