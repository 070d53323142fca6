"""The episode state machine: single cases, and properties over random events."""

from __future__ import annotations

import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarl_ros.core import episode_events as ev
from sarl_ros.core.episode import EpisodeMachine
from sarl_ros.core.episode_buttons import refusal, refusals
from sarl_ros.core.episode_events import ENDS, Button, EpisodeConfig, Press
from sarl_ros.core.node_watch import NodeWatch
from sarl_ros.core.types import Ended
from sarl_ros.core.types import EpisodeState as S
from sarl_ros.core.types import Verdict as V

AUTO = EpisodeConfig(max_steps=3, seed_base=100)
MANUAL = EpisodeConfig(max_steps=3, seed_base=None, auto=False)

LEGAL = {
    S.IDLE: {S.IDLE, S.RESETTING, S.HELD},
    S.RESETTING: {S.RESETTING, S.READY, S.HELD},
    S.READY: {S.RUNNING, S.RESETTING, S.HELD},
    S.RUNNING: {S.RUNNING, *ENDS.values(), S.HELD},
    S.SUCCESS: {S.FAILURE, S.RESETTING, S.FINISHED, S.HELD},
    S.FAILURE: {S.SUCCESS, S.RESETTING, S.FINISHED, S.HELD},
    S.TIMEOUT: {S.SUCCESS, S.FAILURE, S.RESETTING, S.FINISHED, S.HELD},
    S.ABORTED: {S.RESETTING, S.HELD},
    S.HELD: {S.HELD, S.IDLE, S.ABORTED, S.RESETTING, S.FINISHED},
    S.FINISHED: {S.FINISHED, S.HELD},
}


class Driver:
    """Feeds a machine and keeps what came out."""

    def __init__(self, config: EpisodeConfig, episodes: int = 0) -> None:
        self.machine = EpisodeMachine(config)
        self.events: list[ev.Event] = []
        self.effects: list[ev.Effect] = []
        self.do(ev.Opened(episodes))

    def do(self, event: ev.Event):
        outcome = self.machine.handle(event)
        if outcome.record:
            self.events.append(event)
        else:
            assert outcome.effects == ()
        self.effects += outcome.effects
        return outcome

    def press(self, button: Button, blocked: str = ""):
        return self.do(Press(button, "service", blocked))

    def run(self) -> None:
        """To RUNNING, from IDLE, an end or RESETTING."""
        if self.machine.state in ENDS.values():
            self.do(ev.Proceed())
        if self.machine.state == S.IDLE:
            self.press(Button.START)
        if self.machine.state == S.RESETTING:
            self.do(ev.ResetDone(self.machine.attempt))
            self.press(Button.RESET_DONE)
        assert self.press(Button.START).accepted
        assert self.machine.state == S.RUNNING

    def step(self, ended: Ended = Ended.COMPLETED):
        step = self.machine.step + 1
        self.do(ev.PromptSeen(self.machine.episode, step))
        return self.do(ev.Result(self.machine.episode, step, ended))

    def judge(self, success: bool, reached: tuple[bool, ...] = ()):
        pending = self.machine.pending
        assert pending is not None
        return self.do(ev.Judged(pending.episode, pending.step, success, reached))

    def close_window(self):
        pending = self.machine.pending
        assert pending is not None
        return self.do(ev.WindowClosed(pending.episode, pending.step))

    def verdicts(self) -> list[tuple[int, int, V, bool]]:
        return [(v.episode, v.step, v.verdict, v.amendment) for v in self.effects if isinstance(v, ev.GiveVerdict)]

    def arm(self) -> list[ev.Effect]:
        """What the arm was told besides resets."""
        kinds = (ev.StopArm, ev.PauseArm, ev.ClearArm, ev.ResumeArm)
        return [effect for effect in self.effects if isinstance(effect, kinds)]


def test_an_automatic_episode_goes_from_reset_to_success():
    driver = Driver(AUTO, episodes=1)
    driver.run()
    driver.step()
    driver.judge(False)
    driver.step()
    driver.judge(True)
    assert driver.verdicts() == [(1, 1, V.CONTINUE, False), (1, 2, V.SUCCESS, False)]
    assert driver.machine.state == S.SUCCESS
    driver.do(ev.Proceed())
    assert (driver.machine.state, driver.machine.completed) == (S.FINISHED, 1)
    resets = [effect for effect in driver.effects if isinstance(effect, ev.BeginReset)]
    assert [reset.seed for reset in resets] == [101]


