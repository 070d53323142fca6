"""`sarl operate`: what keys mean, which run is joined, and a session in a pseudo-terminal against a real operator."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import rclpy
from domains import domain_of
from hypothesis import given
from hypothesis import strategies as st
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from sarl_interfaces.msg import Candidate, Episode, LearnerStatus, Proposal
from sarl_interfaces.srv import Steer
from sarl_ros.core import types
from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import EpisodeState, StepKey
from sarl_ros.operating.graph_view import GraphView
from sarl_ros.operating.terminal import ERASE, KEYS, Terminal
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError
from sarl_ros.runs.monitor import left_held
from sarl_ros.runs.progress import Progress, live_line
from sarl_ros.runs.run import held_line, waits_for_person
from sarl_ros.runs.running import announced, find_running

WAIT_S = 30.0


class Recorder:
    """Actions that are only remembered."""

    def __init__(self):
        self.done = []

    def press(self, button, tell):
        self.done.append(str(button))
        tell("done")

    def steer(self, take_over, key, prompt, tell):
        self.done.append((take_over, key, prompt))
        tell("done")


def terminal(**seen):
    hands = Recorder()
    view = GraphView(**seen)
    return Terminal(lambda: view, hands), hands


def test_each_button_has_its_key_and_hold_is_the_space_bar():
    assert set(KEYS.values()) == set(Button)
    assert KEYS[" "] is Button.HOLD
    seat, hands = terminal()
    for key in KEYS:
        seat.keys(key)
    assert hands.done == [str(button) for button in KEYS.values()]
    assert seat.message == "clear: done"


def test_a_paste_and_an_arrow_key_press_nothing_but_a_space_in_a_hurry_holds():
    seat, hands = terminal()
    for text in ("\x1b[A", "\x1bOs", "yes", "sy", "x"):
        seat.keys(text)
    assert hands.done == []
    seat.keys("    ")
    seat.keys("x y")
    assert hands.done == ["hold", "hold"]


def test_prompts_are_picked_by_number_and_typed_only_while_a_decision_waits():
    seat, hands = terminal()
    for key in ("t", "1", ":", "s"):
        seat.keys(key)
    assert hands.done == [(True, None, ""), "start"], "nothing is typed while nothing waits"
    key = StepKey("r", 1, 2)
    seat, hands = terminal(steering=True, awaited=key, candidates=[types.Candidate("lift."), types.Candidate("grasp.")])
    seat.keys("2")
    seat.keys("7")
    seat.keys(":")
    for character in "go y":
        seat.keys(character)
    seat.keys("\x7fup\r")
    seat.keys("t")
    assert hands.done == [(True, key, "grasp."), (True, key, "go up"), (False, None, "")]
    seat.keys(":")
    seat.keys("s")
    seat.keys("\x1b")
    seat.keys(" ")
    assert hands.done[-1] == "hold"


def test_a_space_holds_also_where_it_comes_with_the_key_before_it():
    key = StepKey("r", 1, 2)
    seat, hands = terminal(steering=True, awaited=key)
    seat.keys("\x1b ")
    seat.keys(":")
    seat.keys("go\r y")
    seat.keys(":")
    seat.keys("go\x1b ")
    assert hands.done == ["hold", "hold", "hold"], "and nothing else with it"
    seat.keys("ya")
    assert "one after the other" in seat.message


def test_of_several_keys_in_one_read_hold_is_pressed_and_nothing_else():
    seat, hands = terminal()
    for text in (" c", "c ", "c c", "ccc   ", "\x1bO ", "\x1b[ ", "\x00", "\u00a0", "c\u3000"):
        seat.keys(text)
    assert hands.done == ["hold"] * 9


@pytest.mark.parametrize("cuts", [(1,), (2,), (1, 2), (3,)])
@pytest.mark.parametrize("sequence", ["\x1b[C", "\x1b[A", "\x1bOC", "\x1b[1;5C", "\x1bOs"])
def test_an_arrow_key_that_a_slow_line_cuts_in_two_presses_nothing(sequence, cuts):
    seat, hands = terminal()
    ends = [0, *(cut for cut in cuts if cut < len(sequence)), len(sequence)]
    for begin, end in pairwise(ends):
        seat.keys(sequence[begin:end])
    assert hands.done == []
    seat.keys("\x1b")
    seat.keys("c")
    seat.keys("\x1b[")
    seat.keys(" ")
    assert hands.done == ["clear", "hold"], "a key after Escape is a key, and space holds whatever it cuts off"


def test_keys_mean_the_same_with_caps_lock():
    seat, hands = terminal()
    for key in KEYS:
        seat.keys(key.upper())
    seat.keys("SsS")
    assert hands.done == [*(str(button) for button in KEYS.values()), "start"]
    seat.keys("T")
    assert hands.done[-1] == (True, None, "")
    seat.keys("Q")
    assert seat.over


@given(st.text(min_size=1, max_size=6), st.booleans(), st.booleans())
def test_no_key_is_without_an_effect_and_without_a_word(text, awaits, types_a_prompt):
    key = StepKey("r", 1, 2) if awaits or types_a_prompt else None
    seat, hands = terminal(steering=True, awaited=key, candidates=[types.Candidate("lift.")])
    if types_a_prompt:
        seat.keys(":")
    before = "\n".join(seat.lines(0.0))
    seat.keys(text)
    if types_a_prompt and set(text) <= set(ERASE):
        return  # nothing was there to be erased
    after = "\n".join(seat.lines(0.0))
    assert seat.over or hands.done or after != before


def test_what_is_armed_stands_out_and_a_silent_operator_is_said():
    why = {button: "" if button is Button.HOLD else "no" for button in Button}
    seat, _ = terminal(run="r", episode=3, episodes=9, outcomes=(EpisodeState.SUCCESS,), why=why, operator_s=10.0)
    text = "\n".join(seat.lines(10.5))
    assert "\x1b[1mspace hold" in text
    assert "\x1b[2ms start" in text
    assert "(1 of 9 completed, 1 succeeded)" in text
    assert "silent" not in text
    assert "silent" in "\n".join(seat.lines(13.0))


def test_the_newest_run_that_is_up_is_found_and_a_dead_one_is_not(tmp_path):
    with pytest.raises(RunError, match="no run under"):
        find_running(None, tmp_path)
    for name in ("old", "new", "dead"):
        (tmp_path / name).mkdir()
    with announced(tmp_path / "old", 31), announced(tmp_path / "new", 32):
        os.utime(tmp_path / "old" / "graph.json", (1, 1))
        dead = {"domain": 33, "pid": os.getpid(), "started": "1"}
        (tmp_path / "dead" / "graph.json").write_text(json.dumps(dead))
        assert find_running(None, tmp_path).domain == 32
        assert find_running(tmp_path / "old", tmp_path).pid == os.getpid()
        with pytest.raises(RunError, match="does not run: start it"):
            find_running(tmp_path / "dead", tmp_path)
        shutil.copytree(tmp_path / "new", tmp_path / "copy of new")
        with pytest.raises(RunError, match="copy of new does not run"):
            find_running(tmp_path / "copy of new", tmp_path)
    assert not (tmp_path / "new" / "graph.json").exists()


def test_a_person_may_take_all_the_time_they_want():
    waiting = Progress(state=EpisodeState.READY)
    assert waits_for_person(waiting, attended=True)
    assert not waits_for_person(waiting, attended=False)
    running = Progress(state=EpisodeState.RUNNING)
    assert not waits_for_person(running, attended=True)
    running.steering = True
    assert waits_for_person(running, attended=False)
    assert waits_for_person(Progress(state=EpisodeState.HELD, held=True), attended=False)


def test_a_fault_that_lasts_is_told_with_its_newest_numbers_and_one_of_a_start_is_not(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress()
    progress.take_faults("recorder", ["12.5 GB are left on the disk"])
    progress.take_faults("arm_bridge", ["start the driver"])
    now[0] += 4.0
    progress.take_faults("recorder", ["9 GB are left on the disk"])
    progress.take_faults("arm_bridge", [])
    assert progress.lasting_faults() == {}
    now[0] += 2.0
    progress.take_faults("arm_bridge", ["start the driver"])
    assert list(progress.lasting_faults().values()) == ["recorder: 9 GB are left on the disk"]
    assert "recorder: 9 GB" in live_line(progress)
    progress.take_faults("recorder", [])
    assert progress.lasting_faults() == {}


class Session:
    """`sarl operate` in a pseudo-terminal of its own."""

    def __init__(self, folder):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sarl_ros.cli", "operate", "--run", str(folder)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={name: value for name, value in os.environ.items() if name != "ROS_DOMAIN_ID"} | {"COLUMNS": "200"},
        )
        os.close(slave)
        self.text = ""

    def key(self, text):
        os.write(self._master, text.encode())

    def wait(self, what, key=""):
        """Until the screen has shown something since the last call, pressing `key` again where nobody was there yet."""
        deadline, again_s = time.monotonic() + WAIT_S, 0.0
        while what not in self.text:
            if key and "is not there" in self.text and time.monotonic() > again_s:
                self.key(key)
                again_s = time.monotonic() + 1.0
            assert time.monotonic() < deadline, f"no {what!r} in {self.text[-3000:]!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self.text += os.read(self._master, 65536).decode(errors="replace")
        self.text = ""

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


class Others:
    """The learner, and an arm that can be stopped."""

    def __init__(self, run):
        self.run = run
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_of(__name__))
        self.node = rclpy.create_node("others", context=self.context)
        self.asked, self.stops = [], []
        self.statuses = self.node.create_publisher(LearnerStatus, topics.LEARNER_STATUS, topics.LATCHED)
        self.proposals = self.node.create_publisher(Proposal, topics.PROPOSAL, topics.PROTOCOL)
        self.node.create_service(Steer, topics.STEER, self.steer)
        self.node.create_service(Trigger, topics.ARM_STOP, self.stop)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), self.node)

    def steer(self, request, response):
        self.asked.append((request.take_over, request.key.step, request.prompt))
        self.statuses.publish(LearnerStatus(run=self.run, steering=request.take_over))
        if not request.prompt and request.take_over:
            message = Proposal(awaits_person=True, candidates=[Candidate(prompt="lift."), Candidate(prompt="grasp.")])
            message.key.run, message.key.episode = self.run, 1
            self.proposals.publish(message)
        response.accepted, response.detail = True, f"noted {request.prompt}"
        return response

    def stop(self, _, response):
        self.stops.append(True)
        response.success = True
        return response

    def close(self):
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()


def test_a_session_shows_the_episode_presses_holds_and_steers(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    run = tmp_path / "r"
    run.mkdir()
    settings = {
        "run_dir": run,
        "run": "r",
        "task": "hammer",
        "auto": "false",
        "sim": "false",
        "wait_for_learner": "false",
    }
    arguments = [part for name, value in settings.items() for part in ("-p", f"{name}:={value}")]
    operator = subprocess.Popen(
        [sys.executable, "-m", "sarl_ros.nodes.operator.node", "--ros-args", *arguments],
        env=bringup.environment(domain_of(__name__)),
    )
    others, session = Others("r"), None
    try:
        with announced(run, domain_of(__name__)):
            session = Session(run)
            session.wait("\x1b[1ms start")
            session.key("y")
            session.wait("success: no: success is not possible in IDLE")
            session.key("s")
            session.wait("RESETTING")
            session.key(" ")
            session.wait("held by a person")
            session.key("t")
            session.wait("hand back", key="t")
            others.node.create_publisher(Episode, topics.EPISODE, topics.LATCHED).publish(
                Episode(run="r", episode=1, state=Episode.RUNNING, max_steps=8)
            )
            session.wait("choose the prompt of step 1")
            session.key("2")
            session.wait("noted grasp.")
            assert others.asked == [(True, 0, ""), (True, 1, "grasp.")]
            operator.kill()
            session.wait("the operator is silent")
            stops = len(others.stops)
            session.key(" ")
            deadline = time.monotonic() + WAIT_S
            while len(others.stops) == stops:
                assert time.monotonic() < deadline, "space stops the arm without an operator"
                time.sleep(0.05)
            session.key("q")
            assert session.process.wait(WAIT_S) == 0
        journal = [json.loads(line) for line in (run / "operator.jsonl").read_text().splitlines()]
        assert [line["event"] for line in journal if line.get("source") == "terminal"] == ["success", "start", "hold"]
    finally:
        if session is not None:
            session.close()
        with operator:  # closes its pipes as well
            operator.kill()
        others.close()


def test_without_a_terminal_or_a_run_there_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sarl_ros.cli", "operate", "--run", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: `sarl operate` needs a terminal")
    session = Session(tmp_path)
    try:
        session.wait("does not run: start it with `sarl train --resume")
    finally:
        session.close()


def test_a_run_that_goes_on_stopped_waits_for_a_person_and_says_how_to_clear():
    def line(event, accepted=True):
        return {"event": event, "accepted": accepted}

    assert not left_held([])
    for event in ("hold", "arm_stopped", "clear_refused"):
        assert left_held([line("start"), line(event), line("clear", accepted=False), line("opened")])
        assert not left_held([line(event), line("clear"), line("opened")])
    said = held_line("the arm was stopped: clear when it is safe", "--run runs/a")
    assert said == "held: the arm was stopped: clear when it is safe (press c in `sarl operate --run runs/a`)"
