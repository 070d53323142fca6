"""The table of faults, the detectors, and what the motors' keeper does about them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from sarl_ros.nodes.sim_world.driver import to_ticks
from widowx_bridge import faults
from widowx_bridge.arm import RESET_JOINTS, SLEEP_JOINTS, ArmController
from widowx_bridge.detectors import (
    IMPLAUSIBLE_SAMPLES,
    Frozen,
    Implausible,
    LateStates,
    Overcurrent,
    Stuck,
    UsbWatch,
)
from widowx_bridge.driver import MOTORS, DriverError, GroupInfo, ServiceSilent
from widowx_bridge.faults import TABLE, Fault, Finding, Recovery, decode_errors, ends_by_itself, words
from widowx_bridge.motors import START_S, MotorKeeper, MotorSettings
from widowx_bridge.reports import Mode
from widowx_bridge.samples import JointSample
from widowx_bridge.session import ArmSession

MILLISECOND_NS = 1_000_000
GUIDE = Path(__file__).parents[1] / "docs" / "faults.md"


def sample(stamp_ms: int, joints=RESET_JOINTS, effort=0.0, velocity=0.0) -> JointSample:
    shape = np.ones(6)
    return JointSample(stamp_ms * MILLISECOND_NS, np.array(joints), shape * velocity, shape * effort, 0.03)


def test_every_fault_has_a_row_and_the_guide_shows_the_table():
    assert set(TABLE) == set(Fault)
    assert faults.markdown_table() in GUIDE.read_text()


def test_the_words_name_the_motor_and_what_to_do():
    (finding,) = decode_errors(MOTORS, [0, 0, 0, 0, 1 << 5, 0, 0])
    assert finding == Finding(Fault.ERROR_OVERLOAD, "wrist_angle overload", ("wrist_angle",))
    assert words(finding).startswith("wrist_angle overload: take away")


@pytest.mark.parametrize(
    ("bit", "fault"),
    [
        (0, Fault.ERROR_INPUT_VOLTAGE),
        (2, Fault.ERROR_OVERHEATING),
        (3, Fault.ERROR_ENCODER),
        (4, Fault.ERROR_ELECTRICAL_SHOCK),
        (5, Fault.ERROR_OVERLOAD),
        (6, Fault.ERROR_UNKNOWN),
    ],
)
def test_each_bit_of_the_error_register_is_a_fault_of_its_own(bit, fault):
    assert [finding.fault for finding in decode_errors(["waist"], [1 << bit])] == [fault]


def test_two_bits_and_two_motors_are_told_apart():
    found = decode_errors(["waist", "gripper"], [0b100100, 0b100000])
    assert {f.fault: f.motors for f in found} == {
        Fault.ERROR_OVERHEATING: ("waist",),
        Fault.ERROR_OVERLOAD: ("waist", "gripper"),
    }


def test_only_motors_that_carry_no_weight_reboot_by_themselves():
    assert TABLE[Fault.ERROR_OVERLOAD].recovery is Recovery.REBOOT
    assert ends_by_itself(Finding(Fault.ERROR_OVERLOAD, "", ("gripper",)))
    assert not ends_by_itself(Finding(Fault.ERROR_OVERLOAD, "", ("shoulder",)))
    assert not ends_by_itself(Finding(Fault.ERROR_OVERLOAD, "", ("gripper", "elbow")))
    assert not ends_by_itself(Finding(Fault.ERROR_OVERHEATING, "", ("gripper",)))


def test_a_spike_of_current_is_no_overload_but_a_tenth_of_a_second_is():
    detector = Overcurrent((1000.0,) * 6)
    assert all(detector.check(sample(ms, effort=-1200)) is None for ms in (0, 50, 90))
    assert detector.check(sample(95, effort=900)) is None
    assert detector.check(sample(100, effort=1200)) is None
    finding = detector.check(sample(200, effort=1200))
    assert (finding.fault, finding.motors) == (Fault.OVERLOAD, ("waist",))


def test_a_joint_that_stands_still_off_its_goal_is_stuck_and_one_that_follows_is_not():
    goal = RESET_JOINTS + np.array([0, 0, 0.4, 0, 0, 0])
    detector = Stuck(0.15)
    for ms in range(0, 300, 10):
        assert detector.check(sample(ms, RESET_JOINTS + 0.0003 * ms), goal) is None
    detector = Stuck(0.15)
    findings = [detector.check(sample(ms), goal) for ms in range(0, 310, 10)]
    assert findings[:-1] == [None] * 30
    assert findings[-1].motors == ("elbow",)
    assert "0.40 rad" in findings[-1].detail


def test_readings_that_repeat_exactly_before_and_after_a_new_goal_are_frozen():
    detector = Frozen()
    goals = [RESET_JOINTS + 0.1] * 10 + [RESET_JOINTS + 0.12] * 15
    findings = [detector.check(sample(10 * k, effort=7), goal) for k, goal in enumerate(goals)]
    assert findings[:-1] == [None] * 24
    assert findings[-1].fault == Fault.STATES_FROZEN
    assert detector.still(sample(320, effort=7))
    assert not detector.still(sample(330, effort=8))


def test_what_was_read_before_the_arm_starts_anew_says_nothing_about_frozen_readings():
    detector = Frozen()
    detector.check(sample(0, effort=7), RESET_JOINTS)
    detector.forget()
    assert detector.check(sample(1000, effort=7), RESET_JOINTS + 0.1) is None
    assert detector.check(sample(1200, effort=7), RESET_JOINTS + 0.1) is None


def test_readings_may_repeat_without_a_new_goal_and_under_one_stamp():
    detector = Frozen()
    assert all(detector.check(sample(ms), RESET_JOINTS + 0.1) is None for ms in range(0, 2000, 10))
    assert all(detector.check(sample(1990), RESET_JOINTS + 1) is None for _ in range(100))


def test_a_flicker_of_current_alone_is_a_sign_of_life():
    detector = Frozen()
    told = [detector.check(sample(ms, effort=ms // 10 % 2), RESET_JOINTS + ms * 1e-3) for ms in range(0, 2000, 10)]
    assert not any(told)


def test_a_few_readings_that_cannot_be_true_are_dropped_and_many_in_a_row_are_a_fault():
    detector = Implausible()
    for _ in range(5):
        assert all(detector.rejected("zeros") is None for _ in range(IMPLAUSIBLE_SAMPLES - 1))
        detector.believed()
    findings = [detector.rejected("zeros") for _ in range(IMPLAUSIBLE_SAMPLES)]
    assert findings[-1].fault == Fault.IMPLAUSIBLE_READING


def test_silence_is_late_and_a_repeated_stamp_is_frozen():
    late, frozen = LateStates(0.4), LateStates(0.4)
    late.arrived(1, 10.0)
    frozen.arrived(1, 10.0)
    told = []
    for tick in range(1, 6):
        now_s = 10.0 + 0.1 * tick
        frozen.arrived(1, now_s)
        told.append((late.check(now_s), frozen.check(now_s)))
    assert told[2] == (None, None)
    assert told[-1][0].fault == Fault.STATES_LATE
    assert told[-1][1].fault == Fault.STATES_FROZEN


def test_a_pause_of_our_own_process_is_not_held_against_the_driver():
    detector = LateStates(0.4)
    detector.check(10.0)
    detector.arrived(1, 10.0)
    assert detector.check(10.1) is None
    assert detector.check(15.0) is None
    detector.arrived(2, 15.05)
    assert detector.check(15.1) is None


def test_without_a_timeout_nothing_is_late():
    detector = LateStates(0.0)
    detector.arrived(1, 0.0)
    assert all(detector.check(0.1 * tick) is None for tick in range(1000))


def test_usb_is_gone_when_its_file_is():
    present = {"/dev/ttyDXL"}
    watch = UsbWatch("/dev/ttyDXL", present.__contains__)
    assert watch.check() is None
    present.clear()
    assert watch.check().fault == Fault.USB_GONE
    assert UsbWatch("", present.__contains__).check() is None


class FakeMotors:
    """A driver's motors in memory; `missing` do not answer, `dead` answers nothing at all."""

    def __init__(self):
        self.registers = {
            "Hardware_Error_Status": dict.fromkeys(MOTORS, 0),
            "Torque_Enable": dict.fromkeys(MOTORS, 1),
            "Profile_Velocity": dict.fromkeys(MOTORS, 2000),
            "Profile_Acceleration": dict.fromkeys(MOTORS, 300),
            "Position_P_Gain": dict.fromkeys(MOTORS, 800),
            "Position_I_Gain": dict.fromkeys(MOTORS, 0),
            "Position_D_Gain": dict.fromkeys(MOTORS, 0),
            "Current_Limit": dict.fromkeys(MOTORS[:5], 1193),
            "Present_Position": dict.fromkeys(MOTORS, 2048),
        }
        self.mode = GroupInfo("position", "time", MOTORS[:6])
        self.missing: set[str] = set()
        self.deaf: set[str] = set()
        self.dead = self.group_reads_fail = False
        self.calls: list[tuple] = []

    def _motors(self, kind, name):
        if self.dead:
            raise ServiceSilent("/wx250s/get_motor_registers gave no answer in 1 s")
        if kind == "single":
            return [name]
        return list(MOTORS[:6] if name == "arm" else MOTORS)

    def info(self, kind, name):
        return self.mode if kind == "group" else GroupInfo("pwm", "", ("left_finger",))

    def read(self, kind, name, register):
        values = self.registers[register]
        gone = MOTORS if kind == "group" and self.group_reads_fail else self.missing
        return [values[motor] for motor in self._motors(kind, name) if motor in values and motor not in gone]

    def write(self, kind, name, register, value):
        self.calls.append(("write", name, register, value))
        for motor in self._motors(kind, name):
            if motor not in self.deaf:
                self.registers[register][motor] = value

    def set_mode(self, kind, name, *rest):
        self.calls.append(("mode", name))
        self.torque(kind, name, True)

    def set_gains(self, kind, name, gains):
        for letter, gain in zip("PID", gains, strict=True):
            self.write(kind, name, f"Position_{letter}_Gain", gain)

    def torque(self, kind, name, enable):
        self.calls.append(("torque", name, enable))
        for motor in self._motors(kind, name):
            self.registers["Torque_Enable"][motor] = int(enable)

    def reboot(self, motor):
        self.calls.append(("reboot", motor))
        self.registers["Hardware_Error_Status"][motor] = 0
        self.registers["Torque_Enable"][motor] = 1
        self.registers["Profile_Velocity"][motor] = 0

    def rebooted(self):
        return [call[1] for call in self.calls if call[0] == "reboot"]


