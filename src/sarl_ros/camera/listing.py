"""`sarl cameras`: what is connected, in the words that a parameter file needs."""

from __future__ import annotations

from pathlib import Path

from sarl_ros.camera.realsense import FACTS, load_sdk
from sarl_ros.camera.types import CameraError

BY_ID = Path("/dev/v4l/by-id")


def list_cameras() -> dict[str, list[dict[str, str]]]:
    """Print every RealSense with its serial number and every UVC camera with its path; the same as a dictionary."""
    found: dict[str, list[dict[str, str]]] = {"realsense": [], "uvc": []}
    try:
        found["realsense"] = realsense_cameras()
    except CameraError as error:
        print(f"RealSense: {error}")
    for facts in found["realsense"]:
        usb = facts.get("usb_type_descriptor", "")
        slow = " - use a USB 3 port and cable" if usb.startswith(("1", "2")) else ""
        serial = facts.get("serial_number", "none: it is in recovery mode, load its firmware again")
        firmware = facts.get("firmware_version", "unknown")
        print(f'{facts.get("name", "RealSense")}: serial: "{serial}", firmware {firmware}, USB {usb}{slow}')
    paths = [path for path in sorted(BY_ID.glob("*-video-index0")) if "RealSense" not in path.name]
    found["uvc"] = [{"device": str(path)} for path in paths]
    for facts in found["uvc"]:
        print(f"UVC camera: device: {facts['device']}")
    if not any(found.values()):
        print("no camera is connected")
    return found


def realsense_cameras() -> list[dict[str, str]]:
    """What is known of every RealSense that is connected, by the names of `FACTS`. Raises CameraError."""
    rs = load_sdk()
    try:
        return [
            {
                name: device.get_info(getattr(rs.camera_info, name))
                for name in FACTS
                if device.supports(getattr(rs.camera_info, name))
            }
            for device in rs.context().query_devices()
        ]
    except RuntimeError as error:
        raise CameraError(f"the list cannot be read ({error}): plug the cameras in again, check udev") from None
