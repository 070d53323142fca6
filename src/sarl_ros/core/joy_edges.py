"""Presses from the states that joysticks, pedals and key pads report: what goes down counts, what is down does not."""

from __future__ import annotations

from collections.abc import Sequence


class JoyEdges:
    """Button states in, presses out, by device.

    A device that is heard for the first time presses nothing, so one that dies or is found with a button down does not.
    """

    def __init__(self) -> None:
        self._down: dict[str, tuple[bool, ...]] = {}

    def heard(self, device: str) -> bool:
        """Whether the device has reported before."""
        return device in self._down

    def pressed(self, device: str, buttons: Sequence[int]) -> list[int]:
        """Indices of the buttons that went down since the device's last report.

        Args:
            buttons: the state of each button, 0 is up.
        """
        now = tuple(bool(state) for state in buttons)
        before = self._down.get(device)
        self._down[device] = now
        if before is None:
            return []
        before += (True,) * len(now)
        return [index for index, down in enumerate(now) if down and not before[index]]
