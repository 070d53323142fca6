"""What a policy can do, counted: success of every skill, of the four long prompts, and what unseen prompts lead to.

Everything runs as in the graph: images and proprio in, chunks of which two actions are executed, 24 control steps a
prompt. Only the judging sees the simulator's state. Seeds are apart from those of the demonstrations.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sarl_ros.core.processes import be_killed_with
from sarl_ros.core.statistics import wilson_interval
from sarl_ros.core.task import load_task
from sarl_ros.core.types import Observation
from sarl_ros.policies.chunk_player import stable_seed
from sarl_ros.policies.policy import Policy
from sarl_ros.policies.registry import load_policy
from sarl_ros.runtime.step_runner import StepRunner
from sarl_ros.runtime.world_arm import WorldArm
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.judge import is_placed
from sarl_ros.sim.objects import CATALOGUE, RECEPTACLES
from sarl_ros.sim.skills import KINDS, before, phrases, succeeded
from sarl_ros.sim.tasks import load_sim_task
from sarl_ros.training.demonstrations import start_trial

CONTROL_STEPS = 24
EXECUTE = 2
LONG_TRIALS, MAP_TRIALS = 20, 10
SEED_BASE = 9_000_000
MOVED_M = 0.04
TARGETS = {
    "grasp": 0.85,
    "grasp_below": 0.75,
    "place": 0.90,
    "direction": 0.95,
    "lift": 0.95,
    "open": 0.95,
    "close": 0.95,
}
LONG_TASKS = ("hammer", "banana", "toy", "lid")
UNSEEN = (
    ("grasp the hammer.", "hammer"),
    ("pick up the tool with the wooden handle.", "hammer"),
    ("grasp the metal object.", "hammer"),
    ("grasp the vegetable.", "hammer"),
    ("move the hammer to the plate.", "hammer"),
    ("put the spoon on the towel.", "hammer"),
    ("tidy up the table.", "hammer"),
    ("clear the plate.", "hammer"),
    ("put the hammer down.", "hammer"),
    ("do nothing.", "hammer"),
    ("grasp the fruit.", "banana"),
    ("move the banana to the pot.", "banana"),
    ("grasp the yellow object.", "banana"),
    ("put the sushi in the bowl.", "banana"),
    ("grasp the stuffed toy.", "toy"),
    ("grasp the left toy.", "toy"),
    ("put the bear in the bowl.", "toy"),
    ("move the lid to the towel.", "lid"),
    ("take off the lid.", "lid"),
    ("open the pot.", "lid"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One trial: a `what` ("skill", "long" or "map"), its name (kind, task, prompt), and its number."""

    what: str
    name: str
    number: int
    task: str = ""


def run_prompt(
    env: TabletopEnv, policy: Policy, prompt: str, steps: int, seed: int, watch: Callable[[], None] | None = None
) -> None:
    """Let a policy follow a prompt for a number of control steps, as in the graph; `watch` is called after each."""
    StepRunner(policy, EXECUTE).run(WorldArm(env, watch), prompt, seed, steps)


