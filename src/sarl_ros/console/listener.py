"""Uvicorn with a door of its own: it accepts what there is room for, and watches each connection to its end."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sarl_ros.console.connections import STATE, Connection, Connections, most_connections

BACKLOG = 1024
ACCEPTED_AT_ONCE = 16
"""Connections accepted before others are served, and how far the limit may be exceeded by those being closed."""
AGAIN_S = 0.1
OVERDUE_S = 0.5
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Watched(asyncio.Protocol):
    """Tells the connections what happens to one of them. Uvicorn hands `app_state` to whatever speaks on it."""

    app_state: dict[str, Any]

    @property
    def _seat(self) -> tuple[Connections, Connection]:
        return self.app_state[STATE]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connections, connection = self._seat
        super().connection_made(transport)
        connections.connected(connection, cast(asyncio.Transport, transport))

    def connection_lost(self, exc: Exception | None) -> None:
        connections, connection = self._seat
        connections.closed(connection)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        connections, connection = self._seat
        connections.stalled(connection)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._seat[1].stalled_s = None
        super().resume_writing()


class HttpProtocol(_Watched, H11Protocol):
    """HTTP; h11 bounds the size of a request's head."""


class WebsocketProtocol(_Watched, WebSocketsSansIOProtocol):
    """A websocket."""


class Listener:
    """Accepts connections on a bound socket, and closes those that have to go."""

    def __init__(self, bound: socket.socket, connections: Connections) -> None:
        self._bound, self._connections = bound, connections
        self._connecting: set[asyncio.Task[None]] = set()
        self._is_open = False

    def open(self, make_protocol: Callable[[Connection], asyncio.Protocol]) -> None:
        self._make_protocol, self._loop = make_protocol, asyncio.get_running_loop()
        self._bound.setblocking(False)
        self._is_open = True
        self._listen()
        self._watch()

    def close(self) -> None:
        self._is_open = False
        self._loop.remove_reader(self._bound)
        self._bound.close()

    def _listen(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._bound, self._accept)

    def _watch(self) -> None:
        if self._is_open:
            self._connections.drop_overdue()
            self._loop.call_later(OVERDUE_S, self._watch)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if len(self._connections) >= self._connections.most + ACCEPTED_AT_ONCE:
                return
            try:
                accepted, address = self._bound.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in NO_DESCRIPTORS:
                    self._wait()
                    return
                continue  # the other side has left already
            if not self._connections.make_room():
                accepted.close()
                continue
            accepted.setblocking(False)
            connecting = self._loop.create_task(self._connect(accepted, self._connections.opened(address[0])))
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connecting.discard)

    def _wait(self) -> None:
        """Others in this process have taken the descriptors: give one back, and look again in a moment."""
        self._connections.drop_weakest()
        self._loop.remove_reader(self._bound)
        self._loop.call_later(AGAIN_S, self._listen)

    async def _connect(self, accepted: socket.socket, connection: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._make_protocol(connection), accepted)
        except OSError:
            accepted.close()
            self._connections.closed(connection)


class Uvicorn(uvicorn.Server):
    """Uvicorn behind a listener. The configuration's protocols are those of this module."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        super().__init__(config)
        self._bound = bound

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._bound.listen(BACKLOG)
        await super().startup(sockets=[])
        connections = Connections(most_connections())

        def protocol(connection: Connection) -> HttpProtocol:
            state = {**self.lifespan.state, STATE: (connections, connection)}
            return HttpProtocol(config=self.config, server_state=self.server_state, app_state=state)

        self._listener = Listener(self._bound, connections)
        self._listener.open(protocol)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._listener.close()
        await super().shutdown(sockets)
