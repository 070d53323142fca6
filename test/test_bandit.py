"""A second learning method, behind the same seam as SARL: it learns, is killed and goes on, and is evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_world import PROMPTS, Chain, InlineTrainer, ToyOperator, play_episode, toy_learner, write_preset

from sarl_ros.core.types import Candidate, StepKey, Verdict
from sarl_ros.learner.setup import LearnerError
from sarl_ros.methods.method import Choices, Situation
from sarl_ros.methods.preset import load_preset
from sarl_ros.methods.registry import METHODS, learns, method
from sarl_ros.store.checkpoint import latest_checkpoint


def play(folder: Path, preset: Path, episodes: range, stages: int = 1):
    folder.parent.mkdir(exist_ok=True)
    learner, options = toy_learner(folder, agent="bandit", preset=str(preset), seed=3)
    trainer, operator = InlineTrainer(options), ToyOperator("run", Chain(stages, 1.0))
    trainer.greet(learner.core)
    verdicts = [play_episode(learner.core, operator, trainer, episode) for episode in episodes]
    operator.begin(learner.core, episodes.stop)
    trainer.carry_out(learner.core)
    learner.close()
    return verdicts


def test_it_learns_which_prompt_succeeds_where_one_does(tmp_path):
    preset = write_preset(tmp_path, temperature=0.1, final_temperature=0.02, horizon=4)
    play(tmp_path / "run", preset, range(1, 25))
    agent = method("bandit").agent(Choices(0, load_preset(str(preset))))
    agent.load(latest_checkpoint(tmp_path / "run" / "checkpoints"))
    candidates = [Candidate(prompt, row) for row, prompt in enumerate(PROMPTS)]
    decision = agent.choose(None, candidates, Situation(StepKey("x", 1, 1), "go."))
    assert decision.prompt == PROMPTS[0]
    values = {candidate.prompt: candidate.q_mean for candidate in decision.candidates}
    assert values[PROMPTS[0]] == 0.0 > max(value for prompt, value in values.items() if prompt != PROMPTS[0])


def test_two_runs_of_a_seed_are_equal(tmp_path):
    preset = write_preset(tmp_path)
    whole = play(tmp_path / "a" / "run", preset, range(1, 9))
    assert play(tmp_path / "b" / "run", preset, range(1, 9)) == whole
    assert Verdict.SUCCESS in whole


def test_it_is_evaluated_by_its_checkpoint_and_not_by_another_methods(tmp_path):
    preset = write_preset(tmp_path)
    play(tmp_path / "run", preset, range(1, 4))
    checkpoint = str(latest_checkpoint(tmp_path / "run" / "checkpoints"))
    settings = {"preset": str(preset), "evaluate": True, "checkpoint": checkpoint}
    toy_learner(tmp_path / "same", agent="bandit", **settings)[0].close()
    with pytest.raises(LearnerError, match="checkpoint"):
        toy_learner(tmp_path / "other", agent="sarl", **settings)


def test_every_method_is_made_by_its_name_and_an_unknown_one_is_refused_with_those_that_there_are(tmp_path):
    script = tmp_path / "prompts"
    script.write_text("lift up.\n")
    choices = Choices(0, load_preset("sim").model_copy(update={"pool_capacity": 4}), str(script))
    made = {name: method(name).agent(choices) for name in METHODS}
    assert {name: agent.name for name, agent in made.items()} == {name: name for name in METHODS}
    assert [name for name in METHODS if learns(name)] == ["sarl", "bandit"]
    with pytest.raises(ValueError, match="agent 'ppo': choose one of sarl, zero_shot"):
        method("ppo")
