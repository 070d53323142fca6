"""Two cameras, 640x480 at 30 Hz, each a node with its child process, from recordings that the RealSense SDK plays.

Prints the processor time of all four processes beside the reference of half a core, what arrives, and how old it is.
Then unplugs one camera and plugs it in again, several times, and prints how long it takes to stream again; and lets
the device fall silent, so that the SDK's own time-outs run. Reference: 15 s.

    python bench/cameras.py [--seconds 60] [--jpeg] [--recoveries 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

FAKES = Path(__file__).resolve().parents[1] / "test" / "fakes"
CAMERAS = ("front", "wrist")
RATE_HZ, START_S = 30, 15.0
REFERENCE_CORES, REFERENCE_RECOVERY_S = 0.5, 15.0
WAIT_S = 60.0
DOMAIN = 105


class Camera:
    """One camera node on a played recording, with faults on demand."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self._control = folder / f"{name}.control"
        recording, serial = folder / f"{name}.db3", serial_of(name)
        self.do("play")
        self._process = subprocess.Popen(
            [
                sys.executable,
                FAKES / "camera_faults.py",
                "--ros-args",
                "-r",
                f"__node:=camera_{name}",
                "-p",
                f"serial:='{serial}'",
            ],
            env=environment
            | {"CAMERA_CONTROL": str(self._control), "CAMERA_RECORDING": str(recording), "PYTHONPATH": str(FAKES)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def do(self, word: str) -> None:
        new = self._control.with_suffix(".new")
        new.write_text(word)
        new.rename(self._control)

    def cpu_s(self) -> float:
        """Processor time of the node and its child so far."""
        pid = self._process.pid
        ticks = sum(map(int, _stat(pid)[11:15]))  # with children that have ended
        ticks += sum(sum(map(int, _stat(child)[11:13])) for child in self.children())
        return ticks / os.sysconf("SC_CLK_TCK")

    def children(self) -> list[int]:
        return _children(self._process.pid)

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)


def serial_of(name: str) -> str:
    return f"00000000000{CAMERAS.index(name)}"


def record(folder: Path, seconds: float) -> None:
    """Recordings of all cameras, so long that none begins again during the measurement."""
    writers = [
        subprocess.Popen(
            [
                sys.executable,
                FAKES / "camera_recording.py",
                folder / f"{name}.db3",
                "--serial",
                serial_of(name),
                "--seconds",
                str(seconds),
            ]
        )
        for name in CAMERAS
    ]
    if any(writer.wait() for writer in writers):
        sys.exit("error: the SDK could not record: is libusb-1.0-0 installed?")


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the program's name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _children(pid: int) -> list[int]:
    text = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(number) for number in text.split()]


class Listener:
    """Takes the images as the executor does, as bytes."""

    def __init__(self, jpeg: bool) -> None:
        import rclpy
        from sensor_msgs.msg import CompressedImage, Image

        from sarl_ros.ros import topics
        from sarl_ros.ros.checked_node import CheckedNode
        from sarl_ros.ros.fast_subscription import FastSubscriptions

        rclpy.init()
        self.changed = threading.Condition()
        self.arrivals: dict[str, list[tuple[int, float]]] = {name: [] for name in CAMERAS}
        self._node = CheckedNode("bench_listener")
        self._fast = FastSubscriptions(self._node)
        for name in CAMERAS:
            topic = topics.camera_image(name)
            self._fast.subscribe(Image, topic, self._taker(name), topics.IMAGE, raw=True)
            if jpeg:
                self._fast.subscribe(CompressedImage, topics.compressed(topic), lambda _: None, topics.IMAGE, raw=True)
        self._fast.start()

    def _taker(self, name: str):
        def take(message: bytes) -> None:
            seconds, nanoseconds = (int.from_bytes(message[at : at + 4], "little") for at in (4, 8))
            stamp_ns = seconds * 1_000_000_000 + nanoseconds
            with self.changed:
                self.arrivals[name].append((stamp_ns, (time.time_ns() - stamp_ns) * 1e-6))
                self.changed.notify_all()

        return take

    def wait_for_more(self, name: str, count: int) -> None:
        with self.changed:
            wanted = len(self.arrivals[name]) + count
            if not self.changed.wait_for(lambda: len(self.arrivals[name]) >= wanted, WAIT_S):
                sys.exit(f"error: camera {name} sends no images: run the node by hand to see why")

    def wait_for_silence(self, name: str) -> None:
        while True:
            count = len(self.arrivals[name])
            time.sleep(0.4)
            if len(self.arrivals[name]) == count:
                return

    def close(self) -> None:
        import rclpy

        self._fast.close()
        self._node.destroy_node()
        rclpy.try_shutdown()


