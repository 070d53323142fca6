"""The parts of a camera that need neither a camera nor a process: freshness, settings, intrinsics, fixed colours."""

from __future__ import annotations

import itertools
import math
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarl_ros.camera.child import reduce_into
from sarl_ros.camera.freshness import FreshnessGate, capture_stamp
from sarl_ros.camera.types import CameraAbsent, CameraError, CameraGone, CameraSettings, FrameTimeout, Intrinsics
from sarl_ros.camera.video import UvcSource, VideoFileSource
from sarl_ros.nodes.camera import camera_info

times_ns = st.integers(0, 2**62)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.floats(0, 0.4))))
def test_no_frame_passes_twice_out_of_order_or_old(frames):
    gate, passed = FreshnessGate(max_age_s=0.2), []
    for number, stamp_ns, age_s in frames:
        if not gate.objection(number, stamp_ns, age_s):
            passed.append((number, stamp_ns))
            assert age_s <= 0.2
    for before, after in itertools.pairwise(passed):
        assert after[0] > before[0]
        assert after[1] > before[1]


def test_the_gate_says_what_it_objects_to():
    gate = FreshnessGate(max_age_s=0.2)
    assert gate.objection(7, 1_000, 0.05) == ""
    assert gate.objection(7, 2_000, 0.05) == "frame 7 came after frame 7"
    assert gate.objection(8, 1_000, 0.05) == "frame 8 was not taken later than the one before it"
    assert gate.objection(8, 2_000, 1.5) == "frame 8 was 1.50 s old when it arrived"
    assert gate.objection(8, 2_000, 0.05) == "", "what was refused is not remembered"


@given(st.none() | times_ns, times_ns)
def test_no_frame_is_stamped_in_the_future_and_stamp_and_age_agree(device_ns, now_ns):
    stamp_ns, age_s = capture_stamp(device_ns, now_ns)
    assert 0 <= stamp_ns <= now_ns
    assert math.isclose(age_s, (now_ns - stamp_ns) * 1e-9)
    if device_ns is not None and device_ns <= now_ns:
        assert stamp_ns == device_ns


def test_settings_survive_the_way_to_the_child():
    settings = CameraSettings(serial="012345678901", exposure=156.0, downscale=2)
    assert CameraSettings.from_json(settings.to_json()) == settings
    assert settings.shape == (240, 320, 3)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_smaller_image_has_the_same_rays(factor):
    """A point seen at the centre of a block of pixels is seen at that block's pixel."""
    full = Intrinsics(640, 480, 610.0, 611.0, 320.5, 239.5)
    small = full.downscaled(factor)
    column, row = 40, 30
    centre = (factor - 1) / 2
    x, y = (column * factor + centre - full.cx) / full.fx, (row * factor + centre - full.cy) / full.fy
    assert math.isclose(small.fx * x + small.cx, column)
    assert math.isclose(small.fy * y + small.cy, row)


def test_images_are_reduced_by_averaging():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2, :2] = [[[0] * 3, [100] * 3], [[100] * 3, [200] * 3]]
    target = np.empty((2, 2, 3), np.uint8)
    reduce_into(target, pixels, 2)
    assert target[:, :, 0].tolist() == [[100, 0], [0, 0]]


def test_a_camera_that_is_not_calibrated_says_so_as_ros_does():
    info = camera_info(Intrinsics(640, 480), "frame")
    assert not np.any(info.k)
    assert not np.any(info.p)


class FakeV4l2:
    """What OpenCV gives for a UVC camera with an exposure of 1 to 500 and no settable white balance."""

    def __init__(self, opens=True):
        self.opens = opens
        self.values = {cv2.CAP_PROP_WB_TEMPERATURE: 4600.0}
        self.frames = []

    def isOpened(self):
        return self.opens

    def set(self, prop, value):
        if prop == cv2.CAP_PROP_EXPOSURE:
            value = min(max(value, 1), 500)
        if prop != cv2.CAP_PROP_WB_TEMPERATURE:
            self.values[prop] = float(value)

    def get(self, prop):
        return self.values.get(prop, 0.0)

    def read(self):
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self):
        pass


def uvc(tmp_path, capture, **settings):
    device = tmp_path / "video0"
    device.touch()
    return UvcSource(CameraSettings(kind="uvc", device=str(device), **settings), lambda _: capture)


def test_a_uvc_camera_has_its_exposure_fixed_and_read_back(tmp_path):
    capture = FakeV4l2()
    description = uvc(tmp_path, capture, exposure=156, white_balance=4600).open()
    assert capture.values[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert capture.values[cv2.CAP_PROP_AUTO_WB] == 0
    assert (description.facts["exposure"], description.facts["white_balance"]) == ("156", "4600")
    assert description.intrinsics.fx == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"exposure": 900}, "exposure was set to 900 and reads back 500: choose a value that the camera has"),
        ({"white_balance": 3000}, "white_balance was set to 3000 and reads back 4600"),
    ],
)
def test_a_setting_that_does_not_take_is_refused(tmp_path, settings, words):
    with pytest.raises(CameraError, match=words):
        uvc(tmp_path, FakeV4l2(), **settings).open()


def test_uvc_frames_are_rgb_and_dated_by_the_driver(tmp_path):
    capture = FakeV4l2()
    source = uvc(tmp_path, capture)
    source.open()
    capture.frames.append(np.full((480, 640, 3), (1, 2, 3), np.uint8))
    capture.values[cv2.CAP_PROP_POS_MSEC] = (time.monotonic() - 0.1) * 1000
    frame = source.read(1.0)
    assert frame.pixels[0, 0].tolist() == [3, 2, 1]
    assert frame.age_s >= 0.1
    with pytest.raises(FrameTimeout):
        source.read(1.0)
    (tmp_path / "video0").unlink()
    with pytest.raises(CameraGone, match="unplugged"):
        source.read(1.0)
    with pytest.raises(CameraAbsent, match="plug the camera in"):
        source.open()


