"""What keeps the arm still besides faults: a stop, which only a person ends, and the operator's own pause. ROS-free."""

from __future__ import annotations

import math
from dataclasses import dataclass

from widowx_bridge.arm import CONTROL_PERIOD_S
from widowx_bridge.stop_file import new_stop


@dataclass(slots=True)
class Holds:
    """The holds in force. Not thread-safe.

    Attributes:
        stop: identity of the newest stop that no person has cleared; empty: none.
        paused: the operator holds the arm for a moment, and lets it go on by itself.
    """

    stop: str = ""
    paused: bool = False
    _stopped_s: float = -math.inf

    def __bool__(self) -> bool:
        return bool(self.stop) or self.paused

    def words(self) -> str:
        """Why nothing is carried out, and what to do."""
        if self.stop:
            return "the arm is on hold: call /arm/clear"
        return "the arm is on hold for a moment: the operator node lets it go on"

    def begin_stop(self, now_s: float) -> None:
        """A new stop, also where one is in force: who clears that one has not seen this one. `now_s` is steady."""
        self.stop, self._stopped_s = new_stop(), now_s

    def why_not_end(self, stop: str, now_s: float) -> str:
        """Why a clear of `stop` must not take effect, with what to do; empty if it may.

        A clear that comes within a control period of a stop was pressed before anybody could have looked.
        """
        if self.stop and self.stop != stop:
            return "stopped meanwhile: clear again when it is safe"
        if self.stop and now_s - self._stopped_s < CONTROL_PERIOD_S:
            return "stopped just now: clear again when it is safe"
        return ""

    def end(self) -> None:
        """Everything is lifted."""
        self.stop, self.paused = "", False
