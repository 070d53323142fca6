"""A played recording as a camera's hardware, with faults on demand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAKES = Path(__file__).parent / "fakes"
SERIAL = "000000000042"


@pytest.fixture(name="recording", scope="session")
def recording_fixture(tmp_path_factory) -> Path:
    """Three seconds that the SDK recorded from its software device."""
    path = tmp_path_factory.mktemp("recording") / "camera.db3"
    subprocess.run(
        [sys.executable, FAKES / "camera_recording.py", path, "--serial", SERIAL, "--seconds", "3"], check=True
    )
    return path


class Hardware:
    """Says what the device does; see fakes/camera_faults.py for the words."""

    def __init__(self, recording: Path, folder: Path) -> None:
        self._control = folder / "control"
        self.environment = os.environ | {
            "CAMERA_CONTROL": str(self._control),
            "CAMERA_RECORDING": str(recording),
            "PYTHONPATH": str(FAKES),
        }
        self.do("play")

    def do(self, word: str) -> None:
        """Replace the word in one step, so that no half-written one is read."""
        new = self._control.with_suffix(".new")
        new.write_text(word)
        new.rename(self._control)
