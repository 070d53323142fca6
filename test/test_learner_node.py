"""The sarl_learner as a real process over DDS, among an operator, an executor and a proposer that the test plays."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import rclpy
from domains import domain_of
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from toy_world import PROMPTS, Chain, write_preset

from sarl_interfaces.msg import Episode, Judgement, LearnerStatus, NodeStatus, Prompt, Proposal, StepResult, StepVerdict
from sarl_interfaces.srv import ProposePrompts, Steer
from sarl_ros.core.types import EpisodeState, Observation, StepKey, Verdict
from sarl_ros.ros import convert, topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from sarl_ros.store.replay_store import DecisionRecord, ReplayStore, TransitionRecord

TIMEOUT_S = 60.0


def spawn(run_dir, domain, **parameters):
    values = {"run_dir": str(run_dir), "task": "chain", "agent": "random"} | parameters
    arguments = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "sarl_ros.nodes.sarl_learner", "--ros-args", *arguments],
        env=bringup.environment(domain),
        stderr=subprocess.PIPE,
        text=True,
    )


class World:
    """Plays the rest of the graph. What it publishes is kept for late joiners, as the real nodes' messages are."""

    def __init__(self, domain, run, proposer=True):
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(bringup.SHARED_MEMORY_PROFILE)
        self.run, self.chain = run, Chain(3, 1.0)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("world", context=self.context)
        self.changed = threading.Condition()
        self.prompts, self.statuses, self.requests, self.proposals = [], [], [], []
        self.published, self.faults = {}, []
        create = self.node.create_publisher
        self._episodes = create(Episode, topics.EPISODE, topics.LATCHED)
        self._results = create(StepResult, topics.STEP_RESULT, topics.PROTOCOL)
        self._verdicts = create(StepVerdict, topics.STEP_VERDICT, topics.PROTOCOL)
        subscribe = self.node.create_subscription
        subscribe(Prompt, topics.PROMPT, lambda message: self._keep(self.prompts, message), topics.PROTOCOL)
        subscribe(
            LearnerStatus, topics.LEARNER_STATUS, lambda message: self._keep(self.statuses, message), topics.LATCHED
        )
        subscribe(Proposal, topics.PROPOSAL, lambda message: self._keep(self.proposals, message), topics.PROTOCOL)
        self._judgements = create(Judgement, topics.JUDGEMENT, topics.STREAM)
        self._steer = self.node.create_client(Steer, topics.STEER, callback_group=ReentrantCallbackGroup())
        subscribe(NodeStatus, topics.NODE_STATUS, self._on_status, topics.STREAM)
        if proposer:
            self.offer_proposals()
        self._spinner = SpinThread(MultiThreadedExecutor(2, context=self.context), self.node)

    def offer_proposals(self):
        self.node.create_service(
            ProposePrompts, topics.PROPOSE_PROMPTS, self._propose, callback_group=ReentrantCallbackGroup()
        )

    def _propose(self, request, response):
        self._keep(self.requests, request)
        response.prompts = list(PROMPTS[: request.count])
        response.priors = [1 / len(response.prompts)] * len(response.prompts)
        response.model, response.rationale = "toy", "all that there are"
        return response

    def steer(self, take_over=True, step=0, prompt=""):
        """Ask until answered: DDS takes a killed server for alive a while longer."""
        key = convert.key_to(StepKey(self.run, 1, step))
        request = Steer.Request(take_over=take_over, key=key, prompt=prompt)
        for _ in range(int(TIMEOUT_S)):
            assert self._steer.wait_for_service(TIMEOUT_S)
            future, answered = self._steer.call_async(request), threading.Event()
            future.add_done_callback(lambda _, answered=answered: answered.set())
            if answered.wait(1.0):
                return future.result()
            self._steer.remove_pending_request(future)
        raise AssertionError("nobody answered")

    def wait_for_proposal(self, step, awaits_person=False):
        found = []

        def there():
            found[:] = [each for each in self.proposals if (each.key.step, each.awaits_person) == (step, awaits_person)]
            return found

        self.wait(there, f"a proposal for the end of step {step}")
        return found[-1]

    def _on_status(self, message):
        with self.changed:
            self.faults = list(message.faults)
            self.changed.notify_all()

    def _keep(self, messages, message):
        with self.changed:
            messages.append(message)
            self.changed.notify_all()

    def wait(self, wanted, what):
        with self.changed:
            assert self.changed.wait_for(wanted, TIMEOUT_S), f"waited in vain for {what}"

    def wait_for_prompt(self, episode, step):
        found = []

        def there():
            found[:] = [each for each in self.prompts if (each.key.episode, each.key.step) == (episode, step)]
            return found

        self.wait(there, f"the prompt of step {step}")
        return found[0]

    def tell_episode(self, number, state):
        message = Episode(run=self.run, episode=number, state=state, task="chain", instruction="Go through.")
        message.seed = number
        if state == EpisodeState.FINISHED:
            message.episodes = message.completed = number
            message.outcomes = [EpisodeState.TIMEOUT] * number
        self._episodes.publish(message)

    def publish_result(self, episode, step, ended, prompt=""):
        seen = self.chain.observe()
        front = np.repeat(np.repeat(seen.front, 4, 0), 4, 1)
        observation = Observation(front, front[:48, :64], seen.proprio, seen.stamp_ns)
        key = convert.key_to(StepKey(self.run, episode, step))
        self._results.publish(
            StepResult(key=key, prompt=prompt, ended=ended, observation=convert.observation_to(observation))
        )

    def publish_verdict(self, episode, step, verdict):
        self._verdicts.publish(
            StepVerdict(key=convert.key_to(StepKey(self.run, episode, step)), verdict=verdict, source="auto")
        )

    def start(self, episode):
        self.chain.reset(episode)
        self.tell_episode(episode, EpisodeState.RUNNING)
        self.publish_result(episode, 0, StepResult.START)

    def answer(self, prompt, last):
        """Run a prompt, and give its verdict."""
        self.chain.run(prompt.prompt)
        episode, step = prompt.key.episode, prompt.key.step
        self.publish_result(episode, step, StepResult.COMPLETED, prompt.prompt)
        self.publish_verdict(episode, step, Verdict.TIMEOUT if last else Verdict.CONTINUE)

    def close(self):
        self._spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()


