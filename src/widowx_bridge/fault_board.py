"""Which faults are there now, and which of them may end by themselves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from widowx_bridge.faults import (
    AUTOMATIC_RECOVERIES,
    AUTOMATIC_WINDOW_S,
    Fault,
    Finding,
    ends_by_itself,
    words,
)

CALM_S = 0.5
"""Without a sign of a fault for this long, it is over."""
STREAM_FAULTS = (Fault.OVERLOAD, Fault.IMPLAUSIBLE_READING, Fault.STATES_LATE, Fault.STATES_FROZEN)
"""Faults whose end shows in the joint states themselves."""


@dataclass(slots=True)
class _Active:
    finding: Finding
    seen_s: float
    by_itself: bool


class FaultBoard:
    """Active faults. Times are of the steady clock [s]. Not thread-safe."""

    def __init__(self) -> None:
        self._active: dict[Fault, _Active] = {}
        self._recoveries: dict[Fault, deque[float]] = {}

    def __bool__(self) -> bool:
        return bool(self._active)

    def __contains__(self, fault: Fault) -> bool:
        return fault in self._active

    def words(self) -> dict[str, str]:
        """Each active fault in plain words, with the remedy."""
        return {fault: words(active.finding) for fault, active in self._active.items()}

    def findings(self) -> dict[Fault, tuple[Finding, bool]]:
        """Active faults, and whether each may end by itself."""
        return {fault: (active.finding, active.by_itself) for fault, active in self._active.items()}

    def needs_a_person(self) -> bool:
        return any(not active.by_itself for active in self._active.values())

    def add(self, finding: Finding, now_s: float) -> bool:
        """A fault, or a new sign of one that is there; True where it is new."""
        active = self._active.get(finding.fault)
        if active is not None:
            active.seen_s = now_s
            return False
        recent = [at_s for at_s in self._recoveries.get(finding.fault, ()) if now_s - at_s < AUTOMATIC_WINDOW_S]
        by_itself = ends_by_itself(finding) and len(recent) < AUTOMATIC_RECOVERIES
        self._active[finding.fault] = _Active(finding, now_s, by_itself)
        return True

    def sign(self, fault: Fault, now_s: float) -> None:
        """The fault, if it is there, still shows."""
        if fault in self._active:
            self._active[fault].seen_s = now_s

    def over(self, now_s: float, heard_s: float) -> list[Fault]:
        """Faults of the stream that show no sign any more, while plausible joint states came, the last at `heard_s`."""
        return [
            fault
            for fault, active in self._active.items()
            if fault in STREAM_FAULTS
            and active.by_itself
            and now_s - active.seen_s >= CALM_S
            and heard_s > active.seen_s
        ]

    def end(self, fault: Fault, now_s: float) -> bool:
        """A fault ended by itself; False where it was not there, or needs a person."""
        active = self._active.get(fault)
        if active is None or not active.by_itself:
            return False
        del self._active[fault]
        self._recoveries.setdefault(fault, deque(maxlen=AUTOMATIC_RECOVERIES)).append(now_s)
        return True

    def clear(self) -> None:
        """A person has looked: nothing is left, and nothing counts as frequent."""
        self._active.clear()
        self._recoveries.clear()
