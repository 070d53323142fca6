"""What comes from outside: every type of message with its fields anywhere is taken or refused in words, and what is
taken is understood by those who take it."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from extremes import OTHER_RUN, RUN, altered, any_message, valid
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import Image, Joy

from sarl_interfaces.msg import ArmState, Episode, LearnerStatus, Prompt, StepResult, StepVerdict
from sarl_ros.console.graph_state import GraphState
from sarl_ros.core.episode_events import Button
from sarl_ros.core.joy_edges import JoyEdges
from sarl_ros.core.message_checks import CHECKS
from sarl_ros.core.node_watch import NodeWatch
from sarl_ros.core.types import Ended, Verdict
from sarl_ros.nodes.bag_player import message_class
from sarl_ros.nodes.vla_executor.inbox import Inbox
from sarl_ros.ros import convert
from sarl_ros.ros.boundary import FRESH_S, SAY_AGAIN_S, Boundary
from sarl_ros.ros.cdr import image_cdr, image_rgb
from sarl_ros.runs.monitor import Monitor
from sarl_ros.runs.progress import Progress
from sarl_ros.sim.fault_script import ScriptError, parse_script
from sarl_ros.store.message_definitions import message_definition
from widowx_bridge.xs_client import StateReader

TYPES = sorted(CHECKS)
TOPIC = "/topic"
IMAGE = "sensor_msgs/msg/Image"


class Taker:
    """Everything that messages are put into, as far as it is free of ROS."""

    def __init__(self) -> None:
        self.board = GraphState(0.0)
        self.inbox = Inbox(("front", "wrist"), 0.0, 0.0)
        self.progress = SimpleNamespace(
            progress=Progress(), ended=[], _lock=self.board._lock, _prompted=set(), _executed=set()
        )
        self.reader = StateReader(lambda sample: None, lambda line: None)

    def take(self, name: str, message) -> None:
        """Raises nothing but the errors that callers of these expect."""
        board, inbox, progress, kind = self.board, self.inbox, self.progress, name.rpartition("/")[2]
        match kind:
            case "Episode":
                board.on_episode(message, 0.0)
                inbox.on_episode(message)
                Monitor._on_episode(progress, message)
            case "EpisodeEvent":
                board.on_event(message, 0.0)
                Monitor._on_event(progress, message)
            case "StepResult":
                board.on_result(message)
                Monitor._on_result(progress, message)
                Ended(message.ended)
                self._observe(message.observation)
            case "StepVerdict":
                Verdict(message.verdict)
                convert.key_from(message.key)
            case "Prompt":
                board.on_prompt(message, 0.0)
                inbox.on_prompt(message)
                Monitor._on_prompt(progress, message)
                assert not message.candidates or message.candidates[message.chosen].prompt is not None
            case "Proposal":
                board.on_proposal(message)
                assert len([convert.candidate_from(each) for each in message.candidates]) == len(message.candidates)
            case "LearnerStatus":
                board.on_learner(message)
                Monitor._on_learner(progress, message)
            case "NodeStatus":
                board.on_node(message, 0.0)
                Monitor._on_status(progress, message)
                NodeWatch(["vla_executor"]).heartbeat(message.node, message.incarnation, message.ready, 0.0)
            case "Buttons":
                board.on_buttons(message)
                assert all(Button(name) for name, _ in zip(message.name, message.why, strict=True))
            case "ArmState":
                board.on_arm(message, 0.0)
                inbox.on_arm_state(message)
                assert inbox.arm is None or np.isfinite(np.asarray(inbox.arm.proprio, np.float32)).all()
            case "DiagnosticArray":
                board.on_diagnostics(message, 0.0)
            case "JointState":
                self.reader(message)
            case "Joy":
                JoyEdges().pressed(message.header.frame_id, message.buttons)
            case "String":
                self._script(message.data)
        board.view(0.0)

    @staticmethod
    def _observe(message) -> None:
        with contextlib.suppress(ValueError):  # the learner counts it
            convert.observation_from(message)

    @staticmethod
    def _script(text: str) -> None:
        with contextlib.suppress(ScriptError):
            parse_script(text)


class Gate:
    """A boundary with a clock by hand, and what it says."""

    def __init__(self, run: str = RUN) -> None:
        self.now_s, self.said, self.taken = 0.0, [], []
        self.boundary = Boundary(self.said.append, lambda: self.now_s)
        self.boundary.run = run

    def send(self, message, raw: bool = False) -> bool:
        """Whether it reached the callback."""
        before = len(self.taken)
        self.boundary.guard(type(message), TOPIC, self.taken.append, raw)(serialize_message(message))
        return len(self.taken) > before


@pytest.mark.parametrize("name", TYPES)
def test_a_plain_message_is_taken(name):
    gate, kind = Gate(), message_class(name)
    assert gate.send(valid(kind), raw=name == IMAGE), gate.said


@pytest.mark.parametrize("name", TYPES)
def test_each_field_at_each_extreme_is_refused_in_words_or_understood(name):
    gate, taker, kind = Gate(), Taker(), message_class(name)
    count = 0
    for field, message in altered(valid(kind)):
        count += 1
        if gate.send(message, raw=name == IMAGE):
            if name == IMAGE:
                assert image_rgb(gate.taken[-1]).shape == (4, 4, 3), field
            else:
                taker.take(name, gate.taken[-1])
    refused = sum(gate.boundary.counts().values())
    assert refused + len(gate.taken) == count
    assert refused > 0, "no extreme of this type is refused: then what does its check say?"
    assert all(len(line) < 300 for line in gate.said)


@pytest.mark.parametrize("name", [name for name in TYPES if name != IMAGE])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_all_fields_hold_a_message_is_refused_in_words_or_understood(name, data):
    kind = message_class(name)
    message, gate = data.draw(any_message(kind)), Gate(run="")
    if gate.send(message):
        Taker().take(name, gate.taken[0])
    else:
        assert len(gate.said) == 1


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_bytes_that_are_cut_or_damaged_are_refused_or_a_message(name, data):
    whole = serialize_message(valid(message_class(name)))
    cut = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for index in data.draw(st.lists(st.integers(0, max(0, len(cut) - 1)), max_size=4)):
        if index < len(cut):
            cut[index] = data.draw(st.integers(0, 255))
    gate, taker = Gate(run=""), Taker()
    gate.boundary.guard(message_class(name), TOPIC, gate.taken.append, raw=name == IMAGE)(bytes(cut))
    assert bool(gate.taken) != bool(gate.said)
    if gate.taken and name == IMAGE:
        assert image_rgb(gate.taken[0]).ndim == 3
    elif gate.taken:
        taker.take(name, gate.taken[0])


@pytest.mark.parametrize(
    "name", [name for name in TYPES if not Gate(RUN).send(valid(message_class(name), OTHER_RUN), name == IMAGE)]
)
def test_a_message_of_another_run_is_counted_and_said_once_and_is_no_fault(name):
    gate, kind = Gate(), message_class(name)
    for _ in range(5):
        assert not gate.send(valid(kind, OTHER_RUN))
    assert gate.boundary.counts() == {f"{TOPIC} run": 5}
    assert len(gate.said) == 1
    assert OTHER_RUN in gate.said[0]
    assert gate.boundary.faults() == []
    assert Gate(run="").send(valid(kind, OTHER_RUN)), "a node that knows no run takes any"


@pytest.mark.parametrize("name", [name for name in TYPES if name.startswith(("sarl_interfaces/", "diagnostic_msgs/"))])
def test_a_record_says_of_each_message_what_the_wire_said(name):
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(message_definition(name), name))
    for field, message in altered(valid(message_class(name))):
        recorded = store.deserialize_cdr(serialize_message(message), name)
        assert bool(CHECKS[name](recorded)) == bool(CHECKS[name](message)), field


def test_every_message_that_names_a_run_is_held_against_ours():
    kinds = [kind for kind in map(message_class, TYPES) if {"run", "key"} & kind.get_fields_and_field_types().keys()]
    assert {Episode, StepResult, StepVerdict, Prompt, LearnerStatus} <= set(kinds)
    assert not [kind for kind in kinds if Gate().send(valid(kind, OTHER_RUN))]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Episode(run=RUN, state=77), "state"),
        (Episode(run=RUN, episode=1, state=Episode.FINISHED, episodes=12, completed=2, outcomes=[4, 5]), "state"),
        (Episode(run=RUN, episode=1, completed=3, outcomes=[4]), "outcomes"),
        (Episode(run=RUN, episode=1, completed=1, outcomes=[9]), "outcomes"),
        (LearnerStatus(run=RUN, temperature=float("inf")), "temperature"),
        (ArmState(seq=2**64 - 1), "seq"),
        (ArmState(mode=9), "mode"),
        (ArmState(proprio=[float("nan")] * 8), "proprio"),
    ],
)
def test_the_refusal_names_the_field(message, field):
    gate = Gate()
    assert not gate.send(message)
    assert gate.boundary.counts() == {f"{TOPIC} {field}": 1}
    assert f"{TOPIC}: {field}: " in gate.said[0]


def test_what_is_not_measured_may_be_missing_or_not_a_number():
    nan = float("nan")
    status = LearnerStatus(run=RUN, critic_loss=nan, recall=nan)
    state = valid(message_class("sensor_msgs/msg/JointState"))
    state.velocity, state.effort = [], []
    gate = Gate()
    assert gate.send(status)
    assert gate.send(state)


def test_a_refusal_from_before_the_first_joint_state_is_an_answer_and_nothing_to_see():
    gate, inbox = Gate(), Inbox((), 0.0, 0.0)
    refusal = ArmState(seq=3, accepted=False, refusal="no joint_states yet", proprio=[float("nan")] * 8)
    assert gate.send(refusal)
    inbox.on_arm_state(gate.taken[0])
    assert inbox.answered(3)
    assert inbox.arm is None


def test_numbers_for_some_of_the_joints_are_refused():
    state = valid(message_class("sensor_msgs/msg/JointState"))
    state.position = [0.0] * 4
    gate = Gate()
    assert not gate.send(state)
    assert "position: 4 values for 8 names" in gate.said[0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"encoding": "mono8"}, "encoding"),
        ({"height": 5}, "data"),
        ({"width": 5}, "step"),
        ({"step": 13}, "data"),
        ({"height": 2**32 - 1, "step": 2**32 - 1}, "height"),
        ({"data": []}, "data"),
        ({"height": 0, "data": []}, "height"),
    ],
)
def test_an_image_that_is_not_what_its_header_says_is_refused(changes, field):
    image = valid(Image)
    for name, value in changes.items():
        setattr(image, name, value)
    gate = Gate()
    assert not gate.send(image, raw=True)
    assert gate.boundary.counts() == {f"{TOPIC} {field}": 1}


def test_a_grey_image_is_refused_with_what_to_do():
    image = valid(Image)
    image.encoding = "mono8"
    gate = Gate()
    gate.send(image, raw=True)
    assert "image encoding 'mono8': set the camera to rgb8 or bgr8" in gate.boundary.faults()[0]


def test_an_image_with_longer_rows_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    padded = Image(height=6, width=5, encoding="bgr8", step=20)
    padded.data = np.pad(pixels.reshape(6, 15), ((0, 0), (0, 5))).ravel().tolist()
    gate = Gate()
    assert gate.send(padded, raw=True)
    assert np.array_equal(image_rgb(gate.taken[0]), pixels[..., ::-1])
    assert np.array_equal(image_rgb(image_cdr(pixels, 5, "frame")), pixels)


def test_a_reason_is_said_again_only_after_a_while_and_is_a_fault_only_while_it_lasts():
    gate = Gate()
    for _ in range(100):
        gate.send(Episode(run=RUN, state=99))
        gate.now_s += 0.1
    assert len(gate.said) == 1
    assert len(gate.boundary.faults()) == 1
    gate.now_s += FRESH_S
    assert gate.boundary.faults() == []
    assert gate.boundary.newest()[1] is False
    gate.now_s += SAY_AGAIN_S
    gate.send(Episode(run=RUN, state=98))
    assert len(gate.said) == 2
    assert gate.boundary.counts() == {f"{TOPIC} state": 101}


def test_a_type_that_nobody_has_described_cannot_be_subscribed_to():
    from geometry_msgs.msg import Twist

    with pytest.raises(KeyError, match="Twist"):
        Gate().boundary.guard(Twist, TOPIC, print, raw=False)
    with pytest.raises(ValueError, match="raw"):
        Gate().boundary.guard(Image, TOPIC, print, raw=False)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", cv2.imencode(".png", np.zeros((2, 2), np.uint16))[1].tobytes()[:20]]
)
def test_what_is_no_picture_is_a_value_error(data):
    from sensor_msgs.msg import CompressedImage

    with pytest.raises(ValueError, match="cannot be decoded"):
        convert.jpeg_from(CompressedImage(data=data))


def test_a_joystick_without_buttons_presses_nothing():
    gate = Gate()
    assert gate.send(Joy())
