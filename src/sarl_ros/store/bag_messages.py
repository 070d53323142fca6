"""The messages of a bag that can be taken, by the checks that nodes hold against them on the wire."""

from __future__ import annotations

from typing import Any

from sarl_ros.core.message_checks import CHECKS
from sarl_ros.store.bags import BagError, BagMessage, BagReader


class BagMessages:
    """Decodes a bag's messages and leaves out, with a note, what the graph ignored when it was recorded."""

    def __init__(self, reader: BagReader) -> None:
        self._reader = reader
        self._left_out: dict[str, tuple[int, str]] = {}

    def read(self, message: BagMessage) -> Any | None:
        """The message with its fields, None where it cannot be taken."""
        try:
            decoded = self._reader.decode(message)
            why = _problem(message.type, decoded)
        except BagError:
            decoded, why = None, "its bytes are not of its type"
        if not why:
            return decoded
        count, first = self._left_out.get(message.topic, (0, why))
        self._left_out[message.topic] = count + 1, first
        return None

    def notes(self) -> list[str]:
        """A line for each topic of which messages were left out."""
        name = self._reader.path.name
        return [
            f"{name}: {count} message{'s' if count > 1 else ''} on {topic} left out, the first for {first}"
            for topic, (count, first) in self._left_out.items()
        ]


def _problem(type: str, decoded: Any) -> str:
    check = CHECKS.get(type)
    try:
        return check(decoded) if check is not None else ""
    except AttributeError:  # recorded before the type had all its fields
        return ""
