"""The trainer holds what it stores of each transition, and nothing beside it that grows with their number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sarl_ros.core.types import Candidate, Decision, StepKey, Verdict
from sarl_ros.store.replay_store import (
    POOL,
    DecisionRecord,
    NoteRecord,
    ReplayStore,
    StoredObservation,
    TransitionRecord,
)

EPISODES, STEPS, SETTLED = 14, 8, 4
STORED_MB = 2 * 72 * 72 * 3 / 1e6  # two images with their margin
PROMPTS = [f"prompt {number}." for number in range(STEPS)]


def write_episodes(folder: Path) -> list[int]:
    """A store's bytes after each of its transitions."""
    rng = np.random.default_rng(0)
    candidates = tuple(Candidate(prompt, row) for row, prompt in enumerate(PROMPTS))

    def observation() -> StoredObservation:
        image = rng.integers(0, 256, (64, 64, 3), np.uint8)
        return StoredObservation(image, rng.normal(size=8).astype(np.float32), 0)

    sizes = []
    with ReplayStore(folder) as store:
        store.append(NoteRecord(POOL, {"prompts": PROMPTS}))
        for number in range(EPISODES * STEPS):
            key = StepKey("run", number // STEPS + 1, number % STEPS + 1)
            decision = Decision(key, candidates, number % STEPS, "sarl")
            store.append(
                DecisionRecord(decision, observation()),
                TransitionRecord(key, Verdict.CONTINUE, -1 / STEPS, False, observation(), candidates),
            )
            sizes.append(store.size)
    return sizes


def train(folder: Path, sizes: list[int]) -> list[float]:
    """Serve a run's orders, an update a decision; what is resident after each episode [MB]."""
    from sarl_ros.learner.trainer import TrainerWork
    from sarl_ros.methods.preset import load_preset
    from sarl_ros.methods.sarl.training import Training

    answers: list[dict] = []
    work = TrainerWork(Training(folder, load_preset("sim"), 0), answers.append)
    for number, size in enumerate(sizes, 1):
        save = number % STEPS == 0
        episodes = number // STEPS
        work.carry_out({"updates": number, "offset": size, "episodes": episodes, "temperature": 0.05, "save": save})
    return [answer["resident_mb"] for answer in answers if "resident_mb" in answer]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_trainer_s_memory_grows_by_what_it_stores(tmp_path):
    from sarl_ros.learner.trainer_link import ALLOCATOR

    (tmp_path / "sizes").write_text(json.dumps(write_episodes(tmp_path)))
    done = subprocess.run(
        [sys.executable, __file__, tmp_path], capture_output=True, text=True, env=os.environ | ALLOCATOR
    )
    assert done.returncode == 0, done.stderr
    resident_mb = json.loads(done.stdout)
    assert len(resident_mb) == EPISODES
    a_transition_mb = (resident_mb[-1] - resident_mb[SETTLED]) / ((EPISODES - 1 - SETTLED) * STEPS)
    assert a_transition_mb < 3 * STORED_MB, resident_mb


if __name__ == "__main__":
    run = Path(sys.argv[1])
    print(json.dumps(train(run, json.loads((run / "sizes").read_text()))))
