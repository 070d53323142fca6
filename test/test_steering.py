"""A person chooses the prompts: what they are shown, what is stored, what is refused, and what is learned of it."""

import dataclasses
import random

import pytest
import yaml
from toy_world import INSTRUCTION, PROMPTS, Chain, InlineTrainer, ToyOperator, play_episode, toy_learner, write_preset

from sarl_ros.core.learner_events import EpisodeNews
from sarl_ros.core.reward import discounted_return
from sarl_ros.core.types import EpisodeState, StepKey, Verdict
from sarl_ros.learner.setup import LearnerError
from sarl_ros.methods.preset import load_preset
from sarl_ros.methods.sarl.buffer import ReplayBuffer
from sarl_ros.records.demonstrations import export_demonstrations, load_demonstrations
from sarl_ros.runs.folder import RunError
from sarl_ros.runs.steering import export_steered
from sarl_ros.store.replay_store import POOL, DecisionRecord, NoteRecord, TransitionRecord, read_entries

TYPED = "Push  the red button"


def entries(folder):
    path = folder / "replay.srl"
    return read_entries(path, 0, path.stat().st_size)[0]


def decisions(folder):
    return [entry.decision for entry in entries(folder) if isinstance(entry, DecisionRecord)]


def transitions(folder):
    return [entry for entry in entries(folder) if isinstance(entry, TransitionRecord)]


class Seat:
    """A learner at the first state of episode 1, and a person who may steer it."""

    def __init__(self, folder, agent="random", stages=3, updates=0, **values):
        self.preset = write_preset(folder, updates_per_decision=updates, **values)
        self.agent = agent
        self.learner, self.options = toy_learner(folder / "run", preset=str(self.preset), agent=agent)
        self.operator = ToyOperator("run", Chain(stages, 1.0))
        self.trainer = InlineTrainer(self.options) if self.options.learns else None
        self.begin(1)

    @property
    def core(self):
        return self.learner.core

    @property
    def folder(self):
        return self.options.run_dir

    def begin(self, episode):
        self.operator.begin(self.core, episode)
        if self.trainer is not None:
            self.trainer.carry_out(self.core)
        self.operator.start(self.core, episode)

    def advance(self):
        """To the next decision, or to where a person is waited for; returns the decision and what was told."""
        told = []
        for _ in range(4):
            made = self.core.advance()
            told += self.core.candidate_sets()
            if made:
                return made[0], told
            self.operator.propose(self.core)
        return None, told

    def choose(self, step, prompt, episode=1, take_over=True):
        return self.core.steer(take_over, StepKey("run", episode, step), prompt)

    def take_over(self):
        return self.core.steer(True, StepKey("", 0, 0), "")

    def hand_back(self):
        return self.core.steer(False, StepKey("", 0, 0), "")

    def restart(self):
        self.learner.close()
        self.learner, _ = toy_learner(self.folder, preset=str(self.preset), agent=self.agent)
        if self.trainer is not None:
            self.trainer.greet(self.core)
        self.operator.retell(self.core)

    def steer_to_success(self, episode, prompts=PROMPTS[:3]):
        """A whole episode of a person's prompts, the last of which succeeds."""
        if episode > 1:
            self.begin(episode)
        assert self.take_over()[0]
        for step, prompt in enumerate(prompts, 1):
            assert self.advance()[0] is None
            assert self.choose(step, prompt, episode)[0]
            verdict = self.operator.execute(self.core, self.advance()[0])
        assert verdict is Verdict.SUCCESS
        self.operator.tell_state(self.core, episode, EpisodeState.SUCCESS)
        self.advance()


@pytest.mark.parametrize("agent", ["random", "sarl", "oracle", "zero_shot"])
def test_a_taken_over_decision_shows_its_candidates_waits_and_is_stored_as_a_demonstration(tmp_path, agent):
    seat = Seat(tmp_path, agent, pool_capacity=10)
    assert seat.take_over() == (True, "you choose the prompts from the next decision on")
    assert seat.core.figures().steering
    decision, told = seat.advance()
    assert decision is None
    proposed, awaited = told
    assert (proposed.key.step, proposed.awaits_person) == (0, False)
    assert (awaited.key.step, awaited.awaits_person) == (0, True)
    assert [each.prompt for each in awaited.candidates] == list(PROMPTS)
    assert [each.pool_index for each in awaited.candidates] == list(range(8))
    if agent == "sarl":
        assert all(each.q_mean == each.q_mean for each in awaited.candidates), "with the agent's values"
    assert seat.advance() == (None, []), "it waits, and says so once"
    assert seat.choose(1, TYPED) == (True, "step 1 of episode 1: push the red button.")
    assert seat.choose(1, TYPED)[0], "a double press is one press"
    decision, _ = seat.advance()
    assert (decision.prompt, decision.agent, decision.demonstration) == ("push the red button.", "steer", True)
    assert decision.candidates[0].pool_index == 8, "it has entered the pool"
    assert [each.probability for each in decision.candidates] == [1.0, *[0.0] * 8]
    assert repr(decisions(seat.folder)) == repr([decision]), "on the disk before it is published"
    notes = [entry for entry in entries(seat.folder) if isinstance(entry, NoteRecord) and entry.kind == POOL]
    assert [note.fields["prompts"] for note in notes] == [list(PROMPTS), ["push the red button."]]
    seat.operator.execute(seat.core, decision)
    seat.advance()
    (transition,) = transitions(seat.folder)
    assert [each.prompt for each in transition.candidates] == list(PROMPTS), "as proposed, for later backups"


