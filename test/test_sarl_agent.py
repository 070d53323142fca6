"""What the agents choose, and that SARL learns."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from toy_world import PROMPTS, Chain, InlineTrainer, ToyOperator, play_episode, toy_learner, write_preset

from sarl_ros.core.types import Candidate, Observation, StepKey, Verdict
from sarl_ros.methods.method import Situation
from sarl_ros.methods.oracle import OracleAgent
from sarl_ros.methods.random_choice import RandomAgent
from sarl_ros.methods.sarl.agent import SarlAgent
from sarl_ros.methods.sarl.critic import CriticEnsemble
from sarl_ros.methods.steer import SteerAgent
from sarl_ros.methods.zero_shot import ZeroShotAgent
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.sealed_text import write_sealed

FRONT = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
SEEN = Observation(FRONT, FRONT, np.zeros(8, np.float32), 1)
CANDIDATES = tuple(Candidate(prompt, row, prior=0.25) for row, prompt in enumerate(PROMPTS[:4]))


def situation(step=1, episode=1, run="run", **fields):
    return Situation(StepKey(run, episode, step), "Put it  away", **fields)


def sarl(seed=0, bias=-0.6):
    torch.manual_seed(0)
    return SarlAgent(CriticEnsemble(8, 3, 16, (2, 2, 2, 2), bias), seed)


def test_sarl_chooses_with_the_probability_it_reports():
    agent = sarl()
    decisions = [agent.choose(SEEN, CANDIDATES, situation(step, temperature=0.05)) for step in range(1, 600)]
    counts = Counter(decision.chosen for decision in decisions)
    probabilities = [candidate.probability for candidate in decisions[0].candidates]
    assert sum(probabilities) == pytest.approx(1)
    for index, probability in enumerate(probabilities):
        assert counts[index] / len(decisions) == pytest.approx(probability, abs=0.08)


def test_probabilities_are_the_softmax_of_the_mean_values():
    decision = sarl().choose(SEEN, CANDIDATES, situation(temperature=0.1))
    means = np.array([candidate.q_mean for candidate in decision.candidates])
    weights = np.exp(means / 0.1)
    assert [each.probability for each in decision.candidates] == pytest.approx(weights / weights.sum(), abs=1e-5)
    assert all(candidate.q_std > 0 for candidate in decision.candidates)
    assert [candidate.prior for candidate in decision.candidates] == [0.25] * 4


def test_sarl_at_temperature_zero_takes_the_highest_mean():
    decision = sarl().choose(SEEN, CANDIDATES, situation(temperature=0.0))
    assert decision.chosen == int(np.argmax([candidate.q_mean for candidate in decision.candidates]))
    assert decision.candidates[decision.chosen].probability == 1


def test_a_decision_is_repeated_exactly_after_a_restart_and_in_an_equal_run():
    first = sarl().choose(SEEN, CANDIDATES, situation(3, temperature=0.5))
    again = sarl().choose(SEEN, CANDIDATES, situation(3, temperature=0.5, run="another"))
    assert (again.chosen, again.candidates) == (first.chosen, first.candidates)
    draws = {sarl(seed).choose(SEEN, CANDIDATES, situation(3, temperature=5.0)).chosen for seed in range(20)}
    assert len(draws) > 1


def test_sarl_refuses_an_empty_set_and_prompts_without_a_row():
    with pytest.raises(ValueError, match="no candidates"):
        sarl().choose(SEEN, (), situation())
    with pytest.raises(ValueError, match="without a row"):
        sarl().choose(SEEN, (Candidate("open."),), situation())


def test_random_choice_is_uniform():
    agent = RandomAgent(0)
    counts = Counter(agent.choose(SEEN, CANDIDATES, situation(step)).chosen for step in range(1, 801))
    assert all(abs(counts[index] - 200) < 50 for index in range(4))


def test_zero_shot_always_prompts_the_instruction():
    decision = ZeroShotAgent().choose(SEEN, (), situation(4))
    assert (decision.prompt, decision.key.step, decision.agent) == ("put it away.", 4, "zero_shot")


def test_the_oracle_takes_what_ground_truth_calls_suitable():
    agent = OracleAgent()
    assert agent.choose(SEEN, (), situation(suitable=("Lift", "open."))).prompt == "lift."
    assert agent.choose(SEEN, (), situation()).prompt == "put it away."


def test_steering_plays_its_sequences_in_turn_and_keeps_the_candidates(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("# two episodes\nLift it > press button a\n\nrest\n")
    agent = SteerAgent.from_file(path)
    prompts = [agent.choose(SEEN, CANDIDATES, situation(step)).prompt for step in (1, 2, 3)]
    assert prompts == ["lift it.", PROMPTS[0], PROMPTS[0]]
    assert [agent.choose(SEEN, (), situation(1, episode)).prompt for episode in (2, 3)] == ["rest.", "lift it."]
    decision = agent.choose(SEEN, CANDIDATES, situation(2))
    assert decision.demonstration
    assert decision.candidates[decision.chosen].pool_index == 0
    assert {candidate.prompt for candidate in decision.candidates} == set(PROMPTS[:4])


def test_a_missing_file_of_prompts_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        SteerAgent.from_file(tmp_path / "nowhere.txt")


@pytest.mark.slow
def test_sarl_learns_a_chain_from_sparse_reward(tmp_path):
    preset = write_preset(
        tmp_path,
        critics=3,
        batch=16,
        learning_rate=2e-3,
        polyak=0.05,
        updates_per_decision=4,
        anneal_episodes=12,
        candidates=4,
    )
    learner, options = toy_learner(tmp_path / "run", preset=str(preset))
    operator, trainer = ToyOperator("run", Chain(2, 0.9)), InlineTrainer(options)
    for episode in range(1, 17):
        play_episode(learner.core, operator, trainer, episode)
    operator.begin(learner.core, 17)
    trainer.carry_out(learner.core)
    checkpoint = (options.run_dir / "checkpoints" / "latest").resolve()
    shares = {}
    for agent, source in (("sarl", str(checkpoint)), ("random", "")):
        held_out, _ = toy_learner(
            tmp_path / agent, preset=str(preset), agent=agent, evaluate=True, checkpoint=source, seed_base=1000
        )
        world = ToyOperator(agent, Chain(2, 0.9), seed_base=1000, horizon=4)
        wins = [play_episode(held_out.core, world, None, episode) is Verdict.SUCCESS for episode in range(1, 21)]
        shares[agent] = sum(wins) / len(wins)
    assert shares["sarl"] >= 0.9
    assert shares["random"] <= 0.5
    assert dataclasses.asdict(learner.core.figures())["recall"] == 1.0


def test_a_script_of_prompts_that_was_cut_is_refused_and_a_typed_one_is_read(tmp_path):
    write_sealed(tmp_path / "prompts.txt", "lift it > put it down\nlift it\n")
    assert SteerAgent.from_file(tmp_path / "prompts.txt").choose(None, (), situation(episode=2)).prompt == "lift it."
    data = (tmp_path / "prompts.txt").read_bytes()
    (tmp_path / "prompts.txt").write_bytes(data[:-8])
    with pytest.raises(StoreError, match="was changed or cut since it was written"):
        SteerAgent.from_file(tmp_path / "prompts.txt")
    (tmp_path / "prompts.txt").write_text("# by hand\nlift it\n")
    assert SteerAgent.from_file(tmp_path / "prompts.txt").choose(None, (), situation(episode=1)).prompt == "lift it."
