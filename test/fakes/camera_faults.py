"""A camera whose hardware is a recording that the SDK plays, with faults on demand.

Everything but the device itself is what runs on hardware: the SDK's context, its list of devices and its notice of a
removal, its pipeline, its time-outs. The word in the file $CAMERA_CONTROL says what the device does:

    play    frames come
    pause   the device sends nothing, so that the pipeline times out
    gone    the device is unplugged
    stuck   the last frame comes again and again
    hang    calls of the SDK never return
"""

import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from sarl_ros.camera.realsense import RealsenseSource
from sarl_ros.nodes.camera import CameraNode
from sarl_ros.ros.node import run_node

POLL_S = 0.02
LOOP_MARGIN = timedelta(seconds=0.3)


def make_source(settings):
    return FaultyRealsense(settings)


class FaultyRealsense(RealsenseSource):
    def __init__(self, settings):
        super().__init__(settings)
        self._recording = os.environ["CAMERA_RECORDING"]
        self._control = Path(os.environ["CAMERA_CONTROL"])
        self._last = None
        self._context = None

    def word(self):
        return self._control.read_text().strip()

    def make_context(self):
        self._context = self._rs.context()
        if self.word() != "gone":
            self._played = self._context.load_device(self._recording)
        return self._context

    def open(self):
        description = super().open()
        threading.Thread(target=self._misbehave, daemon=True).start()
        return description

    def read(self, timeout_s):
        if self.word() == "hang":
            threading.Event().wait()
        if self.word() == "stuck" and self._last is not None:
            time.sleep(1 / 30)
            return self._last
        self._last = super().read(timeout_s)
        return self._last

    def _misbehave(self):
        """Do to the device what the word says; begin again before the recording ends."""
        playback = self._device.as_playback()
        end = playback.get_duration() - LOOP_MARGIN
        done = "play"
        while True:
            word = self.word()
            if word != done and word in ("pause", "play"):
                (playback.pause if word == "pause" else playback.resume)()
            if word != done and word == "gone":
                self._context.unload_device(self._recording)
                playback.pause()
            done = word
            if timedelta(microseconds=playback.get_position() / 1000) > end:
                playback.seek(timedelta(0))
            time.sleep(POLL_S)


if __name__ == "__main__":
    # The child process imports this module by its name.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    sys.argv[0] = "camera"
    run_node(lambda: CameraNode("camera_faults:make_source"), threads=1)
