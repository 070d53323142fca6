"""The operator as a real process over DDS, among fakes of every other node: executor, arm, world, learner."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from pathlib import Path

import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

from sarl_interfaces.msg import (
    ArmState,
    Buttons,
    Episode,
    EpisodeEvent,
    Judgement,
    LearnerStatus,
    NodeStatus,
    Prompt,
    StepKey,
    StepResult,
    StepVerdict,
)
from sarl_interfaces.srv import ArmReset, ArmResume, Press, SimReset
from sarl_ros.core import episode_events as ev
from sarl_ros.core.episode import EpisodeMachine
from sarl_ros.core.episode_events import Button, EpisodeConfig
from sarl_ros.core.task import load_task
from sarl_ros.ros import convert, topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs.domains import claim_domain
from sarl_ros.store.journal import Journal

RUN = "r"
PRESSES = 200  # a thousand are pressed on the state machine, in test_episode.py
NODES = ["vla_executor", "arm_bridge", "sim_world", "prompt_proposer", "sarl_learner"]
WAIT_S = 20.0
ENDS = (Episode.SUCCESS, Episode.FAILURE, Episode.TIMEOUT, Episode.ABORTED)


class Graph:
    """Every node but the operator, in one. Episode n succeeds in step `success_step`; steps take `step_s`."""

    def __init__(self, domain: int) -> None:
        self.domain = domain
        self.success_step, self.step_s, self.prompting = 2, 0.02, True
        self.beating = {name: "first" for name in NODES}
        self.recorder_faults: list[str] | None = None
        self.armed: dict[str, str] = {}
        self.events: list[EpisodeEvent] = []
        self.changed = threading.Condition(threading.RLock())
        self.episodes: list[Episode] = []
        self.verdicts: list[StepVerdict] = []
        self.results: dict[tuple[int, int], StepResult] = {}
        self.calls: list[tuple[str, int]] = []
        self.reset_failures = 0
        self.clear_refusal = ""
        self.stop, self.paused = "", False
        self.stamp_ns, self.seed = 0, -1
        self.work: deque[Prompt] = deque()
        self.closing = self.arm_is_silent = False
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        node = self.node = rclpy.create_node("fakes", context=self.context)
        self.status = node.create_publisher(NodeStatus, topics.NODE_STATUS, topics.STREAM)
        self.learner = node.create_publisher(LearnerStatus, topics.LEARNER_STATUS, topics.STREAM)
        self.prompts = node.create_publisher(Prompt, topics.PROMPT, topics.PROTOCOL)
        self.step_results = node.create_publisher(StepResult, topics.STEP_RESULT, topics.PROTOCOL)
        self.arm_states = node.create_publisher(ArmState, topics.ARM_STATE, topics.STREAM)
        self.judgements = node.create_publisher(Judgement, topics.JUDGEMENT, topics.STREAM)
        node.create_subscription(Episode, topics.EPISODE, self.on_episode, topics.PROTOCOL)
        node.create_subscription(StepVerdict, topics.STEP_VERDICT, self.on_verdict, topics.PROTOCOL)
        node.create_subscription(Buttons, topics.BUTTONS, self.on_buttons, topics.LATCHED)
        node.create_subscription(EpisodeEvent, topics.EPISODE_EVENT, self.on_event, topics.PROTOCOL)
        self.told: dict[str, list[str]] = {}
        self.beats = 0
        node.create_subscription(NodeStatus, topics.NODE_STATUS, self.on_status, topics.STREAM)
        self.joy = node.create_publisher(Joy, topics.JOY, topics.STREAM)
        group = ReentrantCallbackGroup()
        for name, kind, answer in (
            (topics.ARM_STOP, Trigger, self.on_stop),
            (topics.ARM_PAUSE, Trigger, self.on_pause),
            (topics.ARM_RESUME, ArmResume, self.on_resume),
            (topics.ARM_RESET, ArmReset, self.on_arm_reset),
            (topics.SIM_RESET, SimReset, self.on_sim_reset),
        ):
            node.create_service(kind, name, answer, callback_group=group)
        self.buttons = {
            button: node.create_client(Trigger, f"/operator/{button}", callback_group=group) for button in Button
        }
        self.press_client = node.create_client(Press, topics.PRESS, callback_group=group)
        node.create_timer(0.1, self.beat, callback_group=group)
        self.spinner = SpinThread(MultiThreadedExecutor(4, context=self.context), node)
        self.stepping = threading.Thread(target=self.execute)
        self.stepping.start()

    def close(self) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.stepping.join()
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()

    # The other nodes.

    def beat(self) -> None:
        for name, incarnation in list(self.beating.items()):
            self.status.publish(NodeStatus(node=name, incarnation=incarnation, ready=True))
        self.tell_arm()
        if self.recorder_faults is not None:
            ready, faults = not self.recorder_faults, self.recorder_faults
            self.status.publish(NodeStatus(node="recorder", incarnation="r", ready=ready, faults=faults))
        self.learner.publish(LearnerStatus(run=RUN, ready=True))

    def on_episode(self, message: Episode) -> None:
        with self.changed:
            self.episodes.append(message)
            self.changed.notify_all()
            if message.state == Episode.RUNNING and message.step == 0:
                self.answer(message.episode, 0, StepResult.START)
                self.prompt(message.episode, 1)

    def on_verdict(self, message: StepVerdict) -> None:
        with self.changed:
            self.verdicts.append(message)
            self.changed.notify_all()
            if message.verdict == StepVerdict.CONTINUE and not message.amendment:
                self.prompt(message.key.episode, message.key.step + 1)

    def on_buttons(self, message: Buttons) -> None:
        with self.changed:
            assert [not why for why in message.why] == list(message.armed)
            self.armed = dict(zip(message.name, message.why, strict=True))
            self.changed.notify_all()

    def on_event(self, message: EpisodeEvent) -> None:
        with self.changed:
            self.events.append(message)
            self.changed.notify_all()

    def on_status(self, message: NodeStatus) -> None:
        with self.changed:
            self.told[message.node] = list(message.faults)
            self.beats += message.node == "operator"
            self.changed.notify_all()

    def prompt(self, episode: int, step: int) -> None:
        if self.prompting and (episode, step) not in self.results:
            message = Prompt(key=StepKey(run=RUN, episode=episode, step=step), prompt="lift up.", control_steps=1)
            self.prompts.publish(message)
            self.work.append(message)
            self.changed.notify_all()

    def runs(self, episode: int) -> bool:
        newest = self.episodes[-1]
        return (newest.state, newest.episode) == (Episode.RUNNING, episode)

    def execute(self) -> None:
        """The executor's thread: a step ends by itself, or when the episode stops running, or the arm is stopped."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.closing or self.work)
                if self.closing:
                    return
                key = self.work.popleft().key
                if (key.episode, key.step) in self.results:
                    continue
                cut = self.changed.wait_for(
                    lambda episode=key.episode: self.closing or self.stopped or not self.runs(episode), self.step_s
                )
                self.answer(key.episode, key.step, StepResult.STOPPED if cut else StepResult.COMPLETED)

    def answer(self, episode: int, step: int, ended: int) -> None:
        self.stamp_ns += 200_000_000
        result = StepResult(key=StepKey(run=RUN, episode=episode, step=step), prompt="lift up.", ended=ended)
        result.observation.header.stamp = convert.to_time(self.stamp_ns)
        self.results[episode, step] = result
        judgement = Judgement(task="hammer", seed=self.seed, success=step == self.success_step)
        judgement.subgoals, judgement.reached = ["the nail is in"], [False]
        # Too early for this result: it must not decide it.
        judgement.header.stamp = convert.to_time(self.stamp_ns - 1)
        judgement.success = not judgement.success
        self.judgements.publish(judgement)
        self.step_results.publish(result)
        judgement.header.stamp = convert.to_time(self.stamp_ns)
        judgement.success = not judgement.success
        self.judgements.publish(judgement)

    @property
    def stopped(self) -> bool:
        return self.paused or bool(self.stop)

    def tell_arm(self) -> None:
        if not self.arm_is_silent:
            self.arm_states.publish(ArmState(mode=ArmState.HOLD if self.stopped else ArmState.IDLE, stop=self.stop))

    def stop_arm(self) -> None:
        """As /arm/stop, called past the operator."""
        with self.changed:
            self.stop = uuid.uuid4().hex
            self.changed.notify_all()
        self.tell_arm()

    def on_stop(self, _, response):
        self.stop_arm()
        return self.called("stop", response)

    def on_pause(self, _, response):
        self.paused = True
        return self.called("pause", response)

    def on_resume(self, request, response):
        with self.changed:
            self.paused = self.paused and bool(self.clear_refusal)
            known = request.stop == self.stop
            if known and not self.clear_refusal:
                self.stop = ""
        self.called("clear" if request.stop else "resume", response)
        response.success = known and not self.clear_refusal
        response.message = self.clear_refusal or ("" if known else "stopped meanwhile")
        self.tell_arm()
        return response

    def called(self, name: str, response):
        with self.changed:
            self.calls.append((name, 0))
            self.changed.notify_all()
        response.success = True
        return response

    def on_arm_reset(self, _, response):
        with self.changed:
            self.calls.append(("arm_reset", 0))
            response.success = not self.stopped and self.reset_failures == 0
            response.message = "" if response.success else "the arm is on hold"
            self.reset_failures = max(0, self.reset_failures - 1)
            self.changed.notify_all()
        return response

    def on_sim_reset(self, request, response):
        with self.changed:
            self.calls.append(("sim_reset", request.seed))
            self.seed = request.seed
        response.success = request.task == "hammer"
        return response

    # For the tests.

    def wait(self, condition, what: str, timeout_s: float = WAIT_S) -> None:
        with self.changed:
            if self.changed.wait_for(condition, timeout_s):
                return
            seen = [(e.episode, e.state, e.step, e.reason) for e in self.episodes]
            heard = f"{self.beats} heartbeats, faults {self.told.get('operator')}, refused {self.armed}"
            raise AssertionError(f"{what} did not happen; episodes {seen}; calls {self.calls}; heard {heard}")

    def let_beat(self, times: int) -> None:
        """Until the operator, whose timers go on, has shown so many more heartbeats, five a second."""
        wanted = self.beats + times
        self.wait(lambda: self.beats >= wanted, f"{times} heartbeats of the operator")

    def shows(self, state: int, episode: int | None = None) -> bool:
        newest = self.episodes[-1] if self.episodes else None
        return newest is not None and newest.state == state and episode in (None, newest.episode)

    def wait_state(self, state: int, episode: int | None = None) -> None:
        self.wait(lambda: self.shows(state, episode), f"state {state} of episode {episode}")

    def press(self, button: Button) -> Trigger.Response:
        client = self.buttons[button]
        assert client.wait_for_service(WAIT_S), f"no service {client.srv_name}"
        future, done = client.call_async(Trigger.Request()), threading.Event()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(WAIT_S), f"{button} was not answered"
        return future.result()

    def clear(self) -> Trigger.Response:
        """As a person does, who has looked first."""
        self.wait(lambda: self.armed.get("clear", "?") == "", "clear armed")
        return self.press(Button.CLEAR)

    def press_as(self, button: str, source: str) -> Press.Response:
        assert self.press_client.wait_for_service(WAIT_S)
        future, done = self.press_client.call_async(Press.Request(button=button, source=source)), threading.Event()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(WAIT_S), f"{button} was not answered"
        return future.result()

    def presses(self, source: str) -> list[str]:
        """Buttons that took effect or were refused, of this source, in the journal's order."""
        return [event.event for event in self.events if event.source == source and event.event != "verdict"]

    def wait_armed(self, *names: str) -> None:
        self.wait(lambda: {name for name, why in self.armed.items() if not why} == set(names), f"{names} armed")

    def final_verdicts(self) -> dict[tuple[int, int], int]:
        """Verdict by key; repetitions after a restart must say the same."""
        found: dict[tuple[int, int], int] = {}
        for verdict in self.verdicts:
            key = (verdict.key.episode, verdict.key.step)
            if not verdict.amendment:
                assert found.setdefault(key, verdict.verdict) == verdict.verdict, key
        return found

    def outcomes(self) -> dict[int, int]:
        return {e.episode: e.state for e in self.episodes if e.state in ENDS}

    def ends(self) -> dict[int, str]:
        """Why each episode that is over ended, for a test that fails."""
        return {e.episode: e.reason for e in self.episodes if e.state in ENDS}

    def assert_every_result_has_its_verdict(self) -> None:
        wanted = {key for key in self.results if key[1] > 0}
        self.wait(lambda: self.final_verdicts().keys() == wanted, "a verdict for each result")


