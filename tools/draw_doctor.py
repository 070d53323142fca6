"""Draws docs/images/doctor.png: `sarl doctor` on this machine, beside another graph, and with things broken.

python tools/draw_doctor.py [FILE]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOMAIN = "57"
COLUMNS = 116
COLOURS = {"good": "#4ec96f", "absent": "#e0b341", "bad": "#ff6b60", "error": "#ff6b60"}
STRANGER = "import rclpy; rclpy.init(); node = rclpy.create_node('sarl_learner'); print('up', flush=True); input()"
BROKEN = {
    "MUJOCO_GL": "foo",
    "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
    "ROS_DISCOVERY_SERVER": "127.0.0.1:1",
    "ROS_LOG_DIR": "/dev/null/logs",
    "SARL_CONSOLE_TOKEN": "short",
    "TMPDIR": "/no/such/folder",
}


def doctor(arguments: str, **changed: str) -> list[str]:
    """Lines of a terminal in which the doctor was called, beside `changed` variables."""
    environment = {**os.environ, **changed}
    prompt = f"$ {' '.join(f'{name}={value}' for name, value in changed.items())} sarl doctor {arguments}"
    command = [sys.executable, "-m", "sarl_ros.cli", "doctor", *arguments.split()]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tempfile.gettempdir())
    return [" ".join(prompt.split()), *answer.stdout.splitlines(), *answer.stderr.splitlines()]


def wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, COLUMNS, subsequent_indent=" " * (2 if line.startswith("$") else 8)) or [""]


def draw(terminals: list[tuple[str, list[str]]], path: Path) -> None:
    """Draw terminals, each with its title, one below the other."""
    rows: list[tuple[str, str, str]] = []
    for title, lines in terminals:
        rows.append((title, "#8fb4ff", "bold"))
        for line in lines:
            first = line.split(maxsplit=1)[0].rstrip(":")
            rows += [(part, COLOURS.get(first, "#e8e8e8"), "normal") for part in wrapped(line)]
        rows.append(("", "#e8e8e8", "normal"))
    height = 0.19 * len(rows) + 0.2
    figure = Figure(figsize=(10.4, height), facecolor="#16181d")
    FigureCanvasAgg(figure)
    for number, (text, colour, weight) in enumerate(rows):
        y = 1 - (0.2 + 0.19 * number) / height
        figure.text(0.015, y, text, color=colour, weight=weight, family="monospace", fontsize=9, parse_math=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "images" / "doctor.png"
    alone = doctor("")
    beside = {**os.environ, "ROS_DOMAIN_ID": DOMAIN}
    command = [sys.executable, "-c", STRANGER]
    with subprocess.Popen(command, env=beside, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        second = doctor("", ROS_DOMAIN_ID=DOMAIN)
        stranger.kill()
    broken = doctor("--policy nope --proposer fixed:none.txt --console 0.0.0.0:8080 --runs /dev/null/runs", **BROKEN)
    robot = doctor("--robot widowx", ROS_DOMAIN_ID="abc")
    draw(
        [
            ("a machine as it is", alone),
            ("another graph in the domain", second),
            ("much that is broken", broken),
            ("a robot that is not there", robot),
        ],
        path,
    )


if __name__ == "__main__":
    main()
