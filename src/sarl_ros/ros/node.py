"""What all our nodes share: a heartbeat on the steady clock, faults in plain words, and an orderly end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from sarl_interfaces.msg import NodeStatus
from sarl_ros.core import processes
from sarl_ros.ros import topics
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.spinning import SpinThread

HEARTBEAT_PERIOD_S = 0.2
EVENTS_CHECK_S = 0.1
SETUP_ERROR_EXIT_CODE = 2
RUN = "name of the run, whose messages alone are taken; empty: those of any"


class SetupError(Exception):
    """A node cannot start; the message is one line that names the thing and the remedy."""


class SarlNode(CheckedNode):
    """A node with a heartbeat, and with the parameter `run`: messages of other runs are not for it.

    `ready` is published until told otherwise as False; `faults` maps a fault's name to plain words with its remedy.
    `failure` says in one line why the node cannot go on, if it has ended for that.
    Time-outs and watchdogs use `steady_s()`, never ROS time, which a simulator may freeze.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.incarnation = uuid.uuid4().hex
        described = ParameterDescriptor(
            description=RUN, read_only=True, dynamic_typing=True
        )  # `declare` refuses others
        self.boundary.run = str(self.declare_parameter("run", "", described).value)
        self.ready = False
        self.faults: dict[str, str] = {}
        self.failure = ""
        self._status_publisher = self.create_publisher(NodeStatus, topics.NODE_STATUS, topics.STREAM)
        self.create_steady_timer(HEARTBEAT_PERIOD_S, self._beat)

    @staticmethod
    def steady_s() -> float:
        return time.monotonic()

    def _beat(self) -> None:
        self._status_publisher.publish(
            NodeStatus(
                node=self.get_name(),
                incarnation=self.incarnation,
                ready=self.ready,
                faults=[*self.faults.values(), *self.boundary.faults()],
            )
        )

    def close(self) -> None:
        """Release what the node holds; called once, after spinning has ended."""


def run_node(make: Callable[[], SarlNode], threads: int = 4) -> None:
    """Spin the node that `make` returns until SIGINT or SIGTERM, then close it.

    It also ends when the supervisor that started it is gone, and with code 1 when any of its threads dies.

    With one thread callbacks run one after the other, so none may wait for another. They are then served by rclpy's
    event-driven executor, which takes a third of the multi-threaded one's time on a control loop's path.
    Exits with code 2 and one line on stderr when `make` raises SetupError, or the node has a `failure`.
    """
    if os.environ.get("OMP_NUM_THREADS") is None:
        os.environ["OMP_NUM_THREADS"] = "1"
    processes.watch_parent()
    processes.end_with_threads()
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        rclpy.try_shutdown()
        sys.exit(SETUP_ERROR_EXIT_CODE)
    executor = MultiThreadedExecutor(num_threads=threads) if threads > 1 else _event_driven_executor()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    processes.end_in_order()
    spinner = SpinThread(executor, node, check_s=None if threads > 1 else EVENTS_CHECK_S)
    try:
        while not stop.wait(0.1) and spinner.alive:
            pass
    finally:
        spinner.stop()
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    if node.failure:
        print(f"error: {node.failure}", file=sys.stderr, flush=True)
        sys.exit(SETUP_ERROR_EXIT_CODE)
    sys.exit(processes.exit_code())


def _event_driven_executor() -> Executor:
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:  # rclpy before 7.1.5
        return SingleThreadedExecutor()
    return EventsExecutor()
