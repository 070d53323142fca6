"""Subscriptions on a control loop's path, served by a thread and a wait set of their own.

rclpy's multi-threaded executor builds a wait set of every entity of a node anew for each callback and hands it to
another thread: milliseconds of a core a control period, on each hop. Here the wait set holds these subscriptions alone
and the thread that wakes runs the callback. Callbacks are short and never wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.spinning import SpinThread


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
        self._thread_name = f"{name} subscriptions"
        self._spinner: SpinThread | None = None

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
        executor = SingleThreadedExecutor(context=self._node.context)
        self._spinner = SpinThread(executor, self._node, name=self._thread_name)

    def close(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
        self._node.destroy_node()
