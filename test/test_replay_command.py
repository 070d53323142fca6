"""Recorded bags arrive on their topics again, byte for byte; nothing that commands an arm does."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import rclpy
import yaml
from bag_fixture import Tape, jpeg, serialized, write_bag
from domains import free_domain
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage

from sarl_interfaces import msg
from sarl_ros.commands.replay import ReplaySettings, make_session
from sarl_ros.core.types import Verdict
from sarl_ros.nodes.bag_player import robot_nodes
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from sarl_ros.store.bags import BagError, find_bags
from sarl_ros.store.playback import Playback, is_command

ROOT = Path(__file__).resolve().parents[1]
CAMERA = "/camera/front/color/image_raw/compressed"
LATCHED, KEPT = (topics.EPISODE, topics.LEARNER_STATUS), (topics.PROMPT, topics.STEP_RESULT, topics.STEP_VERDICT)


def tape(episodes=2):
    """A run with pictures and commands among the messages of its episodes."""
    recording = Tape("run")
    for episode in range(1, episodes + 1):
        recording.episode(episode, (Verdict.CONTINUE, Verdict.SUCCESS))
        for seq in range(5):
            recording.tell(CAMERA, jpeg(recording.now_ns))
            recording.tell(topics.ARM_COMMAND, msg.ArmCommand(seq=seq + 1))
            recording.tell("/wx250s/commands/joint_group", msg.ArmCommand(seq=seq + 1))
    return recording


def on_topic(told, topic):
    return [message for name, _, message in told if name == topic]


@pytest.mark.parametrize(
    "topic", ["/arm/command", "/wx250s/commands/joint_group", "/wx250s/commands/joint_single", "/joy"]
)
def test_topics_that_command_an_arm_are_known(topic):
    assert is_command(topic)
    assert not is_command("/arm/state")


def test_everything_is_played_in_order_and_commands_are_left_out(tmp_path):
    recording = tape()
    playback = Playback(recording.write(tmp_path), KEPT, LATCHED)
    cues = list(playback.cues())
    played = [(name, serialized(message)) for name, _, message in recording.told if not is_command(name)]
    assert [(cue.message.topic, cue.message.data) for cue in cues] == played
    assert [cue.due_s for cue in cues] == sorted(cue.due_s for cue in cues)
    assert set(playback.left_out) == {topics.ARM_COMMAND, "/wx250s/commands/joint_group"}
    assert cues[-1].due_s <= playback.duration_s == pytest.approx(0.01 * (len(recording.told) - 1))


def test_a_start_in_the_middle_tells_at_once_what_came_before(tmp_path):
    recording = tape()
    bags = recording.write(tmp_path)
    whole = Playback(bags, KEPT, LATCHED)
    cut = whole.duration_s / 2
    cues = list(Playback(bags, KEPT, LATCHED, start_s=cut).cues())
    at_once = [cue.message for cue in cues if cue.due_s == 0]
    before = [cue.message for cue in whole.cues() if cue.due_s < cut]
    kept = [message.data for message in before if message.topic in KEPT]
    assert [message.data for message in at_once if message.topic in KEPT] == kept
    newest = [message.data for message in before if message.topic == topics.EPISODE][-1]
    assert [message.data for message in at_once if message.topic == topics.EPISODE] == [newest]
    assert not [message for message in at_once if message.topic == CAMERA]
    assert len(cues) - len(at_once) == sum(cue.due_s >= cut for cue in whole.cues())


def test_one_episode_is_played_with_the_state_that_it_began_in(tmp_path):
    recording = tape()
    bags = recording.write(tmp_path)
    cues = list(Playback(bags, KEPT, LATCHED, episode=2).cues())
    states = [cue.message for cue in cues if cue.message.topic == topics.EPISODE]
    assert states[0].data == serialized(
        [each for each in on_topic(recording.told, topics.EPISODE) if each.episode == 2][1]
    ), "READY, from the bag before"
    prompts = {cue.message.data for cue in cues if cue.message.topic == topics.PROMPT}
    assert prompts == {serialized(each) for each in on_topic(recording.told, topics.PROMPT) if each.key.episode == 2}
    with pytest.raises(BagError, match="no bag of episode 7; there are bags of: 1, 2"):
        Playback(bags, episode=7)


def test_what_a_restarted_recorder_heard_again_is_played_once_and_its_absence_is_cut_short(tmp_path):
    recording = tape(1)
    half = len(recording.told) // 2
    away_ns = 60_000_000_000
    retained = [told for told in recording.told[:half] if told[0] in KEPT]
    again = [(topic, recording.told[half][1] + away_ns, message) for topic, _, message in retained]
    later = [(topic, time_ns + away_ns, message) for topic, time_ns, message in recording.told[half:]]
    metadata = recording.metadata | {"episode": "1"}
    write_bag(tmp_path, "episode-0001", recording.told[:half], metadata, sealed=False)
    write_bag(tmp_path, "episode-0001-2", [*again, *later], metadata)
    playback = Playback(find_bags([tmp_path]), KEPT, LATCHED)
    prompts = [cue.message.data for cue in playback.cues() if cue.message.topic == topics.PROMPT]
    assert prompts == [serialized(each) for each in on_topic(recording.told, topics.PROMPT)]
    assert playback.duration_s < 5


def test_a_start_past_the_end_is_refused(tmp_path):
    with pytest.raises(BagError, match="past the end"):
        Playback(tape().write(tmp_path), start_s=60.0)


def test_any_node_of_a_run_but_the_console_stops_a_replay():
    assert robot_nodes(["bag_player", "console", "rviz"]) == []
    assert robot_nodes(["bag_player", "vla_executor", "arm_bridge"]) == ["arm_bridge", "vla_executor"]


# With real processes.


@pytest.fixture
def heard():
    """What arrives in the domain, by topic, as bytes; with a way to wait for it."""
    outside = {name: os.environ.get(name) for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")}
    os.environ.update(ROS_DOMAIN_ID=str(free_domain(__name__)), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    rclpy.init()
    node = rclpy.create_node("listener")
    listener = Listener(node)
    spinner = SpinThread(SingleThreadedExecutor(), node)
    yield listener
    spinner.stop(timeout_s=20.0)
    node.destroy_node()
    rclpy.try_shutdown()
    for name, value in outside.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


class Listener:
    def __init__(self, node):
        self.node = node
        self.messages: dict[str, list[bytes]] = {}
        self.changed = threading.Condition()
        for kind, topic, quality in (
            (msg.Episode, topics.EPISODE, topics.PROTOCOL),
            (msg.Prompt, topics.PROMPT, topics.PROTOCOL),
            (msg.StepResult, topics.STEP_RESULT, topics.PROTOCOL),
            (msg.StepVerdict, topics.STEP_VERDICT, topics.PROTOCOL),
            (CompressedImage, CAMERA, QoSProfile(depth=64, reliability=ReliabilityPolicy.RELIABLE)),
            (msg.ArmCommand, topics.ARM_COMMAND, topics.STREAM),
            (msg.ArmCommand, "/wx250s/commands/joint_group", topics.STREAM),
        ):
            self.messages[topic] = []
            node.create_subscription(kind, topic, self.taker(topic), quality, raw=True)

    def taker(self, topic):
        def take(data):  # with padding at its end, up to a multiple of four bytes
            with self.changed:
                self.messages[topic].append(bytes(data))
                self.changed.notify_all()

        return take

    def wait(self, topic, count, timeout_s=30.0):
        with self.changed:
            return self.changed.wait_for(lambda: len(self.messages[topic]) >= count, timeout_s)


def start_replay(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "sarl_ros.cli", "replay", *map(str, arguments), "--domain", str(free_domain(__name__))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_replayed_run_arrives_on_its_topics_and_no_command_does(tmp_path, heard):
    recording = tape()
    recording.write(tmp_path / "bags")
    process = start_replay(tmp_path, "--rate", 0.5)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "not played: /arm/command, commands an arm" in output
    for topic in (topics.PROMPT, topics.STEP_RESULT, topics.STEP_VERDICT, CAMERA):
        told = [serialized(each) for each in on_topic(recording.told, topic)]
        assert len(heard.messages[topic]) == len(told), topic
        assert [data[: len(each)] for data, each in zip(heard.messages[topic], told, strict=True)] == told
    assert heard.messages[topics.EPISODE][-1].startswith(serialized(on_topic(recording.told, topics.EPISODE)[-1]))
    assert heard.messages[topics.ARM_COMMAND] == heard.messages["/wx250s/commands/joint_group"] == []


def test_a_loop_plays_again_until_ctrl_c_which_ends_it_cleanly(tmp_path, heard):
    recording = tape(1)
    recording.write(tmp_path / "bags")
    process = start_replay(tmp_path, "--loop", "--rate", 2)
    try:
        assert heard.wait(topics.PROMPT, 2 * len(on_topic(recording.told, topics.PROMPT)) + 1)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert output.endswith("the replay was stopped\n")
    assert "Traceback" not in output


def test_a_replay_stops_when_a_run_is_on_in_its_domain(tmp_path, heard):
    other = rclpy.create_node("arm_bridge")
    try:
        tape().write(tmp_path / "bags")
        process = start_replay(tmp_path, "--loop")
        output, _ = process.communicate(timeout=60)
    finally:
        other.destroy_node()
    assert process.returncode == 1
    assert "a run is on in this ROS domain (arm_bridge)" in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "nothing to play"),
        (("nowhere",), "holds no bag"),
        (("{run}", "--rate", "0"), "rate is 0"),
        (("{run}", "--start", "1000"), "past the end"),
        (("{run}", "--episode", "9"), "no bag of episode 9"),
    ],
)
def test_what_cannot_be_played_is_said_in_a_line(tmp_path, arguments, complaint):
    tape(1).write(tmp_path / "bags")
    process = start_replay(*(text.format(run=tmp_path) for text in arguments))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaint in output.splitlines()[-1]
    assert "Traceback" not in output


# The launch file.


def test_a_session_names_the_bags_and_the_console_only_if_it_is_wanted(tmp_path):
    for console in (None, "", "127.0.0.1:8123"):
        session = make_session(
            ReplaySettings((tmp_path,), rate=2.0, episode=3, console=console), tmp_path / str(console)
        )
        tree = yaml.safe_load(session.parameters.read_text())
        assert set(tree) == ({"bag_player"} if console is None else {"bag_player", "console"})
        if console:
            assert tree["console"]["ros__parameters"]["port"] == 8123
        player = tree["bag_player"]["ros__parameters"]
        assert (player["bags"], player["rate"], player["episode"]) == ([str(tmp_path)], 2.0, 3)
        assert [spec.name for spec in bringup.graph(tree, bringup.REPLAY_NODES)] == sorted(tree)


def test_the_player_is_installed_as_an_executable_for_ros2_launch():
    assert '"bag_player"' in (ROOT / "setup.py").read_text()
    assert bringup.BAG_PLAYER.module == "sarl_ros.nodes.bag_player"
    assert 'glob("launch/*.launch.py")' in (ROOT / "setup.py").read_text()
