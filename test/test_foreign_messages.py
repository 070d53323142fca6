"""Whatever is sent to whichever topic, before a run and while it goes on: no node ends, the run goes to its end.

The topics are those that the running nodes have subscribed to, the fields those of their types: none is listed here.
"""

from __future__ import annotations

import json
import signal
import threading
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from domains import free_domain
from extremes import LONG, OTHER_RUN, altered, valid
from graph_tools import finish, make_run, node_pid, start
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import serialize_message

from sarl_interfaces.msg import Episode
from sarl_ros.analysis.records import check_records
from sarl_ros.nodes.bag_player import message_class
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup

pytestmark = pytest.mark.timeout(420)
WAIT_S = 90.0
EPISODES = 6
DELIVERY = Duration(seconds=5)
KEPT = (topics.EPISODE, topics.EPISODE_EVENT, topics.PROMPT, topics.STEP_RESULT, topics.STEP_VERDICT, topics.PROPOSAL)
# Of a plain message, what would move the arm, hold it, or stand for a node of the run: valid words are no noise.
HARMLESS = {
    "interbotix_xs_msgs/msg/JointGroupCommand": {"name": "nobody"},
    "interbotix_xs_msgs/msg/JointSingleCommand": {"name": "nobody"},
    "sensor_msgs/msg/JointState": {"name": ["nobody"], "position": [0.0], "velocity": [0.0], "effort": [0.0]},
    "sarl_interfaces/msg/NodeStatus": {"node": "stranger"},
}
# The arm stops while these have a second sender.
ONE_SENDER = ("/wx250s/joint_states", "/wx250s/commands/joint_group", topics.ARM_COMMAND)
NOT_SENT = ("/parameter_events", "/rosout")
PLAIN_WORDS = ("", LONG)


