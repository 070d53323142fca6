"""One camera, kept alive: a child process streams it; when that fails or hangs it is killed and started again.

    STARTING  --stream-->  STREAMING  --failure-->  WAITING (back-off)  -->  [hardware reset]  -->  STARTING
    STARTING  --no device-->  ABSENT: the child looks for it twice a second, without back-off, so that a device that
                              returns is found at once

Whatever happens, a frame is handed out once, and only while it is young.
"""

from __future__ import annotations

import contextlib
import enum
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from sarl_ros.camera import channel
from sarl_ros.camera.types import CameraSettings, Description, Frame
from sarl_ros.core.processes import ending_with_us

SOURCE = "sarl_ros.camera.source:make_source"
# Longest silence of a child [s]: opening a device may load its firmware, between frames it speaks once a second.
OPEN_HANG_S = 15.0
STREAM_HANG_S = 2.5
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0)
STABLE_S = 10.0
POLL_S = 0.1
END_S = 1.5


class Phase(enum.Enum):
    STARTING = "starting"
    ABSENT = "absent"
    STREAMING = "streaming"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What there is to say about a camera.

    Attributes:
        words: what is wrong and what to do or what is being done; empty while frames come.
        frames, stale, dropped, restarts: counts since the node began. Stale frames were withheld.
        newest_age_s: since the newest frame was taken; infinite before the first.
    """

    phase: Phase
    words: str
    description: Description | None
    frames: int
    stale: int
    dropped: int
    restarts: int
    newest_age_s: float


class Camera:
    """See the module.

    Args:
        on_frame: takes every new frame, in the camera's thread; its pixels are valid during the call.
        max_silence_s: without a new frame for this long the camera counts as lost.
        source: `module:function` that makes the source in the child.
    """

    def __init__(
        self,
        settings: CameraSettings,
        on_frame: Callable[[Frame], None],
        max_silence_s: float = 0.5,
        source: str = SOURCE,
    ) -> None:
        self._settings = settings
        self._on_frame = on_frame
        self._max_silence_s = max_silence_s
        self._source = source
        self._memory_fd = channel.make_memory(settings.shape)
        self._slots = channel.Slots(self._memory_fd, settings.shape)
        self._lock = threading.Lock()
        self._phase, self._words = Phase.STARTING, "the camera is being started"
        self._description: Description | None = None
        self._frames = self._stale = self._dropped = self._restarts = 0
        self._newest_s = -float("inf")
        self._newest_ns = 0
        self._streaming_since_s: float | None = None
        self._closing = threading.Event()
        self._restart_asked = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_alive, name="camera", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the child, by force if it does not end itself."""
        self._closing.set()
        self._thread.join(timeout=END_S + 1.0)

    def restart(self) -> None:
        """Reset the hardware and start again, as after a failure."""
        self._restart_asked.set()

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, None between two."""
        process = self._process
        return None if process is None else process.pid

    def report(self) -> CameraReport:
        with self._lock:
            age_s = time.monotonic() - self._newest_s
            words = self._words
            if self._phase == Phase.STREAMING and age_s <= self._max_silence_s:
                words = ""
            elif not words:
                words = f"the camera has sent no frame for {age_s:.1f} s"
            return CameraReport(
                self._phase,
                words,
                self._description,
                self._frames,
                self._stale,
                self._dropped,
                self._restarts,
                age_s,
            )

    # What follows runs in the camera's thread.

    def _keep_alive(self) -> None:
        failures = 0
        while not self._closing.is_set():
            self._streaming_since_s = None
            failed = self._attempt(reset=False)
            if self._closing.is_set() or failed is None:
                continue
            stable = self._streaming_since_s is not None and time.monotonic() - self._streaming_since_s > STABLE_S
            failures = 1 if stable else failures + 1
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
            self._say(Phase.WAITING, failed.words)
            with self._lock:
                self._restarts += 1
            if failed.reset and (refused := self._attempt(reset=True)) is not None:
                self._say(Phase.WAITING, f"{failed.words}; {refused.words}")
            self._closing.wait(pause_s)

    def _attempt(self, reset: bool) -> channel.Failed | None:
        """Run one child to its end; why it failed, None where it did not: the reset is done, or the device was absent.

        A child that is only to reset the hardware has failed when it says so, or hangs.
        """
        ours, theirs = channel.connection_pair()
        arguments = ["--settings", self._settings.to_json(), "--source", self._source]
        descriptors = (theirs.fileno(), self._memory_fd)
        arguments += ["--socket", str(descriptors[0]), "--memory", str(descriptors[1])]
        process = self._process = subprocess.Popen(
            ending_with_us(
                [sys.executable, "-m", "sarl_ros.camera.child", *arguments, *(["--reset"] if reset else [])]
            ),
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        theirs.close()
        try:
            return self._serve(ours, expected_end=reset)
        finally:
            ours.close()
            self._process = None
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _serve(self, connection: Connection, expected_end: bool) -> channel.Failed | None:
        """Take messages until the child ends, hangs, or is no longer wanted."""
        heard_s, hang_s = time.monotonic(), OPEN_HANG_S
        while not self._closing.is_set():
            if self._restart_asked.is_set():
                self._restart_asked.clear()
                return channel.Failed("a person asked for a restart", reset=True)
            try:
                if not connection.poll(POLL_S):
                    silence_s = time.monotonic() - heard_s
                    if silence_s > hang_s:
                        return channel.Failed(f"the camera's process hung for {silence_s:.1f} s: it is restarted", True)
                    continue
                messages = [connection.recv()]
                while connection.poll(0.0):
                    messages.append(connection.recv())
            except (EOFError, OSError):
                if expected_end:
                    return None
                return channel.Failed("the camera's process died: it is started again", reset=True)
            heard_s = time.monotonic()
            arrived = [message for message in messages if isinstance(message, channel.Arrived)]
            for message in messages:
                match message:
                    case channel.Opening():
                        hang_s = OPEN_HANG_S
                    case channel.Absent(words):
                        expected_end = True
                        self._say(Phase.ABSENT, words)
                    case channel.Streaming(description):
                        expected_end, hang_s = False, STREAM_HANG_S
                        self._streaming_since_s = heard_s
                        self._say(Phase.STREAMING, "", description)
                    case channel.Late(words, stale):
                        self._say(Phase.STREAMING, words, stale=stale)
                    case channel.Arrived():
                        self._take(message, connection, newest=message is arrived[-1])
                    case channel.Failed():
                        return message
        return None

    def _take(self, message: channel.Arrived, connection: Connection, newest: bool) -> None:
        """Hand a frame out and give its slot back; only the newest of those that wait, and only a young one."""
        age_s = time.monotonic() - message.taken_s
        fresh = newest and message.stamp_ns > self._newest_ns and age_s <= self._settings.max_age_s
        with self._lock:
            self._dropped += message.dropped + (not newest)
            self._stale += newest and not fresh
            if fresh:
                self._frames += 1
                self._newest_s, self._newest_ns, self._words = message.taken_s, message.stamp_ns, ""
        if fresh:
            pixels = self._slots.images[message.slot]
            self._on_frame(Frame(pixels, message.number, message.stamp_ns, age_s))
        with contextlib.suppress(OSError):  # that the child is gone is seen where its messages are read
            connection.send(message.slot)

    def _say(self, phase: Phase, words: str, description: Description | None = None, stale: bool = False) -> None:
        with self._lock:
            self._phase, self._words = phase, words
            self._stale += stale
            if description is not None:
                factor = self._settings.downscale
                self._description = replace(description, intrinsics=description.intrinsics.downscaled(factor))
