"""How long a HOLD on a new connection takes while somebody holds sockets open at the console's port and says nothing.

The console's web server runs in a process of its own with a limit of file descriptors; the sockets stay on this
machine. Each socket that the console closes is opened again at once (`--once`: it is not), for some seconds, with
nothing sent or half a request's head. The reference is one second, within which a person expects HOLD to act.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import cast

import numpy as np

SERVER = Path(__file__).resolve().parents[1] / "test" / "fakes" / "console_server.py"
TOKEN = "a-token-for-the-flood-bench"
REFERENCE_MS = 1000.0
MOST_SOCKETS, LONGEST_S = 5000, 60.0
HALF_A_HEAD = b"POST /api/hold HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
REST_S = 0.05


class Flood(threading.Thread):
    """Keeps so many sockets open, `opened` counts all that ever were."""

    def __init__(self, address: tuple[str, int], count: int, again: bool) -> None:
        super().__init__(daemon=True)
        self._address, self._count, self._again = address, count, again
        self._sockets = selectors.DefaultSelector()
        self.opened, self.over, self.full = 0, threading.Event(), threading.Event()

    def run(self) -> None:
        for number in range(self._count):
            self._open(number)
        self.full.set()
        while not self.over.is_set():
            for key, _ in self._sockets.select(0.1):
                self._sockets.unregister(key.fileobj)
                cast(socket.socket, key.fileobj).close()
                if self._again:
                    self._open(key.data)
        for key in list(self._sockets.get_map().values()):
            cast(socket.socket, key.fileobj).close()

    def _open(self, number: int) -> None:
        try:
            opened = socket.create_connection(self._address, 5.0)
            if number % 2:
                opened.sendall(HALF_A_HEAD)
        except OSError:
            return
        self.opened += 1
        self._sockets.register(opened, selectors.EVENT_READ, number)


def hold(address: tuple[str, int]) -> float:
    """Milliseconds from a new connection's first packet to the answer."""
    started_s = time.perf_counter()
    connection = http.client.HTTPConnection(*address, timeout=10.0)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection.request("POST", "/api/hold", "{}", headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert answer["accepted"], answer
    return 1e3 * (time.perf_counter() - started_s)


def measure(address: tuple[str, int], seconds: float) -> tuple[list[float], int]:
    """Latencies, and how many got no answer."""
    until_s, spent, lost = time.monotonic() + seconds, [], 0
    while time.monotonic() < until_s:
        try:
            spent.append(hold(address))
        except (OSError, http.client.HTTPException):
            lost += 1
        time.sleep(REST_S)
    return spent, lost


def figures(spent: list[float], lost: int) -> dict[str, float]:
    if not spent:
        return {"holds": 0, "lost": lost}
    p50, p99 = np.percentile(spent, [50, 99])
    return {
        "holds": len(spent),
        "lost": lost,
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "p99_ratio": round(float(p99) / REFERENCE_MS, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=1200)
    parser.add_argument("--descriptors", type=int, default=1024, help="limit of the console's process")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--once", action="store_true", help="do not open again what the console closes")
    options = parser.parse_args()
    count, seconds = min(options.sockets, MOST_SOCKETS), min(options.seconds, LONGEST_S)
    command = [sys.executable, str(SERVER), str(options.descriptors)]
    environment = os.environ | {"SARL_CONSOLE_TOKEN": TOKEN}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline().rpartition(":")[2])
            threading.Thread(target=server.stdout.read, daemon=True).start()
            address = ("127.0.0.1", port)
            quiet = measure(address, 2.0)
            flood = Flood(address, count, not options.once)
            flood.start()
            flooded = measure(address, seconds)
            flood.over.set()
            flood.join()
            result = {"quiet": figures(*quiet), "flooded": figures(*flooded), "sockets_opened": flood.opened}
            print(json.dumps(result, indent=1))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