class Stranger:
    """A node of nobody's in the run's domain, that hears its diagnostics."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=free_domain(__name__))
        self.node = rclpy.create_node("stranger", context=self.context)
        self.sender = rclpy.create_node("strange_sender", context=self.context)  # is not spun: its publishers end
        self.changed = threading.Condition()
        self.counts: dict[str, dict[str, int]] = {}
        self.episode = 0
        self.node.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self.on_diagnostics, topics.STREAM)
        self.node.create_subscription(Episode, topics.EPISODE, self.on_episode, topics.LATCHED)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), self.node)

    def close(self) -> None:
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.sender.destroy_node()
        self.context.try_shutdown()

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        with self.changed:
            for status in message.status:
                if status.name.endswith(": messages"):
                    self.counts[status.hardware_id] = {each.key: int(each.value) for each in status.values}
            self.changed.notify_all()

    def on_episode(self, message: Episode) -> None:
        with self.changed:
            if message.run != OTHER_RUN and message.state == Episode.RUNNING:
                self.episode = max(self.episode, message.episode)
            self.changed.notify_all()

    def wait(self, condition, timeout_s: float = WAIT_S) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    def rejected(self, node: str, topic: str) -> int:
        return sum(count for what, count in self.counts.get(node, {}).items() if what.startswith(f"rejected {topic} "))

    def subscribed(self, nodes) -> dict[str, tuple[str, set[str]]]:
        """Type and subscribers of each topic that one of these nodes takes messages from."""
        found: dict[str, tuple[str, set[str]]] = {}
        for name, namespace in self.node.get_node_names_and_namespaces():
            owner = next((node for node in nodes if name == node or name.startswith(f"{node}_")), None)
            if owner is None:
                continue
            for topic, kinds in self.node.get_subscriber_names_and_types_by_node(name, namespace):
                if topic not in NOT_SENT:
                    found.setdefault(topic, (kinds[0], set()))[1].add(owner)
        return found

    def publisher(self, topic: str, kind_name: str):
        """Once every subscriber of the topic hears it."""
        publisher = self.sender.create_publisher(message_class(kind_name), topic, topics.PROTOCOL)
        takers = {bytes(end.endpoint_gid) for end in self.node.get_subscriptions_info_by_topic(topic)}
        wait_until(lambda: publisher.get_subscription_count() >= len(takers))
        return publisher


def wrong(kind_name: str, run: str) -> list:
    """All that can be wrong with a message of this type, some of it torn."""
    kind = message_class(kind_name)
    plain, foreign = valid(kind, run), valid(kind, OTHER_RUN)
    messages = [] if foreign == plain else [foreign]
    for field, value in HARMLESS.get(kind_name, {}).items():
        setattr(plain, field, value)
    whole = serialize_message(plain)
    messages += [whole[:-1], whole[: len(whole) // 2], b"\x00\x01\x00\x00"]
    return messages + [message for field, message in altered(plain) if plain_words(message, field)]


def plain_words(message, field: str) -> bool:
    """Words that mean something, such as an error of the learner, are not sent: whoever says them is to be heard."""
    value = message
    for part in field.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return not isinstance(value, str) or value in PLAIN_WORDS


def wait_until(condition, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def stranger(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(bringup.SHARED_MEMORY_PROFILE))
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain(__name__)))
    made = Stranger()
    yield made
    made.close()


def keep_garbage(stranger: Stranger, run: str) -> list:
    """Messages that each node gets as soon as it is there, and again when it is restarted."""
    publishers = []
    for topic in KEPT:
        kind = message_class(f"sarl_interfaces/msg/{''.join(map(str.title, topic.rpartition('/')[2].split('_')))}")
        publisher = stranger.sender.create_publisher(kind, topic, topics.PROTOCOL)
        publisher.publish(valid(kind, OTHER_RUN))
        for field in ("state", "ended", "verdict"):
            if hasattr(kind, field):
                message = valid(kind, run)
                setattr(message, field, 77)
                publisher.publish(message)
        publishers.append(publisher)
    return publishers


def test_no_message_ends_a_node_or_the_run_and_each_is_counted(tmp_path, stranger):
    # In real time, so that the run lasts until all is sent.
    folder = make_run(tmp_path, episodes=EPISODES, time="realtime", console=True, console_at="127.0.0.1:0")
    folder.set("operator", "max_aborts_in_a_row", 1000)
    folder.set("operator", "max_resets_in_a_row", 1000)
    nodes = [spec.name for spec in bringup.graph(folder.tree())]
    keep_garbage(stranger, folder.name)
    process = start(folder)
    try:
        assert stranger.wait(lambda: stranger.episode >= 2), "no second episode"
        pids = {name: node_pid(folder, name) for name in nodes}
        found = stranger.subscribed([*nodes, "sarl_monitor"])
        assert {topics.CLOCK, topics.JOY, topics.ARM_COMMAND, topics.camera_image("front")} <= set(found)

        def send(names) -> None:
            for topic in names:
                kind, _ = found[topic]
                publisher = stranger.publisher(topic, kind)
                for message in wrong(kind, folder.name):
                    publisher.publish(message)
                    time.sleep(0.002)  # no reader's history overflows
                if topic in ONE_SENDER:
                    publisher.wait_for_all_acked(DELIVERY)
                    stranger.sender.destroy_publisher(publisher)

        send(found)
        takers = {(topic, node) for topic, (_, those) in found.items() for node in those - {"recorder"}}

        def uncounted():
            return sorted((topic, node) for topic, node in takers if not stranger.rejected(node, topic))

        for _ in range(5):  # best effort, with room for one, as the clock's readers have it, may lose all of a burst
            if stranger.wait(lambda: not uncounted(), 15.0):
                break
            send({topic for topic, _ in uncounted()})
        assert not uncounted(), "not in diagnostics"
        assert {name: node_pid(folder, name) for name in nodes} == pids, "a node was restarted"
        output = finish(process, 240)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            finish(process, 30)
    assert process.returncode == 0, output
    assert " died (" not in output
    assert check_records(folder.path).problems == ()
    outcomes = [json.loads(line)["outcome"] for line in folder.episodes.read_text().splitlines()]
    assert len([outcome for outcome in outcomes if outcome != "ABORTED"]) == EPISODES
