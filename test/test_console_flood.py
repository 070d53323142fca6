"""The console's server in a process with few file descriptors, and clients that open much and finish nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sarl_ros.console import connections as limits
from sarl_ros.console.access import Role
from sarl_ros.console.connections import Connections, Doing

SERVER = Path(__file__).with_name("fakes") / "console_server.py"
DESCRIPTORS, FLOOD, WAIT_S = 128, 200, 60.0
OPERATOR, VIEWER = "operator-token-123456", "viewer-token-7890123"
HEAD = "POST /api/press HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
UPGRADE = (
    "GET /api/cameras HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
NEXT = b"\x81\x84\0\0\0\0next"


class Console:
    """The server in a process of its own, with tokens or open to this machine."""

    def __init__(self, *tokens: str, patience_s: str = "60") -> None:
        names = ("SARL_CONSOLE_TOKEN", "SARL_CONSOLE_VIEW_TOKEN")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), str(DESCRIPTORS), patience_s],
            env=environment | dict(zip(names, tokens, strict=False)),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.address = ("127.0.0.1", int(self.process.stdout.readline().rpartition(":")[2]))
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()

    def open(self, data: str = "") -> socket.socket:
        opened = socket.create_connection(self.address, WAIT_S)
        opened.sendall(data.encode())
        return opened

    def hold(self, token: str = OPERATOR) -> bool:
        """On a new connection; whether it was accepted."""
        connection = HTTPConnection(*self.address, timeout=WAIT_S)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/api/hold", "{}", headers)
        accepted = json.loads(connection.getresponse().read())["accepted"]
        connection.close()
        return accepted

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)


class Looker:
    """Sees pictures and answers each, as the page does."""

    def __init__(self, console: Console, token: str) -> None:
        self.seen = 0
        self._open = ExitStack()
        address, headers = "ws://{}:{}/api/cameras".format(*console.address), {"Authorization": f"Bearer {token}"}
        self._stream = self._open.enter_context(connect(address, additional_headers=headers, open_timeout=WAIT_S))
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        with suppress(ConnectionClosed):
            while self._stream.recv():
                self.seen += 1
                self._stream.send("next")

    def sees_more(self) -> None:
        before = self.seen
        wait_for(lambda: self.seen > before, "another picture")

    def close(self) -> None:
        self._open.close()
        self._thread.join()


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    console = Console(OPERATOR, VIEWER)
    yield console
    assert console.close() == 0


@pytest.fixture(scope="module")
def open_console() -> Iterator[Console]:
    console = Console()
    yield console
    assert console.close() == 0


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


HALVES = {
    "nothing": "",
    "half a head": "POST /api/hold HTTP/1.1\r\nHost: 127.0",
    "no body, and a wrong token": HEAD + "Authorization: Bearer wrong\r\nContent-Length: 9\r\n\r\n",
    "no body of a login": "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("half", HALVES)
def test_hold_gets_through_during_and_after_a_flood_of_half_open_sockets(console, sockets, half):
    held = []
    for number in range(FLOOD):
        sockets.append(console.open(HALVES[half]))
        if number % 50 == 49:
            held.append(console.hold())
    assert held == [True] * 4
    assert console.descriptors() < DESCRIPTORS
    for each in sockets:
        each.close()
    assert console.hold()


def test_hold_gets_through_where_everybody_operates_and_no_request_is_ever_whole(open_console, sockets):
    sockets += [open_console.open(HEAD + "Content-Length: 9\r\n\r\n{") for _ in range(FLOOD)]
    assert open_console.hold()


def test_streams_are_kept_through_a_flood_and_leave_room_for_the_operator(console, sockets):
    lookers, refused = [Looker(console, OPERATOR)], 0
    while not refused:
        try:
            lookers.append(Looker(console, VIEWER))
        except InvalidStatus:
            refused += 1
    assert 2 < len(lookers) < DESCRIPTORS / 2
    sockets += [console.open() for _ in range(FLOOD)]
    assert console.hold()
    lookers.append(Looker(console, OPERATOR))
    for looker in lookers:
        looker.sees_more()
        looker.close()


def test_those_that_never_finish_a_request_or_never_read_an_answer_are_closed(sockets):
    console = Console(patience_s="0.5")
    assert console.hold()
    quiet = console.descriptors()
    for begun in ("", "GET / HTTP/1.1\r\n", HEAD + "Content-Length: 90\r\n\r\n{", HEAD.replace("press", "hold")):
        sockets.append(console.open(begun))
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(console.address)
    stalled.sendall(UPGRADE.encode())
    sockets.append(stalled)

    def all_closed() -> bool:
        with suppress(OSError):
            stalled.sendall(NEXT)
        return console.descriptors() <= quiet

    wait_for(all_closed, "all of them to be closed")
    assert console.hold()
    assert console.close() == 0


def test_a_head_without_end_is_refused(console):
    with console.open("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ") as endless:
        answer = b""
        with suppress(ConnectionError):
            for _ in range(64):
                endless.sendall(b"x" * 65536)
            while data := endless.recv(65536):
                answer += data
    assert b" 200 " not in answer
    assert console.hold()


# Values.


class Transport:
    def __init__(self):
        self.aborted = False

    def abort(self):
        self.aborted = True

    def get_write_buffer_size(self):
        return 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "ask", "end", "close", "drop", "wait"]),
        st.integers(0, 30),
        st.sampled_from([Role.VIEWER, Role.OPERATOR]),
        st.sampled_from([Doing.REQUEST, Doing.HOLD, Doing.STREAM]),
    ),
    max_size=120,
)


@given(STEPS, st.integers(4, 12))
def test_no_stream_and_no_hold_is_ever_closed_to_make_room_and_there_is_room_for_a_newcomer(steps, most):
    now = [0.0]
    connections, alive = Connections(most, lambda: now[0]), {}

    def swept():
        for each, transport in list(alive.items()):
            if transport.aborted:
                assert each.doing < Doing.HOLD
                connections.closed(each)
                del alive[each]

    for what, number, role, doing in steps:
        chosen = list(alive)[number % len(alive)] if alive else None
        if what == "open":
            busy = [each for each in alive if each.doing >= Doing.HOLD]
            assert connections.make_room() or len(busy) >= most
            swept()
            if len(alive) < most:
                newcomer = connections.opened(f"address {number % 3}")
                alive[newcomer] = Transport()
                connections.connected(newcomer, alive[newcomer])
        elif what == "wait":
            now[0] += number
            connections.drop_overdue()
            swept()
        elif chosen is None:
            continue
        elif what == "ask" and chosen.doing == Doing.NOTHING:
            connections.begins(chosen, role, doing)
        elif what == "end" and chosen.doing != Doing.NOTHING:
            connections.ends(chosen)
        elif what == "close":
            connections.closed(chosen)
            del alive[chosen]
        assert len(connections) == len(alive) <= most
        streams = [each for each in alive if each.doing == Doing.STREAM]
        assert len(streams) <= most // 2
        assert sum(each.role == Role.VIEWER for each in streams) <= most // 4


def test_the_address_with_the_most_half_open_connections_loses_its_oldest_and_strangers_go_before_guests():
    connections = Connections(6, lambda: 0.0)
    opened = {}
    for name in ("a1", "b1", "b2", "c1", "b3", "c2"):
        opened[name] = connections.opened(name[0])
        connections.connected(opened[name], Transport())
    connections.begins(opened["b1"], Role.VIEWER, Doing.REQUEST)
    connections.ends(opened["b1"])
    gone = []
    for _ in range(6):
        assert connections.drop_weakest()
        gone += [name for name, each in opened.items() if each.transport.aborted and name not in gone]
    assert gone == ["b2", "c1", "a1", "b3", "c2", "b1"]
    assert not connections.drop_weakest()


def test_a_process_with_few_descriptors_keeps_half_of_them_for_its_other_work(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    assert limits.LEAST < limits.most_connections() <= 512
    monkeypatch.setattr("resource.getrlimit", lambda _: (40, 40))
    assert limits.most_connections() == limits.LEAST
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    assert limits.most_connections() == limits.MOST
