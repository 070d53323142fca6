"""The recorder as a real process over DDS, beside a small graph that publishes one topic of every kind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from domains import domain_of
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, Joy
from std_msgs.msg import String

from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from sarl_interfaces.msg import (
    ArmCommand,
    ArmState,
    Buttons,
    Candidate,
    Episode,
    EpisodeEvent,
    Judgement,
    LearnerStatus,
    NodeStatus,
    Prompt,
    Proposal,
    StepKey,
    StepResult,
    StepVerdict,
)
from sarl_ros.ros import convert, topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs.bringup import environment
from sarl_ros.store.bags import BagReader, find_bags

RUN = "the-run"
WAIT_S = 30.0
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
FRONT = topics.camera_image("front")
PIXELS = np.ascontiguousarray(np.mgrid[0:480, 0:640].sum(0)[..., None].repeat(3, -1).astype(np.uint8))

PROTOCOL = {
    topics.PROMPT: Prompt,
    topics.STEP_RESULT: StepResult,
    topics.STEP_VERDICT: StepVerdict,
    topics.EPISODE_EVENT: EpisodeEvent,
    topics.PROPOSAL: Proposal,
}
LATCHED = {topics.EPISODE: Episode, topics.LEARNER_STATUS: LearnerStatus, topics.BUTTONS: Buttons}
STREAMS = {
    topics.ARM_COMMAND: ArmCommand,
    topics.ARM_STATE: ArmState,
    topics.JUDGEMENT: Judgement,
    topics.CLOCK: Clock,
    topics.JOY: Joy,
    topics.camera_info("front"): CameraInfo,
    "/wx250s/joint_states": JointState,
    "/wx250s/commands/joint_group": JointGroupCommand,
    "/wx250s/commands/joint_single": JointSingleCommand,
}


class Graph:
    """Publishes what a run does, and hears the recorder's heartbeat."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("surroundings", context=self.context)
        self.publishers = {
            **{topic: self.publisher(kind, topic, topics.PROTOCOL) for topic, kind in PROTOCOL.items()},
            **{topic: self.publisher(kind, topic, topics.LATCHED) for topic, kind in LATCHED.items()},
            **{topic: self.publisher(kind, topic, topics.STREAM) for topic, kind in STREAMS.items()},
            FRONT: self.publisher(Image, FRONT, topics.IMAGE),
            "/best_effort": self.publisher(String, "/best_effort", BEST_EFFORT),
            "/_hidden": self.publisher(String, "/_hidden", topics.STREAM),
        }
        self.statuses: list[NodeStatus] = []
        self.node.create_subscription(NodeStatus, topics.NODE_STATUS, self.statuses.append, topics.STREAM)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), self.node)

    def publisher(self, kind, topic, quality):
        return self.node.create_publisher(kind, topic, quality)

    def publish(self, topic, message) -> None:
        self.publishers[topic].publish(message)

    def step(self, episode: int, step: int) -> None:
        """All protocol messages of a step, and one of each stream."""
        key = StepKey(run=RUN, episode=episode, step=step)
        for topic, kind in PROTOCOL.items():
            message = kind(key=key)
            if kind in (Prompt, Proposal):
                message.candidates = [Candidate(prompt="lift up.", probability=1.0)]
            if kind is StepResult:
                message.observation.front = convert.jpeg_to(PIXELS, 5, "front")
            self.publish(topic, message)
        for topic, kind in {**STREAMS, topics.LEARNER_STATUS: LearnerStatus, topics.BUTTONS: Buttons}.items():
            self.publish(topic, kind())
        self.publish("/best_effort", String(data=f"{episode} {step}"))
        self.publish("/_hidden", String())
        self.image()

    def image(self) -> None:
        self.publish(FRONT, convert.image_to(PIXELS, 7, "front"))

    def run(self, episode: int) -> None:
        self.publish(topics.EPISODE, Episode(run=RUN, episode=episode, state=Episode.RUNNING))

    def subscriptions(self) -> dict[str, set[bytes]]:
        """Who is subscribed to each topic; a killed recorder still is for a while."""
        return {
            topic: {bytes(end.endpoint_gid) for end in self.node.get_subscriptions_info_by_topic(topic)}
            for topic in self.publishers
            if topic != "/_hidden"
        }

    def wait_for_recorder(self, before: dict[str, set[bytes]]) -> None:
        """Until one that was not there `before` is subscribed to everything."""
        wait_until(
            lambda: all(ends - before[topic] for topic, ends in self.subscriptions().items()),
            "the recorder's subscriptions",
        )

    def close(self) -> None:
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.05)


@pytest.fixture
def graph(monkeypatch):
    for name, value in environment(domain_of(__name__)).items():
        monkeypatch.setenv(name, value)
    graph = Graph(domain_of(__name__))
    yield graph
    graph.close()


