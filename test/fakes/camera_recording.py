"""Recordings that the RealSense SDK itself writes from its software device: a bar that moves with each frame."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FPS = 640, 480, 30
FX, FY, CX, CY = 610.0, 611.0, 320.5, 239.5
DISTORTION = [0.01, 0.02, 0.03, 0.04, 0.05]


def picture(number: int) -> np.ndarray:
    """Frame `number`, uint8 (480, 640, 3) RGB: a shade that tells the number, with a bar across it."""
    image = np.full((HEIGHT, WIDTH, 3), number % 64 * 4, np.uint8)
    image[:, number * 10 % WIDTH :][:, :20] = (250, 120, 10)
    return image


def record(path: Path, serial: str, seconds: float) -> None:
    """Write a recording in real time: the SDK plays it back at the pace it was written."""
    import pyrealsense2 as rs

    device = rs.software_device()
    device.register_info(rs.camera_info.name, "Software D435")
    device.register_info(rs.camera_info.serial_number, serial)
    sensor = device.add_sensor("RGB Camera")
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.bpp, stream.fps = rs.stream.color, rs.format.rgb8, 3, FPS
    stream.width, stream.height = WIDTH, HEIGHT
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = WIDTH, HEIGHT
    intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy = FX, FY, CX, CY
    intrinsics.model, intrinsics.coeffs = rs.distortion.inverse_brown_conrady, DISTORTION
    stream.intrinsics = intrinsics
    profile = sensor.add_video_stream(stream).as_video_stream_profile()
    recorder = rs.recorder(str(path), device)
    recorded = recorder.query_sensors()[0]
    recorded.open(recorded.get_stream_profiles()[0])
    recorded.start(rs.frame_queue(64))
    begin = time.monotonic()
    for number in range(1, round(seconds * FPS) + 1):
        frame = rs.software_video_frame()
        frame.pixels, frame.stride, frame.bpp = picture(number), 3 * WIDTH, 3
        frame.timestamp, frame.domain = number * 1000 / FPS, rs.timestamp_domain.system_time
        frame.frame_number, frame.profile = number, profile
        time.sleep(max(0.0, begin + number / FPS - time.monotonic()))
        sensor.on_video_frame(frame)
    time.sleep(0.2)
    recorded.stop()
    recorded.close()
    recorder.pause()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--serial", default="000000000001")
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    record(options.path, options.serial, options.seconds)
