"""What a run shows beside its records: TensorBoard scalars, and the learning curve drawn by a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from sarl_ros.analysis.curve import WINDOW, running_mean
from sarl_ros.core.learner_events import TrainerNews
from sarl_ros.core.processes import ending_with_us

ROWS_PER_CURVE = 5
NICENESS = 10


class Board:
    """Writes under the run folder; nothing of it is needed to go on."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._successes: list[bool] = []
        self._drawing: subprocess.Popen[bytes] | None = None
        self._undrawn = 0

    def row(self, row: dict[str, Any]) -> None:
        """Show an episode's row of episodes.jsonl."""
        episode = row["index"]
        self._undrawn += 1
        if row["outcome"] != "ABORTED":
            self._successes.append(row["outcome"] == "SUCCESS")
            self._writer.add_scalar("episode/success", float(self._successes[-1]), episode)
            self._writer.add_scalar(f"episode/success_last_{WINDOW}", running_mean(self._successes)[-1], episode)
            self._writer.add_scalar("episode/return", row["return"], episode)
        if row["recall"] is not None:
            self._writer.add_scalar("episode/recall", row["recall"], episode)
        self._writer.add_scalar("agent/temperature", row["temperature"], episode)
        if self._undrawn >= ROWS_PER_CURVE:
            self.draw()

    def trained(self, news: TrainerNews) -> None:
        """Show the means over an order's updates, and what the trainer holds of memory."""
        self._writer.add_scalar("trainer/resident_mb", news.resident_mb, news.updates)
        if news.loss == news.loss:
            self._writer.add_scalar("critic/loss", news.loss, news.updates)
            self._writer.add_scalar("critic/value", news.value, news.updates)
            self._writer.flush()

    def draw(self, wait: bool = False) -> None:
        """Draw curve.png anew, unless a drawing is under way or nothing is new."""
        if self._drawing is not None and (wait or self._drawing.poll() is not None):
            self._drawing.wait()
            self._drawing = None
        if self._drawing is None and self._undrawn:
            self._undrawn = 0
            self._drawing = subprocess.Popen(
                ending_with_us(
                    ["nice", "-n", str(NICENESS), sys.executable, "-m", "sarl_ros.analysis.curve", str(self._folder)]
                ),
                stdin=subprocess.DEVNULL,
            )
            if wait:
                self._drawing.wait()

    def close(self) -> None:
        """Leave at once: a drawing under way is dropped, the file before it stays."""
        self._writer.close()
        if self._drawing is not None:
            self._drawing.kill()
            self._drawing.wait()