def test_an_episode_times_out_at_its_last_step():
    driver = Driver(AUTO)
    driver.run()
    for _ in range(3):
        driver.step()
        driver.judge(False)
    assert driver.verdicts()[-1] == (1, 3, V.TIMEOUT, False)
    assert (driver.machine.state, driver.machine.completed) == (S.TIMEOUT, 1)


def test_success_in_the_last_step_is_no_timeout():
    driver = Driver(AUTO)
    driver.run()
    for success in (False, False, True):
        driver.step()
        driver.judge(success)
    assert driver.verdicts()[-1] == (1, 3, V.SUCCESS, False)


def test_a_subgoal_counts_once_in_the_step_that_reached_it():
    driver = Driver(AUTO)
    driver.run()
    for reached in ((False, False), (True, False), (True, False)):
        driver.step()
        driver.judge(False, reached)
    assert [v.subgoal for v in driver.effects if isinstance(v, ev.GiveVerdict)] == [False, True, False]


def test_a_repeated_result_gets_no_second_verdict():
    driver = Driver(AUTO)
    driver.run()
    driver.step()
    assert not driver.do(ev.Result(1, 1, Ended.COMPLETED)).record
    driver.judge(False)
    assert not driver.do(ev.Result(1, 1, Ended.REFUSED)).record
    assert driver.verdicts() == [(1, 1, V.CONTINUE, False)]


def test_a_result_after_the_end_gets_its_aborted_verdict():
    driver = Driver(AUTO)
    driver.run()
    driver.do(ev.PromptSeen(1, 1))
    driver.do(ev.NodeLost("vla_executor", "restarted"))
    assert driver.machine.state == S.ABORTED
    assert driver.machine.reason == "vla_executor restarted"
    driver.do(ev.Proceed())
    driver.do(ev.Result(1, 1, Ended.STOPPED))
    assert driver.verdicts() == [(1, 1, V.ABORTED, False)]
    assert (driver.machine.state, driver.machine.episode, driver.machine.completed) == (S.RESETTING, 2, 0)


@pytest.mark.parametrize("ended", [Ended.FAULT, Ended.REFUSED, Ended.STOPPED])
def test_a_step_that_did_not_run_to_its_end_aborts_the_episode(ended):
    driver = Driver(AUTO)
    driver.run()
    driver.step(ended)
    assert driver.verdicts() == [(1, 1, V.ABORTED, False)]
    assert driver.machine.state == S.ABORTED


def test_a_pressed_success_cuts_the_running_step_short_and_applies_to_it():
    driver = Driver(MANUAL)
    driver.run()
    driver.step()
    driver.close_window()
    driver.do(ev.PromptSeen(1, 2))
    assert driver.press(Button.SUCCESS).accepted
    assert driver.machine.state == S.RUNNING
    assert driver.arm() == [ev.PauseArm()]
    assert driver.press(Button.SUCCESS).accepted
    assert not driver.press(Button.FAILURE).accepted
    driver.do(ev.Result(1, 2, Ended.FAULT, reason="the arm is on hold"))
    assert driver.verdicts() == [(1, 1, V.CONTINUE, False), (1, 2, V.SUCCESS, False)]
    assert driver.arm() == [ev.PauseArm(), ev.ResumeArm()]
    assert (driver.machine.state, driver.machine.completed) == (S.SUCCESS, 1)


def test_a_press_between_steps_amends_the_last_one_once():
    driver = Driver(MANUAL)
    driver.run()
    driver.step()
    driver.close_window()
    assert driver.press(Button.FAILURE).accepted
    assert driver.machine.state == S.FAILURE
    driver.do(ev.Result(1, 2, Ended.REFUSED))
    assert driver.verdicts() == [(1, 1, V.CONTINUE, False), (1, 1, V.FAILURE, True), (1, 2, V.ABORTED, False)]
    assert not driver.press(Button.SUCCESS).accepted
    assert driver.machine.completed == 1


