"""The learning curve of a run folder: `python -m sarl_ros.analysis.curve RUN_FOLDER` writes curve.png there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sarl_ros.store.journal import read_journal

WINDOW = 20


def running_mean(values: Sequence[float], window: int = WINDOW) -> list[float]:
    """Mean of the last `window` values, after each value; of fewer at the beginning."""
    means = []
    for end in range(1, len(values) + 1):
        recent = values[max(0, end - window) : end]
        means.append(sum(recent) / len(recent))
    return means


def draw_curve(rows: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Draw training-time success over the completed episodes of episodes.jsonl, each episode as a dot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    completed = [row for row in rows if row["outcome"] != "ABORTED"]
    successes = [row["outcome"] == "SUCCESS" for row in completed]
    numbers = range(1, len(completed) + 1)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(numbers, running_mean(successes), color="C0", linewidth=2, label=f"success, last {WINDOW} episodes")
    recalls = [(number, row["recall"]) for number, row in zip(numbers, completed, strict=True)]
    known = [(number, recall) for number, recall in recalls if recall is not None]
    if known:
        shown, recall = zip(*known, strict=True)
        label = f"candidates held a suitable prompt, last {WINDOW}"
        axes.plot(shown, running_mean(recall), color="C2", linewidth=1.2, linestyle="--", label=label)
    for wanted, colour, label in ((True, "C0", "an episode that succeeded"), (False, "C3", "one that did not")):
        dots = [number for number, success in zip(numbers, successes, strict=True) if success is wanted]
        axes.scatter(dots, [float(wanted)] * len(dots), s=16, color=colour, alpha=0.6, label=label, zorder=3)
    axes.set(xlabel="completed episode", ylabel="share", ylim=(-0.05, 1.05), title=title)
    axes.set_xlim(0.5, max(2, len(completed)) + 0.5)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    partial = path.with_suffix(".partial")
    figure.savefig(partial, format="png", dpi=110)
    partial.replace(path)


def main() -> None:
    folder = Path(sys.argv[1])
    draw_curve(read_journal(folder / "episodes.jsonl"), folder.resolve().name, folder / "curve.png")


if __name__ == "__main__":
    main()
