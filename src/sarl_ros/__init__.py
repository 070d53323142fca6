"""Semantic Action RL (SARL) for a frozen vision-language-action model on a WidowX 250 S, as a ROS 2 graph."""

import os

# OpenCV reads this once, when it is loaded: a few bytes that call themselves an image can claim gigabytes of pixels.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