def test_a_press_in_the_window_decides_the_waiting_step():
    driver = Driver(MANUAL)
    driver.run()
    driver.step()
    assert driver.press(Button.SUBGOAL).accepted
    assert driver.press(Button.SUCCESS).accepted
    assert driver.verdicts() == [(1, 1, V.SUCCESS, False)]
    assert driver.effects[-2].subgoal  # type: ignore[union-attr]


def test_a_late_press_turns_a_timeout_into_a_success():
    driver = Driver(MANUAL)
    driver.run()
    for _ in range(3):
        driver.step()
        driver.close_window()
    assert driver.machine.state == S.TIMEOUT
    assert driver.press(Button.SUCCESS).accepted
    assert (driver.machine.state, driver.machine.completed) == (S.SUCCESS, 1)
    assert driver.verdicts()[-1] == (1, 3, V.SUCCESS, True)


def test_the_outcomes_are_those_of_the_completed_episodes_with_what_was_amended():
    driver = Driver(MANUAL)
    for end in (Button.SUCCESS, None, Button.ABORT, Button.FAILURE):
        driver.run()
        if end is None:
            for _ in range(3):
                driver.step()
                driver.close_window()
        else:
            driver.step()
            driver.press(end)
    assert driver.machine.outcomes == [S.SUCCESS, S.TIMEOUT, S.FAILURE]
    assert driver.press(Button.SUCCESS).accepted
    assert driver.machine.outcomes == [S.SUCCESS, S.TIMEOUT, S.SUCCESS]
    shown = [effect for effect in driver.effects if isinstance(effect, ev.ShowEpisode)]
    assert shown[-1].outcomes == (S.SUCCESS, S.TIMEOUT, S.SUCCESS)
    assert shown[-1].state == S.SUCCESS


def test_a_subgoal_noted_after_the_end_leaves_the_outcome():
    driver = Driver(MANUAL)
    driver.run()
    driver.step()
    driver.press(Button.SUCCESS)
    assert driver.press(Button.SUBGOAL).accepted
    assert (driver.machine.state, driver.machine.outcomes) == (S.SUCCESS, [S.SUCCESS])


def test_a_subgoal_between_steps_leaves_the_outcome_to_be_pressed():
    driver = Driver(MANUAL)
    driver.run()
    driver.step()
    driver.close_window()
    assert driver.press(Button.SUBGOAL).accepted
    assert driver.press(Button.SUBGOAL).accepted
    assert driver.verdicts() == [(1, 1, V.CONTINUE, False)]
    assert driver.press(Button.SUCCESS).accepted
    assert driver.verdicts() == [(1, 1, V.CONTINUE, False), (1, 1, V.SUCCESS, True)]
    (amendment,) = [effect for effect in driver.effects if isinstance(effect, ev.GiveVerdict) and effect.amendment]
    assert amendment.subgoal


@pytest.mark.parametrize("how", ["the next step", "a hold", "an abort"])
def test_a_subgoal_between_steps_amends_the_last_one_when_the_next_begins_or_none_comes(how):
    driver = Driver(MANUAL)
    driver.run()
    driver.step()
    driver.close_window()
    driver.press(Button.SUBGOAL)
    if how == "the next step":
        driver.do(ev.PromptSeen(1, 2))
    else:
        driver.press(Button.HOLD if how == "a hold" else Button.ABORT)
    assert driver.verdicts() == [(1, 1, V.CONTINUE, False), (1, 1, V.CONTINUE, True)]
    given = [effect for effect in driver.effects if isinstance(effect, ev.GiveVerdict)][-1]
    assert (given.subgoal, given.source) == (True, "service")


def armed(machine: EpisodeMachine, blocked: str = "") -> set[str]:
    return {str(button) for button, why in refusals(machine, blocked).items() if not why}


