"""The `camera` node: one camera under the topic names of realsense-ros, ready while fresh frames come.

Frames come from a child process, see `sarl_ros.camera`. Images carry the ROS time of their capture. JPEG is encoded
while somebody listens to it.
"""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Empty

from sarl_ros.camera.camera import SOURCE, Camera, CameraReport
from sarl_ros.camera.types import Frame, Intrinsics
from sarl_ros.parameters.camera import CameraParameters
from sarl_ros.ros import topics
from sarl_ros.ros.cdr import image_cdr
from sarl_ros.ros.convert import jpeg_to, to_time
from sarl_ros.ros.node import SarlNode, run_node
from sarl_ros.ros.parameters import declare

CHECK_PERIOD_S = 0.1
DIAGNOSTICS_PERIOD_S = 1.0


class CameraNode(SarlNode):
    """See the module. Named camera_NAME in a graph, with NAME the camera's.

    Args:
        source: what makes the camera's source in the child process, `module:function`.
    """

    def __init__(self, source: str = SOURCE) -> None:
        super().__init__("camera")
        parameters = declare(self, CameraParameters)
        settings = parameters.settings()
        self._camera_name = parameters.camera or self.get_name().removeprefix("camera_")
        self._frame_id = f"camera_{self._camera_name}_color_optical_frame"
        image_topic = topics.camera_image(self._camera_name)
        self._images = self.create_publisher(Image, image_topic, topics.IMAGE)
        self._jpegs = self.create_publisher(CompressedImage, topics.compressed(image_topic), topics.IMAGE)
        self._infos = self.create_publisher(CameraInfo, topics.camera_info(self._camera_name), topics.IMAGE)
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, topics.STREAM)
        self._described: tuple[Intrinsics, CameraInfo] | None = None
        self._told = ""
        self._frames_told = 0
        self._fps = settings.fps
        self._camera = Camera(settings, self._on_frame, parameters.max_silence_s, source)
        self.create_service(Empty, "~/hw_reset", self._on_reset)
        self.create_steady_timer(CHECK_PERIOD_S, self._check)
        self.create_steady_timer(DIAGNOSTICS_PERIOD_S, self._diagnose)
        self._camera.start()

    def _on_frame(self, frame: Frame) -> None:
        """Publish it; runs in the camera's thread."""
        self._images.publish(image_cdr(frame.pixels, frame.stamp_ns, self._frame_id))
        if self._jpegs.get_subscription_count():
            self._jpegs.publish(jpeg_to(frame.pixels, frame.stamp_ns, self._frame_id))
        info = self._info()
        if info is not None:
            info.header.stamp = to_time(frame.stamp_ns)
            self._infos.publish(info)

    def _info(self) -> CameraInfo | None:
        description = self._camera.report().description
        if description is None:
            return None
        if self._described is None or self._described[0] != description.intrinsics:
            self._described = description.intrinsics, camera_info(description.intrinsics, self._frame_id)
        return self._described[1]

    def _on_reset(self, _: Empty.Request, response: Empty.Response) -> Empty.Response:
        self._camera.restart()
        return response

    def _check(self) -> None:
        report = self._camera.report()
        self.ready = not report.words
        if report.words:
            self.faults["camera"] = report.words
        else:
            self.faults.pop("camera", None)
        # Ages change by the tick: what is told is that something else is wrong now.
        told = report.words.partition(" for ")[0]
        if told != self._told:
            if report.words:
                self.get_logger().warning(report.words)
            else:
                self.get_logger().info(f"frames come: {', '.join(f'{k} {v}' for k, v in _facts(report).items())}")
            self._told = told

    def _diagnose(self) -> None:
        report = self._camera.report()
        rate_hz = (report.frames - self._frames_told) / DIAGNOSTICS_PERIOD_S
        self._frames_told = report.frames
        warning = report.description.warning if report.description else ""
        if not report.words and not warning and rate_hz < 0.8 * self._fps:
            warning = f"{rate_hz:.0f} frames a second of {self._fps}: is the computer or the USB bus busy?"
        level = DiagnosticStatus.ERROR if report.words else DiagnosticStatus.WARN if warning else DiagnosticStatus.OK
        values = _facts(report) | {
            "phase": report.phase.value,
            "rate_hz": f"{rate_hz:.0f}",
            "newest_age_s": f"{report.newest_age_s:.3f}",
            "frames": str(report.frames),
            "stale_withheld": str(report.stale),
            "dropped": str(report.dropped),
            "restarts": str(report.restarts),
        }
        message = DiagnosticArray(
            status=[
                DiagnosticStatus(
                    level=level,
                    name=f"{self.get_name()}: frames",
                    message=report.words or warning or "frames come",
                    hardware_id=values.get("serial_number", ""),
                    values=[KeyValue(key=key, value=value) for key, value in values.items()],
                )
            ]
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def close(self) -> None:
        self._camera.close()


def _facts(report: CameraReport) -> dict[str, str]:
    return report.description.facts if report.description else {}


def camera_info(intrinsics: Intrinsics, frame_id: str) -> CameraInfo:
    """Intrinsics as realsense-ros publishes them: no rectification, one camera."""
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    one = 1.0 if fx else 0.0
    info = CameraInfo(
        height=intrinsics.height,
        width=intrinsics.width,
        distortion_model=intrinsics.distortion_model,
        d=list(intrinsics.distortion),
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, one],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, one, 0.0],
    )
    info.header.frame_id = frame_id
    return info


def main() -> None:
    run_node(CameraNode, threads=1)


if __name__ == "__main__":
    main()
