"""The boundary between a node and what others send: a message that cannot be taken is counted and reaches no callback.

Each reason is said once, and again a minute later while it lasts; the counts go into the node's diagnostics.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from sarl_ros.core.message_checks import CHECKS
from sarl_ros.ros.cdr import ImageHead

SAY_AGAIN_S = 60.0
FRESH_S = 3.0
OTHER_RUN = "run"
UNREADABLE = "message: cannot be read, is its sender of another version?"


@dataclass(slots=True)
class _Rejected:
    """Of one field of one topic."""

    topic: str
    why: str
    count: int = 0
    at_s: float = 0.0
    said_s: float = float("-inf")


class Boundary:
    """Of one node, whichever threads take its messages.

    Args:
        say: takes one line for the node's log.
        steady_s: the steady clock [s].

    Attributes:
        run: name of the run whose messages are taken, those of others are ignored; empty: of any.
    """

    def __init__(self, say: Callable[[str], object], steady_s: Callable[[], float] = time.monotonic) -> None:
        self.run = ""
        self._say, self._steady_s = say, steady_s
        self._rejected: dict[tuple[str, str], _Rejected] = {}
        self._lock = threading.Lock()

    def guard(self, kind: Any, topic: str, callback: Callable[[Any], object], raw: bool) -> Callable[[bytes], None]:
        """A callback for serialized messages that hands on those which can be taken, serialized themselves if `raw`.

        Raises:
            KeyError, ValueError: as `reader`; an image is to be taken raw.
        """
        if kind is Image and not raw:
            raise ValueError(f"{topic}: take images raw, most are never looked at")
        read = self.reader(kind, topic)

        def take(serialized: bytes) -> None:
            message = read(serialized)
            if message is not None:
                callback(serialized if raw else message)

        return take

    def reader(self, kind: Any, topic: str) -> Callable[[bytes], Any]:
        """What makes a message of its bytes, an ImageHead of an Image's, or None where it cannot be taken.

        Raises:
            KeyError: nobody has said what a message of this type must be.
        """
        check, run_of = CHECKS[type_name(kind)], _run_of(kind)
        deserialize = ImageHead.read if kind is Image else partial(deserialize_message, message_type=kind)

        def read(serialized: bytes) -> Any:
            try:
                message = deserialize(serialized)
            except (RuntimeError, ValueError):
                self.reject(topic, UNREADABLE)
                return None
            if run_of is not None and self.run and (run := run_of(message)) != self.run:
                why = f"{OTHER_RUN}: {run[:80]!r} is another run"
            else:
                why = check(message)
            if why:
                self.reject(topic, why)
                return None
            return message

        return read

    def reject(self, topic: str, why: str) -> None:
        """Count a message that cannot be taken; `why` is `FIELD: words`."""
        field, now_s = why.partition(":")[0], self._steady_s()
        with self._lock:
            rejected = self._rejected.setdefault((topic, field), _Rejected(topic, why))
            rejected.why, rejected.at_s = why, now_s
            rejected.count += 1
            if now_s - rejected.said_s < SAY_AGAIN_S:
                return
            rejected.said_s = now_s
        self._say(f"ignored a message on {topic}: {why}")

    def counts(self) -> dict[str, int]:
        """How many messages were rejected, by "TOPIC FIELD"."""
        with self._lock:
            return {f"{topic} {field}": each.count for (topic, field), each in self._rejected.items()}

    def newest(self) -> tuple[str, bool]:
        """The last rejection in words, empty before the first, and whether it was just now."""
        with self._lock:
            newest = max(self._rejected.values(), key=lambda each: each.at_s, default=None)
        if newest is None:
            return "", False
        return f"{newest.topic}: {newest.why}", self._steady_s() - newest.at_s < FRESH_S

    def faults(self) -> list[str]:
        """What comes now and cannot be taken, in words; messages of another run are none of ours."""
        now_s = self._steady_s()
        with self._lock:
            return [
                f"ignores messages on {each.topic}: {each.why}"
                for (_, field), each in self._rejected.items()
                if field != OTHER_RUN and now_s - each.at_s < FRESH_S
            ]


def type_name(kind: Any) -> str:
    """Of a message class, as sarl_interfaces/msg/Prompt."""
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def _run_of(kind: Any) -> Callable[[Any], str] | None:
    """What gives the run that a message of this type is of; None where it does not say."""
    fields = kind.get_fields_and_field_types()
    if "run" in fields:
        return lambda message: message.run
    if fields.get("key") == "sarl_interfaces/StepKey":
        return lambda message: message.key.run
    return None
