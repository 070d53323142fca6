"""The learner without middleware: order of writing, death at any moment, debt of updates, amendments."""

import json
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_world import INSTRUCTION, PROMPTS, Chain, InlineTrainer, ToyOperator, play_episode, toy_learner, write_preset

from sarl_ros.core.learner_events import EpisodeNews, GroundTruth, StepAnswer, StepOutcome, TrainingOrder
from sarl_ros.core.proposal import Proposal
from sarl_ros.core.types import Ended, EpisodeState, StepKey, Verdict
from sarl_ros.learner.setup import LearnerError
from sarl_ros.learner.trainer_link import TrainerLink
from sarl_ros.records.demonstrations import export_demonstrations
from sarl_ros.store.replay_store import DecisionRecord, TransitionRecord, read_entries


def records(folder):
    path = folder / "replay.srl"
    entries, _ = read_entries(path, 0, path.stat().st_size)
    decisions = [entry for entry in entries if isinstance(entry, DecisionRecord)]
    return decisions, [entry for entry in entries if isinstance(entry, TransitionRecord)]


def rows(folder):
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def started(tmp_path, agent="random", **values):
    """A learner and an operator in the first state of episode 1, its start observed."""
    preset = write_preset(tmp_path, updates_per_decision=0, **values)
    learner, options = toy_learner(tmp_path / "run", preset=str(preset), agent=agent)
    operator = ToyOperator("run", Chain(3, 1.0))
    operator.begin(learner.core, 1)
    if options.learns:
        InlineTrainer(options).carry_out(learner.core)
    operator.start(learner.core, 1)
    return learner, options, operator


def next_decision(core, operator):
    operator.propose(core)
    (decision,) = core.advance()
    return decision


def test_a_decision_is_stored_before_it_is_published(tmp_path):
    learner, options, operator = started(tmp_path)
    decision = next_decision(learner.core, operator)
    stored, transitions = records(options.run_dir)
    assert repr([each.decision for each in stored]) == repr([decision])
    assert transitions == []
    assert learner.core.advance() == []


def test_a_transition_is_stored_before_the_next_decision(tmp_path):
    learner, options, operator = started(tmp_path, agent="sarl")
    operator.execute(learner.core, next_decision(learner.core, operator))
    assert learner.core.advance() == []
    assert records(options.run_dir)[1] == [], "it bootstraps from candidates that are not known yet"
    next_decision(learner.core, operator)
    decisions, (transition,) = records(options.run_dir)
    assert transition.key.step == 1
    assert [each.prompt for each in transition.candidates] == [each.prompt for each in decisions[1].decision.candidates]


def test_only_success_is_done_and_a_time_out_bootstraps(tmp_path):
    learner, options, operator = started(tmp_path, agent="sarl", candidates=8)
    operator.tell_state(learner.core, 1, EpisodeState.SUCCESS)
    for episode, reliability, verdict in ((2, 1.0, Verdict.SUCCESS), (3, 0.0, Verdict.TIMEOUT)):
        operator.chain = Chain(1, reliability)
        operator._horizon = 40 if verdict is Verdict.SUCCESS else 3
        assert play_episode(learner.core, operator, None, episode) is verdict
    last = {entry.key.episode: entry for entry in records(options.run_dir)[1]}
    assert (last[2].done, last[2].reward, last[2].candidates) == (True, 0.0, ())
    assert (last[3].done, last[3].reward) == (False, -1 / 8)
    assert len(last[3].candidates) == 8


class Restarting:
    """A learner that is killed at chosen moments of a run, and told again what others have kept."""

    def __init__(self, folder, agent, kills):
        self.preset = write_preset(folder, updates_per_decision=0, critics=1, hidden=4)
        self.folder, self.agent, self.kills = folder / "run", agent, kills
        self.operator = ToyOperator("run", Chain(2, 0.7), horizon=4)
        self.moment = 0
        self.learner = None
        self.open()

    def open(self):
        if self.learner is not None:
            self.learner.close()
        self.learner, options = toy_learner(self.folder, preset=str(self.preset), agent=self.agent)
        self.trainer = InlineTrainer(options) if options.learns else None
        if self.trainer is not None:
            self.trainer.greet(self.learner.core)
        self.operator.retell(self.learner.core)

    def survives(self) -> bool:
        """Whether the learner lives past this moment; otherwise a new one is up afterwards."""
        self.moment += 1
        if self.moment not in self.kills:
            return True
        self.open()
        return False

    def run(self, episodes):
        operator = self.operator
        for episode in range(1, episodes + 1):
            operator.tell_state(self.learner.core, episode, EpisodeState.RESETTING)
            while not self.learner.core.figures().ready:
                self.step()
            operator.tell_state(self.learner.core, episode, EpisodeState.RUNNING)
            operator.chain.reset(episode)
            operator._result(self.learner.core, StepKey("run", episode, 0), Ended.START)
            while True:
                last = max(key for key in operator.results if key.episode == episode)
                if last.step and operator.answers[last].verdict is not Verdict.CONTINUE:
                    break
                self.step()
            state = EpisodeState.SUCCESS if operator.chain.success else EpisodeState.TIMEOUT
            operator.tell_state(self.learner.core, episode, state)
        operator.tell_state(self.learner.core, episodes, EpisodeState.FINISHED)
        while not self.learner.core.figures().finished:
            self.step()
        self.learner.close()

    def step(self):
        core = self.learner.core
        decisions = core.advance()
        for decision in decisions:
            if not self.survives():
                return
            self.operator.execute(core, decision)
        if self.survives() and not decisions:
            self.operator.propose(core)
            if self.survives() and self.trainer is not None:
                self.trainer.carry_out(core)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["random", "sarl"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.sets(st.integers(1, 60), max_size=8))
