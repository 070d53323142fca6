"""A node whose every subscription passes the boundary, rclpy's own to /clock included, and that tells what it rejects.

Diagnostics are published from the first rejection on, once a second: WARN while messages are rejected, else OK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from sarl_ros.ros import topics
from sarl_ros.ros.boundary import Boundary

DIAGNOSTICS_PERIOD_S = 1.0


class CheckedNode(Node):
    """See the module.

    Args:
        boundary: that of another node, which tells what this one rejects, too; None for an own one.
        options: as of Node.
    """

    def __init__(self, name: str, boundary: Boundary | None = None, **options: Any) -> None:
        # Before the base: it subscribes to /clock.
        self.boundary = boundary or Boundary(lambda line: self.get_logger().warning(line))
        self._told_rejected: Publisher | None = None
        super().__init__(name, **options)
        if boundary is None:
            self.create_steady_timer(DIAGNOSTICS_PERIOD_S, self._tell_rejected)

    def create_subscription(
        self,
        msg_type: Any,
        topic: str,
        callback: Callable[[Any], object],
        qos_profile: QoSProfile | int,
        *,
        raw: bool = False,
        **options: Any,
    ) -> Subscription:
        """As Node's; the callback gets what passes the boundary."""
        take = self.boundary.guard(msg_type, topic, callback, raw)
        return super().create_subscription(msg_type, topic, take, qos_profile, raw=True, **options)

    def create_steady_timer(self, period_s: float, callback: Callable[[], None]):
        """A timer on the steady clock, in a callback group of its own."""
        return self.create_timer(
            period_s,
            callback,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def _tell_rejected(self) -> None:
        counts = self.boundary.counts()
        if not counts:
            return
        if self._told_rejected is None:
            self._told_rejected = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, topics.STREAM)
        words, fresh = self.boundary.newest()
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if fresh else DiagnosticStatus.OK,
            name=f"{self.get_name()}: messages",
            message=f"{sum(counts.values())} messages ignored, the last on {words}",
            hardware_id=self.get_name(),
            values=[KeyValue(key=f"rejected {what}", value=str(count)) for what, count in counts.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._told_rejected.publish(message)
