"""The simulated cameras on the topics of realsense-ros, with the faults that cameras have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from sarl_ros.ros import topics
from sarl_ros.ros.cdr import image_cdr
from sarl_ros.ros.convert import to_time
from sarl_ros.sim.fault_script import Faults
from sarl_ros.sim.scene import CAMERAS, build_model


class SimCameras:
    """Publishes pictures and intrinsics of all cameras of the scene."""

    def __init__(self, node: Node) -> None:
        self._info = camera_infos()
        self._images = {name: node.create_publisher(Image, topics.camera_image(name), topics.IMAGE) for name in CAMERAS}
        self._infos = {
            name: node.create_publisher(CameraInfo, topics.camera_info(name), topics.IMAGE) for name in CAMERAS
        }
        self._newest: dict[str, tuple[bytes, int]] = {}

    def take(self, render: Callable[[str], NDArray[np.uint8]], stamp_ns: int) -> None:
        """Take a picture with each camera: `render` gives (H, W, 3) RGB."""
        for name in CAMERAS:
            self._newest[name] = image_cdr(render(name), stamp_ns, self._info[name].header.frame_id), stamp_ns

    def send(self, faults: Faults | None) -> None:
        """Publish the newest pictures, as far as faults let them through."""
        for name, frame in self._newest.items():
            if faults is not None:
                if faults.find("camera_drop", name):
                    continue
                stale = faults.find("stale_frames", name)
                frame = frame if stale is None else stale.memory.setdefault("frame", frame)
            image, stamp_ns = frame
            self._images[name].publish(image)
            self._info[name].header.stamp = to_time(stamp_ns)
            self._infos[name].publish(self._info[name])


def camera_infos() -> dict[str, CameraInfo]:
    """Pinhole intrinsics of every camera of the scene, in the form of realsense-ros."""
    model = build_model()
    infos = {}
    for name, (height, width) in CAMERAS.items():
        focal = 0.5 * height / float(np.tan(np.radians(model.camera(name).fovy[0]) / 2))
        cx, cy = (width - 1) / 2, (height - 1) / 2
        infos[name] = CameraInfo(
            height=height,
            width=width,
            distortion_model="plumb_bob",
            d=[0.0] * 5,
            k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
            r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        )
        infos[name].header.frame_id = f"camera_{name}_color_optical_frame"
    return infos
