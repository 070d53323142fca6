"""Tells from heartbeats which nodes are up, and when one restarted or fell silent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STALL_S = 1.0


@dataclass(slots=True)
class _Seen:
    incarnation: str
    ready: bool
    at_s: float
    silent: bool = False
    faults: tuple[str, ...] = ()


class NodeWatch:
    """Heartbeats in, losses out. Times are of the steady clock [s].

    Args:
        required: nodes that an episode needs.
        silence_s: without a heartbeat for this long a node is lost.
        optional: nodes that no episode needs, whose complaints are heard as long as they beat.
    """

    def __init__(self, required: Iterable[str], silence_s: float = 3.0, optional: Iterable[str] = ()) -> None:
        self.required = tuple(required)
        self._silence_s = silence_s
        self._optional = frozenset(optional) - set(self.required)
        self._seen: dict[str, _Seen] = {}
        self._checked_s: float | None = None

    def heartbeat(
        self, node: str, incarnation: str, ready: bool, now_s: float, faults: Sequence[str] = ()
    ) -> str | None:
        """Note a heartbeat; returns what happened to a required node if this one comes from a new process."""
        if node not in self.required and node not in self._optional:
            return None
        before = self._seen.get(node)
        self._seen[node] = _Seen(incarnation, ready, now_s, faults=tuple(faults))
        if node in self._optional:
            return None
        return "restarted" if before is not None and before.incarnation != incarnation else None

    def silent(self, now_s: float) -> list[tuple[str, str]]:
        """Nodes that have just fallen silent, each reported once, and for how long in words.

        Call it often: a pause of ours since the last call is not held against the nodes.
        """
        gap_s = 0.0 if self._checked_s is None else now_s - self._checked_s
        self._checked_s = now_s
        if gap_s > STALL_S:
            for seen in self._seen.values():
                seen.at_s = max(seen.at_s, min(now_s, seen.at_s + gap_s))
        lost = []
        for node, seen in self._seen.items():
            if not seen.silent and now_s - seen.at_s > self._silence_s:
                seen.silent, seen.ready = True, False
                if node in self._optional:
                    continue
                lost.append((node, f"has been silent for {self._silence_s:g} s"))
        return lost

    def unready(self) -> list[tuple[str, str]]:
        """Required nodes that beat and say that they cannot do their part, each with its faults in words."""
        return [
            (node, f"is not ready: {'; '.join(seen.faults) or 'it gave no reason'}")
            for node in self.required
            if (seen := self._seen.get(node)) is not None and not seen.ready and not seen.silent
        ]

    def missing_words(self) -> str:
        """The missing nodes, each with its faults where it told any."""
        told = {node: "; ".join(seen.faults) for node, seen in self._seen.items() if not seen.silent}
        return ", ".join(f"{node} ({told[node]})" if told.get(node) else node for node in self.missing())

    def missing(self) -> list[str]:
        """Required nodes that are not there, silent or not ready."""
        return [node for node in self.required if node not in self._seen or not self._seen[node].ready]

    def complaints(self) -> list[str]:
        """What optional nodes that are there and not ready say; one that is silent says nothing."""
        return [
            f"{node}: {'; '.join(seen.faults) or 'it is not ready yet'}"
            for node, seen in sorted(self._seen.items())
            if node in self._optional and not seen.ready and not seen.silent
        ]
