"""`sarl eval`: success on held-out seeds, played as training is, greedily and without learning."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sarl_ros.core import seeds
from sarl_ros.core.processes import be_killed_with
from sarl_ros.core.statistics import wilson_interval
from sarl_ros.methods.registry import learns
from sarl_ros.runs.choices import AGENTS
from sarl_ros.runs.folder import RunError, RunFolder, RunSettings, check_agent, create_run, open_run
from sarl_ros.runs.robots import is_simulated
from sarl_ros.store.checkpoint import FOLDER, NAME, latest_checkpoint
from sarl_ros.store.journal import read_journal

REFERENCES = tuple(name for name in AGENTS if not learns(name))


def checkpoint(run: RunFolder, episodes: int | None) -> Path:
    """A checkpoint of a training run, the newest if `episodes` is None.

    Raises:
        RunError: there is none.
    """
    folder = run.path / FOLDER
    wanted = latest_checkpoint(folder) if episodes is None else folder / f"{NAME}{episodes:06}"
    if wanted is None or not wanted.is_file():
        found = ", ".join(sorted(path.name for path in folder.glob(f"{NAME}*"))) or "none"
        raise RunError(f"{run.path} has no checkpoint {wanted.name if wanted else 'yet'}; there are: {found}")
    return wanted.resolve()


Play = Callable[..., dict[str, Any]]


def evaluate(
    settings: RunSettings,
    references: Sequence[str],
    runs: Sequence[Path],
    at: Sequence[int],
    root: Path,
    play: Play,
    workers: int = 1,
) -> dict[str, Any]:
    """Evaluate reference agents and checkpoints of training runs, a run each.

    Args:
        settings: of the graphs; agent, seeds and checkpoint are filled in here.
        references: names among `REFERENCES`.
        runs: folders of training runs.
        at: their checkpoints by number of episodes; empty for the newest.
        play: plays the run of a folder to its end; its figures.
        workers: processes that play at a time; more than one only where `play` takes `quiet`.

    Returns:
        Figures a method: successes, trials, share, 95 % interval, mean decisions, and where the episodes are.

    Raises:
        RunError: a checkpoint is missing, or an agent cannot work there.
    """
    for name in references:
        if name not in REFERENCES:
            raise RunError(f"--agents {name}: choose among {', '.join(REFERENCES)}; what learns is evaluated by --run")
        check_agent(name, settings.robot)
    methods: list[tuple[str, str, int, Path | None]] = [(name, name, 0, None) for name in references]
    for path in runs:
        run = open_run(path)
        seed, agent = int(run.setting("sarl_learner", "seed")), str(run.setting("sarl_learner", "agent"))
        wanted: list[int | None] = [*at] or [None]
        for number in wanted:
            label = f"{agent} {run.name} @{number if number is not None else 'latest'}"
            methods.append((label, agent, seed, checkpoint(run, number)))
    figures: dict[str, Any] = {
        "task": settings.task,
        "robot": settings.robot,
        "episodes": settings.episodes,
        "wide": settings.wide,
        "seed_base": seeds.EVALUATION,
        "methods": {},
    }

    def folders() -> Iterator[RunFolder]:
        for _, agent, seed, source in methods:
            yield create_run(
                replace(
                    settings,
                    seed=seed,
                    agent=agent,
                    seed_base=seeds.EVALUATION,
                    evaluate=True,
                    checkpoint=str(source or ""),
                ),
                root,
            )

    for (label, *_), (folder, summary) in zip(methods, _played(folders(), play, workers), strict=True):
        rows = [row for row in read_journal(folder.episodes) if row["outcome"] != "ABORTED"]
        low, high = wilson_interval(summary["successes"], summary["episodes"])
        figures["methods"][label] = {
            "successes": summary["successes"],
            "trials": summary["episodes"],
            "success": round(summary["successes"] / max(1, summary["episodes"]), 3),
            "interval_95": [round(low, 3), round(high, 3)],
            "mean_decisions": round(sum(row["decisions"] for row in rows) / max(1, len(rows)), 2),
            "recall": summary["recall"],
            "run": str(folder.path),
        }
    print(table(figures))
    return figures


def _played(folders: Iterable[RunFolder], play: Play, workers: int) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """Each folder with the figures of its run, in their order."""
    if workers == 1:
        for folder in folders:
            yield folder, play(folder)
        return
    spawn = multiprocessing.get_context("spawn")
    made = list(folders)
    with ProcessPoolExecutor(workers, spawn, initializer=be_killed_with, initargs=(os.getpid(),)) as pool:
        played = pool.map(partial(play, quiet=True), made)
        yield from zip(made, tqdm(played, "runs", len(made)), strict=True)


def table(figures: dict[str, Any]) -> str:
    """The figures as lines of text."""
    trials = "held-out seeds" if is_simulated(figures["robot"]) else f"episodes on the {figures['robot']}"
    lines = [f"task {figures['task']}, {figures['episodes']} {trials}{', wide layouts' if figures['wide'] else ''}"]
    for label, row in figures["methods"].items():
        low, high = row["interval_95"]
        lines.append(
            f"  {label:<48} {row['success']:.2f}  ({row['successes']}/{row['trials']}, 95 % {low:.2f} to {high:.2f},"
            f" {row['mean_decisions']:.1f} decisions)"
        )
    return "\n".join(lines)
