"""One camera kept alive: the vendor's SDK in a child process, played recordings as its hardware, faults on demand.

No frame is ever handed out twice, late, or after its camera is gone, whatever happens to the camera.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from camera_tools import SERIAL, Hardware, recording_fixture  # noqa: F401

from sarl_ros.camera.camera import Camera, Phase
from sarl_ros.camera.types import CameraSettings, Frame

RECOVERY_S = 15.0
WAIT_S = 20.0

pytest.importorskip("pyrealsense2", reason="needs libusb: apt install libusb-1.0-0", exc_type=ImportError)


class Watched:
    """A camera with faults on demand, and all that came of it."""

    def __init__(self, recording: Path, folder: Path, monkeypatch, **settings) -> None:
        self.hardware = Hardware(recording, folder)
        for name, value in self.hardware.environment.items():
            monkeypatch.setenv(name, value)
        self.settings = CameraSettings(kind="realsense", serial=SERIAL, **settings)
        self.changed = threading.Condition()
        self.frames: list[tuple[int, float, np.ndarray]] = []
        self.camera = Camera(self.settings, self.take, source="camera_faults:make_source")
        self.camera.start()

    def take(self, frame: Frame) -> None:
        with self.changed:
            self.frames.append((frame.stamp_ns, frame.age_s, frame.pixels[::240, ::320].copy()))
            self.changed.notify_all()

    def streams(self, timeout_s: float = WAIT_S) -> bool:
        """Wait for ten more frames."""
        with self.changed:
            count = len(self.frames)
            return self.changed.wait_for(lambda: len(self.frames) >= count + 10, timeout_s)

    def report_with(self, condition, timeout_s: float = WAIT_S):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            report = self.camera.report()
            if condition(report):
                return report
            time.sleep(0.01)
        raise AssertionError(f"the camera never got so far: {self.camera.report()}")


@pytest.fixture
def watched(recording, tmp_path, monkeypatch):
    camera = Watched(recording, tmp_path, monkeypatch)
    try:
        assert camera.streams(), camera.camera.report()
        yield camera
    finally:
        camera.camera.close()
    stamps = [stamp for stamp, _, _ in camera.frames]
    assert all(later > earlier for earlier, later in itertools.pairwise(stamps)), "a frame came twice"
    assert all(age <= camera.settings.max_age_s for _, age, _ in camera.frames)
    assert camera.camera.child_pid is None


def test_a_camera_streams_its_pictures_with_the_intrinsics_of_the_sdk(watched):
    report = watched.camera.report()
    assert (report.phase, report.words) == (Phase.STREAMING, "")
    found = report.description.intrinsics
    assert (found.fx, found.fy, found.cx, found.cy) == (610.0, 611.0, 320.5, 239.5)
    assert (found.width, found.height, found.distortion_model) == (640, 480, "plumb_bob")
    assert report.description.facts["serial_number"] == SERIAL
    shades = {int(pixels[-1, -1, 0]) for _, _, pixels in watched.frames}
    assert len(shades) > 5
    assert shades <= {number % 64 * 4 for number in range(64)} | {250}


def test_the_sdks_own_time_out_makes_the_camera_lost_and_it_recovers(watched):
    watched.hardware.do("pause")
    assert "no frame came for" in watched.report_with(lambda report: "no frame came" in report.words).words
    first = watched.camera.child_pid
    restarted = watched.report_with(lambda report: report.restarts == 1)
    assert restarted.phase == Phase.WAITING
    assert "cannot be reset" in watched.report_with(lambda report: "reset" in report.words).words
    watched.hardware.do("play")
    assert watched.streams(RECOVERY_S)
    assert watched.camera.child_pid not in (None, first)
    assert watched.camera.report().words == ""


def test_an_unplugged_camera_is_named_and_streams_again_within_15_s_of_its_return(watched):
    watched.hardware.do("gone")
    lost = watched.report_with(lambda report: report.phase == Phase.ABSENT)
    assert lost.words == (
        f"RealSense {SERIAL} is not connected (none is): plug it into a USB 3 port, or correct `serial`"
    )
    count = len(watched.frames)
    watched.hardware.do("play")
    assert watched.streams(RECOVERY_S)
    assert len(watched.frames) > count


def test_a_repeated_frame_is_never_handed_out_as_new(watched):
    watched.hardware.do("stuck")
    report = watched.report_with(lambda report: report.stale > 3)
    count = len(watched.frames)
    assert "came after frame" in watched.report_with(lambda report: "came after frame" in report.words).words
    watched.report_with(lambda report: report.restarts == 1)
    assert len(watched.frames) == count
    assert report.frames == count
    watched.hardware.do("play")
    assert watched.streams(RECOVERY_S)


def test_a_child_that_hangs_is_killed_and_started_again(watched):
    first = watched.camera.child_pid
    watched.hardware.do("hang")
    assert "hung" in watched.report_with(lambda report: "hung" in report.words).words
    watched.hardware.do("play")
    assert watched.streams(RECOVERY_S)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_child_that_dies_is_started_again(watched):
    os.kill(watched.camera.child_pid, signal.SIGKILL)
    assert "died" in watched.report_with(lambda report: "died" in report.words).words
    assert watched.streams(RECOVERY_S)


def test_images_can_be_made_smaller_and_the_intrinsics_follow(recording, tmp_path, monkeypatch):
    small = Watched(recording, tmp_path, monkeypatch, downscale=2)
    try:
        assert small.streams()
        found = small.camera.report().description.intrinsics
        assert (found.width, found.height, found.fx, found.cx) == (320, 240, 305.0, 160.0)
        assert small.frames[-1][2].shape == (1, 1, 3)
    finally:
        small.camera.close()


def test_a_recording_is_played_over_and_over(recording):
    frames = threading.Semaphore(0)
    settings = CameraSettings(kind="recording", recording=str(recording))
    camera = Camera(settings, lambda _: frames.release())
    camera.start()
    try:
        for _ in range(120):  # more than the recording has
            assert frames.acquire(timeout=WAIT_S), camera.report()
        assert camera.report().description.facts["exposure"] == "as recorded"
    finally:
        camera.close()


def test_the_child_does_not_outlive_a_killed_owner(recording):
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from sarl_ros.camera.camera import Camera\n"
            "from sarl_ros.camera.types import CameraSettings\n"
            "camera = Camera(CameraSettings(kind='recording', recording=sys.argv[1]), lambda _: None)\n"
            "camera.start()\n"
            "while not camera.report().frames: time.sleep(0.05)\n"
            "print(camera.child_pid, flush=True)\n"
            "time.sleep(60)\n",
            str(recording),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(owner.stdout.readline())
    with owner:  # closes its pipes as well
        owner.kill()
    deadline = time.monotonic() + WAIT_S
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.05)
