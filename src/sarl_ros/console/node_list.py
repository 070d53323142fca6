"""The programs of the graph as a person sees them: which are there or silent, and what they complain of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sarl_ros.console import words
from sarl_ros.console.view import NodeView

SILENCE_S = 3.0
STARTING_S = 8.0
CONSOLE, PLAYER, OPERATOR = "console", "bag_player", "operator"
URGENCY = {"bad": 0, "wait": 1, "ok": 2}


@dataclass(slots=True)
class _Node:
    at_s: float
    incarnation: str
    ready: bool
    faults: tuple[str, ...]
    restarts: int = 0


class NodeList:
    """Heartbeats and diagnostics in, rows out. Times are of the steady clock [s].

    Args:
        opened_s: when the console started.
    """

    def __init__(self, opened_s: float) -> None:
        self._opened_s = opened_s
        self._nodes: dict[str, _Node] = {}
        self._diagnostics: dict[str, tuple[float, int, str]] = {}

    def heartbeat(self, message: Any, now_s: float) -> None:
        """sarl_interfaces/NodeStatus."""
        before = self._nodes.get(message.node)
        node = _Node(now_s, message.incarnation, message.ready, tuple(message.faults))
        if before is not None:
            node.restarts = before.restarts + (before.incarnation != message.incarnation)
        self._nodes[message.node] = node

    def diagnostics(self, message: Any, now_s: float) -> None:
        """diagnostic_msgs/DiagnosticArray; levels above OK are shown while they are repeated."""
        for status in message.status:
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            self._diagnostics[status.name] = (now_s, level, status.message)

    def replay(self, now_s: float) -> bool:
        """Whether the graph is played from bags."""
        node = self._nodes.get(PLAYER)
        return node is not None and now_s - node.at_s < SILENCE_S

    def operator_silent(self, now_s: float) -> bool:
        """Whether the node that takes the presses has been heard before, and is not any more."""
        node = self._nodes.get(OPERATOR)
        return node is not None and now_s - node.at_s >= SILENCE_S

    def silent(self, now_s: float) -> str:
        """Empty, or loudly that nothing comes from the graph; the console's own heartbeat does not count."""
        heard = [node.at_s for name, node in self._nodes.items() if name != CONSOLE]
        if not heard:
            waited_s = now_s - self._opened_s
            return "" if waited_s < STARTING_S else "No program of the robot has been heard yet. Is the run started?"
        quiet_s = now_s - max(heard)
        if quiet_s < SILENCE_S:
            return ""
        return f"The robot's programs have been silent for {words.clock(quiet_s)}. What you see is old."

    def rows(self, now_s: float) -> tuple[NodeView, ...]:
        """Those in trouble first. In a replay the recorded programs are not looked for."""
        replay = self.replay(now_s)
        rows = [
            self._row(name, node, now_s - node.at_s)
            for name, node in self._nodes.items()
            if not replay or name in (CONSOLE, PLAYER)
        ]
        rows += [
            NodeView(name, name, "bad" if level > 1 else "wait", (said,))
            for name, (at_s, level, said) in self._diagnostics.items()
            if level and now_s - at_s < SILENCE_S
        ]
        return tuple(sorted(rows, key=lambda row: (URGENCY[row.level], row.title)))

    @staticmethod
    def _row(name: str, node: _Node, quiet_s: float) -> NodeView:
        said, level = list(node.faults), "ok"
        if quiet_s >= SILENCE_S:
            level, said = "bad", [f"silent for {words.clock(quiet_s)}; a run restarts it by itself"]
        elif not node.ready:
            level, said = "wait", said or ["is starting"]
        elif said:
            level = "wait" if name in (OPERATOR, PLAYER) else "bad"
        if node.restarts:
            said.append(f"restarted {node.restarts} time{'s' if node.restarts > 1 else ''}")
        return NodeView(name, words.node_title(name), level, tuple(said))
