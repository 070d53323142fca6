"""RealSense cameras through the vendor's SDK, by serial number, and recordings through the SDK's own playback.

The context is made anew by each process: device lists of a context that has seen a hardware reset are unreliable
(librealsense issues 8393, 9287), and a fresh process is the one state that is always sound.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from sarl_ros.camera.freshness import capture_stamp
from sarl_ros.camera.types import (
    CameraAbsent,
    CameraError,
    CameraGone,
    CameraSettings,
    Description,
    Frame,
    FrameTimeout,
    Intrinsics,
)

# SDK distortion models whose coefficients ROS takes in the same order, as realsense-ros maps them.
PLUMB_BOB = ("brown_conrady", "inverse_brown_conrady", "modified_brown_conrady")
EQUIDISTANT = ("kannala_brandt4",)
FACTS = ("name", "serial_number", "firmware_version", "usb_type_descriptor", "physical_port")


def load_sdk() -> Any:
    """The module pyrealsense2.

    Raises:
        CameraError: it is not installed, or a library that it needs is not.
    """
    try:
        import pyrealsense2
    except ModuleNotFoundError:
        raise CameraError("pyrealsense2 is not installed: run `make setup`") from None
    except ImportError as error:
        raise CameraError(f"pyrealsense2 cannot be loaded ({error}): sudo apt install libusb-1.0-0") from None
    return pyrealsense2


class RealsenseSource:
    """See `Source`. Colour only: depth is neither asked for nor carried over USB."""

    def __init__(self, settings: CameraSettings) -> None:
        self._rs = load_sdk()
        self._settings = settings
        self._gone = threading.Event()
        self._pipeline: Any = None
        self._device: Any = None
        self._played: Any = None
        self._plays = False
        self._sdk_number = -1
        self._number = 0

    def make_context(self) -> Any:
        """A context that knows the devices to choose from. Raises CameraAbsent or CameraError."""
        context = self._rs.context()
        if self._settings.plays_sdk_recording:
            path = Path(self._settings.recording)
            if not path.is_file():
                raise CameraAbsent(f"the recording {path} is missing: correct `recording`")
            try:
                self._played = context.load_device(str(path))  # the context lists it as long as we hold it
            except RuntimeError as error:
                raise CameraError(f"the SDK cannot play {path} ({_line(error)}): record it again") from None
        return context

    def open(self) -> Description:
        rs, settings = self._rs, self._settings
        context = self.make_context()
        device = self._find(context)
        serial = _info(rs, device, "serial_number")

        def on_change(change: Any) -> None:
            if change.was_removed(device):
                self._gone.set()

        context.set_devices_changed_callback(on_change)
        config = rs.config()
        if settings.plays_sdk_recording:
            config.enable_device_from_file(settings.recording, repeat_playback=True)
        else:
            config.enable_device(serial)
        config.enable_stream(rs.stream.color, settings.width, settings.height, rs.format.rgb8, settings.fps)
        self._pipeline = rs.pipeline(context)
        try:
            profile = self._pipeline.start(config)
        except RuntimeError as error:
            raise self._cannot_start(device, error) from None
        self._device = profile.get_device()
        self._plays = self._device.is_playback()
        facts = {name: _info(rs, device, name) for name in FACTS if _info(rs, device, name)}
        facts |= {"exposure": "as recorded"} if self._plays else fix_colour(rs, color_sensor(rs, device), settings)
        stream = profile.get_stream(rs.stream.color).as_video_stream_profile()
        return Description(intrinsics_from(stream.get_intrinsics()), facts, _usb_warning(facts))

    def read(self, timeout_s: float) -> Frame:
        try:
            frames = self._pipeline.wait_for_frames(round(timeout_s * 1000))
        except RuntimeError as error:
            if self._gone.is_set():
                raise self._removed() from None
            if "didn't arrive" in str(error):
                raise FrameTimeout from None
            raise CameraError(f"the SDK failed ({_line(error)}): the camera is restarted") from None
        if self._gone.is_set():
            raise self._removed()
        now_ns = time.time_ns()
        frame = frames.get_color_frame()
        if not frame:
            raise FrameTimeout
        stamp_ns, age_s = capture_stamp(self._device_ns(frame), now_ns)
        if frame.get_frame_number() != self._sdk_number:
            self._sdk_number = frame.get_frame_number()
            # A recording that starts over counts from the beginning again, a camera never does.
            self._number = self._number + 1 if self._plays else self._sdk_number
        return Frame(np.asanyarray(frame.get_data()), self._number, stamp_ns, age_s)

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.stop()
            self._pipeline = None

    def reset(self) -> None:
        device = self._find(self.make_context())
        if device.is_playback():
            raise CameraError("a recording cannot be reset: play it again")
        try:
            device.hardware_reset()
        except RuntimeError as error:
            raise CameraError(f"the hardware reset failed ({_line(error)}): unplug the camera and plug it in") from None

    def _find(self, context: Any) -> Any:
        """The device with our serial number, or the only one. Raises CameraAbsent or CameraError."""
        try:
            devices = {_info(self._rs, device, "serial_number"): device for device in context.query_devices()}
        except RuntimeError as error:  # a device that vanishes while the list is made
            raise CameraAbsent(f"the list of RealSense cameras cannot be read ({_line(error)}): wait") from None
        wanted = self._settings.serial
        there = ", ".join(sorted(serial or "one in recovery mode" for serial in devices))
        if wanted:
            if wanted not in devices:
                raise CameraAbsent(
                    f"RealSense {wanted} is not connected ({f'there is {there}' if there else 'none is'}): "
                    "plug it into a USB 3 port, or correct `serial`"
                )
            return devices[wanted]
        if not devices:
            raise CameraAbsent("no RealSense camera is connected: plug it into a USB 3 port")
        if len(devices) > 1:
            raise CameraError(f"{len(devices)} RealSense cameras are connected ({there}): set `serial` to one of them")
        return next(iter(devices.values()))

    def _cannot_start(self, device: Any, error: RuntimeError) -> CameraError:
        settings, text = self._settings, _line(error)
        if "resolve requests" in text:
            usb = _info(self._rs, device, "usb_type_descriptor")
            return CameraError(
                f"the camera has no colour stream of {settings.width}x{settings.height} at {settings.fps} Hz"
                f"{f' over USB {usb}' if usb else ''}; it has {_profiles(self._rs, device)}: "
                "correct width, height and fps"
            )
        if "No device" in text:
            return CameraAbsent("the camera vanished while it was started: check its cable")
        return CameraError(f"the camera does not start ({text}): end other programs that use it, or replug it")

    def _removed(self) -> CameraGone:
        return CameraGone("the camera was unplugged, or lost its power: check its cable")

    def _device_ns(self, frame: Any) -> int | None:
        """When the frame was taken, on the system clock [ns]; None where the SDK does not know."""
        rs = self._rs
        if self._plays:
            return None
        if frame.get_frame_timestamp_domain() in (rs.timestamp_domain.global_time, rs.timestamp_domain.system_time):
            return round(frame.get_timestamp() * 1e6)
        arrival = rs.frame_metadata_value.time_of_arrival
        return frame.get_frame_metadata(arrival) * 1_000_000 if frame.supports_frame_metadata(arrival) else None


def color_sensor(rs: Any, device: Any) -> Any:
    """The sensor that gives colour; on a D405 that is the stereo module. Raises CameraError."""
    for sensor in device.query_sensors():
        if any(profile.stream_type() == rs.stream.color for profile in sensor.get_stream_profiles()):
            return sensor
    raise CameraError("the camera has no colour stream: use another model")


def fix_colour(rs: Any, sensor: Any, settings: CameraSettings) -> dict[str, str]:
    """Set exposure, gain and white balance, read them back, and return what was read.

    Raises:
        CameraError: the sensor lacks a setting, or has another value than the one it was given.
    """
    option, facts = rs.option, {}
    for name, value, automatic, target in (
        ("exposure", settings.exposure, option.enable_auto_exposure, option.exposure),
        ("white_balance", settings.white_balance, option.enable_auto_white_balance, option.white_balance),
    ):
        if not value:
            if sensor.supports(automatic):
                _set(sensor, automatic, 1.0, name)
            facts[name] = "automatic"
            continue
        if sensor.supports(automatic):
            _set(sensor, automatic, 0.0, name)
        facts[name] = _set(sensor, target, value, name)
    if settings.exposure and settings.gain:
        facts["gain"] = _set(sensor, option.gain, settings.gain, "gain")
    return facts


def _set(sensor: Any, option: Any, value: float, name: str) -> str:
    if not sensor.supports(option):
        raise CameraError(f"the camera has no setting {name}: set {name} to 0")
    limits = sensor.get_option_range(option)
    allowed = f"it takes {limits.min:g} to {limits.max:g} in steps of {limits.step:g}"
    if not limits.min <= value <= limits.max:
        raise CameraError(f"{name} {value:g} is out of range: {allowed}")
    try:
        sensor.set_option(option, value)
        found = sensor.get_option(option)
    except RuntimeError as error:
        raise CameraError(f"{name} cannot be set ({_line(error)}): end other programs that use the camera") from None
    if abs(found - value) > max(limits.step / 2, 1e-6):
        raise CameraError(f"{name} was set to {value:g} and reads back {found:g}: {allowed}")
    return f"{found:g}"


def intrinsics_from(found: Any) -> Intrinsics:
    """From the SDK's form to that of sensor_msgs/CameraInfo, as realsense-ros does."""
    model = str(found.model).rpartition(".")[2]
    if model == "none" or model in PLUMB_BOB:
        name, count = "plumb_bob", 5
    elif model in EQUIDISTANT:
        name, count = "equidistant", 4
    else:
        raise CameraError(f"the camera's distortion model {model} has no name in ROS: use another model of camera")
    coefficients = tuple(float(value) for value in list(found.coeffs)[:count])
    return Intrinsics(found.width, found.height, found.fx, found.fy, found.ppx, found.ppy, name, coefficients)


def _profiles(rs: Any, device: Any) -> str:
    """The RGB streams that a device has, in words."""
    found = set()
    for profile in color_sensor(rs, device).get_stream_profiles():
        if profile.stream_type() == rs.stream.color and profile.format() == rs.format.rgb8:
            video = profile.as_video_stream_profile()
            found.add((video.width(), video.height(), video.fps()))
    return ", ".join(f"{width}x{height} at {fps}" for width, height, fps in sorted(found)) or "none in rgb8"


def _usb_warning(facts: dict[str, str]) -> str:
    usb = facts.get("usb_type_descriptor", "")
    return f"the camera runs over USB {usb}: use a USB 3 port and cable" if usb.startswith(("1", "2")) else ""


def _info(rs: Any, device: Any, name: str) -> str:
    field = getattr(rs.camera_info, name)
    return device.get_info(field) if device.supports(field) else ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
