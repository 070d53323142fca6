"""Tells of a second sender on a topic that moves the arm, such as a simulation that runs in the same ROS domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

LASTING_S = 2.0
REMNANT_S = 30.0
"""DDS takes a killed process for alive this long: its successor, of the same name, is no rival until then."""
UNNAMED = "_NODE_NAME_UNKNOWN_"
"""How rmw names the node of an endpoint before it has heard of that node."""


class Rivals:
    """Topics that may have one sender each, counted by what is discovered. Free of ROS.

    Args:
        topics: names. senders: names of the nodes that publish a topic, one for each publisher.
    """

    def __init__(self, topics: Sequence[str], senders: Callable[[str], Sequence[str]]) -> None:
        self._senders = senders
        self._since_s: dict[str, float | None] = dict.fromkeys(topics)
        self._suspected = False

    def suspect(self) -> None:
        """Something came that one sender would not say: others than the one of its name count at once from now on."""
        self._suspected = True

    def several(self) -> bool:
        """Whether a topic has more than one sender, be it a remnant."""
        return any(len(self._senders(topic)) > 1 for topic in self._since_s)

    def check(self, now_s: float) -> str | None:
        """Why the arm must not be commanded now, in one line, or None. `now_s` is of the steady clock."""
        told, suspected = None, self._suspected
        self._suspected = suspected and self.several()
        for topic, since_s in self._since_s.items():
            names = sorted(self._senders(topic))
            if len(names) < 2:
                self._since_s[topic] = None
                continue
            self._since_s[topic] = since_s = now_s if since_s is None else since_s
            lasting_s = LASTING_S if len(set(names)) > 1 else REMNANT_S
            if (suspected and len(set(names) - {UNNAMED}) > 1) or now_s - since_s >= lasting_s:
                told = (
                    f"{topic} has {len(names)} senders ({', '.join(names)}): end all but one, or change ROS_DOMAIN_ID"
                )
        return told
