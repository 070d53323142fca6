"""From a press on a page to the graph: a double press is one, HOLD goes two ways at once, every press is answered.

HOLD is worked off first and alone: what is still under way when it comes is taken back, so that no CLEAR that waits for
its node goes out after it, and what comes in the same moment is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

DOUBLE_S = 0.6
ALONE_S = 0.2  # a control period
BUTTONS = ("start", "success", "failure", "subgoal", "reset_done", "abort", "clear", "hold")
HOLD = "hold"
MAX_PROMPT = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """What a press led to, or why not, in words. `reached` is false when nobody answered."""

    accepted: bool
    detail: str
    reached: bool = True


HOLD_FIRST = Answer(False, "HOLD came in the same moment and counts: look, then press again")


class Graph(Protocol):
    """The calls into the graph; each answers in bounded time, also when nobody is there, and sends nothing later."""

    async def press(self, button: str) -> Answer:
        """Press one of the operator's buttons."""
        ...

    async def stop_arm(self) -> Answer:
        """Stop the arm at its own node, past the operator."""
        ...

    async def steer(self, take_over: bool, episode: int, step: int, prompt: str) -> Answer:
        """Take over or hand back the choice of prompts, or choose `prompt` for a decision."""
        ...


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Answer]
    at_s: float


class Presses:
    """Presses of all pages, which are joined when they are the same one.

    Args:
        clock: seconds on a steady clock.
    """

    def __init__(self, graph: Graph, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph, self._clock = graph, clock
        self._flights: dict[object, _Flight] = {}
        self._newest: object = None

    async def press(self, button: str) -> Answer:
        """Press a button; the same one before the answer, or within 0.6 s and no other between, is the same press.

        Raises:
            ValueError: there is no such button.
        """
        if button == HOLD:
            return await self.hold()
        if button not in BUTTONS:
            raise ValueError(f"there is no button {button[:40]!r}: one of {', '.join(BUTTONS)}")
        return await self._once(button, lambda: self._graph.press(button))

    async def hold(self) -> Answer:
        """Stop the arm and press HOLD, both at once; joined with one that went out in the same moment."""
        for key, other in self._flights.items():
            if key != HOLD:
                other.task.cancel()
        hold = self._flights.get(HOLD)
        if hold is None or hold.task.done() or self._clock() - hold.at_s >= ALONE_S:
            hold = self._begin(HOLD, self._hold)
        return await _outcome(hold)

    async def steer(self, take_over: bool, episode: int, step: int, prompt: str) -> Answer:
        """See `Graph.steer`.

        Raises:
            ValueError: the prompt is too long or not on one line.
        """
        if len(prompt) > MAX_PROMPT or not all(character.isprintable() for character in prompt):
            raise ValueError(f"a prompt is one line of at most {MAX_PROMPT} characters")
        call = (take_over, episode, step, " ".join(prompt.split()))
        return await self._once(call, lambda: self._graph.steer(*call))

    async def _hold(self) -> Answer:
        arm, operator = await asyncio.gather(self._graph.stop_arm(), self._graph.press(HOLD))
        if arm.accepted and operator.accepted:
            return Answer(True, "the arm holds")
        if arm.accepted:
            return Answer(True, f"the arm holds, but the operator node says: {operator.detail}")
        if operator.accepted:
            return Answer(True, f"the operator node stops the arm; the arm itself says: {arm.detail}")
        return Answer(False, f"HOLD did not get through, use the power switch. Arm: {arm.detail}", reached=False)

    async def _once(self, key: object, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a call that is not HOLD; see the module and `press`."""
        now_s = self._clock()
        hold = self._flights.get(HOLD)
        if hold is not None and (not hold.task.done() or now_s - hold.at_s < ALONE_S):
            return HOLD_FIRST
        self._flights = {
            other: flight
            for other, flight in self._flights.items()
            if not flight.task.done() or now_s - flight.at_s < DOUBLE_S
        }
        flight = self._flights.get(key)
        if flight is None or (flight.task.done() and key != self._newest):
            flight = self._begin(key, call)
        return await _outcome(flight)

    def _begin(self, key: object, call: Callable[[], Awaitable[Answer]]) -> _Flight:
        flight = self._flights[key] = _Flight(asyncio.ensure_future(_answered(call)), self._clock())
        self._newest = key
        return flight


async def _answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    return await call()


async def _outcome(flight: _Flight) -> Answer:
    """Its answer; it goes on when whoever asked goes away."""
    try:
        return await asyncio.shield(flight.task)
    except asyncio.CancelledError:
        if flight.task.cancelled():
            return HOLD_FIRST
        raise
