"""Candidate recall: how often the proposer's set holds a prompt that an oracle would choose.

Episodes run in one process. A prompt is carried out by the scripted expert (`--policy expert`; a prompt it was not
taught makes it do a random skill, as an untrained phrase makes a VLA do something else) or by a trained policy. Prompts
are chosen at random among the candidates with probability `--random`, else suitable ones; so sets are asked for in
good situations and in bad ones. The prompt pool fills and freezes as in a run.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core import seeds
from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.core.proposal import PromptRequest
from sarl_ros.core.task import load_task
from sarl_ros.core.types import Observation
from sarl_ros.policies.policy import Plan, PolicySpec
from sarl_ros.proposers.scene.proposer import SceneProposer
from sarl_ros.runtime.step_runner import StepRunner
from sarl_ros.runtime.world_arm import WorldArm
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.expert import act
from sarl_ros.sim.skills import Skill, all_skills, phrases
from sarl_ros.sim.tasks import load_sim_task

TASKS = ("hammer", "banana", "toy", "lid")
REFERENCE = 0.9
CONTROL_STEPS = 24
BLANK = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class TrueDetection:
    name: str
    position: NDArray[np.float32]
    confidence: float = 1.0


class TruePerception:
    """Reports the true positions: the upper limit of what a perception can do. For this measurement only."""

    def __init__(self, env: TabletopEnv) -> None:
        self._env = env

    def detect(
        self, front: NDArray[np.uint8], wrist: NDArray[np.uint8], proprio: NDArray[np.float32]
    ) -> list[TrueDetection]:
        world = self._env.world
        return [TrueDetection(name, world.object_position(name).astype(np.float32)) for name in world.present]


class Hand(Protocol):
    def run(self, env: TabletopEnv, prompt: str, seed: int) -> None:
        """Carry out a prompt for `CONTROL_STEPS` control periods."""


class Expert:
    """The scripted expert as a policy of one action, from the simulator's state. For this measurement only."""

    spec = PolicySpec(chunk_size=1, identity="expert")

    def __init__(self) -> None:
        self._skills = {prompt: skill for skill in all_skills() for prompt in phrases(skill)}
        self._skills["reset to home."] = Skill("home")

    def begin(self, env: TabletopEnv, prompt: str, seed: int) -> None:
        present = set(env.world.present)
        possible = [
            skill
            for skill in self._skills.values()
            if {name for name in (skill.thing, skill.target) if name} <= present
        ]
        skill = self._skills.get(prompt)
        if skill not in possible:
            skill = possible[np.random.default_rng(seed).integers(len(possible))]
        self._env, self._skill = env, skill

    def plan(self, observation: Observation, prompt: str, *, noise=None, seed: int = 0) -> Plan:
        return Plan(np.asarray(act(self._env, self._skill), np.float32)[None])


class ExpertHand:
    def __init__(self) -> None:
        self._expert = Expert()
        self._runner = StepRunner(self._expert, execute=1)

    def run(self, env: TabletopEnv, prompt: str, seed: int) -> None:
        self._expert.begin(env, prompt, seed)
        self._runner.run(WorldArm(env), prompt, seed, CONTROL_STEPS)


class PolicyHand:
    def __init__(self, name: str) -> None:
        import torch

        from sarl_ros.policies.registry import load_policy

        torch.set_num_threads(1)
        self._runner = StepRunner(load_policy(name))

    def run(self, env: TabletopEnv, prompt: str, seed: int) -> None:
        self._runner.run(WorldArm(env), prompt, seed, CONTROL_STEPS)


@dataclass(slots=True)
class Tally:
    """What was counted over a task's decisions."""

    decisions: int = 0
    hits: int = 0
    episodes: int = 0
    successes: int = 0
    distinct: set[str] = field(default_factory=set)
    missed: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict:
        return {
            "recall": self.hits / max(self.decisions, 1),
            "decisions": self.decisions,
            "episodes": self.episodes,
            "success": self.successes / max(self.episodes, 1),
            "distinct_prompts": len(self.distinct),
            "missed": dict(self.missed.most_common()),
        }


def measure(
    task_name: str, env: TabletopEnv, proposer: SceneProposer, hand: Hand, options: argparse.Namespace
) -> Tally:
    task, tally, pool = load_task(task_name), Tally(), PromptPool(options.pool)
    table = load_sim_task(task_name)
    rng = np.random.default_rng(options.seed)
    for episode in range(options.episodes):
        env.reset(table, seeds.training(options.seed) + episode + 1, wide=options.wide)
        history: list[str] = []
        for _ in range(task.max_steps):
            judgement = env.judge()
            if judgement.success:
                break
            observation = env.observe() if options.render else Observation(BLANK, BLANK, env.proprio())
            known = tuple(pool.prompts)
            request = PromptRequest(task.instruction, observation, tuple(history), known, pool.frozen, options.count)
            proposal = proposer.propose(request)
            tally.distinct.update(proposal.prompts)
            candidates = [prompt for prompt in proposal.prompts if pool.add(prompt) is not None]
            suitable = [prompt for prompt in candidates if prompt in judgement.suitable]
            tally.decisions += 1
            tally.hits += bool(suitable)
            if not suitable:
                tally.missed[f"{' | '.join(judgement.suitable)} ({proposal.rationale})"] += 1
            choices = candidates if rng.random() < options.random or not suitable else suitable
            history.append(choices[rng.integers(len(choices))])
            hand.run(env, history[-1], int(rng.integers(2**31)))
        tally.episodes += 1
        tally.successes += env.judge().success
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--random", type=float, default=0.5, help="share of prompts chosen blindly (default: 0.5)")
    parser.add_argument(
        "--perception", default="mini", help="true (positions of the simulator), mini or a folder of weights"
    )
    parser.add_argument("--policy", default="mini", help="expert, mini or a folder of weights (default: mini)")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--pool", type=int, default=32, help="capacity (default: 32)")
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="print what was missed")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    options.render = options.perception != "true" or options.policy != "expert"
    env = TabletopEnv(render=options.render)
    hand: Hand = ExpertHand() if options.policy == "expert" else PolicyHand(options.policy)
    if options.perception == "true":
        proposer = SceneProposer(TruePerception(env))
    else:
        from sarl_ros.policies.mini.files import folder_of
        from sarl_ros.policies.mini.perception import Perception

        weights = folder_of(options.perception)
        proposer = SceneProposer(Perception.load(weights))
    figures = {}
    print(f"{'task':8} {'recall':>7} {'reference':>10} {'decisions':>10} {'distinct prompts':>17} {'success':>8}")
    for name in options.tasks.split(","):
        tally = measure(name, env, proposer, hand, options)
        figures[name] = row = tally.figures()
        print(
            f"{name:8} {row['recall']:7.3f} {REFERENCE:10.2f} {row['decisions']:10} "
            f"{row['distinct_prompts']:17} {row['success']:8.2f}",
            flush=True,
        )
        if options.verbose:
            for missed, times in row["missed"].items():
                print(f"    {times:3} x {missed}")
            print("    " + " ".join(sorted(tally.distinct)))
    env.close()
    if options.json:
        settings = {key: value for key, value in vars(options).items() if isinstance(value, (int, float, str))}
        options.json.write_text(json.dumps({"settings": settings, "tasks": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