def evaluate(
    policy: str = "mini", *, trials: int = 40, seed: int = 0, picture: Path | None = None, workers: int = 2
) -> dict[str, Any]:
    """Measure a policy.

    Args:
        policy: as for `load_policy`; trials: for each kind of skill; seed: moves all trials to other scenes.
        picture: PNG file for a bar chart of the skills.

    Returns:
        skills (kind to successes, trials, share, target, by object), long_prompts, prompt_map (counts of outcomes),
        inference_ms, weights_hash, seconds.

    Raises:
        PolicyError: the policy cannot be loaded.
    """
    started = time.monotonic()
    loaded = load_policy(policy)
    jobs = [Job("skill", kind, i) for i in range(trials) for kind in KINDS]
    jobs += [Job("long", task, i) for i in range(LONG_TRIALS) for task in LONG_TASKS]
    jobs += [Job("map", prompt, i, task) for i in range(MAP_TRIALS) for prompt, task in UNSEEN]
    outcomes: dict[Job, Any] = {}
    spawn = multiprocessing.get_context("spawn")
    batches = [jobs[i::40] for i in range(40)]
    with (
        ProcessPoolExecutor(workers, spawn, initializer=be_killed_with, initargs=(os.getpid(),)) as pool,
        tqdm(total=len(jobs), desc="trials") as bar,
    ):
        for future in as_completed([pool.submit(_run_jobs, policy, batch, seed) for batch in batches if batch]):
            outcomes.update(future.result())
            bar.update(len(outcomes) - bar.n)
    report: dict[str, Any] = {
        "policy": policy,
        "weights_hash": loaded.spec.identity,
        "trials": trials,
        "seed": seed,
        "skills": _skill_table(outcomes),
        "long_prompts": _long_table(outcomes),
        "prompt_map": _prompt_map(outcomes),
        "inference_ms": measure_inference(loaded),
        "seconds": round(time.monotonic() - started, 1),
    }
    if picture is not None:
        draw(report["skills"], report["long_prompts"], picture)
    return report


def _run_jobs(policy: str, jobs: list[Job], seed: int) -> dict[Job, Any]:
    torch.set_num_threads(1)
    loaded, env = load_policy(policy), TabletopEnv()
    run = {"skill": _try_skill, "long": _try_long, "map": _try_unseen}
    try:
        return {
            job: run[job.what](env, loaded, job, stable_seed(SEED_BASE + seed, job.what, job.name, job.number))
            for job in jobs
        }
    finally:
        env.close()


def _try_skill(env: TabletopEnv, policy: Policy, job: Job, seed: int) -> tuple[bool, str]:
    rng = np.random.default_rng(seed)
    trial = start_trial(env, rng, job.name)
    start, prompt = before(env.world), str(rng.choice(phrases(trial.skill)))
    steps = CONTROL_STEPS * (2 if job.name == "transfer" else 1)
    run_prompt(env, policy, prompt, steps, seed)
    below = start.below if job.name == "grasp_below" else None
    about = trial.skill.thing or trial.skill.target or trial.skill.direction or below or ""
    return succeeded(trial.skill, env.world, start), about


def _try_long(env: TabletopEnv, policy: Policy, job: Job, seed: int) -> tuple[bool, str]:
    task, table = load_task(job.name), load_sim_task(job.name)
    env.reset(table, seed % 2**31)
    success = [False]

    def watch() -> None:
        success[0] = success[0] or env.judge().success

    run_prompt(env, policy, task.instruction, CONTROL_STEPS * task.max_steps, seed, watch)
    return success[0], describe(env, np.array(table.start), True)


def _try_unseen(env: TabletopEnv, policy: Policy, job: Job, seed: int) -> str:
    env.reset(load_sim_task(job.task), seed % 2**31)
    start = env.world.gripper_position
    was_open = env.proprio()[7] > 0.8
    run_prompt(env, policy, job.name, CONTROL_STEPS, seed)
    return describe(env, start, was_open)


def describe(env: TabletopEnv, start: np.ndarray, was_open: bool) -> str:
    """What happened, in a few words: what is held or placed, else where the gripper went."""
    facts = env.world.facts()
    if facts.held is not None:
        return f"holds {facts.held}"
    moved = facts.gripper - start
    placed = [
        f"{thing} {CATALOGUE[target].preposition} {target}"
        for thing in env.world.present
        if CATALOGUE[thing].graspable and (env.world.task is None or env.world.task.objects[thing].atop is None)
        for target in RECEPTACLES
        if target in env.world.present and is_placed(thing, target, facts)
    ]
    if placed:
        return f"left {placed[0]}"
    if was_open and env.proprio()[7] < 0.5:
        return "closed the gripper on nothing"
    near = [n for n, p in facts.positions.items() if np.hypot(*(p - facts.gripper)[:2]) < 0.035]
    if near and np.hypot(*moved[:2]) > MOVED_M:
        return f"went to {near[0]}"
    if np.abs(moved).max() < MOVED_M:
        return "stayed"
    axis = int(np.abs(moved).argmax())
    return "moved " + (("back", "right", "down")[axis] if moved[axis] < 0 else ("forward", "left", "up")[axis])