def test_death_at_any_moments_loses_and_doubles_nothing(tmp_path_factory, agent, kills):
    folder = tmp_path_factory.mktemp("killed")
    run = Restarting(folder, agent, kills)
    run.run(3)
    decisions, transitions = records(folder / "run")
    answers = run.operator.answers
    assert [entry.key for entry in transitions] == sorted(answers)
    assert [entry.verdict for entry in transitions] == [answers[key].verdict for key in sorted(answers)]
    assert repr([entry.decision for entry in decisions]) == repr(run.operator.executed)
    assert [(row["index"], row["outcome"]) for row in rows(folder / "run")] == [
        (episode, max((k, a.verdict.name) for k, a in answers.items() if k.episode == episode)[1])
        for episode in (1, 2, 3)
    ]


def test_an_open_decision_is_published_again_after_a_restart_and_only_then(tmp_path):
    learner, options, operator = started(tmp_path)
    decision = next_decision(learner.core, operator)
    learner.close()
    again, _ = toy_learner(options.run_dir, preset=options.preset, agent="random")
    operator.retell(again.core)
    assert repr(again.core.advance()) == repr([decision])
    assert again.core.advance() == []
    operator.execute(again.core, decision)
    again.close()
    third, _ = toy_learner(options.run_dir, preset=options.preset, agent="random")
    operator.retell(third.core)
    assert third.core.advance() == []
    assert len(records(options.run_dir)[1]) == 1


def test_an_aborted_episode_keeps_its_finished_steps_and_drops_the_open_one(tmp_path):
    learner, options, operator = started(tmp_path, agent="sarl")
    core = learner.core
    operator.execute(core, next_decision(core, operator))
    decision = next_decision(core, operator)
    core.handle(StepOutcome(decision.key, Ended.STOPPED, operator.chain.observe()))
    core.handle(StepAnswer(decision.key, Verdict.ABORTED))
    core.handle(EpisodeNews("run", 1, EpisodeState.ABORTED, INSTRUCTION, 1, "vla_executor died"))
    core.advance()
    assert [entry.key.step for entry in records(options.run_dir)[1]] == [1]
    (row,) = rows(options.run_dir)
    assert (row["outcome"], row["decisions"], row["reason"]) == ("ABORTED", 1, "vla_executor died")
    assert core.figures().ready


def test_a_finished_step_is_kept_though_the_episode_was_aborted_while_the_proposer_was_away(tmp_path):
    learner, options, operator = started(tmp_path, agent="sarl")
    operator.execute(learner.core, next_decision(learner.core, operator))
    operator.tell_state(learner.core, 1, EpisodeState.ABORTED)
    learner.core.advance()
    assert not learner.core.figures().ready
    operator.propose(learner.core)
    assert learner.core.advance() == []
    assert [entry.key.step for entry in records(options.run_dir)[1]] == [1]
    assert learner.core.figures().ready


def test_a_refused_prompt_is_no_transition(tmp_path):
    learner, options, operator = started(tmp_path)
    decision = next_decision(learner.core, operator)
    learner.core.handle(StepOutcome(decision.key, Ended.REFUSED, operator.chain.observe()))
    operator.tell_state(learner.core, 1, EpisodeState.ABORTED)
    learner.core.advance()
    assert records(options.run_dir)[1] == []
    assert learner.core.figures().ready