def test_the_buttons_of_a_persons_episode_are_armed_one_after_the_other():
    driver = Driver(MANUAL)
    assert armed(driver.machine) == {"hold", "start"}
    driver.press(Button.START)
    assert armed(driver.machine) == {"hold", "reset_done"}
    driver.press(Button.RESET_DONE)
    assert armed(driver.machine) == {"hold"}
    assert "noted already" in refusal(driver.machine, Button.RESET_DONE)
    driver.do(ev.ResetDone(1))
    assert armed(driver.machine) == {"hold", "start"}
    assert armed(driver.machine, "waiting for the learner") == {"hold"}
    assert "waiting for the learner" in refusal(driver.machine, Button.START, "waiting for the learner")
    driver.press(Button.START)
    assert armed(driver.machine) == {"hold", "abort"}
    assert "no step has run" in refusal(driver.machine, Button.SUCCESS)
    driver.do(ev.PromptSeen(1, 1))
    assert armed(driver.machine) == {"hold", "abort", "success", "failure", "subgoal"}
    driver.press(Button.SUCCESS)
    assert armed(driver.machine) == {"hold", "abort", "success", "subgoal"}
    driver.do(ev.Result(1, 1, Ended.STOPPED))
    assert armed(driver.machine) == {"hold", "success", "failure", "subgoal"}
    driver.press(Button.HOLD)
    assert armed(driver.machine) == {"hold", "clear"}


def test_in_auto_mode_only_a_start_an_abort_and_holding_are_a_persons():
    driver = Driver(AUTO)
    driver.run()
    driver.step()
    assert armed(driver.machine) == {"hold", "abort"}
    assert "auto mode" in refusal(driver.machine, Button.SUCCESS)


def test_a_press_before_any_step_is_refused_with_the_way_out():
    driver = Driver(MANUAL)
    driver.run()
    outcome = driver.press(Button.SUCCESS)
    assert not outcome.accepted
    assert "abort" in outcome.detail


def test_no_episode_starts_while_a_node_is_missing():
    driver = Driver(AUTO)
    driver.press(Button.START)
    driver.do(ev.ResetDone(1))
    outcome = driver.press(Button.START, blocked="waiting for vla_executor")
    assert not outcome.accepted
    assert "vla_executor" in outcome.detail
    assert driver.machine.state == S.READY


def test_a_person_and_the_services_both_have_to_finish_a_reset():
    driver = Driver(MANUAL)
    driver.press(Button.START)
    assert driver.press(Button.RESET_DONE).accepted
    assert driver.machine.state == S.RESETTING
    driver.do(ev.ResetDone(1))
    assert driver.machine.state == S.READY


def test_hold_stops_the_arm_and_only_clear_leaves_it():
    driver = Driver(AUTO)
    driver.run()
    driver.step()
    assert driver.press(Button.HOLD).accepted
    assert driver.verdicts() == [(1, 1, V.ABORTED, False)]
    for button in set(Button) - {Button.HOLD, Button.CLEAR}:
        assert not driver.press(button).accepted
    assert driver.machine.state == S.HELD
    driver.do(ev.Result(1, 2, Ended.STOPPED))
    driver.do(Press(Button.CLEAR, stop="mine"))
    assert (driver.machine.state, driver.machine.aborts_in_a_row) == (S.ABORTED, 0)
    assert driver.arm() == [ev.StopArm(), ev.ClearArm("mine")]
    driver.do(ev.Proceed())
    assert (driver.machine.state, driver.machine.episode) == (S.RESETTING, 2)


def test_hold_before_the_start_keeps_the_episode_number():
    driver = Driver(AUTO)
    driver.press(Button.START)
    driver.press(Button.HOLD)
    driver.press(Button.CLEAR)
    assert (driver.machine.state, driver.machine.episode, driver.machine.attempt) == (S.RESETTING, 1, 2)


def test_after_a_hold_the_scene_is_confirmed_anew():
    driver = Driver(MANUAL)
    driver.press(Button.START)
    driver.press(Button.RESET_DONE)
    driver.do(ev.ResetDone(1))
    assert driver.machine.state == S.READY
    driver.press(Button.HOLD)
    driver.press(Button.CLEAR)
    driver.do(ev.ResetDone(2))
    assert driver.machine.state == S.RESETTING
    driver.press(Button.RESET_DONE)
    assert driver.machine.state == S.READY