def end(process):
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode


def kill(process):
    process.kill()
    process.communicate()


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "toy-run"
    folder.mkdir()
    return folder


@pytest.fixture
def world(run_dir):
    world = World(domain_of(__name__), run_dir.name)
    yield world
    world.close()


def test_a_learner_killed_at_every_stage_of_a_step_loses_and_doubles_nothing(world, run_dir):
    process = spawn(run_dir, domain_of(__name__))
    try:
        world.start(1)
        for step in range(1, 5):
            prompt = world.wait_for_prompt(1, step)
            assert prompt.control_steps == 24
            if step == 1:  # after the prompt, before its result
                kill(process)
                process = spawn(run_dir, domain_of(__name__))
            world.chain.run(prompt.prompt)
            world.publish_result(1, step, StepResult.COMPLETED, prompt.prompt)
            if step == 2:  # after the result, before the verdict
                kill(process)
                process = spawn(run_dir, domain_of(__name__))
            world.publish_verdict(1, step, Verdict.TIMEOUT if step == 4 else Verdict.CONTINUE)
            if step == 3:  # after the verdict
                kill(process)
                process = spawn(run_dir, domain_of(__name__))
        world.tell_episode(1, EpisodeState.TIMEOUT)
        world.tell_episode(1, EpisodeState.FINISHED)
        world.wait(lambda: world.statuses and world.statuses[-1].finished, "the end")
        assert world.statuses[-1].transitions == 4
        assert end(process) == 0
    finally:
        process.poll() is None and kill(process)
    sent = {}
    for prompt in world.prompts:
        sent.setdefault(prompt.key.step, set()).add(prompt.prompt)
    assert all(len(prompts) == 1 for prompts in sent.values()), "a repeated decision is the same decision"
    with ReplayStore(run_dir) as store:
        decisions = [entry for entry in store.entries if isinstance(entry, DecisionRecord)]
        transitions = [entry for entry in store.entries if isinstance(entry, TransitionRecord)]
    assert [(entry.key.step, entry.decision.prompt) for entry in decisions] == [(s, *sent[s]) for s in range(1, 5)]
    assert [entry.key.step for entry in transitions] == [1, 2, 3, 4]
    assert transitions[-1].verdict is Verdict.TIMEOUT


def test_without_a_proposer_the_graph_waits_and_goes_on_when_it_is_back(run_dir):
    world = World(domain_of(__name__, 1), run_dir.name, proposer=False)
    process = spawn(run_dir, domain_of(__name__, 1))
    try:
        world.start(1)
        world.wait(lambda: any(not each.ready for each in world.statuses), "the learner")
        told = len(world.statuses)
        world.wait(lambda: len(world.statuses) >= told + 2, "two more figures of the learner")
        assert world.prompts == []
        world.offer_proposals()
        prompt = world.wait_for_prompt(1, 1)
        assert prompt.prompt in PROMPTS
        (request,) = world.requests
        assert (request.task, request.count, list(request.history)) == ("Go through.", 8, [])
        assert not world.statuses[-1].error
    finally:
        end(process)
        world.close()


def test_zero_shot_needs_no_proposer(run_dir):
    world = World(domain_of(__name__, 2), run_dir.name, proposer=False)
    process = spawn(run_dir, domain_of(__name__, 2), agent="zero_shot", control_steps=3)
    try:
        world.start(1)
        world.answer(world.wait_for_prompt(1, 1), last=False)
        prompt = world.wait_for_prompt(1, 2)
        assert (prompt.prompt, prompt.control_steps, prompt.agent) == ("go through.", 3, "zero_shot")
    finally:
        end(process)
        world.close()