class Bench:
    def __init__(self, joints=RESET_JOINTS, **settings):
        self.driver = FakeMotors()
        self.now_s = 0.0
        self.sent, self.reports, self.log = [], [], []
        self.session = ArmSession(
            ArmController(),
            self.sent.append,
            lambda pwm: None,
            self.reports.append,
            steady_s=lambda: self.now_s,
        )
        self.session.sample(sample(0, joints))
        self.stand(joints)
        self.pauses = []
        settings = MotorSettings(**settings)
        self.keeper = MotorKeeper(self.driver, self.session, settings, self.log.append, self.pauses.append)

    def stand(self, joints):
        self.driver.registers["Present_Position"] = dict(zip(MOTORS, to_ticks([*joints, 0.0]), strict=True))


def test_set_up_sets_the_profile_and_touches_nothing_that_is_right():
    bench = Bench()
    bench.keeper.set_up()
    assert bench.driver.calls == [
        ("write", "arm", "Profile_Velocity", 250),
        ("write", "arm", "Profile_Acceleration", 100),
    ]


def test_a_setting_that_a_motor_does_not_take_is_told_with_its_name():
    bench = Bench()
    bench.driver.deaf = {"elbow"}
    with pytest.raises(DriverError, match=r"Profile_Velocity reads back elbow 2000 instead of 250"):
        bench.keeper.set_up()


