"""The vla_executor as a real process over DDS, with the policy "still", a fake arm, fake cameras, a fake operator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rclpy
from domains import domain_of
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

from sarl_interfaces.msg import ArmCommand, ArmState, Episode, NodeStatus, Prompt, StepKey, StepResult
from sarl_ros.ros import convert, topics
from sarl_ros.ros.spinning import SpinThread

PERIOD_NS = 200_000_000
DISCOVERY_S = 15.0


EXECUTOR = ("-m", "sarl_ros.nodes.vla_executor.node")
HANGING = (str(Path(__file__).parent / "fakes" / "executor_that_hangs.py"),)


def spawn(domain: int, *parameters: str, program: tuple[str, ...] = EXECUTOR) -> subprocess.Popen:
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_NUM_THREADS": "1",
    }
    arguments = [part for parameter in parameters for part in ("-p", parameter)]
    return subprocess.Popen(
        [sys.executable, *program, "--ros-args", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Graph:
    """What surrounds the executor. The arm answers each command one period later, with images of that time."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        node = self.node = rclpy.create_node("surroundings", context=self.context)
        self.changed = threading.Condition()
        self.commands: list[ArmCommand] = []
        self.results: list[StepResult] = []
        self.statuses: dict[str, bool] = {}
        self.faults: list[str] = []
        self.stamp_ns = 1_000_000_000
        self.number = 0
        self.answers = True
        self.refuse = lambda command: False
        self.image_lag_periods = 0
        self.arm = node.create_publisher(ArmState, topics.ARM_STATE, topics.STREAM)
        self.cameras = {
            name: node.create_publisher(Image, topics.camera_image(name), topics.IMAGE) for name in ("front", "wrist")
        }
        self.episodes = node.create_publisher(Episode, topics.EPISODE, topics.LATCHED)
        self.prompts = node.create_publisher(Prompt, topics.PROMPT, topics.PROTOCOL)
        node.create_subscription(ArmCommand, topics.ARM_COMMAND, self.on_command, topics.STREAM)
        node.create_subscription(StepResult, topics.STEP_RESULT, self.on_result, topics.PROTOCOL)
        node.create_subscription(NodeStatus, topics.NODE_STATUS, self.on_status, topics.STREAM)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), node)

    def close(self) -> None:
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()

    def on_command(self, command: ArmCommand) -> None:
        with self.changed:
            self.commands.append(command)
            self.changed.notify_all()
            if not self.answers:
                return
            refused = self.refuse(command)
        if not refused:
            self.stamp_ns += PERIOD_NS
            self.see()
        self.state(command.seq, accepted=not refused, refusal="out of reach: go back" if refused else "")

    def on_result(self, result: StepResult) -> None:
        with self.changed:
            self.results.append(result)
            self.changed.notify_all()

    def on_status(self, status: NodeStatus) -> None:
        with self.changed:
            self.statuses[status.incarnation] = status.ready
            self.faults = list(status.faults)
            self.changed.notify_all()

    def see(self) -> None:
        """Images of now; the front one's colour is the count of periods."""
        shade = self.stamp_ns // PERIOD_NS % 256
        stamp_ns = self.stamp_ns - self.image_lag_periods * PERIOD_NS
        self.cameras["front"].publish(convert.image_to(np.full((48, 64, 3), shade, np.uint8), stamp_ns, "front"))
        self.cameras["wrist"].publish(convert.image_to(np.full((24, 32, 3), 7, np.uint8), stamp_ns, "wrist"))

    def state(self, seq: int = 0, accepted: bool = True, refusal: str = "") -> None:
        message = ArmState(seq=seq, accepted=accepted, refusal=refusal, proprio=[0.3, 0, 0.1, 0, 0, 0, 0, 1])
        message.header.stamp = convert.to_time(self.stamp_ns)
        self.arm.publish(message)

    def tidy(self) -> None:
        self.answers, self.refuse, self.image_lag_periods = True, lambda command: False, 0
        self.commands.clear()
        self.results.clear()
        self.number += 1

    def publish_episode(self, state: int, step: int = 0) -> None:
        message = Episode(run="r", episode=self.number, state=state, seed=self.number, step=step, max_steps=8)
        message.header.stamp = convert.to_time(self.stamp_ns)
        self.episodes.publish(message)

    def begin(self) -> StepResult:
        """Reset, run, and the START result."""
        self.publish_episode(Episode.RESETTING)
        self.stamp_ns += PERIOD_NS
        self.see()
        self.state()
        self.publish_episode(Episode.RUNNING)
        return self.result(0)

    def prompt(self, step: int, text: str = "lift up.", control_steps: int = 4) -> None:
        key = StepKey(run="r", episode=self.number, step=step)
        self.prompts.publish(Prompt(key=key, prompt=text, control_steps=control_steps))

    def wait(self, condition, timeout_s: float = DISCOVERY_S) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    def result(self, step: int, count: int = 1) -> StepResult:
        def found():
            return [r for r in self.results if (r.key.episode, r.key.step) == (self.number, step)]

        assert self.wait(lambda: len(found()) >= count), f"{len(found())} results of step {step} instead of {count}"
        return found()[-1]