def test_a_take_over_ends_with_its_episode(tmp_path):
    seat = Seat(tmp_path)
    seat.steer_to_success(1)
    assert not seat.core.figures().steering
    seat.begin(2)
    decision, _ = seat.advance()
    assert (decision.agent, decision.demonstration) == ("random", False)
    seat.operator.tell_state(seat.core, 2, EpisodeState.ABORTED)
    assert seat.take_over()[0], "between episodes it is for the next one"
    seat.begin(3)
    assert seat.core.figures().steering
    assert seat.advance()[0] is None
    seat.operator.tell_state(seat.core, 3, EpisodeState.ABORTED)
    assert not seat.core.figures().steering


def test_handing_back_lets_the_agent_decide_at_once_and_the_last_choice_can_be_the_last(tmp_path):
    seat = Seat(tmp_path)
    seat.take_over()
    assert seat.advance()[0] is None
    assert seat.hand_back() == (True, "the agent chooses the prompts from now on")
    decision, _ = seat.advance()
    assert decision.agent == "random"
    seat.operator.execute(seat.core, decision)
    seat.take_over()
    assert seat.advance()[0] is None
    assert seat.choose(2, PROMPTS[0], take_over=False)[0]
    decision, _ = seat.advance()
    assert decision.agent == "steer"
    assert not seat.core.figures().steering
    seat.operator.execute(seat.core, decision)
    assert seat.advance()[0].agent == "random"


@pytest.mark.parametrize(
    ("step", "prompt", "word"),
    [
        (2, PROMPTS[0], "step 1 of episode 1 waits"),
        (1, " ?! ", "an empty prompt"),
        (1, "a" * 300, "shorten it"),
        (1, "lift\x07", "control character"),
        (1, TYPED, "the pool is full"),
    ],
)
def test_an_unusable_prompt_is_refused_in_words_and_changes_nothing(tmp_path, step, prompt, word):
    seat = Seat(tmp_path, pool_capacity=8)
    seat.take_over()
    seat.advance()
    accepted, detail = seat.choose(step, prompt)
    assert not accepted
    assert word in detail
    assert seat.advance() == (None, [])
    assert seat.choose(1, PROMPTS[3].upper())[0], "what the full pool knows is welcome"
    assert seat.advance()[0].prompt == PROMPTS[3]


def test_a_prompt_that_nothing_waits_for_is_refused(tmp_path):
    seat = Seat(tmp_path)
    accepted, detail = seat.choose(1, PROMPTS[0])
    assert not accepted
    assert "take over" in detail
    assert seat.hand_back() == (True, "the agent chooses already")
    decision, _ = seat.advance()
    assert decision.agent == "random"


def test_nobody_steers_an_evaluation_a_script_or_a_run_that_is_over(tmp_path):
    script = tmp_path / "prompts.txt"
    script.write_text(PROMPTS[0])
    preset = str(write_preset(tmp_path))
    for name, word, settings in (
        ("eval", "evaluates", {"agent": "random", "evaluate": True}),
        ("script", "script", {"agent": "steer", "prompts": str(script)}),
        ("over", "nothing to steer", {"agent": "random"}),
    ):
        learner, _ = toy_learner(tmp_path / name, preset=preset, **settings)
        learner.core.handle(EpisodeNews(name, 1, EpisodeState.FINISHED, INSTRUCTION, 1))
        accepted, detail = learner.core.steer(True, StepKey("", 0, 0), "")
        assert not accepted
        assert word in detail


