"""What docs/write_a_bridge.md asks of the node that drives an arm, of each one that there is."""

from __future__ import annotations

import pytest
from arm_side import ArmSide, end, spawn

from sarl_interfaces.msg import ArmState
from sarl_interfaces.srv import ArmResume
from sarl_ros.ros import topics
from sarl_ros.runs.domains import claim_domain

FORWARD = [0.02, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
BRIDGES = {"widowx": ("sim_world", "arm_bridge"), "dry": ("dry_arm",)}


@pytest.fixture(scope="module", params=sorted(BRIDGES))
def arm(request, tmp_path_factory):
    domain, claim = claim_domain(wanted="")
    stop_file = f"stop_file:={tmp_path_factory.mktemp('arm')}/arm.stop"
    names = BRIDGES[request.param]
    processes = [spawn(name, domain, *([] if name == "sim_world" else [stop_file])) for name in names]
    side = ArmSide(domain)
    side.bridge, side.again = processes[-1], lambda: spawn(names[-1], domain, stop_file)
    try:
        side.wait_ready("arm_bridge", *names[:-1])
        yield side
    finally:
        side.close()
        for process in {*processes, side.bridge}:
            end(process)
        claim.close()


@pytest.fixture(autouse=True)
def at_the_reset_pose(arm):
    arm.clear()
    assert arm.call(topics.ARM_RESUME).success
    answer = arm.call(topics.ARM_RESET)
    assert answer.success, answer.message


def test_each_command_is_answered_once_and_moves_the_target_by_its_deltas(arm):
    answers = [arm.step(FORWARD) for _ in range(3)]
    assert all(answer.accepted for answer in answers)
    assert [round(float(answer.target[0]), 3) for answer in answers] == [0.32, 0.34, 0.36]
    assert answers[-1].proprio[0] == pytest.approx(0.36, abs=0.01)
    last = answers[-1].seq
    assert arm.wait(lambda: arm.states[-1].seq == 0), "states come unasked, too"
    assert [len(arm.answers(answer.seq)) for answer in answers] == [1, 1, 1]
    assert arm.step(FORWARD).seq == last + 1


def test_a_reset_goes_back_and_opens(arm):
    arm.step(FORWARD)
    assert arm.call(topics.ARM_RESET).success
    assert arm.wait(lambda: abs(arm.states[-1].pose[0] - 0.30) < 0.01 and arm.states[-1].gripper > 0.8)


def test_a_stop_refuses_everything_until_it_is_cleared_by_its_name(arm):
    assert arm.call(topics.ARM_STOP).success
    assert arm.wait(lambda: arm.states[-1].stop and arm.states[-1].mode == ArmState.HOLD)
    stop = arm.states[-1].stop
    refused = arm.step(FORWARD)
    assert (refused.accepted, bool(refused.refusal), refused.mode) == (False, True, ArmState.HOLD)
    assert not arm.call(topics.ARM_RESET).success
    assert not arm.call(topics.ARM_RESUME).success, "no person has cleared it"
    assert not arm.call(topics.ARM_RESUME, ArmResume.Request(stop="another")).success
    assert arm.states[-1].stop == stop
    assert arm.wait(lambda: arm.call(topics.ARM_RESUME, ArmResume.Request(stop=stop)).success)
    assert arm.step(FORWARD).accepted


def test_a_pause_ends_with_resume(arm):
    assert arm.call(topics.ARM_PAUSE).success
    assert not arm.step(FORWARD).accepted
    assert arm.call(topics.ARM_RESUME).success
    assert arm.step(FORWARD).accepted


def test_a_stop_outlives_the_bridge(arm):
    assert arm.call(topics.ARM_STOP).success
    killed = arm.incarnations["arm_bridge"]
    arm.bridge.kill()
    arm.bridge.communicate()
    arm.bridge = arm.again()
    arm.wait_for_another("arm_bridge", killed)
    assert arm.wait(lambda: arm.states and arm.states[-1].stop)
    assert not arm.step(FORWARD).accepted
