"""The console's web server without ROS, with few file descriptors: `console_server.py DESCRIPTORS [PATIENCE_S]`."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from functools import partial

from sarl_ros.console import connections
from sarl_ros.console.access import Hosts, load_access
from sarl_ros.console.address import bind
from sarl_ros.console.graph_state import GraphState
from sarl_ros.console.page import add_page
from sarl_ros.console.pictures import Pictures
from sarl_ros.console.presses import Answer, Presses
from sarl_ros.console.server import Server

HOST, CAMERAS = "127.0.0.1", ("front", "wrist")
PICTURE_PERIOD_S, PICTURE_BYTES = 0.1, 100_000


class Graph:
    """Does what it is told."""

    async def press(self, button: str) -> Answer:
        print(f"press {button}", flush=True)
        return Answer(True, "done")

    async def stop_arm(self) -> Answer:
        print("stop", flush=True)
        return Answer(True, "held")

    async def steer(self, *_) -> Answer:
        return Answer(True, "done")


def main() -> None:
    board, pictures = GraphState(time.monotonic()), Pictures(CAMERAS, time.monotonic)

    def view():
        return board.view(time.monotonic())

    descriptors = int(sys.argv[1])
    if len(sys.argv) > 2:
        connections.REQUEST_S = connections.STALLED_S = float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    bound = bind(HOST, 0)
    show_page = partial(add_page, view=view, cameras=CAMERAS)
    server = Server(bound, load_access(HOST), Hosts(HOST), Presses(Graph()), view, pictures, show_page)
    server.start()
    while not server.is_serving:
        time.sleep(0.01)
    print(f"console http://{HOST}:{bound.getsockname()[1]}", flush=True)
    while signal.sigtimedwait((signal.SIGINT, signal.SIGTERM), PICTURE_PERIOD_S) is None:
        for camera in CAMERAS:
            pictures.put(camera, lambda: os.urandom(PICTURE_BYTES))
    server.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    main()