def test_a_subgoal_of_a_step_that_was_refused_is_not_the_next_episodes():
    driver = Driver(MANUAL)
    driver.press(Button.START)
    driver.press(Button.RESET_DONE)
    driver.do(ev.ResetDone(1))
    driver.press(Button.START)
    driver.do(ev.PromptSeen(1, 1))
    driver.do(ev.Result(1, 1, ev.Ended.COMPLETED, 0, ""))
    driver.do(ev.WindowClosed(1, 1))
    driver.do(ev.PromptSeen(1, 2))
    driver.press(Button.SUBGOAL)
    driver.press(Button.SUCCESS)
    driver.do(ev.Result(1, 2, ev.Ended.REFUSED, 0, ""))
    assert driver.machine.state == S.SUCCESS
    assert not driver.machine.subgoal_pressed


def test_a_world_that_restarts_before_the_start_is_reset_again():
    driver = Driver(AUTO)
    driver.press(Button.START)
    driver.do(ev.ResetDone(1))
    driver.do(ev.NodeLost("sim_world", "restarted"))
    assert driver.machine.state == S.RESETTING
    assert not driver.do(ev.ResetDone(1)).record
    driver.do(ev.ResetDone(2))
    assert (driver.machine.state, driver.machine.episode) == (S.READY, 1)


def test_five_aborts_in_a_row_hold_the_run():
    driver = Driver(AUTO)
    for _ in range(5):
        driver.run()
        driver.do(ev.NodeLost("arm_bridge", "restarted"))
    driver.do(ev.Proceed())
    assert driver.machine.state == S.HELD
    assert "arm_bridge" in driver.machine.reason
    driver.press(Button.CLEAR)
    assert (driver.machine.state, driver.machine.episode) == (S.RESETTING, 6)


def test_five_failed_resets_hold_the_run():
    driver = Driver(AUTO)
    driver.press(Button.START)
    for _ in range(5):
        driver.do(ev.ResetFailed(driver.machine.attempt, "no such task"))
    assert driver.machine.state == S.HELD
    assert "no such task" in driver.machine.reason


def test_an_arm_that_refuses_to_clear_holds_the_run_and_is_named():
    driver = Driver(MANUAL)
    driver.press(Button.HOLD)
    driver.press(Button.CLEAR)
    driver.do(ev.ClearRefused("elbow without torque"))
    assert (driver.machine.state, driver.machine.held_by) == (S.HELD, "arm")
    assert driver.machine.reason.startswith("the arm does not go on (elbow without torque): clear again")


def test_a_restart_holds_and_an_episode_that_ran_is_aborted():
    driver = Driver(AUTO, episodes=2)
    driver.run()
    driver.step()
    driver.do(ev.Opened(2))
    assert (driver.machine.state, driver.machine.held_by) == (S.HELD, "restart")
    assert driver.verdicts() == [(1, 1, V.ABORTED, False)]
    driver.press(Button.CLEAR)
    assert driver.machine.state == S.ABORTED


def test_a_restart_forgets_no_hold_of_a_person():
    driver = Driver(AUTO)
    driver.run()
    driver.press(Button.HOLD)
    driver.do(ev.Opened(0))
    assert (driver.machine.state, driver.machine.held_by) == (S.HELD, "person")
    assert isinstance(driver.effects[-2], ev.StopArm)


def test_a_restart_of_an_automatic_run_pauses_the_arm_and_of_a_persons_stops_it():
    for config, told, then in ((AUTO, ev.PauseArm(), ev.ResumeArm()), (MANUAL, ev.StopArm(), ev.ClearArm("it"))):
        driver = Driver(config)
        driver.run()
        driver.do(ev.Opened(0))
        assert driver.machine.clears_itself == config.auto
        driver.do(Press(Button.CLEAR, "auto" if config.auto else "console", stop="it"))
        assert driver.arm() == [told, then]


def to(state: S, driver: Driver) -> None:
    """Bring the driver to a state."""
    match state:
        case S.RESETTING:
            driver.press(Button.START)
        case S.READY:
            to(S.RESETTING, driver)
            driver.do(ev.ResetDone(driver.machine.attempt))
            driver.press(Button.RESET_DONE)
        case S.RUNNING:
            driver.run()
        case S.ABORTED:
            driver.run()
            driver.press(Button.ABORT)
        case S.FINISHED:
            driver.run()
            driver.step()
            driver.judge(True)
            driver.do(ev.Proceed())
        case S.HELD:
            driver.run()
            driver.do(ev.Opened(1))


