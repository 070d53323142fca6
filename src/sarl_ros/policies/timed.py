"""A policy that keeps no step waiting for ever: one that hangs fails, and is asked again when it has come back."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Observation
from sarl_ros.policies.policy import Plan, Policy, PolicyError


class TimedPolicy:
    """Has another policy plan in a thread of its own, which may hang without whoever asks.

    Args:
        policy: makes the plans.
        timeout_s: steady seconds that a plan may take.
    """

    def __init__(self, policy: Policy, timeout_s: float) -> None:
        self.spec = policy.spec
        self._policy, self._timeout_s = policy, timeout_s
        self._asked: SimpleQueue[tuple[Future[Plan], partial[Plan]]] = SimpleQueue()
        self._newest: Future[Plan] | None = None
        threading.Thread(target=self._work, name="plans", daemon=True).start()

    def plan(
        self, observation: Observation, prompt: str, *, noise: NDArray[np.float32] | None = None, seed: int = 0
    ) -> Plan:
        """See `Policy.plan`. Raises PolicyError also where no plan comes in time, or still none of an earlier call."""
        if self._newest is not None and not self._newest.done():
            raise PolicyError("it still hangs in an earlier plan: restart what computes it")
        plan = self._newest = Future()
        self._asked.put((plan, partial(self._policy.plan, observation, prompt, noise=noise, seed=seed)))
        try:
            return plan.result(self._timeout_s)
        except TimeoutError:
            if plan.done():  # the policy's own error
                raise
            raise PolicyError(f"no plan came within {self._timeout_s:g} s: restart what computes it") from None

    def _work(self) -> None:
        while True:
            plan, make = self._asked.get()
            try:
                plan.set_result(make())
            except Exception as error:  # handed to whoever asks
                plan.set_exception(error)
