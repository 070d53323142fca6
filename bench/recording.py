"""What recording costs: control steps a second of the whole simulated graph with and without it, in turn.

Reference: recording may cost the graph 10 % of its control-step rate. Rates need a computer that does nothing else;
processor time, starting included, tells even where it does.

    nice -n 10 python bench/recording.py [--rounds 4] [--episodes 6] [--agent random] [--policy mini]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
from pathlib import Path
from typing import Any

from sarl_ros.nodes import bringup
from sarl_ros.run import run_graph
from sarl_ros.run_folder import RunSettings, create_run
from sarl_ros.semantic.types import CONTROL_PERIOD_S
from sarl_ros.store.bags import find_bags

REFERENCE_COST = 0.10
SAMPLE_S = 0.2


class CpuMeter:
    """Processor time [s] of a run's node, sampled while it lives."""

    def __init__(self, supervisor: Any, node: str) -> None:
        self.seconds = 0.0
        self._supervisor, self._node = supervisor, node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            pid = self._supervisor.pid(self._node)
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            self.seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def run(options: argparse.Namespace, root: Path, record: bool) -> dict[str, Any]:
    settings = RunSettings(
        task=options.task, episodes=options.episodes, agent=options.agent, policy=options.policy, record=record
    )
    folder = create_run(settings, root)
    meters: dict[str, CpuMeter] = {}

    def measure(supervisor: Any) -> None:
        meters.update({spec.name: CpuMeter(supervisor, spec.name) for spec in bringup.graph(folder.tree())})

    try:
        summary = run_graph(folder, measure)
    finally:
        for meter in meters.values():
            meter.close()
    bags = find_bags([folder.path]) if record else []
    size = sum(file.stat().st_size for bag in bags for file in bag.rglob("*") if file.is_file())
    steps = max(1, summary["control_steps"])
    return {
        "record": record,
        "control_steps_per_s": summary["times_real_time"] / CONTROL_PERIOD_S,
        "control_steps": steps,
        "cpu_ms_per_control_step": {name: round(1e3 * meter.seconds / steps, 2) for name, meter in meters.items()},
        "bag_kb_per_control_step": round(size / steps / 1e3, 1),
        "bags": len(bags),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--task", default="hammer")
    parser.add_argument("--agent", default="random")
    parser.add_argument("--policy", default="mini")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for record in (False, True) if number % 2 == 0 else (True, False):
                runs.append(run(options, Path(folder), record))
                print(json.dumps(runs[-1]), flush=True)
    pairs = [sorted(runs[index : index + 2], key=lambda row: row["record"]) for index in range(0, len(runs), 2)]
    ratios = [with_it["control_steps_per_s"] / without["control_steps_per_s"] for without, with_it in pairs]
    rates = {
        record: [row["control_steps_per_s"] for row in runs if row["record"] is record] for record in (False, True)
    }
    cost = 1 - statistics.median(ratios)
    cpu = {
        record: statistics.median(
            sum(row["cpu_ms_per_control_step"].values()) for row in runs if row["record"] is record
        )
        for record in (False, True)
    }
    figures = {
        "best_control_steps_per_s": {"without": round(max(rates[False]), 1), "with": round(max(rates[True]), 1)},
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio_of_the_best": round(max(rates[True]) / max(rates[False]), 3),
        "cost": round(cost, 3),
        "cpu_ms_per_control_step": {"without": round(cpu[False], 1), "with": round(cpu[True], 1)},
        "cost_to_reference": round(cost / REFERENCE_COST, 2),
        "runs": runs,
    }
    print(
        f"best {max(rates[False]):.1f} control steps/s without recording, {max(rates[True]):.1f} with it; ratios of the"
        f" rounds {figures['ratios']}: median cost {cost:.1%}; reference {REFERENCE_COST:.0%}:"
        f" ratio {figures['cost_to_reference']}"
    )
    print(f"processor time of all nodes: {cpu[False]:.1f} ms a control step without recording, {cpu[True]:.1f} with it")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