def steady(cameras: list[Camera], listener: Listener, seconds: float) -> dict[str, float]:
    import numpy as np

    for name in CAMERAS:
        listener.wait_for_more(name, 30)
    for name in CAMERAS:
        listener.arrivals[name].clear()
    children = [camera.children() for camera in cameras]
    begin_s, begin_cpu_s = time.monotonic(), sum(camera.cpu_s() for camera in cameras)
    time.sleep(seconds)
    elapsed_s = time.monotonic() - begin_s
    cores = (sum(camera.cpu_s() for camera in cameras) - begin_cpu_s) / elapsed_s
    ages_ms = [age for name in CAMERAS for _, age in listener.arrivals[name]]
    p50, p99 = (float(value) for value in np.percentile(ages_ms, [50, 99]))
    return {
        "seconds": round(elapsed_s, 1),
        "cores": round(cores, 3),
        "reference_cores": REFERENCE_CORES,
        "cores_ratio": round(cores / REFERENCE_CORES, 3),
        "restarts": sum(camera.children() != before for camera, before in zip(cameras, children, strict=True)),
        "rate_hz": round(len(ages_ms) / len(CAMERAS) / elapsed_s, 2),
        "age_p50_ms": round(p50, 2),
        "age_p99_ms": round(p99, 2),
    }


def recovery_s(camera: Camera, listener: Listener, fault: str, hold_s: float) -> float:
    """Seconds from the end of a fault that lasted `hold_s` to the tenth new image."""
    camera.do(fault)
    listener.wait_for_silence(camera.name)
    time.sleep(hold_s)
    camera.do("play")
    begin_s = time.monotonic()
    listener.wait_for_more(camera.name, 10)
    duration_s = time.monotonic() - begin_s
    time.sleep(1.0)
    return duration_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--jpeg", action="store_true", help="also listen to the compressed images")
    parser.add_argument("--recoveries", type=int, default=3, help="of each kind")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()

    from sarl_ros.runs import bringup

    environment = bringup.environment(int(os.environ.get("ROS_DOMAIN_ID", DOMAIN)))
    os.environ.update(environment)
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder), arguments.seconds + START_S)
        cameras = [Camera(name, Path(folder), environment) for name in CAMERAS]
        listener = Listener(arguments.jpeg)
        try:
            figures: dict[str, Any] = dict(steady(cameras, listener, arguments.seconds))
            for fault, hold_s in (("gone", 2.0), ("gone", 25.0), ("pause", 6.0), ("hang", 6.0)):
                times = [recovery_s(cameras[0], listener, fault, hold_s) for _ in range(arguments.recoveries)]
                figures[f"recovery_{fault}_{hold_s:g}s"] = [round(value, 2) for value in times]
        finally:
            for camera in cameras:
                camera.end()
            listener.close()
    figures |= {
        "reference_recovery_s": REFERENCE_RECOVERY_S,
        "jpeg": arguments.jpeg,
        "load_average": round(os.getloadavg()[0], 1),
    }
    with_jpeg = "with JPEG" if arguments.jpeg else "without JPEG"
    print(f"two cameras, 640x480 at {RATE_HZ} Hz, {with_jpeg}, load average {figures['load_average']}")
    print(
        f"processor     {figures['cores']:8.2f} cores   reference {REFERENCE_CORES:g}, ratio {figures['cores_ratio']}"
    )
    print(f"rate          {figures['rate_hz']:8.2f} Hz      reference {RATE_HZ}, restarts {figures['restarts']}")
    print(f"age           {figures['age_p50_ms']:8.2f} ms      p99 {figures['age_p99_ms']} ms")
    words = {"gone": "unplugged", "pause": "silent", "hang": "the SDK hangs"}
    for key, recovered in figures.items():
        if key.startswith("recovery_"):
            _, fault, hold = key.split("_")
            again = ", ".join(f"{seconds:g}" for seconds in recovered)
            print(f"{words[fault]} for {hold}: streams again after {again} s   reference {REFERENCE_RECOVERY_S:g} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
