"""The newest picture of each camera, encoded when somebody looks and once for all who do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LOOKED_AT_S = 5.0


@dataclass(slots=True)
class _Slot:
    number: int = 0
    at_s: float = 0.0
    make: Callable[[], bytes] | None = None
    jpeg: bytes = b""


class Pictures:
    """Pictures are put in as functions that give a JPEG, from any thread.

    Attributes:
        failures: of cameras whose last picture could not be encoded, why, in words.

    Args:
        clock: seconds on a steady clock.
    """

    def __init__(self, cameras: Sequence[str], clock: Callable[[], float]) -> None:
        self.cameras = tuple(cameras)
        self._clock = clock
        self._slots = {camera: _Slot() for camera in cameras}
        self.failures: dict[str, str] = {}
        self._looked_s = float("-inf")
        self._lock = threading.Lock()

    def put(self, camera: str, make: Callable[[], bytes], unless_newer_than_s: float = 0.0) -> None:
        """A newer picture; dropped if one came within the last `unless_newer_than_s`."""
        with self._lock:
            slot, now_s = self._slots[camera], self._clock()
            if slot.make is None or now_s - slot.at_s >= unless_newer_than_s:
                self._slots[camera] = _Slot(slot.number + 1, now_s, make)

    def look(self) -> None:
        """Somebody looks now."""
        self._looked_s = self._clock()

    @property
    def looked_at(self) -> bool:
        """Whether somebody has looked within the last seconds: pictures are needed."""
        return self._clock() - self._looked_s < LOOKED_AT_S

    def number(self, camera: str) -> int:
        """Grows by one a picture; 0 before the first."""
        return self._slots[camera].number

    def jpeg(self, camera: str) -> tuple[int, bytes]:
        """Number and JPEG of the newest picture, (0, empty) before the first. Encodes: not for an event loop's thread.

        Raises:
            ValueError: the picture cannot be encoded.
        """
        slot = self._slots[camera]
        if slot.make is not None and not slot.jpeg:
            try:
                slot.jpeg = slot.make()
            except ValueError as error:
                self.failures[camera] = f"pictures of the {camera} camera cannot be shown: {error}"
                raise
            self.failures.pop(camera, None)
        return slot.number, slot.jpeg
