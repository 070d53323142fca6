"""Control steps a second of the graph beside the same run headless, in turn, and where headless time goes.

Reference: headless at least 2 times the graph.

    python bench/headless.py [--episodes 12] [--agents oracle,sarl] [--json FILE]
    python bench/headless.py --profile [--episodes 4]     # of the headless run alone, as shares of its time
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sarl_ros.core.types import CONTROL_PERIOD_S
from sarl_ros.runs.folder import RunSettings, create_run

REFERENCE = 2.0
# Where time goes: functions that call none of the others, by file and name.
PLACES = {
    "physics": [("sim/world.py", "step")],
    "rendering": [("sim/world.py", "render")],
    "policy": [("policies/mini/policy.py", "plan")],
    "kinematics and safety": [("widowx_bridge/arm.py", "step"), ("widowx_bridge/arm.py", "proprio")],
    "proposer": [("proposers/scene/proposer.py", "propose")],
    "waiting for the trainer": [("runtime/headless.py", "_wait")],
    "the last curve": [("learner/tensorboard.py", "draw")],
    "JPEG": [("store/images.py", "encode_jpeg"), ("store/images.py", "decode_jpeg")],
    "records on the disk": [("store/appendfile.py", "append"), ("store/journal.py", "append")],
    "judge": [("sim/world.py", "judge")],
    "resets": [("sim/env.py", "reset")],
}


def play(agent: str, episodes: int, headless: bool, root: Path) -> float:
    """Control steps a second of a run, from its first episode on."""
    folder = create_run(RunSettings(task="hammer", episodes=episodes, agent=agent, record=False), root)
    command = [sys.executable, "-m", "sarl_ros.cli", "train", "--resume", str(folder.path)]
    subprocess.run(command + ["--headless"] * headless, check=True, stdout=subprocess.DEVNULL)
    summary = json.loads((folder.path / "summary.json").read_text())
    return float(summary["times_real_time"]) / CONTROL_PERIOD_S


def profile(agent: str, episodes: int, root: Path) -> dict[str, float]:
    """Shares of the time of a headless run once all is loaded, by place."""
    from sarl_ros.runtime.headless import HeadlessRun, Settings

    folder = create_run(RunSettings(task="hammer", episodes=episodes, agent=agent, record=False), root)
    run = HeadlessRun(folder.path, folder.name, Settings.of(folder.tree(), folder.parameters))
    profiler = cProfile.Profile()
    try:
        profiler.runcall(run.run)
    finally:
        run.close()
    stats: Any = pstats.Stats(profiler)
    shares = dict.fromkeys(PLACES, 0.0)
    for (file, _, name), (_, _, _, cumulative, _) in stats.stats.items():
        for place, functions in PLACES.items():
            if any(file.endswith(path) and name == function for path, function in functions):
                shares[place] += cumulative / stats.total_tt
    return {**shares, "everything else": 1 - sum(shares.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--agents", default="oracle,sarl")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {"episodes": options.episodes}
    with tempfile.TemporaryDirectory() as folder:
        for agent in options.agents.split(","):
            if options.profile:
                figures[agent] = profile(agent, options.episodes, Path(folder))
                for place, share in sorted(figures[agent].items(), key=lambda pair: -pair[1]):
                    print(f"{agent}: {share:6.1%} {place}", flush=True)
                continue
            graph, headless = (play(agent, options.episodes, alone, Path(folder)) for alone in (False, True))
            figures[agent] = {"graph": graph, "headless": headless, "ratio": headless / graph}
            print(
                f"{agent}: {graph:.1f} control steps/s through the graph, {headless:.1f} headless: ratio"
                f" {headless / graph:.2f}; reference {REFERENCE:g}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
