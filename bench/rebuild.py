"""Records a run, deletes its replay store, makes it again from the bags and compares the two.

Reference: identical transitions, also when nodes, the recorder among them, are killed in the middle of episodes.

    python bench/rebuild.py [--episodes 20] [--kill recorder] [--times 3] [--agent sarl] [--policy still] [--json FILE]
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
import time
from pathlib import Path

from sarl_ros.runs.folder import RunError, RunSettings, create_run
from sarl_ros.runs.rebuild import rebuild_command
from sarl_ros.runs.run import run_graph
from sarl_ros.runs.supervisor import Supervisor
from sarl_ros.store.replay_store import FILE_NAME

SHORTEST_GAP_S, LONGEST_GAP_S = 6.0, 14.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--kill", default="recorder", help="nodes to kill in turn, comma-separated; '' for none")
    parser.add_argument("--times", type=int, default=3, help="kills of each of them")
    parser.add_argument("--agent", default="sarl")
    parser.add_argument("--policy", default="still")
    parser.add_argument("--seed", type=int, default=0, help="of the run, and of the order and moments of the kills")
    parser.add_argument("--runs", type=Path, default=None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    root = options.runs or Path(tempfile.mkdtemp(prefix="rebuild-"))
    settings = RunSettings(
        task="hammer",
        episodes=options.episodes,
        agent=options.agent,
        policy=options.policy,
        seed=options.seed,
        record=True,
    )
    folder = create_run(settings, root)
    folder.set("operator", "max_aborts_in_a_row", 1000)
    rng = random.Random(options.seed)
    order = [name for name in options.kill.split(",") if name for _ in range(options.times)]
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
    store = folder.path / FILE_NAME
    kept = store.with_suffix(".kept")
    store.rename(kept)
    begun_s = time.monotonic()
    restored = rebuild_command(folder.path, restore=True)
    rebuild_s = time.monotonic() - begun_s
    kept.replace(store)
    try:
        problem, compared = "", rebuild_command(folder.path)
    except RunError as error:
        problem, compared = str(error), {}
    figures = {
        "episodes": summary["episodes"],
        "aborted": summary["aborted"],
        "kills": {name: killed.count(name) for name in sorted(set(order))},
        "transitions": restored["transitions"],
        "sha256_rebuilt": restored["sha256"],
        "sha256_live": compared.get("live_sha256"),
        "identical": compared.get("identical", False),
        "problem": problem,
        "rebuild_seconds": round(rebuild_s, 2),
        "run": str(folder.path),
    }
    print(json.dumps(figures, indent=2))
    print("reference: identical")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(not figures["identical"])


if __name__ == "__main__":
    main()