@pytest.fixture(scope="module")
def surroundings():
    process = spawn(domain_of(__name__), "policy:=still", "arm_timeout_s:=1.0")
    graph = Graph(domain_of(__name__))
    try:
        assert graph.wait(lambda: True in graph.statuses.values(), 30), "the executor never got ready"
        graph.publish_episode(Episode.IDLE)
        yield graph
    finally:
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=10)[0]
        graph.close()
        print(output)
    assert process.returncode == 0


@pytest.fixture
def graph(surroundings):
    """The surroundings in order, at an episode of the test's own."""
    surroundings.tidy()
    return surroundings


def test_each_prompt_has_one_result_with_the_observation_at_its_end(graph):
    start = graph.begin()
    assert (start.ended, start.control_steps) == (StepResult.START, 0)
    assert not graph.commands, "an episode's start moves nothing"
    for step in (1, 2):
        graph.prompt(step, "  Lift UP ", control_steps=4)
        result = graph.result(step)
        assert (result.ended, result.control_steps, result.prompt, result.reason) == (
            StepResult.COMPLETED,
            4,
            "lift up.",
            "",
        )
        assert convert.stamp_ns(result.observation.header.stamp) == graph.stamp_ns
        seen = convert.observation_from(result.observation)
        assert abs(int(seen.front[10, 10, 0]) - graph.stamp_ns // PERIOD_NS % 256) <= 2
        assert seen.wrist.shape == (24, 32, 3)
        np.testing.assert_allclose(seen.proprio, [0.3, 0, 0.1, 0, 0, 0, 0, 1], atol=1e-6)
    numbers = [command.seq for command in graph.commands]
    assert numbers == list(range(numbers[0], numbers[0] + 8))
    assert all(command.action.tolist() == [0, 0, 0, 0, 0, 0, 1] for command in graph.commands)
    assert len(graph.results) == 3


def test_a_repeated_prompt_is_not_run_again_and_has_its_result_repeated(graph):
    graph.begin()
    graph.prompt(1)
    first = graph.result(1)
    graph.prompt(1)
    again = graph.result(1, count=2)
    assert again == first
    assert len(graph.commands) == 4


def test_a_step_stops_within_one_control_period_when_the_episode_leaves_running(graph):
    graph.begin()
    graph.answers = False
    graph.prompt(1, control_steps=24)
    assert graph.wait(lambda: len(graph.commands) == 1)
    graph.publish_episode(Episode.HELD)
    stopped = graph.result(1)
    assert (stopped.ended, stopped.control_steps) == (StepResult.STOPPED, 0)
    assert "HELD" in stopped.reason
    assert len(graph.commands) == 1, "no command follows the one that was under way"
    graph.prompt(2)
    assert graph.result(2).ended == StepResult.REFUSED
    assert len(graph.commands) == 1


def test_a_prompt_that_crosses_the_end_of_its_episode_is_refused_unexecuted(graph):
    graph.begin()
    graph.publish_episode(Episode.SUCCESS)
    assert graph.episodes.wait_for_all_acked(Duration(seconds=DISCOVERY_S))
    graph.prompt(1)
    result = graph.result(1)
    assert result.ended == StepResult.REFUSED
    assert "not running" in result.reason
    assert not graph.commands


@pytest.mark.parametrize("text", ["", "  ", "a" * 10_000, "lift\aup"], ids=["empty", "blank", "long", "control"])
def test_a_bad_prompt_is_refused_in_one_line_and_the_next_step_runs(graph, text):
    graph.begin()
    graph.prompt(1, text)
    refused = graph.result(1)
    assert (refused.ended, refused.control_steps) == (StepResult.REFUSED, 0)
    assert refused.reason
    assert "\n" not in refused.reason
    assert not graph.commands
    graph.prompt(2, "open the gripper.")
    assert graph.result(2).ended == StepResult.COMPLETED


def test_a_prompt_out_of_order_is_refused(graph):
    graph.begin()
    graph.prompt(3)
    result = graph.result(3)
    assert result.ended == StepResult.REFUSED
    assert "step 3 does not follow step 0" in result.reason
    assert not graph.commands


def test_an_unreachable_action_becomes_a_period_of_holding_still(graph):
    graph.begin()
    seen: list[int] = []
    graph.refuse = lambda command: seen.append(command.seq) or len(seen) == 2
    graph.prompt(1, control_steps=4)
    result = graph.result(1)
    assert (result.ended, result.control_steps) == (StepResult.COMPLETED, 4)
    assert len(graph.commands) == 5


def test_an_arm_that_refuses_everything_is_a_fault_with_its_reason(graph):
    graph.begin()
    graph.refuse = lambda command: True
    graph.prompt(1)
    result = graph.result(1)
    assert (result.ended, result.control_steps) == (StepResult.FAULT, 0)
    assert "out of reach: go back" in result.reason


def test_a_silent_arm_is_a_fault_and_the_next_episode_runs(graph):
    graph.begin()
    graph.answers = False
    graph.prompt(1)
    result = graph.result(1)
    assert result.ended == StepResult.FAULT
    assert "did not answer within 1.0 s" in result.reason
    graph.answers = True
    graph.number += 1
    graph.begin()
    graph.prompt(1)
    assert graph.result(1).ended == StepResult.COMPLETED


def test_an_image_older_than_the_arm_state_is_not_used(graph):
    graph.begin()
    graph.image_lag_periods = 1
    graph.prompt(1)
    result = graph.result(1)
    assert (result.ended, result.control_steps) == (StepResult.FAULT, 2), "the second plan has no image"
    assert "camera front is 0.200 s older" in result.reason


def test_images_of_another_encoding_are_told_as_a_fault_and_the_step_goes_on_with_good_ones(graph):
    graph.begin()
    known, see = set(graph.statuses), graph.see

    def see_grey() -> None:
        for camera in graph.cameras.values():
            grey = convert.image_to(np.zeros((48, 64, 3), np.uint8), graph.stamp_ns, "front")
            grey.encoding = "mono8"
            camera.publish(grey)

    graph.see = see_grey
    graph.prompt(1)
    told = "image encoding 'mono8': set the camera to rgb8 or bgr8"
    assert graph.wait(lambda: any(told in fault for fault in graph.faults))
    assert graph.result(1).ended == StepResult.FAULT
    graph.see = see
    graph.number += 1
    graph.begin()
    graph.prompt(1)
    assert graph.result(1).ended == StepResult.COMPLETED
    assert graph.wait(lambda: not graph.faults)
    assert set(graph.statuses) == known, "the same process all along"


def test_a_command_number_from_nowhere_does_not_become_the_next_one(graph):
    graph.begin()
    graph.prompt(1)
    graph.result(1)
    newest = graph.commands[-1].seq
    for seq in (2**64 - 1, 2**53):
        graph.state(seq)
    graph.prompt(2)
    assert graph.result(2).ended == StepResult.COMPLETED
    assert graph.commands[-1].seq == newest + 4


def test_a_restarted_executor_leaves_the_steps_of_the_dead_one_alone_and_numbers_on(graph):
    graph.begin()
    graph.prompt(1)
    graph.result(1)
    graph.publish_episode(Episode.RUNNING, step=1)
    known = set(graph.statuses)
    second = spawn(graph.node.context.get_domain_id(), "policy:=still")
    try:
        assert graph.wait(lambda: any(ready for key, ready in graph.statuses.items() if key not in known))
        graph.prompt(2)
        answers = {graph.result(2, count).ended for count in (1, 2)}
        assert answers == {StepResult.COMPLETED, StepResult.REFUSED}, "by the first, and by the second"
        begun = [result.key.step for result in graph.results]
        assert sorted(begun) == [0, 1, 2, 2], "a kept prompt is not answered again, a running episode not started again"
        assert len(graph.commands) == 8
        newest = graph.commands[-1].seq
    finally:
        second.kill()
        second.communicate()
    graph.publish_episode(Episode.ABORTED)
    graph.number += 1
    graph.begin()
    graph.prompt(1)
    graph.result(1)
    assert graph.commands[-1].seq > newest


def test_a_plan_that_never_comes_fails_the_step_with_a_word_and_the_arm_is_left_alone():
    domain = domain_of(__name__, 1)
    process = spawn(domain, "plan_timeout_s:=0.5", program=HANGING)
    graph = Graph(domain)
    try:
        assert graph.wait(lambda: True in graph.statuses.values(), 30), "the executor never got ready"
        graph.tidy()
        graph.begin()
        graph.prompt(1)
        assert graph.result(1).ended == StepResult.COMPLETED
        graph.prompt(2, "hang.")
        result = graph.result(2)
        assert (result.ended, result.control_steps) == (StepResult.FAULT, 0)
        assert "no plan came within 0.5 s" in result.reason
        graph.publish_episode(Episode.ABORTED)
        graph.number += 1
        graph.begin()
        graph.prompt(1)
        result = graph.result(1)
        assert (result.ended, result.control_steps) == (StepResult.FAULT, 0)
        assert "still hangs" in result.reason
        assert len(graph.commands) == 4, "those of the step that ended well"
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=10)[0]
        assert process.returncode == 0, output
    finally:
        process.kill()
        process.communicate()
        graph.close()


def test_missing_weights_end_the_node_with_one_line():
    process = spawn(150, "policy:=/nowhere/weights")
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 2
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "/nowhere/weights" in errors[0]