@pytest.mark.parametrize("state", [S.IDLE, S.RESETTING, S.READY, S.RUNNING, S.ABORTED, S.FINISHED, S.HELD])
def test_a_stop_of_the_arm_that_somebody_else_made_is_a_hold_that_only_a_person_clears(state):
    driver = Driver(AUTO, episodes=1)
    to(state, driver)
    assert driver.machine.state == state
    assert driver.do(ev.ArmStopped("x")).record
    assert (driver.machine.state, driver.machine.held_by) == (S.HELD, "person")
    assert not driver.machine.clears_itself
    assert driver.machine.reason == "the arm was stopped: clear when it is safe"
    assert ev.StopArm() not in driver.effects, "it is stopped already, and under its own name"
    assert not driver.do(ev.ArmStopped("x")).record
    driver.do(ev.Opened(1))
    assert (driver.machine.state, driver.machine.held_by) == (S.HELD, "person"), "a restart forgets none"
    driver.do(Press(Button.CLEAR, stop="x"))
    assert driver.machine.state != S.HELD
    assert driver.arm()[-1] == ev.ClearArm("x")
    assert not driver.do(ev.ArmStopped("x")).record, "told once more, before the arm has heard of the clear"
    assert driver.do(ev.ArmStopped("y")).record
    assert driver.machine.state == S.HELD


def test_a_clear_that_a_restart_may_have_lost_is_asked_of_the_person_again():
    driver = Driver(AUTO)
    driver.run()
    driver.do(ev.ArmStopped("x"))
    driver.do(Press(Button.CLEAR, stop="x"))
    driver.do(ev.Opened(0))
    driver.do(ev.ArmStopped("x"))
    assert (driver.machine.state, driver.machine.held_by) == (S.HELD, "person")


def test_while_the_arm_cannot_be_cleared_a_clear_is_refused_with_the_reason():
    driver = Driver(MANUAL)
    driver.press(Button.HOLD)
    outcome = driver.press(Button.CLEAR, blocked="stopped just now")
    assert not outcome.accepted
    assert "stopped just now" in outcome.detail
    assert driver.machine.state == S.HELD
    assert driver.press(Button.CLEAR).accepted


def test_a_journal_from_before_stops_had_names_is_still_read():
    line = {"event": "clear", "source": "console", "blocked": "", "time": 1.0, "accepted": True}
    assert ev.event_from_json(line) == Press(Button.CLEAR, "console", "", "")


def test_a_finished_run_goes_on_when_it_is_given_more_episodes():
    driver = Driver(AUTO, episodes=1)
    driver.run()
    driver.step()
    driver.judge(True)
    driver.do(ev.Proceed())
    driver.do(ev.Opened(1))
    assert driver.machine.state == S.FINISHED
    driver.do(ev.Opened(2))
    driver.press(Button.CLEAR)
    assert (driver.machine.state, driver.machine.episode) == (S.RESETTING, 2)


def expected_event(machine: EpisodeMachine, choose: random.Random) -> ev.Event:
    """What would come next in a run without mishaps."""
    episode, step = machine.episode, machine.step + 1
    if machine.pending is not None:
        judged = ev.Judged(episode, step, choose.random() < 0.2, (choose.random() < 0.5,))
        return judged if machine.config.auto else ev.WindowClosed(episode, step)
    match machine.state:
        case S.RUNNING if machine.prompted < step:
            return ev.PromptSeen(episode, step)
        case S.RUNNING:
            return ev.Result(episode, step, Ended.COMPLETED)
        case S.RESETTING if machine.services_done:
            return Press(Button.RESET_DONE)
        case S.RESETTING:
            return ev.ResetDone(machine.attempt)
        case S.HELD:
            return Press(Button.CLEAR)
        case S.IDLE | S.READY | S.FINISHED:
            return Press(Button.START)
        case _:
            return ev.Proceed()