def test_set_up_with_a_missing_motor_names_it():
    bench = Bench()
    bench.driver.missing = {"forearm_roll"}
    with pytest.raises(DriverError, match=r"forearm_roll missing"):
        bench.keeper.set_up()


def test_an_arm_that_stands_is_never_let_go_of_to_change_a_mode_or_a_limit():
    for prepare, settings in (
        (lambda driver: setattr(driver, "mode", GroupInfo("velocity", "time", MOTORS[:6])), {}),
        (lambda driver: None, {"current_limits": (900,)}),
    ):
        bench = Bench(**settings)
        prepare(bench.driver)
        with pytest.raises(DriverError, match="would drop the arm"):
            bench.keeper.set_up()
        assert not any(call[0] == "mode" or call[0] == "torque" for call in bench.driver.calls)


def test_an_arm_without_torque_that_may_be_held_is_not_stiffened_by_a_change_of_mode():
    bench = Bench()
    bench.driver.mode = GroupInfo("velocity", "time", MOTORS[:6])
    bench.driver.registers["Torque_Enable"] = dict.fromkeys(MOTORS, 0)
    with pytest.raises(DriverError, match="stiffen one that is held"):
        bench.keeper.set_up()
    assert not any(bench.driver.registers["Torque_Enable"].values())


