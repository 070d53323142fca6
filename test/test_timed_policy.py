"""A policy that hangs fails its step, and is asked again when it has come back."""

import threading

import pytest

from sarl_ros.policies.policy import Plan, PolicyError
from sarl_ros.policies.still import StillPolicy
from sarl_ros.policies.timed import TimedPolicy

OBSERVATION = StillPolicy.spec.blank_observation()


class Slow(StillPolicy):
    """Hangs while `goes_on` is not set, and raises `error` if there is one."""

    def __init__(self):
        self.goes_on, self.back, self.error = threading.Event(), threading.Event(), None
        self.goes_on.set()

    def plan(self, observation, prompt, **drawn):
        self.goes_on.wait()
        if self.error is not None:
            raise self.error
        self.back.set()
        return super().plan(observation, prompt, **drawn)


def test_a_plan_is_the_policy_s_own():
    policy = TimedPolicy(Slow(), 60.0)
    assert policy.spec is StillPolicy.spec
    assert (policy.plan(OBSERVATION, "lift.").actions == StillPolicy().plan(OBSERVATION, "lift.").actions).all()


@pytest.mark.parametrize("error", [ValueError("the prompt is empty"), PolicyError("gone"), TimeoutError("its own")])
def test_what_the_policy_raises_is_raised(error):
    slow = Slow()
    slow.error = error
    with pytest.raises(type(error), match=str(error)):
        TimedPolicy(slow, 60.0).plan(OBSERVATION, "lift.")


def test_a_policy_that_hangs_fails_at_once_until_it_has_come_back():
    slow = Slow()
    policy = TimedPolicy(slow, 0.05)
    slow.goes_on.clear()
    with pytest.raises(PolicyError, match=r"no plan came within 0\.05 s"):
        policy.plan(OBSERVATION, "lift.")
    with pytest.raises(PolicyError, match="still hangs"):
        policy.plan(OBSERVATION, "lift.")
    slow.goes_on.set()
    assert slow.back.wait(20)
    assert asked_again(policy).actions.shape == (4, 7)


def asked_again(policy: TimedPolicy) -> Plan:
    """A plan, once the earlier one is on its way out no more."""
    for _ in range(1000):
        try:
            return policy.plan(OBSERVATION, "lift.")
        except PolicyError:
            threading.Event().wait(0.01)
    raise AssertionError("it is never asked again")