def test_a_restarted_learner_goes_on_waiting_for_the_person(tmp_path):
    seat = Seat(tmp_path, "sarl")
    seat.take_over()
    seat.advance()
    seat.choose(1, PROMPTS[0])
    seat.operator.execute(seat.core, seat.advance()[0])
    seat.advance()
    seat.restart()
    decision, told = seat.advance()
    assert decision is None
    assert seat.core.figures().steering
    assert [(offer.key.step, offer.awaits_person) for offer in told] == [(1, False), (1, True)]
    assert seat.choose(2, PROMPTS[1])[0]
    decision, _ = seat.advance()
    assert decision.agent == "steer"
    seat.restart()
    assert seat.advance()[0].prompt == decision.prompt, "what was stored and not run is published again"


def test_steered_episodes_are_learned_from_as_demonstrations_are(tmp_path):
    seat = Seat(tmp_path, "sarl", updates=2, demonstration_updates=5, start_bias=-0.9)
    seat.take_over()
    for step, prompt in enumerate(PROMPTS[:3], 1):
        seat.advance()
        assert seat.core.order() is None, "nothing is learned before the first demonstration is whole"
        seat.choose(step, prompt)
        seat.operator.execute(seat.core, seat.advance()[0])
    seat.operator.tell_state(seat.core, 1, EpisodeState.SUCCESS)
    seat.advance()
    order = seat.core.order()
    assert order.updates == 5 + 2 * 3, "demonstrations' updates, and each decision's"
    horizon = load_preset("sim").horizon
    rewards = [-1 / horizon, -1 / horizon, 0.0]
    returns = [discounted_return(rewards[start:], horizon) for start in range(3)]
    buffer = ReplayBuffer(0)
    buffer.add(entries(seat.folder))
    assert buffer.demonstration_return(horizon) == pytest.approx(sum(returns) / 3)


def test_the_steered_successes_of_a_mixed_run_are_exported_and_the_agents_are_not(tmp_path):
    seat = Seat(tmp_path, "sarl", updates=0)
    seat.steer_to_success(1)
    seat.operator.chain = Chain(1, 1.0)
    verdict = Verdict.CONTINUE
    for episode in range(2, 30):
        verdict = play_episode(seat.core, seat.operator, seat.trainer, episode)
        if verdict is Verdict.SUCCESS:
            break
    assert verdict is Verdict.SUCCESS
    seat.operator.chain = Chain(3, 1.0)
    seat.steer_to_success(episode + 1)
    file = tmp_path / "mixed.demos"
    assert export_demonstrations(seat.folder, file, task="chain", weights_hash="w") == 2
    loaded = load_demonstrations(file, 2, task="chain", weights_hash="w")
    assert [[record.decision.prompt for record, _ in steps] for steps in loaded] == [list(PROMPTS[:3])] * 2
    parameters = {
        "sarl_learner": {"ros__parameters": {"task": "chain"}},
        "vla_executor": {"ros__parameters": {"policy": "mini"}},
    }
    with pytest.raises(RunError, match="no run folder"):
        export_steered(seat.folder, file)
    (seat.folder / "config.yaml").write_text(yaml.safe_dump(parameters))
    assert export_steered(seat.folder, tmp_path / "again.demos")["demonstrations"] == 2
    learner, _ = toy_learner(
        tmp_path / "next", preset=str(seat.preset), demos=str(file), demo_count=2, weights_hash="w"
    )
    assert learner.core._memory.demonstrated
    learner.close()
    with pytest.raises(LearnerError, match="3 wanted"):
        toy_learner(tmp_path / "more", preset=str(seat.preset), demos=str(file), demo_count=3, weights_hash="w")


def test_what_is_told_rebuilds_what_transitions_keep_whoever_chooses(tmp_path):
    seat = Seat(tmp_path, "sarl", stages=20, pool_capacity=20)
    choose = random.Random(3)
    told, step = {}, 0
    while step < 7:
        if choose.random() < 0.3:
            seat.take_over()
        elif choose.random() < 0.3:
            seat.hand_back()
        decision, offers = seat.advance()
        if decision is None:
            prompt = choose.choice((*PROMPTS, f"typed {step}"))
            assert seat.choose(step + 1, prompt)[0]
            decision, more = seat.advance()
            offers += more
        told |= {offer.key.step: offer for offer in offers}
        step = decision.key.step
        seat.operator.execute(seat.core, decision)
        if choose.random() < 0.3:
            seat.restart()
    decision, offers = seat.advance()
    told |= {offer.key.step: offer for offer in offers}
    kept = transitions(seat.folder)
    assert len(kept) == 7
    for transition in kept:
        plain = [
            dataclasses.replace(each, q_mean=0.0, q_std=0.0, probability=0.0)
            for each in told[transition.key.step].candidates
        ]
        assert plain == [dataclasses.replace(each, q_mean=0.0, q_std=0.0) for each in transition.candidates]
    assert {each.agent for each in decisions(seat.folder)} == {"sarl", "steer"}
