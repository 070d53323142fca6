"""A prompt becomes a finished step, by one set of rules, whatever the arm says."""

from __future__ import annotations

import numpy as np
import pytest

from sarl_ros.core.types import Ended, Observation
from sarl_ros.policies.policy import Plan, PolicyError, PolicySpec
from sarl_ros.runtime.arm import Answer, StepEnded
from sarl_ros.runtime.step_runner import StepRunner

SEEN = Observation(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8), np.zeros(8, np.float32))
FORWARD = np.array([0.01, 0, 0, 0, 0, 0, 0], np.float32)
YES, NO = Answer(True), Answer(False, "out of reach")


class Forward:
    """Plans to go forward with the gripper closed; counts its plans, and fails at the one numbered `fails`."""

    spec = PolicySpec(chunk_size=4, identity="forward")

    def __init__(self, fails: int = 0, error: Exception | None = None) -> None:
        self.plans, self.fails, self.error = 0, fails, error
        self.noises: list[np.ndarray | None] = []

    def plan(self, observation, prompt, *, noise=None, seed=0):
        self.plans += 1
        self.noises.append(noise)
        if self.plans == self.fails:
            raise self.error
        return Plan(np.tile(FORWARD, (4, 1)))


class ScriptedArm:
    """Answers by a list, and yes after its end; the episode stops before action number `stops`."""

    def __init__(self, answers=(), stops: int = -1) -> None:
        self.answers, self.stops = list(answers), stops
        self.actions: list[np.ndarray] = []

    def observe(self):
        return SEEN

    def act(self, action):
        self.actions.append(np.asarray(action))
        return self.answers.pop(0) if self.answers else YES

    def running(self):
        return "the episode left RUNNING" if len(self.actions) == self.stops else ""


def run(arm, policy=None, steps=6, **settings):
    actor = settings.pop("actor", None)
    return StepRunner(policy or Forward(), 2, **settings).run(arm, "go forward.", 3, steps, actor)


def test_a_prompt_runs_for_as_many_periods_as_it_asks_and_plans_anew_after_each_two():
    arm, policy = ScriptedArm(), Forward()
    done = run(arm, policy)
    assert (done.ended, done.reason, done.control_steps, done.observation) == (Ended.COMPLETED, "", 6, SEEN)
    assert (len(arm.actions), policy.plans) == (6, 3)


def test_a_refused_action_is_replaced_by_a_period_of_holding_with_the_commanded_gripper_and_a_new_plan():
    arm, policy = ScriptedArm([YES, NO, YES]), Forward()
    done = run(arm, policy, steps=4)
    assert (done.ended, done.control_steps) == (Ended.COMPLETED, 4)
    np.testing.assert_array_equal(arm.actions[1], FORWARD)
    np.testing.assert_array_equal(arm.actions[2], [0, 0, 0, 0, 0, 0, FORWARD[6]])
    assert len(arm.actions) == 5
    assert policy.plans == 2, "the plan that led to the refusal is dropped"


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_more_refusals_in_a_row_than_allowed_end_the_step(allowed):
    arm = ScriptedArm([NO, YES] * allowed + [NO])
    done = run(arm, steps=20, max_refusals=allowed)
    assert (done.ended, done.control_steps, done.observation) == (Ended.FAULT, allowed, None)
    assert done.reason == "the arm refused: out of reach"


def test_refusals_that_are_not_in_a_row_end_nothing():
    done = run(ScriptedArm([NO, YES, YES] * 6), steps=12, max_refusals=1)
    assert (done.ended, done.control_steps) == (Ended.COMPLETED, 12)


def test_a_held_arm_ends_the_step_at_once_and_is_told_nothing_more():
    arm = ScriptedArm([YES, Answer(False, "stopped: clear it", held=True)])
    done = run(arm)
    assert (done.ended, done.control_steps) == (Ended.FAULT, 1)
    assert done.reason == "the arm refused: stopped: clear it"
    assert len(arm.actions) == 2


def test_an_arm_that_will_not_even_hold_still_ends_the_step():
    done = run(ScriptedArm([NO, Answer(False, "torque is off")]))
    assert (done.ended, done.reason) == (Ended.FAULT, "the arm refused to hold still: torque is off")


def test_an_episode_that_stops_ends_the_step_between_two_periods():
    arm = ScriptedArm(stops=3)
    done = run(arm)
    assert (done.ended, done.control_steps, len(arm.actions)) == (Ended.STOPPED, 3, 3)
    assert done.reason == "the episode left RUNNING"


def test_an_arm_that_goes_silent_within_a_period_ends_the_step_as_it_says():
    arm = ScriptedArm()
    arm.observe = lambda: (_ for _ in ()).throw(StepEnded(Ended.FAULT, "camera front sent no image"))
    done = run(arm)
    assert (done.ended, done.reason, done.control_steps) == (Ended.FAULT, "camera front sent no image", 0)


@pytest.mark.parametrize("error", [PolicyError("no route to gpu-box"), ValueError("odd image"), RuntimeError("nan")])
def test_a_policy_that_fails_ends_the_step_and_says_why(error):
    done = run(ScriptedArm(), Forward(fails=2, error=error))
    assert (done.ended, done.control_steps) == (Ended.FAULT, 2)
    assert done.reason == f"the policy failed: {error}"


class Backwards:
    """A chunk actor that turns every plan round and gives it noise."""

    def begin(self, prompt, seed):
        self.begun, self.count = (prompt, seed), 0

    def noise(self, observation):
        self.count += 1
        return np.full((4, 7), self.count, np.float32)

    def edit(self, observation, plan):
        return Plan(-plan.actions)

    def records(self):
        return bytes([self.count])


def test_a_chunk_actor_acts_on_noise_and_plans_inside_the_step_and_its_records_come_back():
    arm, policy, actor = ScriptedArm(), Forward(), Backwards()
    done = run(arm, policy, steps=4, actor=actor)
    assert actor.begun == ("go forward.", 3)
    assert done.chunk_records == b"\x02"
    assert [float(noise[0, 0]) for noise in policy.noises] == [1, 2]
    np.testing.assert_array_equal(arm.actions[0][:3], -FORWARD[:3])


def test_records_of_a_chunk_actor_come_back_from_a_step_that_ends_early_as_well():
    assert run(ScriptedArm(stops=1), actor=Backwards()).chunk_records == b"\x01"
