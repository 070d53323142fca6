"""The trainer process: `python -m sarl_ros.learner.trainer RUN_FOLDER METHOD PRESET SEED KEEP_EVERY`.

It takes orders as JSON lines on standard input and answers on standard output: how many updates are owed in all, up
to which byte of the replay store to learn from. It gives way to everything else (nice 10) and ends with its parent,
whose end closes its standard input.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import torch

from sarl_ros.core.processes import end_with_threads
from sarl_ros.methods.method import Figures, Learning
from sarl_ros.methods.preset import PresetError, load_preset
from sarl_ros.methods.registry import learning
from sarl_ros.store.appendfile import StoreError

NICENESS = 10
PORTION_S = 0.5


class TrainerWork:
    """Carries out orders with a method's learning half.

    Args:
        training: what learns.
        answer: takes each answer: {hello, updates, checkpoint} once there is a checkpoint, {updates} every half second
            of work, and to an order to save {paid: true, updates, loss, value, checkpoint, resident_mb}, with the means
            since the last one and the memory that this process holds.
    """

    def __init__(self, training: Learning, answer: Callable[[dict[str, Any]], None]) -> None:
        self._training, self._answer = training, answer
        self._loss = self._value = 0.0
        self._count, self._portion = 0, 1
        self._greet()

    def _greet(self) -> None:
        training = self._training
        self._greeted = training.checkpoint is not None
        if self._greeted:
            self._answer({"hello": True, "updates": training.updates, "checkpoint": str(training.checkpoint)})

    def carry_out(self, order: Mapping[str, Any]) -> None:
        """Do what an order {updates: owed since the run began, offset, episodes, temperature, save} still lacks.

        Raises:
            StoreError: the store cannot be read, a checkpoint not be written, or the loss is not finite.
        """
        training = self._training
        training.observe(order["offset"])
        if not self._greeted:
            training.save(0)
            self._greet()
        while (left := order["updates"] - training.updates) > 0:
            self._update(min(left, self._portion), order["temperature"])
        if order["save"]:
            self._save(order["episodes"])

    def _update(self, count: int, temperature: float) -> None:
        started_s = time.monotonic()
        figures = self._training.update(count, temperature)
        self._loss, self._value = self._loss + count * figures.loss, self._value + count * figures.value
        self._count += count
        spent_s = time.monotonic() - started_s
        wanted = round(self._portion * PORTION_S / max(spent_s, 1e-3))
        self._portion = max(1, min(2 * self._portion, wanted))
        self._answer({"updates": self._training.updates})

    def _save(self, episodes: int) -> None:
        count = self._count
        mean = Figures(self._loss / count, self._value / count) if count else Figures()
        if not math.isfinite(mean.loss) and count:
            raise StoreError("the loss is not finite: lower learning_rate in the preset and begin a new run")
        self._loss, self._value, self._count = 0.0, 0.0, 0
        path = self._training.save(episodes)
        self._answer(
            {
                "paid": True,
                "updates": self._training.updates,
                "loss": None if math.isnan(mean.loss) else mean.loss,
                "value": None if math.isnan(mean.value) else mean.value,
                "checkpoint": str(path),
                "resident_mb": give_back_memory(),
            }
        )


def make_work(
    run_folder: Path, name: str, preset: str, seed: int, keep_every: int, answer: Callable[[dict[str, Any]], None]
) -> TrainerWork:
    """For the method `name`, which learns. Raises ValueError, StoreError, PresetError."""
    return TrainerWork(learning(name)(run_folder, load_preset(preset), seed, keep_every), answer)


def give_back_memory() -> float:
    """Give the kernel the pages that nothing lies in; the MB that are still resident.

    What stays of each transition lies between tensors of megabytes that come and go, so the heap grows by a multiple of
    what is kept. Its holes may stay, their pages need not. glibc's alone; elsewhere the heap stays as it is.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    run_folder, name, preset, seed, keep_every = sys.argv[1:6]
    # Answers go to the inherited standard output; whatever else prints goes to the log.
    answers: TextIO = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to answer
    end_with_threads()
    torch.set_num_threads(1)

    def answer(fields: dict[str, Any]) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    orders: queue.Queue[dict[str, Any]] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        os._exit(0)  # the parent is gone; checkpoints are atomic, so there is nothing to finish

    threading.Thread(target=listen, daemon=True).start()
    try:
        work = make_work(Path(run_folder), name, preset, int(seed), int(keep_every), answer)
        while order := orders.get():
            work.carry_out(order)
    except (StoreError, PresetError) as error:
        answer({"error": str(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()
