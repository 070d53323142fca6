"""The process that holds a camera's SDK: `python -m sarl_ros.camera.child`, started by `camera.Camera` alone.

It opens the device, waits for it where it is absent, and hands over new frames. It tries nothing twice: when anything
fails it says so and ends, because the vendor's stop, reset and device list are known to hang or to lie afterwards
(librealsense issues 7252, 9184, 8393, 9287). A new process is the recovery.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import threading
import time
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from sarl_ros.camera.channel import SLOTS, Absent, Arrived, Failed, Late, Message, Opening, Slots, Streaming
from sarl_ros.camera.freshness import FreshnessGate
from sarl_ros.camera.source import Source
from sarl_ros.camera.types import CameraAbsent, CameraError, CameraGone, CameraSettings, Frame, FrameTimeout

READ_TIMEOUT_S = 1.0
TIMEOUTS_IN_A_ROW = 3
STALE_IN_A_ROW = 30
LOOK_PERIOD_S = 0.5
LOOKS = 20
STOP_S = 1.0
VANISH_S = 1.0


class _Ended(Exception):
    """Nobody is there to hand frames to, or a fresh process should go on."""


class Child:
    """One attempt at streaming."""

    def __init__(self, source: Source, settings: CameraSettings, connection: Connection, memory_fd: int) -> None:
        self._source = source
        self._settings = settings
        self._connection = connection
        self._slots = Slots(memory_fd, settings.shape)
        self._free = list(range(SLOTS))
        self._dropped = 0

    def stream(self) -> None:
        """Frames until something fails, which is then told to the node."""
        streams = False
        try:
            self._open()
            streams = True
            self._hand_over()
        except CameraError as error:
            # A stream that broke off may need a reset; one that was never opened may be in somebody else's hands.
            self._tell(Failed(str(error), reset=streams and not isinstance(error, CameraGone)))
        finally:
            self._stop()

    def reset(self) -> None:
        """Reset the hardware; the device vanishes soon after, and returns within seconds."""
        self._tell(Opening())
        try:
            self._source.reset()
        except CameraError as error:
            self._tell(Failed(str(error)))
            return
        time.sleep(VANISH_S)

    def _open(self) -> None:
        """Open the device. An absent one is looked for some times only: what a context lists may have become wrong."""
        for _ in range(LOOKS):
            self._tell(Opening())
            try:
                description = self._source.open()
            except CameraAbsent as error:
                self._tell(Absent(str(error)))
                self._listen(LOOK_PERIOD_S)
                continue
            self._tell(Streaming(description))
            return
        raise _Ended

    def _hand_over(self) -> None:
        gate = FreshnessGate(self._settings.max_age_s)
        to_drop = self._settings.warm_up_frames
        timeouts = stale = 0
        while True:
            self._listen(0.0)
            try:
                frame = self._source.read(READ_TIMEOUT_S)
            except FrameTimeout:
                timeouts += 1
                words = f"no frame came for {timeouts * READ_TIMEOUT_S:g} s"
                if timeouts >= TIMEOUTS_IN_A_ROW:
                    raise CameraError(f"{words}: the camera is restarted") from None
                self._tell(Late(words))
                continue
            timeouts = 0
            objection = gate.objection(frame.number, frame.stamp_ns, frame.age_s)
            if objection:
                stale += 1
                if stale >= STALE_IN_A_ROW:
                    raise CameraError(f"only old frames come ({objection}): the camera is restarted")
                self._tell(Late(objection, stale=True))
                continue
            stale = 0
            if to_drop:
                to_drop -= 1
                self._tell(Late("the camera is warming up"))
                continue
            self._pass_on(frame)

    def _pass_on(self, frame: Frame) -> None:
        taken_s = time.monotonic() - frame.age_s
        if not self._free:
            self._dropped += 1
            return
        slot = self._free.pop(0)
        reduce_into(self._slots.images[slot], frame.pixels, self._settings.downscale)
        self._tell(Arrived(slot, frame.number, frame.stamp_ns, taken_s, self._dropped))
        self._dropped = 0

    def _listen(self, timeout_s: float) -> None:
        """Take back slots. Raises _Ended when the node is gone."""
        try:
            while self._connection.poll(timeout_s):
                self._free.append(self._connection.recv())
                timeout_s = 0.0
        except (EOFError, OSError):
            raise _Ended from None

    def _tell(self, message: Message) -> None:
        try:
            self._connection.send(message)
        except OSError:
            raise _Ended from None

    def _stop(self) -> None:
        """Stop the stream if it lets itself be stopped in time."""
        stopper = threading.Thread(target=self._source.close, daemon=True)
        stopper.start()
        stopper.join(STOP_S)


def reduce_into(target: NDArray[np.uint8], pixels: NDArray[np.uint8], factor: int) -> None:
    """Copy an image (H, W, 3) into one smaller by a whole factor, averaging blocks of factor x factor pixels."""
    if factor == 1:
        target[:] = pixels
        return
    import cv2

    height, width, _ = target.shape
    cv2.resize(pixels, (width, height), dst=target, interpolation=cv2.INTER_AREA)


def load_factory(name: str):
    """The function that makes a source, by `module:function`."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--source", required=True, help="module:function that makes the source from the settings")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--reset", action="store_true", help="reset the hardware instead of streaming")
    options = parser.parse_args()
    # The node alone decides when we end: Ctrl-C reaches the whole terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(options.socket)
    settings = CameraSettings.from_json(options.settings)
    try:
        try:
            source = load_factory(options.source)(settings)
        except CameraError as error:
            connection.send(Failed(str(error)))
            return
        child = Child(source, settings, connection, options.memory)
        if options.reset:
            child.reset()
        else:
            child.stream()
    except (_Ended, OSError):
        pass
    finally:
        connection.close()
        # Threads of the SDK may still run, and may hang in its destructors.
        os._exit(0)


if __name__ == "__main__":
    main()
