"""The operator's calls to the arm and to the world: one after the other, repeated while a service is away.

Nothing here waits: `advance` sends what can be sent and takes what was answered. A stop overtakes everything.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.client import Client
from rclpy.task import Future

STOP, PAUSE, RESUME, RESET = "stop", "pause", "resume", "reset"
ARM_NODE, WORLD_NODE = "arm_bridge", "sim_world"
ANSWER_S = 1.0
LONG_ANSWER_S = 30.0
RETRY_S = 1.0


@dataclass(slots=True)
class _Order:
    """A call to make; `nodes` are to be up before, `last` ends a reset attempt."""

    kind: str
    client: Client
    request: Any
    nodes: tuple[str, ...] = ()
    attempt: int = 0
    last: bool = False
    not_before_s: float = 0.0


class ServiceCalls:
    """Carries out StopArm, PauseArm, ClearArm, ResumeArm and BeginReset.

    Args:
        stop, pause, resume, arm_reset, world_reset: clients; world_reset is None where a person resets the scene.
        wake: called from any thread when an answer came; it should call `advance`.
        is_up: whether a node, by its name, is up and ready. DDS takes a killed server for alive a while longer.
        on_reset: called by `advance` with the attempt and why it failed, empty if it did not.
        on_refused: called by `advance` with the reason why the arm does not go on: stopped meanwhile, or a clear, which
            reboots motors and switches their torque on, has failed. It is not tried again before a person has looked.
        faults: keeps what is wrong, in plain words.

    Attributes:
        stop_answered_s: when the arm has answered a stop last, on the steady clock.
    """

    def __init__(
        self,
        stop: Client,
        pause: Client,
        resume: Client,
        arm_reset: Client,
        world_reset: Client | None,
        wake: Callable[[], None],
        is_up: Callable[[str], bool],
        on_reset: Callable[[int, str], None],
        on_refused: Callable[[str], object],
        faults: dict[str, str],
    ) -> None:
        self._stop, self._pause, self._resume = stop, pause, resume
        self._arm_reset, self._world_reset = arm_reset, world_reset
        self._wake, self._is_up, self._on_reset, self._faults = wake, is_up, on_reset, faults
        self._on_refused = on_refused
        self.stop_answered_s = -math.inf
        self._orders: deque[_Order] = deque()
        self._future: Future | None = None
        self._sent_s = 0.0

    @property
    def stopping(self) -> bool:
        """A stop is under way, and the arm has not answered it."""
        return self._future is not None and self._orders[0].kind == STOP

    def stop(self) -> None:
        """Hold the arm at once until a person clears it, whatever else is under way."""
        self._halt(_Order(STOP, self._stop, self._request(self._stop)))

    def pause(self) -> None:
        """Hold the arm at once, whatever else is under way but a stop, which is more."""
        if any(order.kind == STOP for order in self._orders):
            return
        self._halt(_Order(PAUSE, self._pause, self._request(self._pause)))

    def _halt(self, order: _Order) -> None:
        self._abandon()
        self._orders.clear()
        self._orders.append(order)
        self.advance()

    def resume(self, stop: str = "") -> None:
        """Let the arm move again after a pause, or after `stop`; a stop that was never sent is dropped."""
        self._keep(lambda order: order.kind == RESUME)
        request = self._request(self._resume)
        request.stop = stop
        self._orders.append(_Order(RESUME, self._resume, request, (ARM_NODE,)))
        self.advance()

    def reset(self, attempt: int, world_request: Any | None, again: bool) -> None:
        """Reset the arm, then the world; `again` waits a little first."""
        self._keep(lambda order: order.kind != RESET)
        if self._orders and self._future is not None and self._orders[0].kind == RESET:
            self._abandon()
            self._orders.popleft()
        not_before_s = time.monotonic() + RETRY_S if again else 0.0
        arm_only = self._world_reset is None or world_request is None
        nodes = (ARM_NODE,) if arm_only else (ARM_NODE, WORLD_NODE)
        arm_request = self._request(self._arm_reset)
        self._orders.append(_Order(RESET, self._arm_reset, arm_request, nodes, attempt, arm_only, not_before_s))
        if self._world_reset is not None and not arm_only:
            self._orders.append(_Order(RESET, self._world_reset, world_request, nodes, attempt, True))
        self.advance()

    def advance(self) -> None:
        """Take an answer if one came, send the next call if its service is there."""
        while self._orders:
            order, now_s = self._orders[0], time.monotonic()
            if self._future is not None:
                if self._future.done():
                    response, self._future = self._future.result(), None
                    self._answered(order, bool(response.success), str(response.message))
                    continue
                if now_s - self._sent_s <= (ANSWER_S if order.kind in (STOP, PAUSE) else LONG_ANSWER_S):
                    return
                self._abandon()
                self._timed_out(order)
                continue
            if now_s < order.not_before_s or not self._is_there(order):
                return
            self._sent_s = now_s
            self._future = order.client.call_async(order.request)
            self._future.add_done_callback(lambda _: self._wake())
            if not self._future.done():
                return

    def _is_there(self, order: _Order) -> bool:
        there = order.client.service_is_ready() and all(self._is_up(node) for node in order.nodes)
        if there:
            self._faults.pop("service", None)
        else:
            self._faults["service"] = f"waiting for {order.client.srv_name} and its node"
        return there

    def _answered(self, order: _Order, success: bool, message: str) -> None:
        if order.kind == RESUME and not success:
            self._orders.popleft()
            self._on_refused(message)
            return
        if order.kind == STOP and success:
            self.stop_answered_s = time.monotonic()
        if order.kind != RESET and not success:
            self._faults[order.kind] = f"the arm could not {order.kind} ({message}): use its power switch"
            order.not_before_s = time.monotonic() + RETRY_S
            return
        self._orders.popleft()
        if order.kind == RESET:
            if not success:
                self._keep(lambda other: other.attempt != order.attempt)
                self._on_reset(order.attempt, f"{order.client.srv_name}: {message}")
            elif order.last:
                self._on_reset(order.attempt, "")
            return
        self._faults.pop(order.kind, None)

    def resend(self) -> None:
        """A node that is called here was lost: send what is under way again, it may never be answered."""
        self._abandon()

    def _timed_out(self, order: _Order) -> None:
        if order.kind == RESET:
            self._orders.popleft()
            self._keep(lambda other: other.attempt != order.attempt)
            self._on_reset(order.attempt, f"{order.client.srv_name} did not answer in {LONG_ANSWER_S:g} s")

    def _keep(self, wanted: Callable[[_Order], bool]) -> None:
        """Drop the orders that are not wanted, except one that is under way."""
        under_way = [self._orders.popleft()] if self._orders and self._future is not None else []
        self._orders = deque([*under_way, *(order for order in self._orders if wanted(order))])

    def _abandon(self) -> None:
        if self._future is not None:
            self._orders[0].client.remove_pending_request(self._future)
            self._future = None

    @staticmethod
    def _request(client: Client) -> Any:
        kind: Any = client.srv_type
        return kind.Request()