class OperatorProcess:
    def __init__(self, domain: int, run_dir: Path, **parameters) -> None:
        self.environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "OMP_NUM_THREADS": "1",
        }
        settings = {"run_dir": str(run_dir), "run": RUN, "task": "hammer", "seed_base": 100, "auto_clear_s": 0.3}
        self.arguments = [sys.executable, "-m", "sarl_ros.nodes.operator.node", "--ros-args"]
        for name, value in (settings | parameters).items():
            self.arguments += ["-p", f"{name}:={json.dumps(value) if isinstance(value, bool | list) else value}"]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.arguments, env=self.environment, stderr=subprocess.PIPE, text=True)

    def kill(self) -> None:
        with self.process:  # closes its pipes as well
            self.process.kill()

    def end(self) -> int:
        with self.process:
            self.process.send_signal(signal.SIGINT)
            return self.process.wait(10)


@pytest.fixture
def graph(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    domain, lock = claim_domain()
    graph = Graph(domain)
    yield graph
    graph.close()
    lock.close()


@pytest.fixture
def operator(graph, tmp_path):
    made: list[OperatorProcess] = []

    def make(**parameters) -> OperatorProcess:
        made.append(OperatorProcess(graph.domain, tmp_path, **parameters))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.kill()


def test_two_automatic_episodes_run_to_the_end(graph, operator):
    process = operator(episodes=2)
    graph.wait_state(Episode.FINISHED)
    assert graph.outcomes() == {1: Episode.SUCCESS, 2: Episode.SUCCESS}, graph.ends()
    assert graph.final_verdicts() == {
        (1, 1): StepVerdict.CONTINUE,
        (1, 2): StepVerdict.SUCCESS,
        (2, 1): StepVerdict.CONTINUE,
        (2, 2): StepVerdict.SUCCESS,
    }
    assert [call for call in graph.calls if call[0] == "sim_reset"] == [("sim_reset", 101), ("sim_reset", 102)]
    assert graph.episodes[-1].completed == 2
    assert process.end() == 0


def test_a_judge_ends_episodes_where_nothing_is_simulated(graph, operator):
    graph.beating["referee"] = graph.beating.pop("sim_world")
    operator(episodes=2, sim=False, judge="referee", required_nodes=list(graph.beating))
    graph.wait_state(Episode.FINISHED)
    assert graph.outcomes() == {1: Episode.SUCCESS, 2: Episode.SUCCESS}, graph.ends()
    assert {name for name, _ in graph.calls} == {"arm_reset"}


def test_an_episode_without_success_times_out(graph, operator):
    graph.success_step = 99
    operator(episodes=1, max_steps=3)
    graph.wait_state(Episode.FINISHED)
    assert graph.outcomes() == {1: Episode.TIMEOUT}
    assert list(graph.final_verdicts().values()) == [StepVerdict.CONTINUE, StepVerdict.CONTINUE, StepVerdict.TIMEOUT]


def test_killing_the_operator_in_an_episode_loses_no_episode_and_no_verdict(graph, operator):
    graph.step_s, graph.success_step = 0.2, 4
    process = operator(episodes=3)
    for episode, step in ((1, 2), (2, 3)):
        graph.wait(lambda key=(episode, step): key in graph.results, f"the result of step {step}")
        process.kill()
        process.start()
        graph.wait(lambda number=episode: graph.outcomes().get(number) == Episode.ABORTED, f"the end of {episode}")
    graph.wait_state(Episode.FINISHED)
    assert graph.outcomes() == {1: 7, 2: 7, 3: Episode.SUCCESS, 4: Episode.SUCCESS, 5: Episode.SUCCESS}
    assert graph.episodes[-1].completed == 3
    graph.assert_every_result_has_its_verdict()
    assert not graph.stopped
    pauses = [name for name, _ in graph.calls if name in ("stop", "pause", "clear", "resume")]
    changes = [name for name, before in zip(pauses, ["", *pauses], strict=False) if name != before]
    assert changes == ["pause", "resume"] * 2


def test_killing_the_operator_at_random_moments_still_completes_the_run(graph, operator):
    graph.step_s, graph.success_step = 0.05, 3
    process = operator(episodes=4)
    for pause_s in (1.7, 0.9, 2.3):
        time.sleep(pause_s)
        process.kill()
        process.start()
    graph.wait_state(Episode.FINISHED)
    outcomes = list(graph.outcomes().values())
    assert outcomes.count(Episode.SUCCESS) == 4 == graph.episodes[-1].completed
    graph.assert_every_result_has_its_verdict()


def test_a_restarted_executor_aborts_the_episode_by_name(graph, operator):
    graph.step_s, graph.success_step = 0.5, 2
    operator(episodes=1)
    graph.wait_state(Episode.RUNNING, 1)
    graph.beating["vla_executor"] = "second"
    graph.wait(lambda: graph.outcomes().get(1) == Episode.ABORTED, "an aborted episode")
    assert [e.reason for e in graph.episodes if e.state == Episode.ABORTED] == ["vla_executor restarted"]
    graph.wait_state(Episode.FINISHED)
    assert graph.outcomes() == {1: Episode.ABORTED, 2: Episode.SUCCESS}
    graph.assert_every_result_has_its_verdict()


def test_a_silent_bridge_aborts_and_a_silent_learner_only_pauses(graph, operator):
    graph.prompting = False
    operator(episodes=1, silence_s=0.8)
    graph.wait_state(Episode.RUNNING, 1)
    del graph.beating["sarl_learner"]
    graph.let_beat(8)
    assert graph.shows(Episode.RUNNING, 1)
    graph.beating["sarl_learner"] = "second"
    del graph.beating["arm_bridge"]
    graph.wait(lambda: graph.outcomes().get(1) == Episode.ABORTED, "an aborted episode")
    assert "arm_bridge has been silent" in next(e.reason for e in graph.episodes if e.state == Episode.ABORTED)
    graph.prompting = True
    graph.beating["arm_bridge"] = "second"
    graph.wait_state(Episode.FINISHED)


def test_no_episode_starts_before_every_node_is_ready(graph, operator):
    del graph.beating["prompt_proposer"]
    operator(episodes=1)
    graph.wait_state(Episode.READY, 1)
    graph.let_beat(3)
    assert graph.shows(Episode.READY, 1)
    answer = graph.press(Button.START)
    assert not answer.success
    assert "prompt_proposer" in answer.message
    graph.beating["prompt_proposer"] = "first"
    graph.wait_state(Episode.FINISHED)


def test_hold_stops_the_arm_in_any_state_and_clear_goes_on(graph, operator):
    graph.step_s, graph.success_step = 0.3, 2
    operator(episodes=1)
    graph.wait_state(Episode.RUNNING, 1)
    assert graph.press(Button.HOLD).success
    graph.wait(lambda: graph.stopped and graph.shows(Episode.HELD, 1), "hold")
    assert not graph.press(Button.START).success
    assert graph.clear().success
    graph.wait(lambda: graph.outcomes().get(1) == Episode.ABORTED, "the abort")
    graph.wait(lambda: graph.shows(Episode.READY, 2) or graph.shows(Episode.RUNNING, 2), "the next episode")
    assert graph.press(Button.HOLD).success
    graph.wait_state(Episode.HELD, 2)
    assert graph.clear().success
    graph.wait_state(Episode.FINISHED)
    assert graph.press(Button.HOLD).success
    graph.wait_state(Episode.HELD)
    assert graph.clear().success
    graph.wait_state(Episode.FINISHED)
    graph.assert_every_result_has_its_verdict()


def test_a_clear_that_the_real_arm_refuses_is_not_repeated_and_the_person_is_told(graph, operator):
    operator(episodes=1, sim=False, **MANUAL)
    graph.wait(lambda: "hold" in graph.armed, "the buttons")
    assert graph.press(Button.HOLD).success
    graph.wait_state(Episode.HELD)
    graph.clear_refusal = "torque_lost: elbow without torque"
    assert graph.clear().success
    graph.wait(lambda: len(graph.calls) >= 3, "the clear and another stop")
    graph.wait(lambda: "elbow without torque" in graph.episodes[-1].reason, "the reason")
    assert graph.shows(Episode.HELD)
    graph.let_beat(13)
    assert [name for name, _ in graph.calls] == ["stop", "clear", "stop"]
    graph.clear_refusal = ""
    assert graph.clear().success
    graph.wait(lambda: graph.calls[-1][0] == "clear" and not graph.stopped, "the clear")


def test_a_reset_that_fails_is_tried_again(graph, operator):
    graph.reset_failures = 1
    operator(episodes=1)
    graph.wait_state(Episode.FINISHED)
    assert [name for name, _ in graph.calls] == ["arm_reset", "arm_reset", "sim_reset"]


def test_a_person_runs_two_episodes_by_the_buttons(graph, operator):
    graph.success_step, graph.step_s = 99, 30.0
    operator(auto=False, episodes=2, press_window_s=0.0, wait_for_learner=False)
    graph.wait_state(Episode.IDLE)
    assert graph.press(Button.START).success
    for episode, button, end in ((1, Button.SUCCESS, Episode.SUCCESS), (2, Button.FAILURE, Episode.FAILURE)):
        graph.wait_state(Episode.RESETTING, episode)
        assert graph.press(Button.RESET_DONE).success
        graph.wait_state(Episode.READY, episode)
        assert graph.press(Button.START).success
        graph.wait_state(Episode.RUNNING, episode)
        deadline = time.monotonic() + WAIT_S
        while not graph.press(button).success:
            assert time.monotonic() < deadline
        graph.wait(lambda number=episode, state=end: graph.outcomes().get(number) == state, "the end")
    graph.wait_state(Episode.FINISHED)
    assert graph.final_verdicts() == {(1, 1): StepVerdict.SUCCESS, (2, 1): StepVerdict.FAILURE}
    assert not graph.stopped


def test_a_bad_setting_is_one_line_and_no_traceback(graph, operator, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("objects: {sofa: {x: 0}}\n")
    for parameters, word in (
        ({"task": str(broken)}, "broken.yaml"),
        ({"task": "no_such_task"}, "no_such_task"),
        ({"judge": "''"}, "auto needs a judge"),
        ({"silence_s": 0.0}, "silence_s is 0.0"),
    ):
        process = operator(**parameters).process
        _, errors = process.communicate(timeout=20)
        lines = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert process.returncode == 2
        assert len(lines) == 1
        assert word in lines[0]
        assert "Traceback" not in errors


def test_a_run_is_not_resumed_with_other_settings_nor_by_two_operators(graph, operator):
    first = operator(episodes=1)
    graph.wait_state(Episode.FINISHED)
    _, errors = operator(episodes=1).process.communicate(timeout=20)
    assert "has an operator already" in errors
    assert first.end() == 0
    _, errors = operator(episodes=1, seed_base=200).process.communicate(timeout=20)
    assert "seed_base = 100, not 200" in errors
    operator(episodes=2)
    graph.wait(lambda: graph.episodes[-1].completed == 2, "one more episode")


def test_a_full_disk_holds_the_arm_and_ends_with_one_line(graph, operator):
    graph.step_s = 1.0
    one = operator(episodes=1)
    graph.wait_state(Episode.RUNNING, 1)
    verdicts = len(graph.verdicts)
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    _, errors = one.process.communicate(timeout=20)
    assert one.process.returncode == 2
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "operator.jsonl" in lines[0]
    assert graph.stopped
    assert len(graph.verdicts) == verdicts
    one.start()
    graph.wait_state(Episode.FINISHED)
    graph.assert_every_result_has_its_verdict()


def test_a_hold_that_cannot_be_journaled_is_a_stop_that_outlives_the_operator(graph, operator):
    one = operator(episodes=1, **MANUAL)
    graph.wait_armed("start", "hold")
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    assert not graph.press(Button.HOLD).success
    _, errors = one.process.communicate(timeout=20)
    assert one.process.returncode == 2, errors
    assert graph.stop, "stopped, not only paused"


def held_for_a_person(reason: str) -> bool:
    """Whether it says that the arm was stopped or, from an operator killed before it had heard so, its restart."""
    return "the arm was stopped" in reason or "the operator restarted" in reason


def begin_an_episode(graph, operator, auto: bool) -> OperatorProcess:
    process = operator(episodes=1, **({} if auto else MANUAL))
    if auto:
        graph.wait_state(Episode.RUNNING, 1)
    else:
        graph.wait_armed("start", "hold")
        assert graph.press(Button.START).success
        graph.wait_state(Episode.RESETTING, 1)
    return process


@pytest.mark.parametrize("auto", [True, False])
def test_a_stop_past_the_operator_holds_over_its_death_until_a_person_clears(graph, operator, auto):
    graph.step_s, graph.success_step = 0.3, 99
    process = begin_an_episode(graph, operator, auto)
    for _ in range(2):
        graph.stop_arm()
        process.kill()
        graph.armed = {}  # which the killed one has shown
        process.start()
        graph.wait(lambda: graph.shows(Episode.HELD) and held_for_a_person(graph.episodes[-1].reason), "the hold")
        before = len(graph.calls)
        graph.let_beat(8)
        assert graph.shows(Episode.HELD)
        assert not {"resume", "clear", "arm_reset", "sim_reset"} & {name for name, _ in graph.calls[before:]}
        assert graph.clear().success
        graph.wait(lambda: not graph.stopped, "the clear")


@pytest.mark.parametrize("auto", [True, False])
def test_nothing_clears_before_the_arm_has_told_whether_it_was_stopped(graph, operator, auto):
    graph.step_s, graph.success_step = 30.0, 99
    process = begin_an_episode(graph, operator, auto)
    assert process.end() == 0
    graph.arm_is_silent, graph.armed = True, {}
    graph.stop_arm()
    process.start()
    graph.wait(lambda: "the arm has told nothing yet" in graph.armed.get("clear", ""), "clear is refused")
    assert not graph.press(Button.CLEAR).success
    graph.wait_state(Episode.HELD)
    graph.let_beat(8)
    assert graph.shows(Episode.HELD)
    assert not {"resume", "clear"} & {name for name, _ in graph.calls}
    graph.arm_is_silent = False
    graph.wait(lambda: "the arm was stopped" in graph.episodes[-1].reason or not auto, "the hold is a person's")
    assert graph.clear().success
    graph.wait(lambda: not graph.stopped, "the clear")


def test_a_stop_that_a_clear_crosses_stays(graph, operator):
    operator(episodes=1, **MANUAL)
    graph.wait_armed("start", "hold")
    assert graph.press(Button.HOLD).success
    graph.wait_armed("hold", "clear")
    graph.stop = uuid.uuid4().hex  # the arm has not told of it yet
    assert graph.press(Button.CLEAR).success
    graph.wait(lambda: graph.shows(Episode.HELD) and "the arm was stopped" in graph.episodes[-1].reason, "the hold")
    assert graph.stopped
    assert graph.clear().success
    graph.wait(lambda: not graph.stopped, "the clear")


MANUAL = {"auto": False, "press_window_s": 0.0, "wait_for_learner": False, "end_shown_s": 0.5}


def test_the_buttons_say_which_are_armed_and_the_sources_of_presses_are_kept(graph, operator):
    graph.success_step, graph.step_s = 99, 30.0
    operator(episodes=1, **MANUAL)
    graph.wait_armed("start", "hold")
    assert graph.press_as("start", "console").accepted
    graph.wait_armed("reset_done", "hold")
    assert "no episode runs" in graph.armed["abort"]
    refused = graph.press_as("success", "terminal")
    assert (refused.accepted, refused.detail) == (False, graph.armed["success"])
    assert graph.press_as("reset_done", "console").accepted
    graph.wait_armed("start", "hold")
    assert graph.press_as("start", "terminal").accepted
    graph.wait_armed("success", "failure", "subgoal", "abort", "hold")
    assert graph.press_as("success", "console").accepted
    graph.wait_state(Episode.FINISHED)
    assert [verdict.source for verdict in graph.verdicts] == ["console"]
    assert list(graph.episodes[-1].outcomes) == [Episode.SUCCESS]
    assert graph.presses("console") == ["start", "reset_done", "success"]
    assert graph.presses("terminal") == ["success", "start"]


def test_a_double_press_is_one_press_and_a_hold_is_never_swallowed(graph, operator):
    operator(episodes=1, double_press_s=30.0, **MANUAL)
    graph.wait_state(Episode.IDLE)
    first = graph.press_as("start", "console")
    assert first.accepted
    again = graph.press_as("start", "console")
    assert (again.accepted, again.detail) == (first.accepted, first.detail)
    assert not graph.press_as("start", "terminal").accepted, "another source is another press"
    assert graph.press_as("hold", "console").accepted
    graph.wait_armed("hold", "clear")
    for button in ("clear", "hold", "hold"):
        assert graph.press_as(button, "console").accepted
    graph.wait_state(Episode.HELD)
    assert graph.press_as("dance", "console").detail.startswith("there is no button 'dance'")
    assert not graph.press_as("start", "auto").accepted
    graph.wait(lambda: len(graph.presses("console")) >= 4, "the presses")
    assert graph.presses("console") == ["start", "hold", "clear", "hold"]
    assert graph.clear().success
    assert graph.press(Button.HOLD).success
    assert graph.press_as("hold", "console").accepted, "a hold again is the same hold"
    graph.wait_armed("hold", "clear")
    assert graph.press_as("clear", "terminal").accepted
    assert graph.press_as("hold", "console").accepted
    graph.wait_state(Episode.HELD)


def test_a_recorder_that_cannot_record_blocks_the_start_and_a_silent_one_does_not(graph, operator):
    graph.recorder_faults = ["the disk is nearly full: make room"]
    operator(episodes=1, silence_s=1.0)
    graph.wait_state(Episode.READY, 1)
    graph.wait(lambda: "the disk is nearly full: make room" in graph.armed.get("start", ""), "the reason")
    answer = graph.press(Button.START)
    assert not answer.success
    assert "recorder: the disk is nearly full: make room" in answer.message
    graph.recorder_faults = None
    graph.wait_state(Episode.FINISHED)


def test_a_joystick_presses_on_edges_only(graph, operator):
    operator(episodes=1, joy_buttons=["hold", "", "clear", "start"], **MANUAL)
    graph.wait_state(Episode.IDLE)
    graph.wait(lambda: graph.joy.get_subscription_count() == 1, "the operator's ear")

    def report(*down: int, device: str = "pad") -> None:
        message = Joy(buttons=[int(index in down) for index in range(6)])
        message.header.frame_id = device
        graph.joy.publish(message)

    report(3, device="stuck")  # found with a button down, and again after its driver has restarted
    report(3, device="stuck")
    report()
    for down in ((3,), (3,), (3, 1), (1, 5)):
        report(*down)
    graph.wait_state(Episode.RESETTING, 1)
    report()
    report(0, 2)
    graph.wait_state(Episode.HELD)
    graph.wait_armed("hold", "clear")
    report(0)
    report(0, 2)  # with the hold still down
    graph.wait(lambda: graph.presses("joy")[-1] == "clear", "the refusal")
    assert "let it go first" in graph.events[-1].detail
    assert graph.shows(Episode.HELD)
    report()
    report(2)
    graph.wait_state(Episode.RESETTING, 1)
    assert graph.presses("joy") == ["start", "hold", "clear", "clear"]


def test_a_hold_that_went_down_while_there_was_no_operator_holds_when_it_is_found_down(graph, operator):
    operator(episodes=1, joy_buttons=["hold", "clear"], **MANUAL)
    graph.wait_state(Episode.IDLE)
    graph.wait(lambda: graph.joy.get_subscription_count() == 1, "the operator's ear")
    graph.joy.publish(Joy(buttons=[1, 1]))
    graph.wait_state(Episode.HELD)
    graph.joy.publish(Joy(buttons=[1, 1]))
    assert graph.clear().success, "a stuck pedal does not stand in everybody's way"
    graph.wait_state(Episode.IDLE)
    assert graph.presses("joy") == ["hold"]


def test_presses_at_random_are_each_answered_and_count_each_episode_once(graph, operator, tmp_path):
    graph.success_step, graph.step_s = 99, 0.005
    process = operator(auto=False, press_window_s=0.0, wait_for_learner=False, end_shown_s=0.0, double_press_s=0.0)
    choose = random.Random(7)
    likely = [Button.START, Button.RESET_DONE, Button.CLEAR, Button.SUCCESS, Button.FAILURE]
    for number in range(PRESSES):
        button = choose.choice(likely if choose.random() < 0.85 else list(Button))
        answer = graph.press_as(button, choose.choice(("console", "joy")))
        assert answer.detail, number
    newest = graph.press(Button.HOLD)
    assert newest.success
    graph.wait_state(Episode.HELD)
    shown = graph.episodes[-1]
    ended = [state for _, state in sorted(graph.outcomes().items()) if state != Episode.ABORTED]
    assert list(shown.outcomes) == ended
    assert shown.completed == len(ended) > 0
    graph.assert_every_result_has_its_verdict()
    assert process.end() == 0
    with Journal(tmp_path / "operator.jsonl") as journal:
        lines = journal.read()
    config = EpisodeConfig(max_steps=load_task("hammer").max_steps, seed_base=100, auto=False)
    machine = EpisodeMachine.replay(config, map(ev.event_from_json, lines))
    assert [int(outcome) for outcome in machine.outcomes] == ended
    assert sum(line["event"] in set(Button) for line in lines) == PRESSES + 1
