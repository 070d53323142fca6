"""The camera node as a real process over DDS: realsense-ros names, ready while fresh frames come, words when not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import rclpy
from camera_tools import FAKES, SERIAL, Hardware, recording_fixture  # noqa: F401
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from test_operator_node import NODES, Graph, OperatorProcess

from sarl_interfaces.msg import Episode, NodeStatus, StepResult, StepVerdict
from sarl_ros.core.episode_events import Button
from sarl_ros.ros import convert, topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from sarl_ros.runs.domains import claim_domain

pytest.importorskip("pyrealsense2", reason="needs libusb: apt install libusb-1.0-0", exc_type=ImportError)

WAIT_S = 20.0
RECOVERY_S = 15.0
CAMERA = "camera_front"


@pytest.fixture
def domain(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    number, lock = claim_domain()
    yield number
    lock.close()


class CameraProcess:
    """The node, with a played recording as its hardware."""

    def __init__(self, hardware: Hardware, domain: int, *parameters: str) -> None:
        arguments = [part for parameter in parameters for part in ("-p", parameter)]
        self.process = subprocess.Popen(
            [sys.executable, FAKES / "camera_faults.py", "--ros-args", "-r", f"__node:={CAMERA}", *arguments],
            env=hardware.environment | bringup.environment(domain) | {"PYTHONPATH": str(FAKES)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self) -> str:
        """Interrupt it as a person does; what it printed."""
        self.process.send_signal(signal.SIGINT)
        output = self.process.communicate(timeout=10)[0]
        assert self.process.returncode == 0, output
        return output


class Listener:
    """What the graph sees of the camera."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("listener", context=self.context)
        self.changed = threading.Condition()
        self.images: list[Image] = []
        self.jpegs: list[CompressedImage] = []
        self.infos: list[CameraInfo] = []
        self.statuses: list[NodeStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        base = "/camera/front/color"
        for kind, topic, seen, quality in (
            (Image, f"{base}/image_raw", self.images, topics.IMAGE),
            (CompressedImage, f"{base}/image_raw/compressed", self.jpegs, topics.IMAGE),
            (CameraInfo, f"{base}/camera_info", self.infos, topics.IMAGE),
            (NodeStatus, topics.NODE_STATUS, self.statuses, topics.STREAM),
            (DiagnosticArray, "/diagnostics", self.diagnostics, topics.STREAM),
        ):
            self.node.create_subscription(kind, topic, self._keeper(seen), quality)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), self.node)

    def _keeper(self, seen: list):
        def keep(message) -> None:
            with self.changed:
                seen.append(message)
                self.changed.notify_all()

        return keep

    def wait(self, condition, timeout_s: float = WAIT_S) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    def says(self, ready: bool, words: str = "", timeout_s: float = WAIT_S) -> None:
        """Wait for a heartbeat that is ready or not, with these words among its faults."""

        def said() -> bool:
            newest = self.statuses[-1] if self.statuses else None
            return newest is not None and newest.ready == ready and words in " ".join(newest.faults)

        assert self.wait(said, timeout_s), self.statuses[-1:]

    def close(self) -> None:
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def listener(domain):
    listener = Listener(domain)
    yield listener
    listener.close()


@pytest.fixture
def camera(recording, tmp_path, domain):
    hardware = Hardware(recording, tmp_path)
    process = CameraProcess(hardware, domain, f"serial:='{SERIAL}'", "exposure:=0")
    yield hardware
    print(process.end())


def test_images_have_the_names_the_intrinsics_and_the_quality_of_realsense_ros(camera, listener):
    assert listener.wait(lambda: len(listener.images) >= 10 and listener.infos and listener.jpegs)
    image, info, jpeg = listener.images[-1], listener.infos[-1], listener.jpegs[-1]
    frame_id = "camera_front_color_optical_frame"
    assert (image.encoding, image.height, image.width, image.header.frame_id) == ("rgb8", 480, 640, frame_id)
    assert (jpeg.format, jpeg.header.frame_id) == ("jpeg", frame_id)
    assert convert.jpeg_from(jpeg).shape == (480, 640, 3)
    assert info.header.frame_id == frame_id
    np.testing.assert_allclose(info.k, [610, 0, 320.5, 0, 611, 239.5, 0, 0, 1])
    np.testing.assert_allclose(info.d, [0.01, 0.02, 0.03, 0.04, 0.05], atol=1e-6)
    for topic in ("image_raw", "image_raw/compressed", "camera_info"):
        (publisher,) = listener.node.get_publishers_info_by_topic(f"/camera/front/color/{topic}")
        assert publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    listener.says(ready=True)