def random_event(machine: EpisodeMachine, choose: random.Random) -> ev.Event:
    """What should come next, a press of any button, or what should not come at all."""
    kind = choose.random()
    if kind < 0.55:
        return expected_event(machine, choose)
    if kind < 0.85:
        gentle = (Button.SUCCESS, Button.FAILURE, Button.SUBGOAL, Button.START, Button.RESET_DONE)
        button = choose.choice(gentle if choose.random() < 0.8 else tuple(Button))
        return Press(button, "service", choose.choice(("", "", "waiting for vla_executor")), choose.choice("abc"))
    episode = max(0, machine.episode + choose.choice((0, 0, 0, -1, 1)))
    step = max(1, machine.step + choose.choice((0, 1, 1, 1, 2)))
    attempt = machine.attempt - choose.choice((0, 1))
    return choose.choice(
        (
            ev.PromptSeen(episode, step),
            ev.Result(episode, step, choose.choice(tuple(Ended))),
            ev.Judged(episode, step, choose.random() < 0.2, (choose.random() < 0.5,)),
            ev.WindowClosed(episode, step),
            ev.ResetDone(attempt),
            ev.ResetFailed(attempt, "no"),
            ev.NodeLost(choose.choice(("vla_executor", "sim_world")), "restarted"),
            ev.Proceed(),
            ev.Opened(choose.choice((0, machine.completed + 1))) if choose.random() < 0.5 else ev.Proceed(),
            ev.ClearRefused("no") if choose.random() < 0.2 else ev.Proceed(),
            ev.ArmStopped(choose.choice("abc")) if choose.random() < 0.2 else ev.Proceed(),
        )
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), auto=st.booleans())
def test_random_presses_and_events_never_break_the_machine(seed, auto):
    choose = random.Random(seed)
    driver = Driver(AUTO if auto else MANUAL)
    machine = driver.machine
    outcomes: dict[int, S] = {}
    answered: dict[tuple[int, int], int] = {}
    amended: set[tuple[int, int]] = set()
    asked: set[tuple[int, int]] = set()
    for _ in range(400):
        event = random_event(machine, choose)
        state = machine.state
        outcome = driver.do(event)
        if isinstance(event, Press):
            assert outcome.record
            assert outcome.detail
        if isinstance(event, ev.Result):
            asked.add((event.episode, event.step))
        assert machine.state == state or machine.state in LEGAL[state], (state, machine.state, event)
        for effect in outcome.effects:
            if isinstance(effect, ev.GiveVerdict):
                key = (effect.episode, effect.step)
                if effect.amendment:
                    assert key in answered
                    assert key not in amended
                    amended.add(key)
                else:
                    assert key not in answered
                    assert key in asked
                answered[key] = effect.verdict
            if isinstance(effect, ev.ShowEpisode) and effect.state in ENDS.values():
                outcomes[effect.episode] = effect.state
        waiting = set() if machine.pending is None else {(machine.pending.episode, machine.pending.step)}
        assert asked == answered.keys() | waiting
        assert machine.completed == sum(end != S.ABORTED for end in outcomes.values())
        assert machine.arm_stopped == (machine.state == S.HELD or machine.pressed is not None)
        cleared = isinstance(event, Press) and event.button == Button.CLEAR and event.source != "auto"
        assert cleared or not any(isinstance(effect, ev.ClearArm) for effect in outcome.effects)
        if isinstance(event, ev.ArmStopped) and machine.state != S.HELD:
            assert event.stop == machine.cleared_stop
        if machine.state in (S.RUNNING, *ENDS.values()):
            assert machine.open == (machine.state == S.RUNNING)
    for episode, end in outcomes.items():
        last = [answered[key] for key in sorted(answered) if key[0] == episode and answered[key] != V.ABORTED]
        assert end == S.ABORTED or ENDS.get(V(last[-1])) == end
    lines = [json.loads(json.dumps(ev.event_to_json(event))) for event in driver.events]
    assert EpisodeMachine.replay(machine.config, map(ev.event_from_json, lines)) == machine


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), auto=st.booleans())
def test_what_is_shown_of_a_button_is_what_its_press_gets(seed, auto):
    choose = random.Random(seed)
    driver = Driver(AUTO if auto else MANUAL)
    for _ in range(120):
        driver.do(random_event(driver.machine, choose))
        blocked = choose.choice(("", "waiting for vla_executor"))
        shown = refusals(driver.machine, blocked)
        assert not shown[Button.HOLD]
        for button, why in shown.items():
            outcome = copy.deepcopy(driver.machine).handle(Press(button, "console", blocked))
            assert outcome.accepted == (not why), (button, why, outcome)
            assert outcome.detail
            assert outcome.accepted or outcome.detail == why


