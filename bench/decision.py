"""How long a decision takes while training runs: 100 candidates, 10 critics, one thread.

The trainer process pays an endless debt meanwhile, as it would between episodes; no decision may wait for it. With
`--one-core` both processes share a single core. The reference is the limit the project sets itself, 10 ms at p99.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from sarl_ros.core.learner_events import TrainingOrder
from sarl_ros.core.types import Candidate, Decision, Observation, StepKey, Verdict
from sarl_ros.learner.trainer_link import TrainerLink
from sarl_ros.methods.method import Situation
from sarl_ros.methods.preset import Preset, load_preset
from sarl_ros.methods.sarl.agent import SarlAgent
from sarl_ros.methods.sarl.training import make_critics
from sarl_ros.store.replay_store import (
    POOL,
    DecisionRecord,
    NoteRecord,
    ReplayStore,
    StoredObservation,
    TransitionRecord,
)

CANDIDATES = 100
REFERENCE_P99_MS = 10.0
PROMPTS = [f"prompt number {number}." for number in range(CANDIDATES)]
TRANSITIONS = 200


def write_run(folder: Path, preset: Preset) -> int:
    """A run folder with random transitions; returns the size of its store."""
    generator = np.random.default_rng(0)
    candidates = tuple(Candidate(prompt, row) for row, prompt in enumerate(PROMPTS))[: preset.candidates]

    def seen(stamp: int) -> StoredObservation:
        image = generator.integers(0, 256, (64, 64, 3), np.uint8)
        return StoredObservation(image, generator.random(8, np.float32), stamp)

    with ReplayStore(folder) as store:
        entries: list[Any] = [NoteRecord(POOL, {"prompts": PROMPTS})]
        for number in range(TRANSITIONS):
            key = StepKey("bench", 1 + number // 8, 1 + number % 8)
            entries.append(DecisionRecord(Decision(key, candidates, number % preset.candidates, "sarl"), seen(number)))
            entries.append(TransitionRecord(key, Verdict.CONTINUE, -0.125, False, seen(number + 1), candidates))
        store.append(*entries)
        return store.size


def measure(agent: SarlAgent, decisions: int) -> np.ndarray:
    """Milliseconds of each decision, image preparation included."""
    generator = np.random.default_rng(1)
    front = generator.integers(0, 256, (480, 640, 3), np.uint8)
    observation = Observation(front, front[:240, :320], generator.random(8, np.float32))
    candidates = tuple(Candidate(prompt, row) for row, prompt in enumerate(PROMPTS))
    spent = []
    for step in range(decisions):
        situation = Situation(StepKey("bench", 1, step), "do it.", temperature=0.05)
        started_s = time.perf_counter()
        agent.choose(observation, candidates, situation)
        spent.append(1e3 * (time.perf_counter() - started_s))
        time.sleep(0.002)  # the graph does something else between decisions
    return np.array(spent)


def bench(name: str, decisions: int) -> dict[str, float]:
    """Figures of one preset."""
    preset = load_preset(name).model_copy(update={"pool_capacity": CANDIDATES, "critics": 10})
    torch.manual_seed(0)
    agent = SarlAgent(make_critics(preset, preset.start_bias), 0)
    answers: queue.Queue[dict[str, Any]] = queue.Queue()
    with tempfile.TemporaryDirectory() as folder:
        run_folder, file = Path(folder) / "bench", Path(folder) / "preset.yaml"
        file.write_text(yaml.safe_dump(preset.model_dump() | {"strides": list(preset.strides)}))
        size = write_run(run_folder, preset)
        measure(agent, 20)
        alone = measure(agent, decisions)
        link = TrainerLink(run_folder, "sarl", str(file), 0, 0, answers.put)
        link.start()
        try:
            link.order(TrainingOrder(updates=10**9, offset=size, episodes=0, temperature=0.05, save=False))
            while "updates" not in (first := answers.get(timeout=300)) or "hello" in first:
                pass
            started_s, before = time.monotonic(), first["updates"]
            together = measure(agent, decisions)
            after = answers.get(timeout=300)["updates"]
            while not answers.empty():
                after = answers.get()["updates"]
            update_ms = 1e3 * (time.monotonic() - started_s) / max(1, after - before)
        finally:
            link.close()
    return {
        "alone_p50_ms": round(float(np.percentile(alone, 50)), 2),
        "alone_p99_ms": round(float(np.percentile(alone, 99)), 2),
        "training_p50_ms": round(float(np.percentile(together, 50)), 2),
        "training_p99_ms": round(float(np.percentile(together, 99)), 2),
        "update_ms": round(update_ms, 1),
        "reference_p99_ms": REFERENCE_P99_MS,
        "ratio": round(float(np.percentile(together, 99)) / REFERENCE_P99_MS, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", default="sim,paper")
    parser.add_argument("--decisions", type=int, default=1000)
    parser.add_argument("--one-core", action="store_true", help="decisions and training share a single core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures: dict[str, Any] = {"candidates": CANDIDATES, "critics": 10, "one_core": options.one_core}
    for name in options.presets.split(","):
        row = figures[name] = bench(name, options.decisions)
        print(
            f"preset {name}: {CANDIDATES} candidates, 10 critics: p50 {row['training_p50_ms']} ms, p99"
            f" {row['training_p99_ms']} ms while training (alone {row['alone_p50_ms']} / {row['alone_p99_ms']});"
            f" reference p99 {REFERENCE_P99_MS} ms, ratio {row['ratio']}; an update takes {row['update_ms']} ms",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