def test_a_uvc_camera_that_somebody_uses_is_named_with_the_remedy(tmp_path):
    with pytest.raises(CameraError, match="end other programs that use it"):
        uvc(tmp_path, FakeV4l2(opens=False)).open()


def test_a_video_file_is_played_over_and_over(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for shade in (0, 80, 160):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    source = VideoFileSource(CameraSettings(kind="recording", recording=str(path), width=64, height=48, fps=200))
    source.open()
    frames = [source.read(1.0) for _ in range(7)]
    assert [round(int(frame.pixels[0, 0, 0]) / 80) for frame in frames] == [0, 1, 2, 0, 1, 2, 0]
    assert [frame.number for frame in frames] == list(range(1, 8))
    source.close()


def test_a_video_of_another_size_is_refused(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    with pytest.raises(CameraError, match="is 64x48: set width and height to that"):
        VideoFileSource(CameraSettings(kind="recording", recording=str(path))).open()


class TestRealsenseSettings:
    """On the SDK's own sensor objects, of its software device."""

    @pytest.fixture
    def rs(self):
        return pytest.importorskip(
            "pyrealsense2", reason="needs libusb: apt install libusb-1.0-0", exc_type=ImportError
        )

    @pytest.fixture
    def sensor(self, rs):
        self.device = rs.software_device()
        sensor = self.device.add_sensor("RGB Camera")
        for option, low, high, step in (
            (rs.option.enable_auto_exposure, 0, 1, 1),
            (rs.option.exposure, 1, 10000, 1),
            (rs.option.gain, 0, 128, 1),
            (rs.option.enable_auto_white_balance, 0, 1, 1),
            (rs.option.white_balance, 2800, 6500, 10),
        ):
            limits = rs.option_range()
            limits.min, limits.max, limits.step, limits.default = low, high, step, high
            sensor.add_option(option, limits, True)
        return sensor

    def test_they_are_fixed_and_read_back(self, rs, sensor):
        from sarl_ros.camera.realsense import fix_colour

        facts = fix_colour(rs, sensor, CameraSettings(exposure=156, gain=64, white_balance=4600))
        assert facts == {"exposure": "156", "gain": "64", "white_balance": "4600"}
        assert sensor.get_option(rs.option.enable_auto_exposure) == 0
        assert sensor.get_option(rs.option.enable_auto_white_balance) == 0
        assert sensor.get_option(rs.option.exposure) == 156

    def test_zero_leaves_them_automatic(self, rs, sensor):
        from sarl_ros.camera.realsense import fix_colour

        assert fix_colour(rs, sensor, CameraSettings()) == {"exposure": "automatic", "white_balance": "automatic"}
        assert sensor.get_option(rs.option.enable_auto_exposure) == 1

    def test_out_of_range_names_the_range(self, rs, sensor):
        from sarl_ros.camera.realsense import fix_colour

        with pytest.raises(CameraError, match="white_balance 9000 is out of range: it takes 2800 to 6500 in steps"):
            fix_colour(rs, sensor, CameraSettings(white_balance=9000))

    def test_a_sensor_that_lacks_a_setting_is_named(self, rs):
        from sarl_ros.camera.realsense import fix_colour

        bare = rs.software_device().add_sensor("RGB Camera")
        with pytest.raises(CameraError, match="no setting exposure: set exposure to 0"):
            fix_colour(rs, bare, CameraSettings(exposure=156))

    @pytest.mark.parametrize(
        ("model", "name", "count"),
        [
            ("brown_conrady", "plumb_bob", 5),
            ("inverse_brown_conrady", "plumb_bob", 5),
            ("modified_brown_conrady", "plumb_bob", 5),
            ("none", "plumb_bob", 5),
            ("kannala_brandt4", "equidistant", 4),
        ],
    )
    def test_distortion_models_have_the_names_of_ros(self, rs, model, name, count):
        from sarl_ros.camera.realsense import intrinsics_from

        found = rs.intrinsics()
        found.model, found.coeffs = getattr(rs.distortion, model), [0.1, 0.2, 0.3, 0.4, 0.5]
        converted = intrinsics_from(found)
        assert (converted.distortion_model, len(converted.distortion)) == (name, count)

    def test_a_model_without_a_name_in_ros_is_refused(self, rs):
        from sarl_ros.camera.realsense import intrinsics_from

        found = rs.intrinsics()
        found.model = rs.distortion.ftheta
        with pytest.raises(CameraError, match="ftheta has no name in ROS"):
            intrinsics_from(found)

    def test_devices_are_chosen_by_serial_or_by_being_the_only_one(self, rs):
        from sarl_ros.camera.realsense import RealsenseSource

        def find(serial, *connected):
            devices = []
            for number in connected:
                device = rs.software_device()
                device.register_info(rs.camera_info.serial_number, number)
                devices.append(device)
            context = SimpleNamespace(query_devices=lambda: devices)
            source = RealsenseSource(CameraSettings(serial=serial))
            return source._find(context).get_info(rs.camera_info.serial_number)

        assert find("22", "11", "22") == "22"
        assert find("", "11") == "11"
        with pytest.raises(CameraAbsent, match="no RealSense camera is connected"):
            find("")
        with pytest.raises(CameraAbsent, match=r"33 is not connected \(there is 11, 22\)"):
            find("33", "22", "11")
        with pytest.raises(CameraError, match=r"2 RealSense cameras are connected \(11, 22\): set `serial`"):
            find("", "22", "11")
