"""The scripted expert shows every skill, its words keep the rules, and with it the oracle solves every task."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sarl_ros.core.task import load_task, task_names
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.expert import act
from sarl_ros.sim.skills import (
    KINDS,
    SHARES,
    TRANSFERS,
    Skill,
    all_skills,
    before,
    phrases,
    sample_skill,
    skill_of,
    succeeded,
)
from sarl_ros.sim.tasks import load_sim_task

TRIALS = 4
STEPS = 24


@pytest.fixture(scope="module")
def env():
    made = TabletopEnv(render=False)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_expert_shows_every_kind_of_skill(env, kind):
    for seed in range(TRIALS):
        trial = sample_skill(np.random.default_rng(seed), kind)
        env.reset(trial.task, seed)
        start = before(env.world)
        for _ in range(2 * STEPS if kind == "transfer" else STEPS):
            env.step(act(env, trial.skill))
        assert succeeded(trial.skill, env.world, start), (seed, trial.skill.name)


@pytest.mark.parametrize("task", task_names())
def test_the_oracle_solves_every_task_when_the_expert_executes_its_prompts(env, task):
    env.reset(load_sim_task(task), 11)
    for _ in range(load_task(task).max_steps):
        prompt = env.judge().suitable[0]
        for _ in range(STEPS):
            env.step(act(env, skill_of(prompt)))
        if env.judge().success:
            break
    assert env.judge().success, env.judge()


def test_doing_nothing_solves_no_task_and_shows_no_grasp(env):
    for task in task_names():
        env.reset(load_sim_task(task), 0)
        assert not env.judge().success
    trial = sample_skill(np.random.default_rng(0), "grasp")
    env.reset(trial.task, 0)
    assert not succeeded(trial.skill, env.world, before(env.world))


def test_every_phrase_is_a_normalised_prompt_that_names_one_skill():
    named: dict[str, Skill] = {}
    for skill in all_skills():
        assert phrases(skill)
        for prompt in phrases(skill):
            assert prompt == " ".join(prompt.lower().split())
            assert prompt.endswith(".")
            assert named.setdefault(prompt, skill) == skill
            assert skill_of(prompt) == skill


def test_the_hammer_is_never_named_though_it_is_in_view():
    assert not any("hammer" in prompt for skill in all_skills() for prompt in phrases(skill))
    with pytest.raises(ValueError, match="never named"):
        phrases(Skill("grasp", "hammer"))
    scenes = [sample_skill(np.random.default_rng(seed)) for seed in range(60)]
    assert 8 < sum("hammer" in trial.task.objects for trial in scenes) < 40


def test_no_prompt_of_the_demonstrations_asks_for_a_pair_of_the_long_tasks():
    for task in map(load_sim_task, task_names()):
        asked = {(goal.thing, goal.to) for goal in task.subgoals}
        assert not asked & set(TRANSFERS)
        assert load_task(task.name).instruction not in itertools.chain(*map(phrases, all_skills()))


def test_scenes_hold_what_their_skill_needs():
    assert sum(SHARES) == pytest.approx(1.0)
    for kind, seed in itertools.product(KINDS, range(5)):
        trial = sample_skill(np.random.default_rng(seed), kind)
        layout = trial.task.objects
        assert trial.skill.kind == kind
        assert all(name in layout for name in (trial.skill.thing, trial.skill.target, trial.task.held) if name)
        assert trial.skill.kind != "place" or trial.task.held is not None


def test_an_unknown_skill_or_prompt_is_named():
    with pytest.raises(ValueError, match="'juggle'"):
        sample_skill(np.random.default_rng(0), "juggle")
    with pytest.raises(ValueError, match="'juggle the eggs"):
        skill_of("juggle the eggs.")