def test_an_amendment_replaces_the_verdict_of_the_last_step(tmp_path):
    learner, options, operator = started(tmp_path, agent="sarl")
    core = learner.core
    first = next_decision(core, operator)
    operator.execute(core, first)
    crossed = next_decision(core, operator)
    core.handle(StepOutcome(crossed.key, Ended.REFUSED, operator.chain.observe()))
    core.handle(StepAnswer(crossed.key, Verdict.ABORTED))
    core.handle(StepAnswer(first.key, Verdict.SUCCESS, amendment=True))
    operator.tell_state(core, 1, EpisodeState.SUCCESS)
    for _ in range(3):
        assert core.advance() == []
    first_record, amended = records(options.run_dir)[1]
    assert (first_record.verdict, first_record.amendment) == (Verdict.CONTINUE, False)
    assert (amended.key, amended.verdict, amended.done, amended.reward) == (first.key, Verdict.SUCCESS, True, 0.0)
    assert amended.amendment
    assert rows(options.run_dir)[0]["outcome"] == "SUCCESS"
    learner.close()
    again, _ = toy_learner(options.run_dir, preset=options.preset)
    InlineTrainer(options).greet(again.core)
    operator.retell(again.core)
    again.core.handle(StepAnswer(first.key, Verdict.SUCCESS, amendment=True))
    operator.tell_state(again.core, 1, EpisodeState.RUNNING)
    assert again.core.advance() == [], "the first verdict, told again, does not reopen the episode"
    assert again.core.figures().transitions == 1


def test_an_amendment_after_the_end_corrects_the_row(tmp_path):
    learner, options, operator = started(tmp_path)
    operator._horizon = 1
    operator.execute(learner.core, decision := next_decision(learner.core, operator))
    operator.tell_state(learner.core, 1, EpisodeState.TIMEOUT)
    learner.core.advance()
    assert rows(options.run_dir)[0]["outcome"] == "TIMEOUT"
    learner.core.handle(StepAnswer(decision.key, Verdict.SUCCESS, amendment=True))
    learner.core.advance()
    assert [row["outcome"] for row in rows(options.run_dir)] == ["SUCCESS"]


def test_an_episode_waits_for_its_updates_and_keeps_its_weights(tmp_path):
    preset = write_preset(tmp_path, updates_per_decision=3)
    learner, options = toy_learner(tmp_path / "run", preset=str(preset))
    core, operator, trainer = learner.core, ToyOperator("run", Chain(3, 1.0)), InlineTrainer(options)
    operator.begin(core, 1)
    assert not core.figures().ready, "there are no critics to act with yet"
    trainer.carry_out(core)
    assert core.figures().ready
    operator.start(core, 1)
    for step in (1, 2, 3):
        operator.execute(core, next_decision(core, operator))
        if step > 1:
            order = core.order()
            assert (order.updates, order.save) == (3 * (step - 1), False), "learned from at once, saved at the end"
            assert core.order() is None, "each transition is ordered once"
        assert core.acting_updates == 0
    operator.tell_state(core, 1, EpisodeState.TIMEOUT)
    operator.propose(core)
    core.advance()
    figures = core.figures()
    assert (figures.updates_owed, figures.ready) == (3 * figures.transitions, False)
    trainer.carry_out(core)
    figures = core.figures()
    assert (figures.updates_done, figures.updates_owed, figures.ready) == (3 * figures.transitions, 0, True)
    core.advance()
    assert core.acting_updates == 3 * figures.transitions


def test_equal_seeds_give_equal_runs(tmp_path):
    played = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        preset = write_preset(tmp_path / name, updates_per_decision=1)
        learner, options = toy_learner(tmp_path / name / "run", preset=str(preset), seed=seed)
        operator, trainer = ToyOperator("run", Chain(2, 0.8), horizon=4), InlineTrainer(options)
        for episode in range(1, 4):
            play_episode(learner.core, operator, trainer, episode)
        played.append(operator.executed)
    assert played[0] == played[1]
    assert [each.prompt for each in played[0]] != [each.prompt for each in played[2]]


def test_prompts_without_room_in_the_pool_are_dropped_and_rows_keep_their_meaning(tmp_path):
    learner, options, operator = started(tmp_path, pool_capacity=3)
    decision = next_decision(learner.core, operator)
    assert [(each.prompt, each.pool_index) for each in decision.candidates] == list(
        zip(PROMPTS, range(3), strict=False)
    )
    assert learner.core.dropped_proposals == 5
    learner.close()
    again, _ = toy_learner(options.run_dir, preset=options.preset, agent="random")
    operator.retell(again.core)
    again.core.advance()
    operator.execute(again.core, decision)
    again.core.advance()
    wanted = again.core.wanted()
    request = wanted.request
    assert (request.pool, request.pool_frozen, request.history) == (PROMPTS[:3], True, (decision.prompt,))
    again.core.propose(wanted, Proposal(tuple(PROMPTS[::-1]), (0.125,) * 8))
    (following,) = again.core.advance()
    assert [each.prompt for each in following.candidates] == list(PROMPTS[2::-1])


