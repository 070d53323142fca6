"""A whole graph that a person operates and steers through its services, and its store made again from the bags."""

import threading
import time

import pytest
from graph_tools import finish, make_run, start, wait_running, without_page

from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import EpisodeState
from sarl_ros.records.demonstrations import export_demonstrations
from sarl_ros.ros.operator_client import open_operator_client
from sarl_ros.runs import bringup
from sarl_ros.runs.rebuild import rebuild_command
from sarl_ros.store.replay_store import DecisionRecord, read_entries

pytestmark = pytest.mark.timeout(300)
WAIT_S = 90.0


class Person:
    """Somebody with a seat at a run, who waits for what they want to see and presses until it counts."""

    def __init__(self, seat):
        self._seat = seat

    @property
    def seen(self):
        return self._seat.view

    def until(self, condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, (what, self.seen)
            time.sleep(0.01)

    def until_state(self, state, episode):
        self.until(lambda: (self.seen.state, self.seen.episode) == (state, episode), f"{state.name} of {episode}")

    def _answer(self, ask):
        answered, answers = threading.Event(), []
        ask(lambda text: (answers.append(text), answered.set()))
        assert answered.wait(WAIT_S)
        return str(answers[0])

    def press(self, button):
        answer = "is not there"  # an operator that is heard may take a moment more to be reached
        while answer.endswith(("is not there", "try again")):
            self.until(lambda: not self.seen.why.get(button, "unknown"), f"{button} armed")
            answer = self._answer(lambda tell: self._seat.press(button, tell))
        assert not answer.startswith("no: "), answer

    def take_over(self):
        self.until(
            lambda: "next decision" in self._answer(lambda tell: self._seat.steer(True, None, "", tell)), "a take-over"
        )

    def choose(self, prompt):
        self.until(lambda: self.seen.awaited is not None, "a decision that waits")
        key = self.seen.awaited
        answer = self._answer(lambda tell: self._seat.steer(True, key, prompt, tell))
        assert not answer.startswith("no: "), answer
        self.until(lambda: self.seen.awaited != key, "the decision")


def test_a_person_operates_and_steers_a_run_and_its_bags_give_the_same_store(tmp_path, monkeypatch):
    folder = make_run(tmp_path, episodes=2, operate=True)
    without_page(folder)
    process = start(folder)
    try:
        graph = wait_running(folder, process)
        for name, value in bringup.environment(graph.domain).items():
            monkeypatch.setenv(name, value)
        with open_operator_client("terminal") as seat:
            person = Person(seat)
            person.press(Button.START)
            person.press(Button.RESET_DONE)
            person.take_over()
            person.press(Button.START)
            person.choose("Lift it  up")
            person.choose("move down and grasp")
            person.until(lambda: person.seen.awaited is not None, "a decision that waits")
            person.press(Button.SUBGOAL)
            person.press(Button.SUCCESS)
            person.until_state(EpisodeState.RESETTING, 2)
            assert not person.seen.steering
            person.press(Button.RESET_DONE)
            person.press(Button.START)
            person.press(Button.FAILURE)
            person.until(lambda: person.seen.state is EpisodeState.FINISHED, "the end")
            assert person.seen.outcomes == (EpisodeState.SUCCESS, EpisodeState.FAILURE)
        output = finish(process, 60)
        assert process.returncode == 0, output
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    store = folder.path / "replay.srl"
    entries, _ = read_entries(store, 0, store.stat().st_size)
    chosen = [entry.decision for entry in entries if isinstance(entry, DecisionRecord) and entry.key.episode == 1]
    assert [(each.prompt, each.agent) for each in chosen] == [
        ("lift it up.", "steer"),
        ("move down and grasp.", "steer"),
    ]
    assert export_demonstrations(folder.path, tmp_path / "x.demos", task="hammer", weights_hash="") == 1
    assert rebuild_command(folder.path)["identical"]
