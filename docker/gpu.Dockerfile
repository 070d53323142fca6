# syntax=docker/dockerfile:1
# The robot image with torch for NVIDIA GPUs, for policies and proposers too large for a processor.
#   docker build -f docker/gpu.Dockerfile -t sarl-robot-gpu .
ARG ROBOT_IMAGE=sarl-robot
# hadolint ignore=DL3006
FROM ${ROBOT_IMAGE}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# The index of packages has torch with CUDA under the version that the robot image has without.
ENV PIP_EXTRA_INDEX_URL= \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN .venv/bin/pip uninstall -y torch \
    && .venv/bin/pip install -r tools/requirements.txt
