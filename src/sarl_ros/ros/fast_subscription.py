"""Subscriptions on a control loop's path, served by a thread and a wait set of their own.

rclpy's multi-threaded executor builds a wait set of every entity of a node anew for each callback and hands it to
another thread: milliseconds of a core a control period, on each hop. Here the wait set holds these subscriptions alone
and the thread that wakes runs the callback. Callbacks are short and never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile

from sarl_ros.ros.checked_node import CheckedNode


class FastSubscriptions:
    """Add subscriptions, `start` once, `close` when the owner closes.

    Args:
        owner: gives the name, the context and the boundary that messages pass.
        name: tells the thread from others of the same owner.
    """

    def __init__(self, owner: CheckedNode, name: str = "fast") -> None:
        self._node = CheckedNode(
            f"{owner.get_name()}_{name}",
            owner.boundary,
            context=owner.context,
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._executor = SingleThreadedExecutor(context=owner.context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name=f"{name} subscriptions", daemon=True)

    def subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None], quality: QoSProfile, raw: bool = False):
        """As `CheckedNode.create_subscription`; all callbacks run one after the other."""
        return self._node.create_subscription(
            kind,
            topic,
            callback,
            quality,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=raw,
        )

    def serve(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]):
        """As `Node.create_service`, in the same thread: for a call that must not wait for any other."""
        return self._node.create_service(kind, name, callback)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(timeout=2.0)
        self._node.destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
