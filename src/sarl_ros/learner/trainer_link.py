"""The learner's end of the trainer process: starts it, gives orders, passes its answers on, starts it again."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sarl_ros.core.learner_events import TrainerNews, TrainingOrder
from sarl_ros.core.processes import ending_with_us

# Tensors of a few MB are allocated anew in every update: keep the pages instead of giving them back to the kernel.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(1 << 29), "MALLOC_MMAP_THRESHOLD_": str(1 << 29), "OMP_NUM_THREADS": "1"}


def trainer_news(answer: Mapping[str, Any]) -> TrainerNews:
    """What an answer of the trainer says, see `learner.trainer.TrainerWork`."""

    def number(name: str) -> float:
        return math.nan if answer.get(name) is None else answer[name]

    return TrainerNews(
        updates=answer["updates"],
        greeting="hello" in answer,
        paid="paid" in answer,
        loss=number("loss"),
        value=number("value"),
        checkpoint=answer.get("checkpoint", ""),
        resident_mb=number("resident_mb"),
    )


class TrainerLink:
    """One trainer process at a time.

    Args:
        run_folder, method, preset, seed, keep_every: see `learner.trainer`.
        deliver: called from a thread with each answer, and with {"ended": exit code} when the process has ended.
    """

    def __init__(
        self,
        run_folder: Path,
        method: str,
        preset: str,
        seed: int,
        keep_every: int,
        deliver: Callable[[dict[str, Any]], None],
    ) -> None:
        module = [sys.executable, "-m", "sarl_ros.learner.trainer"]
        self._command = [*module, str(run_folder), method, preset, str(seed), str(keep_every)]
        self._deliver = deliver
        self._process: subprocess.Popen[str] | None = None
        self._closing = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process; it says hello once it has its checkpoint and, the first time, an order."""
        self._process = subprocess.Popen(
            ending_with_us(self._command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ALLOCATOR},
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), name="trainer", daemon=True)
        self._listener.start()

    def order(self, order: TrainingOrder) -> None:
        """Ask for updates up to a total. A process that just died is noticed by its "ended" answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        line = json.dumps(asdict(order)) + "\n"
        with contextlib.suppress(OSError, ValueError):  # the pipe broke, or is closed already
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._deliver(json.loads(line))
        with contextlib.suppress(BrokenPipeError), process:
            pass  # closes its pipes; one may still hold an order that nobody took
        if not self._closing:
            self._deliver({"ended": process.returncode})

    def close(self) -> None:
        """End the process; its checkpoints are whole at any moment."""
        self._closing = True
        if self._process is not None:
            self._process.kill()
            self._listener.join()