def test_an_arm_in_its_sleep_pose_takes_a_current_limit_with_the_torque_off_for_a_moment():
    bench = Bench(joints=SLEEP_JOINTS, current_limits=(900, 1193))
    bench.keeper.set_up()
    assert bench.driver.registers["Current_Limit"]["waist"] == 900
    assert set(bench.driver.registers["Torque_Enable"].values()) == {1}
    assert ("torque", "shoulder", False) not in bench.driver.calls


def test_an_arm_without_torque_stiffens_by_itself_only_where_it_rests():
    held = Bench()
    held.driver.registers["Torque_Enable"].update(shoulder=0, elbow=0)
    held.keeper.set_up()
    assert held.driver.registers["Torque_Enable"]["shoulder"] == 0
    assert "shoulder, elbow without torque" in held.session.faults[Fault.TORQUE_LOST]
    assert held.keeper.repair() == ""
    assert held.session.clear()[0]
    resting = Bench(joints=SLEEP_JOINTS)
    resting.driver.registers["Torque_Enable"] = dict.fromkeys(MOTORS, 0)
    resting.keeper.set_up()
    assert set(resting.driver.registers["Torque_Enable"].values()) == {1}
    assert not resting.session.faults


def test_gains_are_set_and_read_back():
    bench = Bench(gains=(640, 0, 3600))
    bench.keeper.set_up()
    assert bench.driver.registers["Position_D_Gain"]["wrist_rotate"] == 3600


@pytest.mark.parametrize(
    ("damage", "fault", "who"),
    [
        (lambda d: d.missing.add("wrist_angle"), Fault.MOTOR_MISSING, "wrist_angle missing"),
        (lambda d: d.registers["Torque_Enable"].update(shoulder=0), Fault.TORQUE_LOST, "shoulder without torque"),
        (lambda d: setattr(d, "dead", True), Fault.SERVICE_SILENT, "gave no answer"),
        (lambda d: d.registers["Hardware_Error_Status"].update(elbow=4), Fault.ERROR_OVERHEATING, "elbow overheating"),
    ],
)
def test_a_look_at_the_registers_finds_the_fault_and_holds_the_arm(damage, fault, who):
    bench = Bench()
    assert bench.keeper.watch()
    damage(bench.driver)
    assert not bench.keeper.watch()
    assert bench.session.mode == Mode.FAULT
    assert who in bench.session.faults[fault]
    bench.session.command(1, [0.0] * 7)
    assert not bench.sent
    assert not bench.driver.rebooted()


def test_an_overloaded_gripper_is_rebooted_by_itself_and_waits_for_a_reset():
    bench = Bench()
    bench.driver.registers["Hardware_Error_Status"]["gripper"] = 1 << 5
    bench.driver.registers["Torque_Enable"]["gripper"] = 0
    bench.keeper.watch()
    assert bench.driver.rebooted() == ["gripper"]
    assert bench.session.set_up_again.is_set()
    assert bench.session.mode == Mode.IDLE
    bench.session.command(1, [0.0] * 7)
    assert "recovered from error_overload: reset it" in bench.reports[-1].refusal


def test_an_overloaded_shoulder_waits_for_the_operator_whose_clear_reboots_it():
    bench = Bench()
    bench.driver.registers["Hardware_Error_Status"]["shoulder"] = 1 << 5
    for _ in range(5):
        bench.keeper.watch()
    assert not bench.driver.rebooted()
    assert bench.keeper.repair() == ""
    assert bench.driver.rebooted() == ["shoulder"]
    assert bench.pauses == [START_S], "a motor that starts does not answer at once"
    assert bench.session.clear()[0]
    assert bench.keeper.watch()


