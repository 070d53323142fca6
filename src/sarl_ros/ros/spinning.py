"""A thread that serves a node's callbacks, and that ends before what it waits for is destroyed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy._rclpy_pybind11 import InvalidHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor
from rclpy.guard_condition import GuardCondition
from rclpy.node import Node


class SpinThread:
    """Serves a node's callbacks from its construction until `stop`.

    rclpy's `Executor.shutdown`, called while another thread spins, takes the guard condition and the iterator away
    under that thread, does not wait for callbacks that are running, and leaves the threads of a pool behind. Here a
    guard condition of the node makes the thread leave its loop by itself; only then is the executor shut down.
    """

    def __init__(
        self,
        executor: Executor,
        node: Node,
        failed: Callable[[Exception], None] | None = None,
        check_s: float | None = None,
        name: str = "callbacks",
    ) -> None:
        """Start.

        Args:
            executor: spins `node`, which is added to it, and nothing else.
            failed: told in the thread of what a callback raised, after which nothing is served; None to let the thread
                die of it.
            check_s: longest time (s) between looks for `stop`, for an executor that takes no guard conditions.
            name: of the thread.
        """
        self._executor = executor
        self._failed = failed
        self._check_s = check_s
        self._stopping = threading.Event()
        self._wake: GuardCondition | None = None
        if check_s is None:
            self._wake = node.create_guard_condition(lambda: None, callback_group=ReentrantCallbackGroup())
        executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether callbacks are served."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Serve no further callback, and wait up to `timeout_s` for those that run.

        One that runs longer finds its node destroyed, and the InvalidHandle that it may meet ends it without a word.
        """
        self._stopping.set()
        if self._wake is not None:
            self._wake.trigger()
        until_s = time.monotonic() + timeout_s
        self._thread.join(timeout_s)
        if self.alive:  # a callback that does not end: the thread leaves its loop after it
            return
        if isinstance(self._executor, MultiThreadedExecutor):
            pool = self._executor._executor
            pool.shutdown(wait=False)
            for thread in pool._threads:
                thread.join(max(0.0, until_s - time.monotonic()))
        self._executor.shutdown(timeout_sec=max(0.0, until_s - time.monotonic()))

    def _spin(self) -> None:
        try:
            while not self._stopping.is_set():
                self._executor.spin_once(timeout_sec=self._check_s)
        except ExternalShutdownException:
            pass
        except InvalidHandle:
            if not self._stopping.is_set():  # else a callback outlasted `stop`, and its node is gone
                raise
        except Exception as error:
            if self._failed is None:
                raise
            self._failed(error)