def test_stamps_are_ros_time_of_capture_and_only_grow(camera, listener):
    begin_ns = time.time_ns()
    assert listener.wait(lambda: len(listener.images) >= 30 and len(listener.infos) >= 30)
    stamps = [convert.stamp_ns(image.header.stamp) for image in listener.images]
    assert stamps == sorted(set(stamps))
    assert begin_ns < stamps[-1] <= time.time_ns()
    told = {convert.stamp_ns(info.header.stamp) for info in listener.infos}
    assert len(told & set(stamps)) >= 20, "each image has the camera_info of its stamp"


def test_a_lost_camera_says_so_in_plain_words_and_comes_back(camera, listener):
    listener.says(ready=True)
    camera.do("gone")
    listener.says(ready=False, words=f"RealSense {SERIAL} is not connected (none is): plug it into a USB 3 port")
    assert listener.wait(lambda: "is not connected" in listener.diagnostics[-1].status[0].message)
    status = listener.diagnostics[-1].status[0]
    assert (status.name, status.level) == ("camera_front: frames", DiagnosticStatus.ERROR)
    images = len(listener.images)
    camera.do("play")
    listener.says(ready=True, timeout_s=RECOVERY_S)
    assert listener.wait(lambda: len(listener.images) > images + 10)
    assert listener.wait(lambda: listener.diagnostics[-1].status[0].level != DiagnosticStatus.ERROR)
    values = {value.key: value.value for value in listener.diagnostics[-1].status[0].values}
    assert values["serial_number"] == SERIAL
    assert int(values["restarts"]) >= 1


def press_when_armed(graph: Graph, button: Button) -> None:
    graph.wait(lambda: not graph.armed.get(button, "not told yet"), f"{button} is armed")
    assert graph.press(button).success


def test_a_camera_lost_in_an_episode_aborts_it_without_a_transition(recording, tmp_path, domain):
    hardware = Hardware(recording, tmp_path)
    camera = CameraProcess(hardware, domain, f"serial:='{SERIAL}'", "exposure:=0")
    graph = Graph(domain)
    graph.step_s = 60.0  # the step is under way for as long as the test takes
    (tmp_path / "run").mkdir()
    operator = OperatorProcess(
        domain, tmp_path / "run", auto=False, sim=False, press_window_s=0.0, required_nodes=[*NODES, CAMERA]
    )
    try:
        for button in (Button.START, Button.RESET_DONE, Button.START):
            press_when_armed(graph, button)
        graph.wait_state(Episode.RUNNING, 1)
        hardware.do("gone")
        graph.wait_state(Episode.ABORTED, 1)
        ended = next(e for e in graph.episodes if e.state == Episode.ABORTED)
        assert ended.reason.startswith(f"{CAMERA} is not ready: ")
        graph.wait(lambda: (1, 1) in graph.results, "the cut step's result")
        assert graph.results[1, 1].ended == StepResult.STOPPED
        graph.wait(lambda: graph.final_verdicts() == {(1, 1): StepVerdict.ABORTED}, "no verdict but aborted")
        hardware.do("play")
        for button in (Button.RESET_DONE, Button.START):
            press_when_armed(graph, button)
        graph.wait_state(Episode.RUNNING, 2)
    finally:
        operator.kill()
        camera.end()
        graph.close()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (["source:=webcam"], "source is 'webcam': input should be 'realsense', 'uvc' or 'recording'"),
        (["source:=uvc"], "device is empty: set it to the camera's path under /dev/v4l/by-id"),
        (["source:=recording"], "recording is empty: set it to a .bag, a .db3 or a video file"),
        (["serial:=123622270732"], "serial is 123622270732, which is no text: put it in quotes"),
        (["downscale:=7"], "640x480 cannot be divided by 7: choose a divisor"),
        (["exposure:=bright"], "exposure is 'bright': input should be a valid number"),
    ],
)
def test_settings_that_mean_no_camera_are_refused_in_one_line(parameters, words, domain):
    arguments = [part for parameter in parameters for part in ("-p", parameter)]
    ended = subprocess.run(
        [sys.executable, "-m", "sarl_ros.nodes.camera", "--ros-args", "-r", f"__node:={CAMERA}", *arguments],
        env=os.environ | {"ROS_DOMAIN_ID": str(domain)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