def test_the_oracle_waits_for_ground_truth_of_the_moment(tmp_path):
    learner, _, operator = started(tmp_path, agent="oracle")
    assert learner.core.wanted() is None
    (decision,) = learner.core.advance()
    assert decision.prompt == PROMPTS[0]
    operator.chain.run(decision.prompt)
    learner.core.handle(StepOutcome(decision.key, Ended.COMPLETED, operator.chain.observe()))
    learner.core.handle(StepAnswer(decision.key, Verdict.CONTINUE))
    assert learner.core.advance() == [], "what it knows is of the state before"
    learner.core.handle(GroundTruth(operator.chain.time_ns, 1, operator.chain.suitable))
    (decision,) = learner.core.advance()
    assert decision.prompt == PROMPTS[1]


def test_recall_counts_the_decisions_that_were_offered_a_suitable_prompt(tmp_path):
    learner, options, operator = started(tmp_path)
    operator.execute(learner.core, next_decision(learner.core, operator))
    learner.core.advance()
    wanted = learner.core.wanted()
    stage = operator.chain.stage
    learner.core.propose(wanted, Proposal(tuple(prompt for prompt in PROMPTS if prompt != PROMPTS[stage])))
    operator.execute(learner.core, learner.core.advance()[0])
    assert learner.core.figures().recall == 0.5
    assert [each.suitable_offered for each in records(options.run_dir)[0]] == [True, False]


def test_demonstrations_fill_pool_and_buffer_once(tmp_path):
    teacher, options = toy_learner(
        tmp_path / "steered", preset=str(write_preset(tmp_path)), agent="steer", prompts=str(_script(tmp_path))
    )
    operator = ToyOperator("steered", Chain(3, 1.0))
    for episode in (1, 2):
        assert play_episode(teacher.core, operator, None, episode) is Verdict.SUCCESS
    file = tmp_path / "toy.demos"
    assert export_demonstrations(options.run_dir, file, task="chain", weights_hash="w") == 2
    settings = {"demos": str(file), "demo_count": 2, "weights_hash": "w"}
    preset = str(write_preset(tmp_path, demonstration_updates=2, pool_capacity=6))
    for attempt in range(2):
        learner, run = toy_learner(tmp_path / "run", preset=preset, **settings)
        decisions, transitions = records(run.run_dir)
        assert (len(decisions), len(transitions)) == (6, 6)
        assert learner.core.figures().transitions == 0
        learner.core.handle(EpisodeNews("run", 1, EpisodeState.RESETTING, INSTRUCTION, 1))
        assert learner.core.order().updates == 2
        assert learner.core._memory.pool.prompts[:3] == PROMPTS[:3], attempt
        learner.close()
    with pytest.raises(LearnerError, match="sarl steer"):
        toy_learner(tmp_path / "other", preset=preset, **(settings | {"weights_hash": "x"}))


def _script(folder):
    path = folder / "prompts.txt"
    path.write_text(" > ".join(PROMPTS[:3]))
    return path


def test_a_store_of_another_run_or_agent_is_refused(tmp_path):
    started(tmp_path)[0].close()
    with pytest.raises(LearnerError, match="belongs to agent random, not oracle"):
        toy_learner(tmp_path / "run", agent="oracle")


@pytest.mark.slow
def test_a_killed_trainer_goes_on_from_its_checkpoint(tmp_path):
    preset = write_preset(tmp_path, updates_per_decision=8)
    learner, options = toy_learner(tmp_path / "run", preset=str(preset))
    heard = []
    link = TrainerLink(options.run_dir, "sarl", options.preset, 0, 25, heard.append)

    def hear(kind):
        deadline = time.monotonic() + 120
        while not any(kind in answer for answer in heard):
            assert time.monotonic() < deadline, heard
            time.sleep(0.01)
        return next(answer for answer in heard if kind in answer)

    operator, inline = ToyOperator("run", Chain(2, 0.5)), InlineTrainer(options)
    play_episode(learner.core, operator, inline, 1)
    owed = 8 * learner.core.figures().transitions
    link.start()
    assert hear("hello")["updates"] == 0
    order = TrainingOrder(owed, learner.store.size, 1, 0.05, save=True)
    link.order(order)
    hear("updates")
    time.sleep(random.random())
    link._process.kill()
    assert hear("ended")["ended"] == -9
    done = sum("paid" in answer for answer in heard) * owed
    heard.clear()
    link.start()
    assert hear("hello")["updates"] == done
    link.order(order)
    assert hear("paid")["updates"] == owed
    process = link._process
    process.stdin.close()
    assert process.wait(timeout=60) == 0, "it ends when its parent's end of the pipe is closed"
