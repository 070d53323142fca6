"""Modes, control periods and faults of the arm driver, with joint states and a clock made by hand."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widowx_bridge.arm import CONTROL_PERIOD_S, FINGER_OPEN_M, RESET_JOINTS, ArmController
from widowx_bridge.detectors import Watch
from widowx_bridge.faults import AUTOMATIC_RECOVERIES, Fault, Finding
from widowx_bridge.reports import Mode
from widowx_bridge.samples import JUMP_CONFIRMATIONS, JointSample, SampleFilter
from widowx_bridge.session import PERIOD_NS, ArmSession

STILL = [0.0, 0, 0, 0, 0, 0, 1]
CLOSE = [0.0, 0, 0, 0, 0, 0, 0]
HALF_OPEN_M = 0.026
BROKEN = Finding(Fault.ERROR_OVERLOAD, "wrist_angle overload", ("wrist_angle",))


def sample(stamp_ns, joints=RESET_JOINTS, finger_m=HALF_OPEN_M, effort=0.0):
    return JointSample(stamp_ns, np.array(joints), np.zeros(6), np.full(6, effort), finger_m)


class Bench:
    """A session whose wire and reports are lists, at a steady time that the test sets."""

    def __init__(self, **options):
        self.sent, self.pwms, self.reports = [], [], []
        self.now_s = 0.0
        self.unconnected = None
        self.session = ArmSession(
            ArmController(),
            self.sent.append,
            self.pwms.append,
            self.reports.append,
            unconnected=lambda: self.unconnected,
            steady_s=lambda: self.now_s,
            **options,
        )

    def answers(self, seq):
        return [report for report in self.reports if report.seq == seq]

    def clear(self):
        """As a person does, who has looked first."""
        self.now_s += CONTROL_PERIOD_S
        return self.session.clear()


@pytest.fixture
def bench():
    made = Bench()
    made.session.sample(sample(0))
    return made


def test_a_command_is_answered_by_the_first_state_a_period_after_the_newest_one(bench):
    bench.session.sample(sample(50_000_000))
    bench.session.command(1, STILL)
    bench.session.sample(sample(50_000_000 + PERIOD_NS - 1))
    assert not bench.answers(1)
    assert bench.session.mode == Mode.MOVING
    bench.session.sample(sample(50_000_000 + PERIOD_NS))
    bench.session.sample(sample(50_000_000 + PERIOD_NS + 1))
    (answer,) = bench.answers(1)
    assert answer.accepted
    assert answer.mode == Mode.IDLE
    assert answer.sample.stamp_ns == 50_000_000 + PERIOD_NS


def test_a_repeated_stamp_answers_nothing(bench):
    bench.session.command(1, STILL)
    for _ in range(5):
        bench.session.sample(sample(0))
    assert not bench.answers(1)


def test_a_command_during_a_period_is_refused_and_sends_nothing(bench):
    bench.session.command(1, STILL)
    bench.session.command(2, STILL)
    assert len(bench.sent) == 1
    (answer,) = bench.answers(2)
    assert not answer.accepted
    assert "command 1" in answer.refusal


def test_the_same_command_twice_is_carried_out_and_answered_once(bench):
    bench.session.command(1, STILL)
    bench.session.command(1, STILL)
    bench.session.sample(sample(PERIOD_NS))
    assert len(bench.sent) == 1
    assert len(bench.answers(1)) == 1


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda bench: bench.session.stop(), "on hold"),
        (lambda bench: bench.session.fail(BROKEN), "wrist_angle overload: take away"),
        (lambda bench: setattr(bench, "unconnected", "nobody listens: start the driver"), "nobody listens"),
    ],
)
def test_commands_are_refused_with_the_reason_when_the_arm_must_not_move(bench, prepare, reason):
    prepare(bench)
    bench.session.command(1, STILL)
    (answer,) = bench.answers(1)
    assert not answer.accepted
    assert reason in answer.refusal
    assert not bench.sent


def test_a_command_before_any_joint_state_is_refused():
    bench = Bench()
    bench.session.command(1, STILL)
    (answer,) = bench.answers(1)
    assert "no joint_states" in answer.refusal
    assert np.isnan(answer.proprio).all()


def test_command_number_zero_is_refused(bench):
    bench.session.command(0, STILL)
    assert "never used" in bench.reports[-1].refusal
    assert not bench.sent


def test_a_command_with_nan_is_refused_and_the_next_one_works(bench):
    bench.session.command(1, [float("nan"), 0, 0, 0, 0, 0, 1])
    assert "not finite" in bench.answers(1)[0].refusal
    bench.session.command(2, STILL)
    assert len(bench.sent) == 1


def test_silence_after_a_command_is_a_fault_that_answers_it(bench):
    bench.session.command(1, STILL)
    bench.now_s = 0.9
    bench.session.tick()
    assert bench.session.mode == Mode.MOVING
    bench.now_s = 1.0
    bench.session.tick()
    (answer,) = bench.answers(1)
    assert not answer.accepted
    assert answer.mode == Mode.FAULT
    assert answer.faults == (
        "states_late: no joint_states answered a command for 1 s: check that the xs_sdk driver runs and its USB cable",
    )
    bench.session.sample(sample(PERIOD_NS))
    assert len(bench.answers(1)) == 1


def test_clearing_needs_joint_states_and_takes_the_measured_pose_as_target(bench):
    bench.session.fail(BROKEN)
    bench.now_s = 100.0
    assert bench.session.clear()[0] is False
    moved = RESET_JOINTS + 0.05
    bench.session.sample(sample(PERIOD_NS, moved))
    assert bench.session.clear()[0] is True
    assert bench.session.mode == Mode.IDLE
    assert bench.reports[-1].target == pytest.approx(bench.reports[-1].pose)


def test_a_stop_that_came_while_a_clear_was_under_way_is_kept(bench):
    bench.session.fail(BROKEN)
    asked = bench.session.stop_in_force
    bench.session.stop()
    bench.now_s += 1.0
    success, message = bench.session.clear(asked)
    assert not success
    assert "stopped meanwhile" in message
    assert bench.session.mode == Mode.FAULT
    assert bench.session.clear()[0]


def test_a_clear_that_names_another_stop_than_the_newest_ends_none(bench):
    bench.session.stop()
    first = bench.session.stop_in_force
    bench.session.stop()
    bench.now_s += 1.0
    assert bench.session.stop_in_force != first
    assert "stopped meanwhile" in bench.session.clear(first)[1]
    assert bench.session.mode == Mode.HOLD
    assert bench.session.clear(bench.session.stop_in_force)[0]
    assert bench.session.stop_in_force == ""


def test_a_clear_within_a_control_period_of_a_stop_is_refused(bench):
    bench.session.stop()
    bench.now_s += 0.99 * CONTROL_PERIOD_S
    success, message = bench.session.clear()
    assert not success
    assert "stopped just now" in message
    assert bench.session.mode == Mode.HOLD
    assert bench.clear()[0]


def test_a_pause_ends_by_itself_and_takes_no_stop_and_no_fault_with_it(bench):
    bench.session.pause()
    bench.session.command(1, STILL)
    assert "for a moment" in bench.answers(1)[0].refusal
    assert bench.session.resume() == (True, "goes on")
    bench.session.command(2, STILL)
    assert len(bench.sent) == 1
    bench.session.sample(sample(PERIOD_NS))
    bench.session.pause()
    bench.session.stop()
    resumed, message = bench.session.resume()
    assert not resumed
    assert "stopped meanwhile" in message
    assert bench.session.mode == Mode.HOLD
    assert bench.clear()[0]
    bench.session.fail(BROKEN)
    assert bench.session.resume()[0]
    assert bench.session.mode == Mode.FAULT


def test_a_stop_of_an_earlier_process_is_in_force_under_its_name_and_told(bench):
    bench = Bench(stop="5" * 32)
    bench.session.sample(sample(0))
    assert (bench.reports[-1].mode, bench.reports[-1].stop) == (Mode.HOLD, "5" * 32)
    bench.session.command(1, STILL)
    assert not bench.sent
    assert bench.session.clear("5" * 32)[0]
    assert bench.reports[-1].stop == ""


HOLDING = ("stop", "pause", "resume", "clear", "clear the one before", "wait", "command", "sample")


@given(st.lists(st.sampled_from(HOLDING), max_size=40))
@settings(max_examples=100, deadline=None)
def test_whatever_is_called_no_goal_follows_a_stop_before_it_was_named_in_a_clear(calls):
    bench, before, stamp_ns, seq = Bench(), "", 0, 0
    session = bench.session
    session.sample(sample(0))
    stopped, sent = False, 0
    for call in calls:
        bench.now_s += 0.05
        match call:
            case "stop":
                before = session.stop_in_force
                session.stop()
                stopped, sent = True, len(bench.sent)
            case "pause" | "resume":
                getattr(session, call)()
            case "clear" if session.mode != Mode.MOVING:
                cleared, _ = session.clear(session.stop_in_force)
                stopped = stopped and not cleared
            case "clear the one before" if before and stopped and session.mode != Mode.MOVING:
                assert not session.clear(before)[0]
            case "wait":
                bench.now_s += CONTROL_PERIOD_S
            case "command":
                seq += 1
                session.command(seq, STILL)
            case "sample":
                stamp_ns += PERIOD_NS
                session.sample(sample(stamp_ns))
        assert not stopped or len(bench.sent) == sent
        assert bool(session.stop_in_force) == stopped


def test_after_any_fault_the_motors_set_up_is_due_and_after_a_mere_stop_it_is_not(bench):
    bench.session.stop()
    assert bench.clear()[0]
    assert not bench.session.set_up_again.is_set()
    for fault in (Fault.MOTOR_MISSING, Fault.USB_GONE, Fault.STATES_LATE):
        bench.session.set_up_again.clear()
        bench.session.fail(Finding(fault, "gone"))
        assert bench.session.clear()[0]
        assert bench.session.set_up_again.is_set()


def test_a_reset_waits_for_the_motors_set_up(bench):
    bench.unconnected = "the motors are being set up"
    answers = []
    thread = threading.Thread(target=lambda: answers.append(bench.session.reset()))
    thread.start()
    time.sleep(0.1)
    assert not answers
    assert not bench.sent
    bench.unconnected = None
    bench.session.sample(sample(1))
    deadline = time.monotonic() + 10
    while not bench.sent:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    bench.session.close()
    thread.join(timeout=10)


def test_readings_that_repeat_over_a_clear_are_not_frozen(bench):
    bench.session.command(1, STILL)
    bench.session.sample(sample(PERIOD_NS))
    bench.session.fail(BROKEN)
    bench.session.clear()
    bench.session.seat()
    bench.session.command(2, [0.03, 0, 0, 0, 0, 0, 1])
    bench.session.sample(sample(50 * PERIOD_NS))
    assert not bench.session.faults


def test_a_service_that_falls_silent_again_and_again_waits_for_the_operator(bench):
    for _ in range(AUTOMATIC_RECOVERIES):
        bench.session.fail(Finding(Fault.SERVICE_SILENT, "no answer"))
        bench.session.recovered(Fault.SERVICE_SILENT)
        assert not bench.session.faults
    bench.session.fail(Finding(Fault.SERVICE_SILENT, "no answer"))
    bench.session.recovered(Fault.SERVICE_SILENT)
    assert Fault.SERVICE_SILENT in bench.session.faults


def test_a_stop_lets_the_running_period_answer_and_sends_nothing_more(bench):
    bench.session.command(1, STILL)
    bench.session.stop()
    bench.session.sample(sample(PERIOD_NS))
    (answer,) = bench.answers(1)
    assert answer.accepted
    assert answer.mode == Mode.HOLD
    bench.session.command(2, STILL)
    assert len(bench.sent) == 1


def test_a_restarted_driver_refuses_the_running_command_and_is_believed_once_the_motors_agree(bench):
    bench.session.sample(sample(10 * PERIOD_NS))
    bench.session.command(1, STILL)
    elsewhere = RESET_JOINTS + np.array([0.8, 0, 0, 0, 0, 0])
    bench.session.sample(sample(PERIOD_NS, elsewhere))
    (answer,) = bench.answers(1)
    assert not answer.accepted
    assert "restarted" in answer.refusal
    assert bench.session.set_up_again.is_set()
    bench.session.command(2, STILL)
    assert len(bench.sent) == 1
    assert "its motor says" in bench.session.seat(RESET_JOINTS)
    bench.session.command(3, STILL)
    assert len(bench.sent) == 1
    assert bench.session.seat(elsewhere) == ""
    bench.session.command(4, STILL)
    assert bench.sent[-1].joints == pytest.approx(elsewhere, abs=1e-3)


poses = st.lists(st.floats(-1.4, 1.4), min_size=6, max_size=6).map(np.array)
tales = st.lists(st.tuples(st.sampled_from(("ahead", "far ahead", "back")), poses, st.integers(1, 5)), max_size=12)


@pytest.mark.slow
@given(tales, st.lists(poses, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_joint_states_tell_no_goal_is_farther_than_a_periods_travel_from_the_last(told, actions):
    bench, stamp_ns = Bench(watch=Watch(idle_periods=2, stuck_error_rad=0.1, effort_limits=(500.0,) * 6)), 0
    session = bench.session
    session.sample(sample(0))
    session.command(1, STILL)
    session.sample(sample(PERIOD_NS))
    for number, (when, pose, count) in enumerate(told):
        for _ in range(count):
            stamp_ns += {"ahead": 10_000_000, "far ahead": 30 * PERIOD_NS, "back": -PERIOD_NS}[when]
            session.sample(sample(max(0, stamp_ns), RESET_JOINTS + pose, effort=400.0 * number))
            session.tick()
        bench.now_s += 1.0
        session.tick()
        session.command(number + 2, [*(actions[number % len(actions)] * 0.1), 1.0])
        if number % 3 == 2:
            session.clear()
    goals = np.array([command.joints for command in bench.sent])
    assert np.abs(np.diff(goals, axis=0)).max(initial=0.0) <= np.pi * CONTROL_PERIOD_S + 1e-5


def test_a_finger_at_its_end_stop_is_not_pushed_for_the_rest_of_the_period(bench):
    bench.session.command(1, STILL)
    bench.session.sample(sample(PERIOD_NS // 4))
    assert bench.pwms == []
    bench.session.sample(sample(PERIOD_NS // 2, finger_m=FINGER_OPEN_M))
    bench.session.sample(sample(PERIOD_NS * 3 // 4, finger_m=FINGER_OPEN_M))
    assert bench.pwms == [0.0]


def test_too_much_effort_is_a_fault_that_holds_at_the_measured_pose():
    bench = Bench(watch=Watch(effort_limits=(1000.0,) * 6))
    bench.session.sample(sample(0))
    bench.session.command(1, [0.03, 0, 0, 0, 0, 0, 1])
    for number in range(1, 12):
        assert bench.session.mode == Mode.MOVING
        bench.session.sample(sample(10_000_000 * number, RESET_JOINTS + 0.01, effort=-1100))
    assert bench.session.mode == Mode.FAULT
    assert not bench.answers(1)[0].accepted
    assert "waist draws 1100 mA" in bench.session.faults[Fault.OVERLOAD]
    assert bench.sent[-1].joints == pytest.approx(RESET_JOINTS + 0.01)
    bench.session.command(2, STILL)
    assert len(bench.sent) == 2


def test_a_fault_that_is_over_leaves_the_arm_where_it_is_until_a_slow_reset():
    bench = Bench(watch=Watch(effort_limits=(1000.0,) * 6))
    for number in range(12):
        bench.session.sample(sample(10_000_000 * number, effort=1100))
    assert bench.session.mode == Mode.FAULT
    bench.now_s = 0.6
    bench.session.sample(sample(800_000_000))
    bench.session.tick()
    assert bench.session.mode == Mode.IDLE
    bench.session.command(1, STILL)
    assert "recovered from overload: reset it" in bench.answers(1)[0].refusal
    assert not bench.sent


def test_a_fault_that_keeps_coming_back_waits_for_the_operator():
    bench = Bench(watch=Watch(effort_limits=(1000.0,) * 6))
    stamp_ns = 0
    for attempt in range(AUTOMATIC_RECOVERIES + 1):
        for _ in range(12):
            stamp_ns += 10_000_000
            bench.session.sample(sample(stamp_ns, effort=1100))
        assert bench.session.mode == Mode.FAULT
        bench.now_s += 1.0
        stamp_ns += 1_000_000_000
        bench.session.sample(sample(stamp_ns))
        bench.session.tick()
        assert (bench.session.mode == Mode.IDLE) == (attempt < AUTOMATIC_RECOVERIES)
    assert bench.session.clear()[0]
    assert bench.session.mode == Mode.IDLE


def test_an_arm_that_hears_nothing_for_two_periods_is_told_once_to_stay():
    bench = Bench(watch=Watch(idle_periods=2))
    bench.session.sample(sample(0))
    bench.session.command(1, [0.02, 0, 0, 0, 0, 0, 0])
    goal = bench.sent[-1]
    for number in range(1, 100):
        bench.session.sample(sample(number * 10_000_000, goal.joints))
    assert len(bench.sent) == 2
    assert bench.sent[1].joints == pytest.approx(goal.joints)
    assert bench.sent[1].gripper_pwm == goal.gripper_pwm < 0
    assert bench.session.watchdog_holds == 1
    bench.session.command(2, STILL)
    assert len(bench.sent) == 3


def test_the_command_watchdog_counts_the_drivers_time_not_the_computers():
    bench = Bench(watch=Watch(idle_periods=2))
    bench.session.sample(sample(0))
    bench.session.command(1, STILL)
    bench.session.sample(sample(PERIOD_NS))
    for second in range(100):
        bench.now_s = second
        bench.session.sample(sample(PERIOD_NS))
        bench.session.tick()
    assert len(bench.sent) == 1


def test_idle_states_are_published_at_their_rate(bench):
    before = len(bench.reports)
    for millisecond in range(1000):
        bench.now_s = millisecond * 1e-3
        bench.session.sample(sample(millisecond * 1_000_000))
    assert 9 <= len(bench.reports) - before <= 11
    assert all(report.seq == 0 for report in bench.reports)


class FollowingArm:
    """A session on real time whose arm stands, one period after each command, where it was told to."""

    def __init__(self, start):
        self.stamp_ns, self.goals, self.sag = 0, [], np.zeros(6)
        self.wake = threading.Condition()
        self.session = ArmSession(ArmController(), self.send, lambda pwm: None, lambda report: None)
        self.session.sample(sample(0, start))
        self.pending = []
        self.thread = threading.Thread(target=self.answer, daemon=True)
        self.thread.start()

    def send(self, command):
        with self.wake:
            self.goals.append(command.joints)
            self.pending.append(command.joints)
            self.wake.notify()

    def answer(self):
        while True:
            with self.wake:
                self.wake.wait_for(lambda: self.pending)
                joints = self.pending.pop()
            if joints is None:
                return
            self.stamp_ns += PERIOD_NS
            self.session.sample(sample(self.stamp_ns, joints + self.sag, FINGER_OPEN_M))

    def close(self):
        with self.wake:
            self.pending.append(None)
            self.wake.notify()
        self.thread.join()


def test_a_reset_streams_waypoints_to_the_reset_pose():
    arm = FollowingArm(RESET_JOINTS + np.array([0.8, 0.2, 0.1, 0, 0.2, 0]))
    success, message = arm.session.reset()
    arm.close()
    assert success, message
    assert np.array_equal(arm.goals[-1], RESET_JOINTS)
    assert len(arm.goals) > 4
    assert arm.session.mode == Mode.IDLE


def test_an_arm_that_hangs_below_its_goals_does_not_sink_with_every_stop_and_reset():
    sag = np.array([0, 0.03, -0.02, 0, 0, 0])
    arm = FollowingArm(RESET_JOINTS)
    arm.sag = sag
    assert arm.session.reset()[0]
    for _ in range(3):
        arm.session.stop()
        time.sleep(1.5 * CONTROL_PERIOD_S)
        assert arm.session.clear()[0]
        arm.session.command(1, STILL)
        deadline = time.monotonic() + 10
        while arm.session.mode != Mode.IDLE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert arm.session.reset()[0]
    arm.close()
    assert np.abs(np.array(arm.goals[1:]) - RESET_JOINTS).max() < 1e-3


def test_after_a_fault_a_reset_starts_from_where_the_arm_is(bench):
    bench.session.command(1, STILL)
    sagging = RESET_JOINTS + np.array([0, 0.03, 0, 0, 0, 0])
    bench.session.sample(sample(PERIOD_NS, sagging))
    bench.session.fail(BROKEN)
    assert bench.session.clear()[0]
    assert bench.reports[-1].target == pytest.approx(bench.reports[-1].pose)


def test_a_stop_ends_a_reset_within_one_waypoint():
    arm = FollowingArm(RESET_JOINTS + np.array([0.8, 0.2, 0.1, 0, 0.2, 0]))
    send, arm_goals = arm.send, arm.goals

    def stopping(command):
        send(command)
        if len(arm_goals) == 3:
            arm.session.stop()

    arm.session._send = stopping
    success, message = arm.session.reset()
    time.sleep(0.05)
    arm.close()
    assert not success
    assert "stopped" in message
    assert len(arm.goals) == 3
    assert arm.session.mode == Mode.HOLD


def test_closing_ends_a_reset_whose_driver_is_silent(bench):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(bench.session.reset()))
    thread.start()
    deadline = time.monotonic() + 10
    while not bench.sent:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    bench.session.close()
    thread.join(timeout=10)
    assert len(answers) == 1
    assert not answers[0][0]


def test_commands_during_a_reset_are_refused():
    arm = FollowingArm(RESET_JOINTS + np.array([0.8, 0, 0, 0, 0, 0]))
    refusals = []
    send = arm.send
    arm.session._publish_report = lambda report: refusals.append(report.refusal) if report.refusal else None

    def interrupting(command):
        if not refusals:
            arm.session.command(7, STILL)
        send(command)

    arm.session._send = interrupting
    assert arm.session.reset()[0]
    arm.close()
    assert len(refusals) == 1
    assert "reset" in refusals[0]


def test_a_reset_on_hold_is_refused(bench):
    bench.session.stop()
    success, message = bench.session.reset()
    assert not success
    assert "/arm/clear" in message


def test_zero_raw_ticks_are_not_believed():
    samples = SampleFilter()
    assert samples.reject(sample(0)) is None
    for stamp in range(1, 10):
        assert "joint limits" in samples.reject(sample(stamp, np.full(6, -np.pi)))
    assert samples.reject(sample(10)) is None


def test_a_jump_is_believed_only_when_it_stays():
    samples = SampleFilter()
    samples.reject(sample(0))
    jumped = RESET_JOINTS + np.array([0.8, 0, 0, 0, 0, 0])
    verdicts = [samples.reject(sample(stamp, jumped)) for stamp in range(1, JUMP_CONFIRMATIONS + 1)]
    assert all("jumped" in verdict for verdict in verdicts[:-1])
    assert verdicts[-1] is None


def test_a_jump_for_one_sample_is_forgotten():
    samples = SampleFilter()
    samples.reject(sample(0))
    jumped = RESET_JOINTS + np.array([0.8, 0, 0, 0, 0, 0])
    for stamp in range(1, 20, 2):
        assert samples.reject(sample(stamp, jumped)) is not None
        assert samples.reject(sample(stamp + 1)) is None


def test_motion_at_the_velocity_limit_is_no_jump():
    samples = SampleFilter()
    for step in range(20):
        joints = RESET_JOINTS + np.array([0.03 * step, 0, 0, 0, 0, 0])
        assert samples.reject(sample(step * 10_000_000, joints)) is None


def test_an_idle_state_that_came_right_after_another_is_published_by_the_next_tick(bench):
    bench.session.sample(sample(1))
    bench.session.sample(sample(2))
    bench.session.tick()
    bench.session.tick()
    assert [report.sample.stamp_ns for report in bench.reports] == [0, 2]
