"""The seam between a step and whatever moves: the executor node's inbox, or a world in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Ended, Observation


class StepEnded(Exception):
    """A step ends before its time, and why, in one line."""

    def __init__(self, ended: Ended, reason: str) -> None:
        super().__init__(reason)
        self.ended = ended
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What the arm says to an action.

    Attributes:
        accepted: it was carried out; otherwise no time passed for it.
        refusal: why not, and what to do.
        held: the arm is stopped or has a fault: it takes no action before it is cleared.
    """

    accepted: bool
    refusal: str = ""
    held: bool = False


class Arm(Protocol):
    """One robot with its cameras, in one episode."""

    def observe(self) -> Observation:
        """What there is to see after the last action.

        Raises:
            StepEnded: the episode stopped (STOPPED), or arm or cameras are silent (FAULT).
        """
        ...

    def act(self, action: NDArray[np.floating]) -> Answer:
        """One control period under an action (7,), BridgeData semantics.

        Raises:
            StepEnded: as `observe`.
        """
        ...

    def running(self) -> str:
        """Why the step must stop now; empty while it may go on."""
        ...