@pytest.fixture
def recorder(tmp_path):
    """Starts recorders on one run folder, and ends what is left of them."""
    run = tmp_path / RUN
    run.mkdir()
    (run / "config.yaml").write_text("sarl_learner:\n  ros__parameters:\n    task: hammer\n    preset: sim\n")
    processes = []

    def start(*parameters: str, before=()) -> subprocess.Popen:
        arguments = [part for parameter in (f"run_dir:={run}", *parameters) for part in ("-p", parameter)]
        with (run / "log").open("ab") as log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "sarl_ros.nodes.recorder.node", "--ros-args", *arguments],
                env=environment(domain_of(__name__)),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        processes.append(process)
        return process

    start.run = run
    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
    if processes:
        print((run / "log").read_text())


def end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0


def keys(path: Path, topic: str) -> set[tuple[int, int]]:
    found = set()
    for bag in find_bags([path]):
        reader = BagReader(bag)
        for message in reader.messages([topic]):
            key = reader.decode(message).key
            found.add((key.episode, key.step))
    return found


def count(bag: Path, topic: str) -> int:
    return sum(1 for _ in BagReader(bag).messages([topic]))


def names(run: Path) -> list[str]:
    return [bag.name for bag in find_bags([run])]


def test_a_recorder_killed_in_an_episode_loses_no_protocol_message(graph, recorder):
    bags = recorder.run / "bags"
    nobody = graph.subscriptions()
    first = recorder()
    graph.wait_for_recorder(nobody)
    graph.run(1)
    for step in range(3):
        graph.step(1, step)
    live = bags / "episode-0001.mcap"
    wait_until(lambda: live.is_file() and (1, 2) in keys(live, topics.PROPOSAL), "the bag")
    wait_until(lambda: count(live, f"{FRONT}/compressed") == 3, "the images")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert names(recorder.run) == ["episode-0001.mcap"]
    graph.step(1, 3)

    known = graph.subscriptions()
    second = recorder()
    graph.wait_for_recorder(known)
    again, last = bags / "episode-0001-2.mcap", bags / "episode-0002.mcap"
    wait_until(lambda: graph.image() or (again.is_file() and count(again, f"{FRONT}/compressed") > 0), "images again")
    for step in (4, 5):
        graph.step(1, step)
    wait_until(lambda: all((1, 5) in keys(again, topic) for topic in PROTOCOL), "all of the first episode")
    graph.run(2)
    graph.step(2, 0)
    wait_until(
        lambda: last.is_file() and all(keys(last, topic) == {(2, 0)} for topic in PROTOCOL), "the second episode"
    )
    expected = {*PROTOCOL, *LATCHED, *STREAMS, topics.NODE_STATUS, f"{FRONT}/compressed", "/best_effort"}

    def streams() -> bool:
        graph.publish("/best_effort", String(data="2 0"))  # of which a busy computer may lose one
        return expected <= set(BagReader(last).topics)

    wait_until(streams, "the streams")
    end(second)

    assert names(recorder.run) == ["episode-0001", "episode-0001-2", "episode-0002"]
    assert [BagReader(bag).truncated for bag in find_bags([bags])] == [True, False, False]
    for topic in PROTOCOL:
        assert keys(recorder.run, topic) == {(1, step) for step in range(6)} | {(2, 0)}
    assert count(bags / "episode-0001", f"{FRONT}/compressed") == 3
    assert count(bags / "episode-0002", f"{FRONT}/compressed") == 1
    whole = BagReader(bags / "episode-0002")
    assert expected <= set(whole.topics)
    assert not {FRONT, "/_hidden"} & set(whole.topics)
    assert next(whole.messages()).topic in (topics.EPISODE, topics.STEP_RESULT)
    assert whole.metadata["run"] == RUN
    assert whole.metadata["config"] == (recorder.run / "config.yaml").read_text()
    assert "updates_per_decision" in whole.metadata["preset"]
    assert whole.metadata["version"]
    check_both_readers(find_bags([bags]))


def check_both_readers(bags: list[Path]) -> None:
    """Every message of every type is decoded by both, alike."""
    for bag in bags:
        store = get_typestore(Stores.EMPTY)
        with Reader(bag) as reader:
            for connection in reader.connections:
                store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
            ours = [
                (connection.topic, time_ns, store.deserialize_cdr(data, connection.msgtype))
                for connection, time_ns, data in reader.messages()
            ]
        with (bag / f"{bag.name}.mcap").open("rb") as file:
            theirs = [
                (channel.topic, message.log_time, decoded)
                for _, channel, message, decoded in make_reader(
                    file, decoder_factories=[DecoderFactory()]
                ).iter_decoded_messages()
            ]
        assert [item[:2] for item in ours] == [item[:2] for item in theirs]
        for (topic, _, one), (_, _, other) in zip(ours, theirs, strict=True):
            if hasattr(one, "key"):
                assert (one.key.run, one.key.step) == (other.key.run, other.key.step)
            if topic == f"{FRONT}/compressed":
                assert bytes(other.data) == one.data.tobytes()
                assert cv2.imdecode(one.data, cv2.IMREAD_COLOR).shape == (480, 640, 3)


