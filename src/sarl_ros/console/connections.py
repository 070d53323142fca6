"""Which connections stay when more are opened than there is room for, and how long a silent one may.

Whoever reaches the port can open sockets and say nothing, and a process has few file descriptors. So a connection that
has not sent a whole request is closed after a while, and at once where a newcomer needs its place: HOLD comes on a new
connection. Those with the most such connections lose theirs first, so that one address does not shut out another.
"""

from __future__ import annotations

import asyncio
import enum
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from sarl_ros.console.access import Role

STATE = "connection"
"""Key of (Connections, Connection) in the state of a request's scope."""
MOST, LEAST = 512, 16
REQUEST_S = 10.0
"""From the opening, or the last answer, to a whole request."""
STALLED_S = 15.0
MAX_UNSENT_BYTES = 4 << 20


class Doing(enum.IntEnum):
    """What a connection is used for; the first are closed first to make room, the last two never."""

    NOTHING = 0
    REQUEST = 1
    HOLD = 2
    STREAM = 3


@dataclass(slots=True, eq=False)
class Connection:
    """One connection, from its acceptance to its end.

    Attributes:
        role: of the last request that was let in; NOBODY before the first whole one.
        since_s: when it began what it is doing.
        stalled_s: since when the other side takes nothing of what is sent, None while it does.
    """

    address: str
    since_s: float
    role: Role = Role.NOBODY
    doing: Doing = Doing.NOTHING
    stalled_s: float | None = None
    transport: asyncio.Transport | None = None


class Connections:
    """All connections of a server. Belongs to its event loop's thread.

    Args:
        most: how many may be open.
        clock: seconds on a steady clock.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self._clock = most, clock
        self._open: dict[Connection, None] = {}
        self._strangers: dict[str, dict[Connection, None]] = {}
        self._leaving: set[Connection] = set()

    def __len__(self) -> int:
        """How many have a descriptor, those that are being closed included."""
        return len(self._open) + len(self._leaving)

    # What happens to a connection.

    def opened(self, address: str) -> Connection:
        connection = Connection(address, self._clock())
        self._open[connection] = None
        self._strangers.setdefault(address, {})[connection] = None
        return connection

    def connected(self, connection: Connection, transport: asyncio.Transport) -> None:
        connection.transport = transport
        if connection in self._leaving:
            transport.abort()

    def asks(self, connection: Connection) -> None:
        """The head of a request of someone known has come; the rest has as long again."""
        connection.since_s = self._clock()

    def begins(self, connection: Connection, role: Role, doing: Doing) -> bool:
        """A whole request of someone known; false if it is one stream too many.

        Streams take half of the room at most, and those of viewers a quarter.
        """
        if doing == Doing.STREAM:
            streams = [each.role for each in self._open if each.doing == Doing.STREAM]
            mine = streams.count(Role.VIEWER) if role == Role.VIEWER else 0
            if len(streams) >= self.most // 2 or mine >= self.most // 4:
                return False
        connection.role, connection.doing, connection.since_s = role, doing, self._clock()
        self._forget_stranger(connection)
        return True

    def ends(self, connection: Connection) -> None:
        """Its request is answered, or its stream is over."""
        connection.doing, connection.since_s = Doing.NOTHING, self._clock()

    def stalled(self, connection: Connection) -> None:
        connection.stalled_s = self._clock()

    def closed(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._leaving.discard(connection)
        self._forget_stranger(connection)

    # Who has to go.

    def make_room(self) -> bool:
        """See that one more may be opened; false where all there are stay."""
        return len(self._open) < self.most or self.drop_weakest()

    def drop_weakest(self) -> bool:
        """Close the connection that is missed least; false where all of them stay."""
        if self._strangers:
            most = max(self._strangers, key=lambda address: len(self._strangers[address]))
            self._drop(next(iter(self._strangers[most])))
            return True
        known = [each for each in self._open if each.doing < Doing.HOLD]
        if known:
            self._drop(min(known, key=lambda each: (each.doing, each.role, each.since_s)))
        return bool(known)

    def drop_overdue(self) -> None:
        """Close those that send no whole request, or do not take what is sent to them."""
        now_s = self._clock()
        for each in list(self._open):
            silent = each.doing == Doing.NOTHING and now_s - each.since_s > REQUEST_S
            stalled = each.stalled_s is not None and now_s - each.stalled_s > STALLED_S
            if silent or stalled or _unsent(each) > MAX_UNSENT_BYTES:
                self._drop(each)

    def _drop(self, connection: Connection) -> None:
        """Close it without waiting for anything; it counts until it is closed."""
        self._forget_stranger(connection)
        del self._open[connection]
        self._leaving.add(connection)
        if connection.transport is not None:
            connection.transport.abort()

    def _forget_stranger(self, connection: Connection) -> None:
        theirs = self._strangers.get(connection.address)
        if theirs is not None:
            theirs.pop(connection, None)
            if not theirs:
                del self._strangers[connection.address]


def _unsent(connection: Connection) -> int:
    return connection.transport.get_write_buffer_size() if connection.transport is not None else 0


def most_connections() -> int:
    """Half of the file descriptors that this process may still open, within bounds."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    free = limit - len(os.listdir("/proc/self/fd")) if limit != resource.RLIM_INFINITY else 2 * MOST
    return max(LEAST, min(MOST, free // 2))
