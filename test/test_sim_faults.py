"""Faults on purpose: the script's form, when they begin and end, and what they do to what the simulator tells."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from sarl_ros.sim.fault_script import Faults, ScriptError, load_script, parse_script

GOAL = np.zeros(6)


def reading():
    return [0.1 * k for k in range(9)], [0.0] * 9, [10.0] * 9


def begun(text: str, now_s: float = 0.0) -> Faults:
    faults = Faults(parse_script(text))
    faults.advance(0.0, 0, 0, now_s)
    return faults


def test_faults_begin_at_a_time_at_a_command_or_at_a_reset_and_last_as_long_as_they_say():
    faults = Faults(
        parse_script("""
- {fault: late_states, at_s: 2.0, for_s: 1.0}
- {fault: stuck, motor: waist, on_command: 3}
- {fault: dead_service, on_reset: 1}
""")
    )
    assert faults.advance(1.9, 2, 0, 0.0) == []
    assert [(change, e.fault) for change, e in faults.advance(2.0, 2, 0, 10.0)] == [("begin", "late_states")]
    assert [e.fault for _, e in faults.advance(2.1, 3, 0, 10.5)] == ["stuck"]
    assert [(change, e.fault) for change, e in faults.advance(2.1, 3, 1, 11.0)] == [
        ("end", "late_states"),
        ("begin", "dead_service"),
    ]
    assert faults.advance(9.0, 9, 9, 1e6) == []
    faults.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fault: fire", "unknown"),
        ("- {fault: stuck}", "names no motor"),
        ("- {fault: stuck, motor: nose}", "nose"),
        ("- {fault: glitch, at_s: 1, on_reset: 1}", "two beginnings"),
        ("- {fault: glitch, at_s: soon}", "soon"),
        ("- {fault: glitch, colour: red}", "colour"),
        ("- {fault: error_register, motor: waist, error: hunger}", "hunger"),
        ("- {fault: [stuck]}", "'stuck'"),
        ("- {fault: glitch, motor: [waist]}", "motor"),
        ("- {fault: error_register, motor: waist, error: [hunger]}", "hunger"),
        ("- {fault: glitch, at_s: " + "9" * 400 + "}", "at_s"),
        ("- {fault: glitch, at_s: " + "9" * 5000 + "}", "not YAML"),
        ("- {fault: glitch, at_s: 2001-99-99}", "2001-99-99"),
        ("[" * 5000, "lists within lists"),
        ("nothing", "no list"),
        ("[", "line 1"),
    ],
)
def test_a_bad_script_is_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(ScriptError, match=words) as error:
        load_script(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_glitch_reads_zero_ticks_for_as_many_samples_and_the_fingers_stay():
    faults = begun("{fault: glitch, samples: 2}")
    told = []
    for _ in range(3):
        position, velocity, effort = reading()
        assert faults.distort(position, velocity, effort, GOAL)
        told.append(position)
    assert told[0][:7] == told[1][:7] == [-math.pi] * 7
    assert told[0][7:] == reading()[0][7:]
    assert told[2] == reading()[0]


def test_frozen_states_repeat_one_reading_and_late_ones_are_not_sent():
    faults = begun("{fault: frozen_states}")
    first, second = reading(), ([5.0] * 9, [1.0] * 9, [2.0] * 9)
    assert faults.distort(*first, GOAL)
    assert faults.distort(*second, GOAL)
    assert second == first
    assert not begun("{fault: late_states}").distort(*reading(), GOAL)


def test_a_missing_motor_answers_no_read_and_without_usb_none_does():
    assert begun("{fault: motor_missing, motor: elbow}").missing_motors() == {"elbow"}
    assert len(begun("{fault: usb_gone}").missing_motors()) == 7


def test_a_stuck_joint_stays_and_its_current_rises_and_flickers():
    faults = begun("{fault: stuck, motor: shoulder}")
    held = faults.held_joints(np.full(6, 0.5), np.full(6, 0.1))
    assert held.tolist() == [0.5, 0.1, 0.5, 0.5, 0.5, 0.5]
    assert faults.held_joints(np.full(6, 0.9), np.full(6, 0.11))[1] == 0.1
    efforts = []
    for _ in range(2):
        position, velocity, effort = reading()
        faults.distort(position, velocity, effort, np.full(6, 2.0))
        efforts.append(effort[1])
    assert min(efforts) > 300
    assert efforts[0] != efforts[1]


def test_a_dead_service_holds_its_answer_back_until_it_lives_or_the_node_ends():
    faults = begun("{fault: dead_service, for_s: 100}")
    answered = threading.Event()
    thread = threading.Thread(target=lambda: (faults.hold_answer_back(), answered.set()))
    thread.start()
    assert not answered.wait(0.2)
    faults.advance(0.0, 0, 0, 200.0)
    assert answered.wait(10)
    thread.join()
    begun("{fault: dead_service}").close()