@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_presses_in_any_order_and_at_any_time_count_each_episode_once(seed):
    choose = random.Random(seed)
    driver = Driver(MANUAL if seed else AUTO)
    machine, presses, ended = driver.machine, 0, {}
    while presses < 1000:
        if choose.random() < 0.5:
            driver.do(expected_event(machine, choose))
        else:
            presses += 1
            state, before = machine.state, len(machine.outcomes)
            source = choose.choice(("console", "joy", "terminal"))
            outcome = driver.do(Press(choose.choice(tuple(Button)), source, choose.choice(("", "", "not now"))))
            assert outcome.record, "every press is journaled"
            assert outcome.detail, "every press is answered in words"
            assert machine.state == state or machine.state in LEGAL[state]
            assert before <= len(machine.outcomes) <= before + 1
        for effect in driver.effects:
            if isinstance(effect, ev.ShowEpisode) and effect.state in ENDS.values():
                ended[effect.episode] = effect.state
        driver.effects.clear()
        assert machine.outcomes == [end for _, end in sorted(ended.items()) if end != S.ABORTED]
        assert not refusal(machine, Button.HOLD)
    assert presses == 1000
    assert machine.completed > 0
    lines = [json.loads(json.dumps(ev.event_to_json(event))) for event in driver.events]
    assert EpisodeMachine.replay(machine.config, map(ev.event_from_json, lines)) == machine


def test_a_damaged_journal_line_is_named():
    for line in ({"event": "dance"}, {"event": "result", "episode": 1}, {}):
        with pytest.raises(ValueError, match="no event of the episode machine"):
            ev.event_from_json(line)


def test_a_new_process_and_a_silent_one_are_noticed():
    watch = NodeWatch(["vla_executor", "sim_world"], silence_s=3.0)
    assert watch.missing() == ["vla_executor", "sim_world"]
    assert watch.heartbeat("vla_executor", "a", True, 0.0) is None
    assert watch.heartbeat("sim_world", "s", True, 0.0) is None
    assert watch.heartbeat("recorder", "r", False, 0.0) is None
    assert watch.missing() == []
    assert watch.heartbeat("vla_executor", "b", False, 1.0) == "restarted"
    assert watch.missing() == ["vla_executor"]
    assert watch.silent(2.2) == []
    watch.heartbeat("vla_executor", "b", True, 3.0)
    assert watch.silent(2.9) == []
    assert [node for node, _ in watch.silent(3.5)] == ["sim_world"]
    assert watch.silent(3.6) == []
    assert watch.missing() == ["sim_world"]


def test_a_pause_of_the_watcher_is_not_held_against_the_nodes():
    watch = NodeWatch(["sim_world"], silence_s=3.0)
    watch.heartbeat("sim_world", "s", True, 0.0)
    assert watch.silent(0.1) == []
    assert watch.silent(60.0) == []
    times = [60.5 + 0.5 * k for k in range(10)]
    assert [len(watch.silent(at)) for at in times].count(1) == 1


def test_an_optional_node_is_heard_while_it_beats_and_never_lost():
    watch = NodeWatch(["sim_world"], silence_s=3.0, optional=["recorder", "sim_world"])
    watch.heartbeat("sim_world", "s", False, 0.0, ["no scene"])
    assert watch.complaints() == [], "what is required is waited for by its name"
    assert watch.heartbeat("recorder", "a", False, 0.0) is None
    assert watch.complaints() == ["recorder: it is not ready yet"]
    assert watch.heartbeat("recorder", "b", False, 0.5, ["the disk is full", "make room"]) is None
    assert watch.complaints() == ["recorder: the disk is full; make room"]
    watch.heartbeat("recorder", "b", True, 1.0)
    assert watch.complaints() == []
    watch.heartbeat("recorder", "b", False, 1.5, ["the disk is full"])
    lost = [node for at in range(1, 20) for node, _ in watch.silent(0.5 * at)]
    assert lost == ["sim_world"]
    assert watch.complaints() == []
    assert watch.missing() == ["sim_world"]