def test_after_a_cleared_fault_the_profile_is_set_again():
    bench = Bench()
    bench.keeper.set_up()
    bench.driver.registers["Hardware_Error_Status"]["shoulder"] = 1 << 5
    bench.keeper.watch()
    bench.keeper.repair()
    assert bench.driver.registers["Profile_Velocity"]["shoulder"] == 0
    assert bench.session.clear()[0]
    assert bench.session.set_up_again.is_set()
    bench.keeper.set_up()
    assert set(bench.driver.read("group", "arm", "Profile_Velocity")) == {250}


def test_a_group_read_that_fails_is_no_missing_motor_while_each_answers_alone():
    bench = Bench()
    bench.driver.group_reads_fail = True
    assert bench.keeper.watch()
    bench.keeper.set_up()
    bench.driver.missing = {"elbow"}
    assert not bench.keeper.watch()
    assert "elbow missing" in bench.session.faults[Fault.MOTOR_MISSING]


AWAY = RESET_JOINTS + np.array([1.2, 0, 0, 0, 0, 0])


def test_joint_states_that_tell_another_pose_than_the_motors_seat_no_goal_and_are_named():
    bench = Bench()
    bench.keeper.set_up()
    for ms in range(10, 100, 10):
        bench.session.sample(sample(ms, AWAY))
    assert bench.session.set_up_again.is_set()
    with pytest.raises(DriverError, match=r"waist at 1\.20 rad, its motor says 0\.00: look for a second sender"):
        bench.keeper.set_up()
    bench.session.command(1, [0.0] * 7)
    assert not bench.sent
    bench.stand(AWAY)
    bench.keeper.set_up()
    bench.session.command(2, [0.0] * 7)
    assert bench.sent[-1].joints == pytest.approx(AWAY, abs=1e-3)


def test_an_arm_that_still_moves_is_looked_at_again_before_its_joint_states_count_as_wrong():
    bench = Bench()
    bench.stand(AWAY)
    bench.keeper = MotorKeeper(bench.driver, bench.session, MotorSettings(), print, lambda _: bench.stand(RESET_JOINTS))
    bench.keeper.set_up()
    assert not bench.session.faults


def test_without_registers_to_ask_the_arm_is_not_seated_while_joint_states_have_two_senders():
    bench, senders = Bench(), ["xs_sdk", "xs_sdk"]
    settings = MotorSettings(verify=False)
    keeper = MotorKeeper(bench.driver, bench.session, settings, print, print, alone=lambda: len(senders) == 1)
    with pytest.raises(DriverError, match="two senders"):
        keeper.set_up()
    senders.pop()
    keeper.set_up()


def test_without_registers_to_ask_the_last_word_of_a_sender_that_has_gone_is_waited_out():
    bench = Bench()
    truth = itertools.count(1)

    def next_state(_):
        bench.session.sample(sample(next(truth)))

    keeper = MotorKeeper(bench.driver, bench.session, MotorSettings(verify=False), print, next_state)
    keeper.set_up()
    bench.session.sample(sample(10_000, AWAY))
    assert bench.session.set_up_again.is_set()
    bench.session.set_up_again.clear()
    keeper.set_up()
    bench.session.command(1, [0.0] * 7)
    assert bench.sent[-1].joints == pytest.approx(RESET_JOINTS, abs=1e-3)


def test_a_clear_does_not_hide_what_is_still_wrong():
    bench = Bench()
    bench.driver.missing = {"waist"}
    bench.keeper.watch()
    assert "motor_missing: waist missing" in bench.keeper.repair()


def test_no_motor_and_no_true_reading_means_usb_is_gone():
    bench = Bench()
    for _ in range(IMPLAUSIBLE_SAMPLES):
        bench.session.sample(sample(10, np.full(6, -np.pi)))
    assert list(bench.session.faults) == [Fault.IMPLAUSIBLE_READING]
    bench.driver.missing = set(MOTORS)
    bench.keeper.watch()
    assert Fault.USB_GONE in bench.session.faults


def test_a_service_that_answers_again_ends_its_fault_and_asks_for_a_new_set_up():
    bench = Bench()
    bench.driver.dead = True
    bench.keeper.watch()
    bench.driver.dead = False
    assert bench.keeper.watch()
    assert bench.session.mode == Mode.IDLE
    assert bench.session.set_up_again.is_set()
