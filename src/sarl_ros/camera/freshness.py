"""Which frames are new: a camera that is in trouble may hand out an old one again, and no one downstream could tell."""

from __future__ import annotations


class FreshnessGate:
    """Lets a frame through once, and only while it is young.

    Args:
        max_age_s: a frame that is older than this is stale.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._number: int | None = None
        self._stamp_ns = 0

    def objection(self, number: int, stamp_ns: int, age_s: float) -> str:
        """Why the frame must not be handed out, in words; empty if it may. An accepted frame is remembered."""
        if self._number is not None and number <= self._number:
            return f"frame {number} came after frame {self._number}"
        if stamp_ns <= self._stamp_ns:
            return f"frame {number} was not taken later than the one before it"
        if age_s > self._max_age_s:
            return f"frame {number} was {age_s:.2f} s old when it arrived"
        self._number, self._stamp_ns = number, stamp_ns
        return ""


def capture_stamp(device_ns: int | None, now_ns: int, max_clock_error_s: float = 0.005) -> tuple[int, float]:
    """Time of capture and age on arrival [s].

    Args:
        device_ns: when the frame was taken by a clock that follows the system's; None where there is no such clock,
            which dates the frame by its arrival.
        now_ns: system clock when the frame arrived.
        max_clock_error_s: a stamp may lie ahead of the system clock by this, and is then taken as now. One further
            ahead comes of a clock that does not follow ours, and the frame is dated by its arrival too.
    """
    if device_ns is None or device_ns > now_ns + round(max_clock_error_s * 1e9):
        return now_ns, 0.0
    stamp_ns = min(device_ns, now_ns)
    return stamp_ns, (now_ns - stamp_ns) * 1e-9
