"""Foot pedals and key pads: edges, bouncing, unplugging, the node over DDS, and a device of a kernel with uinput."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
import rclpy
from domains import domain_of
from evdev import ecodes
from fakes.fifo_pedals import FifoDevice, encode, key
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Joy

from sarl_interfaces.msg import NodeStatus
from sarl_ros.core.joy_edges import JoyEdges
from sarl_ros.operating import pedals
from sarl_ros.operating.pedals import Pedals, PedalsError, PermissionMissing, find_devices, key_codes, open_device
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup

WAIT_S = 30.0
CODES = key_codes(["KEY_A", "", "KEY_B"])
UINPUT = os.access("/dev/uinput", os.W_OK)


class Rig:
    """Pedals on a pipe."""

    def __init__(self, folder, debounce_s=0.0, down=()):
        self.path = str(folder / "event0")
        self.down = down
        self.plug()
        self.pedals = Pedals(CODES, debounce_s, lambda: FifoDevice(self.path, self.down))
        assert self.pedals.wait(0.0) == []

    def plug(self):
        os.mkfifo(self.path)
        self.wire = os.open(self.path, os.O_RDWR)

    def unplug(self):
        os.unlink(self.path)
        os.close(self.wire)

    def send(self, *events):
        os.write(self.wire, encode(*events))
        return self.pedals.wait(1.0)


def test_keys_become_buttons_by_their_place_and_repetitions_do_not_count(tmp_path):
    rig = Rig(tmp_path)
    down = rig.send(key("KEY_B", 1), key("KEY_B", 2), key("KEY_Z", 1), key("KEY_B", 2))
    assert down == [[0, 0, 1]]
    assert rig.send(key("KEY_A", 1), key("KEY_B", 0)) == [[1, 0, 1], [1, 0, 0]]
    assert rig.pedals.buttons == [1, 0, 0]


def test_a_contact_that_bounces_is_one_press(tmp_path, monkeypatch):
    now_s = [10.0]
    monkeypatch.setattr(pedals, "time", types.SimpleNamespace(monotonic=lambda: now_s[0]))
    rig = Rig(tmp_path, debounce_s=0.03)
    bounces = [key("KEY_A", value) for value in (1, 0, 1, 0, 1)]
    assert rig.send(*bounces) == [[1, 0, 0]]
    assert rig.send(key("KEY_A", 0)) == []
    assert rig.pedals.wait(0.0) == []
    now_s[0] += 0.05
    assert rig.pedals.wait(0.0) == [[0, 0, 0]], "then it is as it is"


def test_a_key_that_is_down_when_the_device_is_opened_is_no_press(tmp_path):
    rig = Rig(tmp_path, down=[ecodes.KEY_A])
    assert rig.pedals.buttons == [0, 0, 0]
    assert rig.send(key("KEY_A", 2), key("KEY_A", 0)) == []
    assert rig.send(key("KEY_A", 1)) == [[1, 0, 0]]


def test_what_the_kernel_dropped_is_read_again_and_presses_nothing(tmp_path):
    rig = Rig(tmp_path)
    rig.send(key("KEY_A", 1))
    rig.pedals._device.down = [ecodes.KEY_B]
    assert rig.send((ecodes.EV_SYN, ecodes.SYN_DROPPED, 0)) == [[0, 0, 0]]
    assert rig.send(key("KEY_B", 0), key("KEY_B", 1)) == [[0, 0, 1]]


def test_an_unplugged_device_lets_all_keys_go_and_is_opened_again_when_it_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pedals, "REOPEN_S", 0.0)
    rig = Rig(tmp_path)
    rig.send(key("KEY_A", 1))
    rig.unplug()
    assert rig.pedals.wait(1.0) == [[0, 0, 0]]
    assert "unplugged" in rig.pedals.fault
    rig.pedals.wait(0.0)
    assert "plug the device in" in rig.pedals.fault
    rig.plug()
    rig.down = [ecodes.KEY_A]
    rig.pedals.wait(0.0)
    assert rig.pedals.fault == ""
    assert rig.send(key("KEY_A", 1), key("KEY_B", 1)) == [[0, 0, 1]], "what is held while it comes back is no press"


@settings(max_examples=50, deadline=None)
@given(
    keys=st.lists(st.tuples(st.sampled_from(["KEY_A", "KEY_B", "KEY_C"]), st.integers(0, 2)), max_size=40),
    cuts=st.sets(st.integers(0, 39), max_size=5),
)
def test_random_keys_press_on_their_edges_only(tmp_path_factory, keys, cuts):
    rig, edges = Rig(tmp_path_factory.mktemp("pipe")), JoyEdges()
    edges.pressed("pad", rig.pedals.buttons)
    down, presses, expected, batch = set(), [], [], []
    for number, (name, value) in enumerate(keys):
        batch.append(key(name, value))
        if name != "KEY_C" and value == 1 and name not in down:
            expected.append(name)
        down = down | {name} if value == 1 else down - {name} if value == 0 else down
        if number in cuts or number == len(keys) - 1:
            os.write(rig.wire, encode(*batch))
            batch = []
            for state in rig.pedals.wait(0.0) + rig.pedals.wait(0.0):  # evdev reads 64 events at a time
                presses += [("KEY_A", "", "KEY_B")[index] for index in edges.pressed("pad", state)]
    assert presses == expected
    rig.pedals.close()
    rig.unplug()


def test_a_joystick_that_dies_with_a_button_down_presses_nothing():
    edges = JoyEdges()
    assert edges.pressed("pad", [1, 0]) == [], "found with a button down"
    assert edges.pressed("pad", [1, 1]) == [1]
    assert edges.pressed("pad", [1, 1]) == [], "told again by a new process"
    assert edges.pressed("other", [1, 1]) == []
    assert edges.pressed("pad", [0]) == []
    assert edges.pressed("pad", [1, 1]) == [0], "a button that was not reported before is no edge"


@pytest.mark.parametrize(
    ("keys", "word"), [([""], "no keys"), (["A"], "no key 'A'"), (["KEY_A", "KEY_A"], "twice"), (["EV_KEY"], "EV_KEY")]
)
def test_keys_that_are_none_are_refused_by_name(keys, word):
    with pytest.raises(PedalsError, match=word):
        key_codes(keys)


def test_a_device_is_found_by_a_part_of_its_name_or_by_its_path(tmp_path):
    devices, names = tmp_path / "input", tmp_path / "sys"
    devices.mkdir()
    for number, name in enumerate(("AT Keyboard", "PCsensor FootSwitch Keyboard", "PCsensor FootSwitch Mouse")):
        (devices / f"event{number}").touch()
        (names / f"event{number}" / "device").mkdir(parents=True)
        (names / f"event{number}" / "device" / "name").write_text(name + "\n")
    found = find_devices("footswitch", devices, names)
    assert [(path.name, name) for path, name in found] == [
        ("event1", "PCsensor FootSwitch Keyboard"),
        ("event2", "PCsensor FootSwitch Mouse"),
    ]
    link = tmp_path / "by-id"
    link.symlink_to(devices / "event0")
    assert find_devices(str(link), devices, names) == [(devices / "event0", "AT Keyboard")]
    with pytest.raises(PedalsError, match="one of those there: 'AT Keyboard', 'PCsensor"):
        find_devices("gamepad", devices, names)
    with pytest.raises(PedalsError, match="plug the device in"):
        find_devices(str(tmp_path / "event9"), devices, names)


def test_a_device_that_may_not_be_read_names_the_udev_rule(tmp_path, monkeypatch):
    path = tmp_path / "event0"
    path.touch()

    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pedals, "InputDevice", refuse)
    with pytest.raises(PermissionMissing, match=r"udev/rules\.d") as raised:
        open_device(str(path), CODES)
    assert 'TAG+="uaccess"' in str(raised.value)
    assert "\n" not in str(raised.value)


class Ear:
    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_of(__name__))
        self.node = rclpy.create_node("ear", context=self.context)
        self.changed = threading.Condition()
        self.states, self.statuses = [], []
        self.node.create_subscription(Joy, topics.JOY, self.on_joy, topics.STREAM)
        self.node.create_subscription(NodeStatus, topics.NODE_STATUS, self.on_status, topics.STREAM)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), self.node)

    def on_joy(self, message):
        with self.changed:
            if not self.states or self.states[-1] != list(message.buttons):
                self.states.append(list(message.buttons))
            self.changed.notify_all()

    def on_status(self, message):
        with self.changed:
            self.statuses.append((message.ready, " ".join(message.faults)))
            self.changed.notify_all()

    def wait(self, condition, what):
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_S), f"{what}: {self.states}, {self.statuses[-3:]}"

    def close(self):
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def ear(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    ear = Ear()
    yield ear
    ear.close()


def node(module, *arguments):
    parts = [part for argument in arguments for part in ("-p", argument)]
    return subprocess.Popen(
        [sys.executable, *module, "--ros-args", *parts],
        env=bringup.environment(domain_of(__name__)),
        stderr=subprocess.PIPE,
        text=True,
    )


FAKE = [str(Path(__file__).parent / "fakes" / "fifo_pedals.py")]
REAL = ["-m", "sarl_ros.nodes.pedals"]


def test_the_node_tells_presses_and_unplugging_and_takes_the_device_back(tmp_path, ear):
    path = tmp_path / "event0"
    process = node(FAKE, f"device:={path}", "keys:=[KEY_A,'',KEY_B]", "debounce_s:=0.0")
    try:
        ear.wait(lambda: any("plug the device in" in faults for _, faults in ear.statuses), "the fault")
        assert not ear.statuses[-1][0]
        os.mkfifo(path)
        wire = os.open(path, os.O_RDWR)
        ear.wait(lambda: ear.statuses[-1] == (True, ""), "the device")
        ear.wait(lambda: ear.states == [[0, 0, 0]], "what is down before anything was pressed")
        os.write(wire, encode(key("KEY_B", 1)))
        ear.wait(lambda: ear.states[-1] == [0, 0, 1], "the press")
        os.unlink(path)
        os.close(wire)
        ear.wait(lambda: ear.states[-1] == [0, 0, 0], "the keys let go")
        ear.wait(lambda: "plug" in ear.statuses[-1][1], "the fault")
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.communicate()


def test_settings_that_cannot_work_end_the_node_with_one_line():
    for arguments, word in (
        (["keys:=[KEY_A]"], "device is empty"),
        (["device:=pad", "keys:=[SOFA]"], "no key 'SOFA'"),
        (["device:=pad"], "no keys"),
    ):
        process = node(REAL, *arguments)
        _, errors = process.communicate(timeout=WAIT_S)
        assert process.returncode == 2
        (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert word in line


@pytest.mark.skipif(not UINPUT, reason="no /dev/uinput that may be written")
def test_a_device_of_the_kernel_is_grabbed_read_and_missed_when_it_is_gone():
    from evdev import UInput

    name = f"sarl test pad {os.getpid()}"
    with UInput({ecodes.EV_KEY: [ecodes.KEY_A, ecodes.KEY_B]}, name=name) as pad:
        rig = Pedals(CODES, 0.0, lambda: open_device(name, CODES))
        rig.wait(0.0)
        assert rig.fault == ""
        assert stat.S_ISCHR(os.stat(rig._device.path).st_mode)
        with pytest.raises(PedalsError, match="another program has grabbed it"):
            open_device(name, CODES)
        pad.write(ecodes.EV_KEY, ecodes.KEY_B, 1)
        pad.syn()
        assert rig.wait(2.0) == [[0, 0, 1]]
    assert rig.wait(2.0) == [[0, 0, 0]]
    assert "unplugged" in rig.fault
