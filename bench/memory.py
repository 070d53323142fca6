"""Memory of every process of a training run at its start, its middle and its end, beside what the trainer stores.

Reference: the trainer grows by the transitions that it keeps, 0.031 MB each, and by nothing else.

    python bench/memory.py [--minutes 60] [--policy mini] [--runs DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run_processes import TRAINER, processes_of, resident_mb

from sarl_ros.runs.folder import RunFolder, RunSettings, create_run
from sarl_ros.store.checkpoint import FOLDER, latest_checkpoint, read_facts

A_TRANSITION_MB = 2 * 72 * 72 * 3 / 1e6
SAMPLE_S = 5.0


def transitions(folder: RunFolder) -> int:
    """What the trainer has taken over, by its newest checkpoint."""
    newest = latest_checkpoint(folder.path / FOLDER)
    return 0 if newest is None else int(read_facts(newest)["transitions"])


def sample(folder: RunFolder) -> dict[str, float]:
    held = {name: resident_mb(pid) for pid, name in processes_of(folder).items()}
    return {name: value for name, value in held.items() if value is not None}


def mean(samples: list[dict[str, float]], name: str) -> float:
    values = [each[name] for each in samples if name in each]
    return sum(values) / len(values) if values else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--policy", default="mini")
    parser.add_argument("--runs", type=Path, default=None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    root = options.runs or Path(tempfile.mkdtemp(prefix="memory-"))
    folder = create_run(RunSettings(task="hammer", episodes=100_000, agent="sarl", policy=options.policy), root)
    with (root / "output.txt").open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "sarl_ros.cli", "train", "--resume", str(folder.path)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    samples: list[dict[str, float]] = []
    counts: list[int] = []
    try:
        while not transitions(folder):  # the first ones are of processes that still load
            if run.poll() is not None:
                sys.exit(f"the run has ended, see {root / 'output.txt'}")
            time.sleep(1.0)
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 60 * options.minutes and run.poll() is None:
            samples.append(sample(folder))
            counts.append(transitions(folder))
            time.sleep(SAMPLE_S)
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(30)
    tenth = max(1, len(samples) // 10)
    middle = len(samples) // 2
    spans = [slice(tenth, 2 * tenth), slice(middle, middle + tenth), slice(-tenth, None)]
    parts = [samples[span] for span in spans]
    stored = [sum(counts[span]) / len(counts[span]) for span in spans]
    names = sorted({name for each in samples for name in each})
    table = {name: [round(mean(part, name), 1) for part in parts] for name in names}
    print(f"{'resident MB':<18}{'start':>9}{'middle':>9}{'end':>9}")
    for name, values in table.items():
        print(f"{name:<18}" + "".join(f"{value:>9.1f}" for value in values))
    print(f"{'transitions':<18}" + "".join(f"{count:>9.0f}" for count in stored))
    print(f"{'stored of these':<18}" + "".join(f"{count * A_TRANSITION_MB:>9.1f}" for count in stored))
    grown, kept = table[TRAINER][2] - table[TRAINER][0], (stored[2] - stored[0]) * A_TRANSITION_MB
    print(f"the trainer grew by {grown:.1f} MB; {kept:.1f} MB are of transitions that it took over meanwhile")
    if options.json:
        figures = {"minutes": options.minutes, "resident_mb": table, "transitions": stored, "run": str(folder.path)}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
