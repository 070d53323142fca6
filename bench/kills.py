"""Kills each node of a running graph with SIGKILL, several times at random moments, and checks what was recorded.

Reference: the run ends by itself with all its episodes, and no transition is lost or doubled.

    python bench/kills.py [--times 5] [--episodes 20] [--policy still] [--agent sarl] [--seed 0] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path

from sarl_ros.analysis.records import check_records
from sarl_ros.nodes import bringup
from sarl_ros.run import run_graph
from sarl_ros.run_folder import RunSettings, create_run
from sarl_ros.supervisor import Supervisor

SHORTEST_GAP_S, LONGEST_GAP_S = 5.0, 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="kills of each node")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--policy", default="still")
    parser.add_argument("--agent", default="sarl")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the moments of the kills")
    parser.add_argument("--runs", type=Path, default=None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    root = options.runs or Path(tempfile.mkdtemp(prefix="kills-"))
    settings = RunSettings(task="hammer", episodes=options.episodes, agent=options.agent, policy=options.policy)
    folder = create_run(settings, root)
    specs = bringup.graph(folder.tree())
    folder.set("operator", "max_aborts_in_a_row", 1000)
    rng = random.Random(options.seed)
    order = [spec.name for spec in specs for _ in range(options.times)]
    rng.shuffle(order)
    killed: list[str] = []
    ended = threading.Event()

    def kill_in_turn(supervisor: Supervisor) -> None:
        for name in order:
            if ended.wait(rng.uniform(SHORTEST_GAP_S, LONGEST_GAP_S)):
                return
            while (pid := supervisor.pid(name)) is None:
                if ended.wait(0.1):
                    return
            os.kill(pid, signal.SIGKILL)
            killed.append(name)

    def start_killing(supervisor: Supervisor) -> None:
        threading.Thread(target=kill_in_turn, args=(supervisor,), daemon=True).start()

    summary = run_graph(folder, start_killing)
    ended.set()
    found = check_records(folder.path)
    figures = {
        "kills": {spec.name: killed.count(spec.name) for spec in specs},
        "episodes_wanted": options.episodes,
        "episodes_completed": found.completed,
        "aborted": summary["aborted"],
        "transitions": found.transitions,
        "problems": list(found.problems),
        "run": str(folder.path),
    }
    print(json.dumps(figures, indent=2))
    print(f"reference: {options.times} kills a node, {options.episodes} episodes, no problem")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(bool(found.problems) or found.completed != options.episodes or len(killed) < len(order))


if __name__ == "__main__":
    main()
