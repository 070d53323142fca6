"""What checksums cost the records of a step: written with them and as before there were any, in turn, to the disk.

A step is a decision and a transition in the replay store and three events in the operator's journal, each on the disk
(fsync) before the next. Reference: 3 % of a control step's time in a simulation at eight times real time; the graph
runs 24 control steps a step.

    python bench/store.py [--rounds 20] [--steps 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sarl_ros.core.types import CONTROL_PERIOD_S, Candidate, Decision, StepKey, Verdict
from sarl_ros.store import frames
from sarl_ros.store.appendfile import AppendFile
from sarl_ros.store.checkpoint import Checkpoint, digest, write_checkpoint
from sarl_ros.store.journal import Journal
from sarl_ros.store.replay_store import DecisionRecord, Entry, StoredObservation, TransitionRecord, to_record

REFERENCE = 0.03
CONTROL_STEPS, TIMES_REAL_TIME, CANDIDATES = 24, 8, 8
EVENTS = (
    {"event": "prompt", "episode": 1, "step": 1, "accepted": True, "detail": "step 1 runs", "state": "RUNNING"},
    {"event": "result", "episode": 1, "step": 1, "ended": 1, "stamp_ns": 4_800_000_000, "reason": "", "accepted": True},
    {"event": "judgement", "episode": 1, "step": 1, "success": False, "reached": [True, False], "accepted": True},
)


def step() -> tuple[Entry, Entry]:
    """A decision and its transition, with pictures that compress as badly as any."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    seen = StoredObservation(image, generator.random(8, np.float32), 1)
    candidates = tuple(
        Candidate(f"put the hammer in drawer {row}.", row, -0.5, 0.1, 0.1, 0.1) for row in range(CANDIDATES)
    )
    key = StepKey("run", 1, 1)
    decision = DecisionRecord(Decision(key, candidates, 0, "sarl"), seen, True)
    return decision, TransitionRecord(key, Verdict.CONTINUE, -0.125, False, seen, candidates)


def frame_before(entry: Entry) -> bytes:
    """A frame as it was before its header had a sum."""
    record = to_record(entry)
    head = json.dumps([{**record.fields, "_binary": len(record.binary)}], allow_nan=False).encode()
    payload = struct.pack("<I", len(head)) + head + record.binary
    return struct.pack("<4sII", b"SRL1", len(payload), zlib.crc32(payload)) + payload


def write_step(
    encode: Callable[[Entry], bytes], store: AppendFile, journal: Journal, entries: tuple[Entry, ...]
) -> None:
    for entry in entries:
        store.append(encode(entry))
    for event in EVENTS:
        journal.append(event)


def seconds_a_step(summed: bool, steps: int) -> tuple[float, float]:
    """Wall and processor time [s] of writing a step."""
    entries = step()

    def encode(entry: Entry) -> bytes:
        return frames.encode([to_record(entry)]) if summed else frame_before(entry)

    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder, "operator.jsonl")
        if not summed:
            path.write_text('{"event": "opened"}\n')  # a journal without sums goes on without
        store = AppendFile(Path(folder, "replay.srl"))
        with Journal(path) as journal:
            begun = time.perf_counter(), time.process_time()
            for _ in range(steps):
                write_step(encode, store, journal, entries)
            ended = time.perf_counter(), time.process_time()
        store.close()
    return (ended[0] - begun[0]) / steps, (ended[1] - begun[1]) / steps


def checkpoint_seconds() -> tuple[float, float]:
    """Wall time [s] of a checkpoint of preset `sim`'s size, and of its digest alone."""
    tensors = {f"tensor{number}": torch.randn(250_000) for number in range(10)}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        begun_s = time.perf_counter()
        write_checkpoint(Path(folder), 1, Checkpoint(tensors, {"updates": 1}))
        whole_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    digest({name: tensor.numpy() for name, tensor in tensors.items()}, "")
    return whole_s, time.perf_counter() - begun_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with_it: list[Any] = []
    before: list[Any] = []
    for number in range(options.rounds):
        order = (True, False) if number % 2 else (False, True)
        for summed in order:
            (with_it if summed else before).append(seconds_a_step(summed, options.steps))
    control_step_s = CONTROL_PERIOD_S / TIMES_REAL_TIME
    figures: dict[str, float | list[float]] = {}
    for index, what in enumerate(("wall", "processor")):
        ratios = [new[index] / old[index] for new, old in zip(with_it, before, strict=True)]
        more_s = statistics.median(new[index] - old[index] for new, old in zip(with_it, before, strict=True))
        share = more_s / CONTROL_STEPS / control_step_s
        figures |= {
            f"{what}_ms_a_step_with": round(1e3 * statistics.median(each[index] for each in with_it), 3),
            f"{what}_ms_a_step_before": round(1e3 * statistics.median(each[index] for each in before), 3),
            f"{what}_ratio": round(statistics.median(ratios), 3),
            f"{what}_share_of_a_control_step": round(share, 5),
            f"{what}_to_reference": round(share / REFERENCE, 4),
        }
    whole_s, digest_s = checkpoint_seconds()
    figures |= {"checkpoint_ms": round(1e3 * whole_s, 1), "of_which_digest_ms": round(1e3 * digest_s, 1)}
    print(json.dumps(figures, indent=2))
    print(f"reference: {REFERENCE:.0%} of a control step's {1e3 * control_step_s:.0f} ms")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