def _of(outcomes: dict[Job, Any], what: str) -> Iterator[tuple[Job, Any]]:
    return ((job, result) for job, result in sorted(outcomes.items(), key=lambda x: x[0].number) if job.what == what)


def _skill_table(outcomes: dict[Job, Any]) -> dict[str, dict[str, Any]]:
    results: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    for job, result in _of(outcomes, "skill"):
        results[job.name].append(result)
    table = {}
    for kind in KINDS:
        by: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for success, about in results[kind]:
            by[about][0] += success
            by[about][1] += 1
        done = sum(success for success, _ in results[kind])
        table[kind] = {
            "successes": done,
            "trials": len(results[kind]),
            "share": round(done / len(results[kind]), 3),
            "target": TARGETS.get(kind),
            "by": {k: f"{v[0]}/{v[1]}" for k, v in sorted(by.items()) if k},
        }
    return table


def _long_table(outcomes: dict[Job, Any]) -> dict[str, dict[str, Any]]:
    results: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    for job, result in _of(outcomes, "long"):
        results[job.name].append(result)
    return {
        task: {
            "prompt": load_task(task).instruction,
            "successes": sum(success for success, _ in rows),
            "trials": len(rows),
            "share": round(sum(success for success, _ in rows) / len(rows), 3),
            "ends": dict(Counter(end for _, end in rows).most_common()),
        }
        for task, rows in results.items()
    }


def _prompt_map(outcomes: dict[Job, Any]) -> dict[str, dict[str, Any]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for job, result in _of(outcomes, "map"):
        counts[job.name][result] += 1
    return {prompt: {"task": task, "outcomes": dict(counts[prompt].most_common())} for prompt, task in UNSEEN}


def measure_inference(policy: Policy, repeats: int = 30) -> dict[str, float]:
    """Milliseconds for a chunk on one thread: median and 95th percentile, the prompt embedded before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    seen = Observation(
        rng.integers(0, 255, (480, 640, 3), np.uint8),
        rng.integers(0, 255, (240, 320, 3), np.uint8),
        np.array([0.3, 0, 0.13, 0, 0, 0, 0, 1], np.float32),
    )
    times = []
    for i in range(repeats + 3):
        started = time.perf_counter()
        policy.plan(seen, "grasp the mushroom.", seed=i)
        times.append((time.perf_counter() - started) * 1e3)
    torch.set_num_threads(threads)
    return {"median": round(float(np.median(times[3:])), 2), "p95": round(float(np.quantile(times[3:], 0.95)), 2)}


def draw(skills: dict[str, dict[str, Any]], long_prompts: dict[str, dict[str, Any]], path: Path) -> None:
    """Bar chart of success shares with 95 % Wilson intervals; ticks mark the targets."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [*skills.items(), *((f"long: {name}", row) for name, row in long_prompts.items())]
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(rows) + 1))
    for y, (_, row) in enumerate(rows):
        low, high = wilson_interval(row["successes"], row["trials"])
        error = [[row["share"] - low], [high - row["share"]]]
        axes.barh(y, row["share"], color="tab:blue" if y < len(skills) else "tab:orange", xerr=error, capsize=3)
        target = row.get("target", 0.10) if y < len(skills) else 0.10
        if target is not None:
            axes.plot([target, target], [y - 0.4, y + 0.4], color="black")
        axes.text(1.03, y, f"{row['successes']}/{row['trials']}", va="center")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("success (line: asked at least; long prompts: at most)")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