def test_what_cannot_be_taken_is_recorded_and_begins_no_bag(graph, recorder):
    process, nobody = recorder(f"run:={RUN}"), graph.subscriptions()
    graph.wait_for_recorder(nobody)
    graph.run(1)
    graph.step(1, 0)
    live = recorder.run / "bags" / "episode-0001.mcap"
    wait_until(lambda: live.is_file() and (1, 0) in keys(live, topics.PROPOSAL), "the bag")
    for run, episode in (("another-run", 7), (RUN, 2**32 - 1)):
        graph.publish(topics.EPISODE, Episode(run=run, episode=episode, state=Episode.RUNNING))
        graph.publish(topics.STEP_RESULT, StepResult(key=StepKey(run=run, episode=episode)))
    graph.publish(topics.STEP_RESULT, b"\x00\x01\x00\x00torn")
    graph.step(1, 1)
    wait_until(lambda: (1, 1) in keys(live, topics.PROPOSAL), "the next step")
    graph.run(2)
    graph.step(2, 0)
    last = live.with_name("episode-0002.mcap")
    wait_until(lambda: last.is_file() and (2, 0) in keys(last, topics.PROPOSAL), "the next episode")
    end(process)
    assert names(recorder.run) == ["episode-0001", "episode-0002"]
    assert keys(recorder.run, topics.PROPOSAL) == {(1, 0), (1, 1), (2, 0)}


def test_topics_are_recorded_late_raw_or_already_compressed_as_they_come(graph, recorder):
    process = recorder("raw_images:=true", "exclude:=['/joy']")
    wait_until(lambda: graph.publishers[FRONT].get_subscription_count() > 0, "the recorder")
    late = graph.publisher(String, "/late", QoSProfile(depth=1))
    wait_until(lambda: late.get_subscription_count() > 0, "the late topic's subscription")
    graph.image()
    late.publish(String(data="late"))
    bag = recorder.run / "bags" / "episode-0001.mcap"
    wait_until(lambda: bag.is_file() and count(bag, FRONT) == 1 and count(bag, "/late") == 1, "the messages")
    assert "/joy" not in BagReader(bag).topics
    end(process)

    compressed = graph.publisher(CompressedImage, f"{FRONT}/compressed", topics.IMAGE)
    process = recorder()
    wait_until(lambda: compressed.get_subscription_count() > 0, "the recorder")
    compressed.publish(CompressedImage(format="jpeg", data=b"abc"))
    bag = recorder.run / "bags" / "episode-0001-2.mcap"
    wait_until(lambda: bag.is_file() and count(bag, f"{FRONT}/compressed") == 1, "the image")
    end(process)
    assert names(recorder.run) == ["episode-0001", "episode-0001-2"]


def faults(graph: Graph) -> tuple[bool, str]:
    status = next((status for status in reversed(graph.statuses) if status.node == "recorder"), None)
    return (True, "") if status is None else (status.ready, " ".join(status.faults))


def test_short_space_is_told_in_the_heartbeat(graph, recorder):
    enough = 1.0e9  # MB
    process = recorder(f"warn_below_mb:={enough}")
    wait_until(lambda: "delete or move bags" in faults(graph)[1], "the warning")
    assert faults(graph)[0]
    end(process)
    graph.statuses.clear()
    process = recorder(f"warn_below_mb:={enough}", f"no_images_below_mb:={enough}")
    wait_until(lambda: not faults(graph)[0] and "no further episode" in faults(graph)[1], "the fault")
    end(process)


def test_a_refused_write_ends_neither_the_recorder_nor_the_protocol(graph, recorder):
    nobody = graph.subscriptions()
    process = recorder(before=["prlimit", "--fsize=1000000"])  # as a full disk: files cannot grow beyond it
    graph.wait_for_recorder(nobody)
    graph.run(1)
    graph.step(1, 0)
    deadline = time.monotonic() + WAIT_S
    while "cannot be written" not in faults(graph)[1]:
        assert time.monotonic() < deadline
        graph.image()
        time.sleep(0.02)
    assert not faults(graph)[0]
    graph.step(1, 1)
    wait_until(lambda: faults(graph)[0], "recording to go on")
    end(process)
    assert keys(recorder.run, topics.STEP_RESULT) == {(1, 0), (1, 1)}


def test_without_a_run_folder_it_says_what_to_do(recorder):
    answer = subprocess.run(
        [sys.executable, "-m", "sarl_ros.nodes.recorder.node"],
        env=environment(domain_of(__name__)),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2
    assert answer.stderr.strip() == "error: recorder: run_dir is not set: give the run's folder"