def test_a_result_that_shows_nothing_does_not_end_the_learner(run_dir):
    process = spawn(run_dir, domain_of(__name__), agent="zero_shot")
    world = World(domain_of(__name__), run_dir.name, proposer=False)
    try:
        world.wait(lambda: world.statuses, "the learner")
        world.tell_episode(1, EpisodeState.RUNNING)
        world._results.publish(
            StepResult(key=convert.key_to(StepKey(run_dir.name, 1, 1)), ended=StepResult.REFUSED, reason="no images")
        )
        torn = StepResult(key=convert.key_to(StepKey(run_dir.name, 1, 0)), ended=StepResult.START)
        torn.observation.front.data, torn.observation.wrist.data = b"no picture", b"no picture"
        world._results.publish(torn)
        world.wait(lambda: any("cannot be decoded" in fault for fault in world.faults), "a word on the picture")
        world.publish_result(1, 0, StepResult.START)
        assert world.wait_for_prompt(1, 1).agent == "zero_shot"
        assert process.poll() is None
    finally:
        end(process)
        world.close()


def test_the_candidates_of_every_state_are_told_also_of_the_last_one(run_dir):
    world = World(domain_of(__name__, 4), run_dir.name)
    process = spawn(
        run_dir, domain_of(__name__, 4), agent="sarl", preset=str(write_preset(run_dir, updates_per_decision=0))
    )
    try:
        world.tell_episode(1, EpisodeState.RESETTING)
        world.wait(lambda: world.statuses and world.statuses[-1].ready, "critics to act with")
        world.wait(lambda: world._judgements.get_subscription_count() == 1, "the learner's ear")
        world._judgements.publish(Judgement(seed=1, suitable_prompts=[PROMPTS[0]]))
        time.sleep(0.2)
        world.start(1)
        for step in (1, 2):
            prompt = world.wait_for_prompt(1, step)
            proposal = world.wait_for_proposal(step - 1)
            assert prompt.suitable_offered == 1
            assert [(each.prompt, each.pool_index, each.prior) for each in proposal.candidates] == [
                (each.prompt, each.pool_index, each.prior) for each in prompt.candidates
            ]
            assert (proposal.model, proposal.rationale) == ("toy", "all that there are")
            assert proposal.seconds > 0
            world.answer(prompt, last=step == 2)
        last = world.wait_for_proposal(2)
        world.tell_episode(1, EpisodeState.TIMEOUT)
        world.tell_episode(1, EpisodeState.FINISHED)
        world.wait(lambda: world.statuses[-1].finished, "the end")
        end(process)
        with ReplayStore(run_dir) as store:
            kept = [entry.candidates for entry in store.entries if isinstance(entry, TransitionRecord)]
        assert [(each.prompt, each.pool_index, np.float32(each.prior)) for each in kept[-1]] == [
            (each.prompt, each.pool_index, np.float32(each.prior)) for each in last.candidates
        ]
    finally:
        process.poll() is None and kill(process)
        world.close()


def test_a_person_steers_through_the_service_and_the_graph_waits_for_them(run_dir):
    world = World(domain_of(__name__, 4), run_dir.name)
    process = spawn(run_dir, domain_of(__name__, 4))
    try:
        world.start(1)
        prompt = world.wait_for_prompt(1, 1)
        assert (prompt.demonstration, prompt.suitable_offered) == (False, -1)
        assert world.steer().accepted
        world.wait(lambda: world.statuses[-1].steering, "the status")
        world.answer(prompt, last=False)
        awaited = world.wait_for_proposal(1, awaits_person=True)
        assert [each.prompt for each in awaited.candidates] == list(PROMPTS)
        refused = world.steer(step=1, prompt=PROMPTS[2])
        assert (refused.accepted, "step 2 of episode 1 waits" in refused.detail) == (False, True)
        assert world.steer(step=2, prompt="Press button C").accepted
        prompt = world.wait_for_prompt(1, 2)
        assert (prompt.prompt, prompt.agent, prompt.demonstration) == (PROMPTS[2], "steer", True)
        kill(process)
        process = spawn(run_dir, domain_of(__name__, 4))
        world.answer(prompt, last=False)
        world.wait_for_proposal(2, awaits_person=True)
        assert {each.key.step for each in world.prompts} == {1, 2}, "nobody but the person goes on"
        assert world.steer(take_over=False).accepted
        assert world.wait_for_prompt(1, 3).agent == "random"
        world.wait(lambda: not world.statuses[-1].steering, "the status")
    finally:
        end(process)
        world.close()


def test_settings_that_cannot_work_end_the_node_with_one_line(run_dir):
    with ReplayStore(run_dir):
        process = spawn(run_dir, domain_of(__name__, 3))
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    assert errors.strip().splitlines() == [
        f"error: sarl_learner: {run_dir} is in use by another learner: end that one, or choose another run folder"
    ]
