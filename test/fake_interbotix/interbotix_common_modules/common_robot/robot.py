"""Stands in for the vendor's module of this name (branch jazzy): same names, signatures and waits, no more."""

from __future__ import annotations

import threading

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node

_state: dict[str, object] = {"node": None, "up": False}


class InterbotixRobotNode(Node):
    def __init__(self, node_name="interbotix_robot_manipulation", namespace=None, **kwargs):
        super().__init__(node_name, namespace=namespace, **kwargs)

    def wait_until_future_complete(self, future, timeout_sec=None):
        """Looks 20 times a second, by default for ever."""
        if not _state["up"]:
            rclpy.spin_until_future_complete(self, future, timeout_sec=timeout_sec)
            return
        rate = self.create_rate(20.0)
        while not future.done():
            rate.sleep()


def create_interbotix_global_node(node_name="interbotix_robot_manipulation", namespace=None, **kwargs):
    if _state["node"] is not None:
        raise RuntimeError("Tried to create an Interbotix global node but one already exists.")
    if not rclpy.ok():
        rclpy.init()
    _state["node"] = InterbotixRobotNode(node_name, namespace, **kwargs)
    return _state["node"]


def robot_startup(node=None, node_name="interbotix_robot_manipulation", namespace=None):
    executor = MultiThreadedExecutor()
    executor.add_node(node or _state["node"])
    _state["up"] = True

    def spin():
        try:
            executor.spin()
        except ExternalShutdownException:
            pass

    threading.Thread(target=spin, daemon=True).start()
