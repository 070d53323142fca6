"""The operator's calls to the arm and to the world: one after the other, repeated while a service is away.

Nothing here waits: `advance` sends what can be sent and takes what was answered. A stop overtakes everything.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.client import Client
from rclpy.task import Future

STOP, CLEAR, RESET = "stop", "clear", "reset"
ARM_NODE, WORLD_NODE = "widowx_bridge", "sim_world"
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


class Hands:
    """Carries out StopArm, ClearArm and BeginReset.

    Args:
        stop, clear, arm_reset, world_reset: clients; world_reset is None where a person resets the scene.
        wake: called from any thread when an answer came; it should call `advance`.
        is_up: whether a node, by its name, is up and ready. DDS takes a killed server for alive a while longer.
        on_reset: called by `advance` with the attempt and why it failed, empty if it did not.
        on_clear_refused: called by `advance` with the reason why the real arm refused a clear, which reboots motors and
            switches their torque on: it is not tried again before a person has looked. A simulated arm's is, every
            second.
        faults: keeps what is wrong, in plain words.
    """

    def __init__(
        self,
        stop: Client,
        clear: Client,
        arm_reset: Client,
        world_reset: Client | None,
        wake: Callable[[], None],
        is_up: Callable[[str], bool],
        on_reset: Callable[[int, str], None],
        on_clear_refused: Callable[[str], object],
        faults: dict[str, str],
    ) -> None:
        self._stop, self._clear, self._arm_reset, self._world_reset = stop, clear, arm_reset, world_reset
        self._wake, self._is_up, self._on_reset, self._faults = wake, is_up, on_reset, faults
        self._on_clear_refused = on_clear_refused
        self._orders: deque[_Order] = deque()
        self._future: Future | None = None
        self._sent_s = 0.0

    def stop(self) -> None:
        """Hold the arm at once, whatever else is under way."""
        crossing = self._future is not None and self._orders[0].kind == CLEAR
        self._abandon()
        self._orders.clear()
        # Two services have no order between them: a stop that a clear may overtake is said twice.
        self._orders.extend(_Order(STOP, self._stop, self._request(self._stop)) for _ in range(2 if crossing else 1))
        self.advance()

    def clear(self) -> None:
        """Let the arm move again; a stop that was never sent is dropped."""
        self._keep(lambda order: order.kind == CLEAR)
        self._orders.append(_Order(CLEAR, self._clear, self._request(self._clear), (ARM_NODE,)))
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
                if now_s - self._sent_s <= (ANSWER_S if order.kind == STOP else LONG_ANSWER_S):
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
        if order.kind == CLEAR and not success and self._world_reset is None:
            self._orders.popleft()
            self._on_clear_refused(message)
            return
        if order.kind != RESET and not success:
            remedy = "use its power switch" if order.kind == STOP else "it is tried again every second"
            self._faults[order.kind] = f"the arm could not {order.kind} ({message}): {remedy}"
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
