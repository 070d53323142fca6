"""What the console shows and how it presses, without ROS and without a browser."""

from __future__ import annotations

import asyncio
import json
import math
from types import SimpleNamespace as Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarl_ros.console import drawing, words
from sarl_ros.console.graph_state import GraphState
from sarl_ros.console.pictures import Pictures
from sarl_ros.console.presses import BUTTONS, Answer, Presses
from sarl_ros.console.view import CandidateView
from sarl_ros.core.types import EpisodeState

RUN = "a-run"
NAN = float("nan")


def episode(state, number=1, run=RUN, **fields):
    values = {"step": 0, "max_steps": 8, "completed": 0, "episodes": 20, "outcomes": [], "reason": ""} | fields
    return Message(run=run, episode=number, state=int(state), task="hammer", instruction="hammer it", **values)


def candidate(prompt, q_mean=NAN, q_std=NAN, probability=NAN):
    return Message(prompt=prompt, q_mean=q_mean, q_std=q_std, probability=probability, prior=0.0)


def key(number, step, run=RUN):
    return Message(run=run, episode=number, step=step)


def prompt(number, step, *candidates, chosen=0, control_steps=4, demonstration=False):
    return Message(
        key=key(number, step),
        prompt=candidates[chosen].prompt,
        candidates=candidates,
        chosen=chosen,
        control_steps=control_steps,
        agent="sarl",
        demonstration=demonstration,
    )


def proposal(number, step, *candidates, awaits_person=True):
    return Message(key=key(number, step), candidates=candidates, awaits_person=awaits_person)


def heartbeat(node, ready=True, faults=(), incarnation="first"):
    return Message(node=node, ready=ready, faults=list(faults), incarnation=incarnation)


def buttons(*armed, why="start is not possible in RUNNING: the episode runs already"):
    return Message(
        name=list(BUTTONS),
        armed=[name in armed for name in BUTTONS],
        why=["" if name in armed else why for name in BUTTONS],
    )


def event(name, accepted=True, detail="", source="console", number=1, step=0, stamp=1):
    return Message(
        key=key(number, step), event=name, accepted=accepted, detail=detail, source=source, header=Message(stamp=stamp)
    )


def arm(seq, mode=1, accepted=True, faults=()):
    return Message(seq=seq, mode=mode, accepted=accepted, faults=list(faults), refusal="")


@pytest.fixture
def board():
    return GraphState(opened_s=0.0)


def test_an_empty_board_shows_that_it_waits_and_every_button_but_hold_is_unarmed(board):
    view = board.view(1.0)
    assert view.episode.title == "Waiting"
    assert [button.name for button in view.buttons if button.armed] == ["hold"]
    assert {button.why for button in view.buttons if not button.armed} == {"waiting for the operator node"}
    json.dumps(view.to_json())


def test_the_timer_runs_while_the_episode_does_and_stops_with_it(board):
    board.on_episode(episode(EpisodeState.READY), 9.0)
    assert board.view(9.5).episode.elapsed_s is None
    board.on_episode(episode(EpisodeState.RUNNING), 10.0)
    board.on_episode(episode(EpisodeState.RUNNING, step=1), 12.0)
    shown = board.view(13.0).episode
    assert (shown.elapsed_s, shown.elapsed_is_least) == (3.0, False)
    board.on_episode(episode(EpisodeState.SUCCESS, step=1), 14.0)
    assert board.view(20.0).episode.elapsed_s == 4.0
    board.on_episode(episode(EpisodeState.RESETTING, 2), 21.0)
    assert board.view(22.0).episode.elapsed_s is None


def test_a_console_that_comes_late_says_that_the_time_is_a_lower_bound(board):
    board.on_episode(episode(EpisodeState.RUNNING), 10.0)
    assert board.view(11.0).episode.elapsed_is_least


def test_the_curve_is_the_rolling_success_of_the_outcomes(board):
    outcomes = [EpisodeState.FAILURE, EpisodeState.SUCCESS, EpisodeState.TIMEOUT, EpisodeState.SUCCESS]
    board.on_episode(episode(EpisodeState.READY, 5, outcomes=[int(outcome) for outcome in outcomes]), 0.0)
    shown = board.view(0.0).episode
    assert shown.outcomes == ("FAILURE", "SUCCESS", "TIMEOUT", "SUCCESS")
    assert shown.rolling == (0.0, 0.5, pytest.approx(1 / 3), 0.5)


def test_candidates_come_with_the_likeliest_first_and_the_chosen_one_marked(board):
    board.on_episode(episode(EpisodeState.RUNNING), 0.0)
    rows = (candidate("lift up.", 0.2, 0.1, 0.25), candidate("grasp it.", 0.6, 0.05, 0.75), candidate("wait."))
    board.on_prompt(prompt(1, 1, *rows, chosen=0), 0.0)
    shown = board.view(0.0).candidates
    assert [(row.prompt, row.chosen) for row in shown] == [("grasp it.", False), ("lift up.", True), ("wait.", False)]
    assert (shown[2].q_mean, shown[2].probability) == (None, None), "no number is shown where there is none"


def test_the_prompt_of_an_earlier_episode_is_not_shown_as_the_present_one(board):
    board.on_episode(episode(EpisodeState.RUNNING), 0.0)
    board.on_prompt(prompt(1, 3, candidate("lift up.")), 0.0)
    assert board.view(0.0).prompt.text == "lift up."
    board.on_episode(episode(EpisodeState.RESETTING, 2), 1.0)
    view = board.view(1.0)
    assert (view.prompt.text, view.candidates) == ("", ())


def test_progress_counts_the_control_periods_that_the_arm_answered(board):
    board.on_episode(episode(EpisodeState.RUNNING), 0.0)
    board.on_prompt(prompt(1, 1, candidate("lift up."), control_steps=4), 0.0)
    for seq, accepted in ((7, True), (7, True), (8, False), (9, True)):
        board.on_arm(arm(seq, accepted=accepted), 0.0)
    assert board.view(0.0).prompt.progress == 0.5
    board.on_result(Message(key=key(1, 1)))
    shown = board.view(0.0).prompt
    assert (shown.running, shown.progress) == (False, 1.0)


def test_a_decision_waits_for_a_person_until_its_prompt_is_there(board):
    board.on_episode(episode(EpisodeState.RUNNING, 3), 0.0)
    board.on_prompt(prompt(3, 1, candidate("lift up.")), 0.0)
    board.on_proposal(proposal(3, 1, candidate("grasp it."), candidate("wait.")))
    steering = board.view(0.0).steering
    assert (steering.awaits, steering.episode, steering.step) == (True, 3, 2)
    assert {row.prompt for row in board.view(0.0).candidates} == {"grasp it.", "wait."}
    assert not any(row.chosen for row in board.view(0.0).candidates)
    board.on_prompt(prompt(3, 2, candidate("wait."), demonstration=True), 0.0)
    view = board.view(0.0)
    assert not view.steering.awaits
    assert view.prompt.by_person


def test_nothing_waits_for_a_person_outside_of_a_running_episode(board):
    board.on_proposal(proposal(3, 1, candidate("grasp it.")))
    for state in EpisodeState:
        board.on_episode(episode(state, 3), 0.0)
        assert board.view(0.0).steering.awaits == (state == EpisodeState.RUNNING)


def test_buttons_say_why_they_are_not_armed_in_few_words(board):
    board.on_episode(episode(EpisodeState.RUNNING), 0.0)
    board.on_buttons(buttons("success", "failure", "abort"))
    shown = {button.name: button for button in board.view(0.0).buttons}
    assert shown["success"].armed
    assert shown["success"].wanted
    assert shown["abort"].armed
    assert not shown["abort"].wanted
    assert (shown["start"].armed, shown["start"].why) == (False, "the episode runs already")


def test_a_person_is_told_what_to_do_or_what_is_waited_for(board):
    board.on_episode(episode(EpisodeState.READY, reason="episode 1 can start"), 0.0)
    board.on_buttons(buttons(why="start is not possible: waiting for the learner, which owes 20 updates"))
    assert board.view(0.0).episode.hint == "Waiting for the learner, which owes 20 updates."
    board.on_buttons(buttons("start"))
    assert board.view(0.0).episode.hint == "Press Start."
    board.on_episode(episode(EpisodeState.HELD, reason="held by a person: clear when it is safe"), 0.0)
    assert board.view(0.0).episode.hint == "The arm holds: held by a person. Make it safe, then press Clear."


def test_hold_is_armed_whatever_the_operator_says(board):
    board.on_buttons(buttons())
    assert [button.name for button in board.view(0.0).buttons if button.armed] == ["hold"]


@pytest.mark.parametrize(
    ("why", "short"),
    [
        ("start is not possible in RUNNING: the episode runs already", "the episode runs already"),
        ("start is not possible: waiting for sarl_learner", "waiting for sarl_learner"),
        (
            "step 3 was amended already: press after the next step",
            "step 3 was amended already: press after the next step",
        ),
    ],
)
def test_reasons_are_shortened_only_by_what_the_page_shows_anyway(why, short):
    assert words.short_why(why) == short


def test_a_silent_graph_is_said_loudly_and_the_consoles_own_heartbeat_does_not_count(board):
    assert board.view(1.0).silent == ""
    assert "No program of the robot" in board.view(9.0).silent
    board.on_node(heartbeat("operator"), 10.0)
    board.on_node(heartbeat("console"), 14.0)
    assert board.view(12.0).silent == ""
    assert board.view(14.0).silent == "The robot's programs have been silent for 0:04. What you see is old."


def test_when_the_operator_node_is_silent_only_hold_is_armed(board):
    board.on_episode(episode(EpisodeState.RUNNING), 10.0)
    board.on_buttons(buttons("success"))
    board.on_node(heartbeat("operator"), 10.0)
    board.on_node(heartbeat("arm_bridge"), 14.0)
    assert [button.name for button in board.view(11.0).buttons if button.armed] == ["success", "hold"]
    view = board.view(14.0)
    assert [button.name for button in view.buttons if button.armed] == ["hold"]
    assert view.buttons[0].why == "the operator node is silent"
    assert view.episode.hint == "The operator node is silent. HOLD still stops the arm."
    assert view.silent == ""


def test_in_a_replay_no_button_is_armed_and_the_recorded_programs_are_not_missed(board):
    board.on_episode(episode(EpisodeState.RUNNING), 10.0)
    board.on_buttons(buttons("success"))
    board.on_node(heartbeat("operator"), 10.0)
    board.on_node(heartbeat("bag_player"), 20.0)
    view = board.view(20.0)
    assert view.replay
    assert {button.why for button in view.buttons if button.name != "hold"} == {"this is a replay"}
    assert [node.name for node in view.nodes] == ["bag_player"]
    assert not board.view(30.0).replay


def test_nodes_in_trouble_come_first_in_plain_words(board):
    board.on_node(heartbeat("sim_world"), 10.0)
    board.on_node(heartbeat("arm_bridge", faults=["motor 4: overload, switch it off and on"]), 10.0)
    board.on_node(heartbeat("vla_executor"), 6.0)
    board.on_node(heartbeat("sarl_learner", ready=False, incarnation="second"), 10.0)
    board.on_node(heartbeat("sarl_learner", ready=False, incarnation="third"), 10.0)
    shown = [(node.title, node.level, node.words) for node in board.view(10.0).nodes]
    assert shown == [
        ("arm driver", "bad", ("motor 4: overload, switch it off and on",)),
        ("policy", "bad", ("silent for 0:04; a run restarts it by itself",)),
        ("learner", "wait", ("is starting", "restarted 1 time")),
        ("simulated world", "ok", ()),
    ]


def test_diagnostics_are_shown_while_they_are_repeated(board):
    status = [
        Message(name="front camera", level=b"\x01", message="a third of the frames are lost"),
        Message(name="disk", level=b"\x00", message="fine"),
    ]
    board.on_diagnostics(Message(status=status), 10.0)
    assert [(node.title, node.words) for node in board.view(11.0).nodes] == [
        ("front camera", ("a third of the frames are lost",))
    ]
    assert board.view(20.0).nodes == ()


def test_the_arms_faults_are_in_words(board):
    board.on_arm(arm(1, mode=3, faults=["MOTOR_ERROR"]), 0.0)
    view = board.view(0.0)
    assert (view.arm_mode, view.arm_words) == ("fault", "fault: motor error")


def test_the_arm_moves_while_it_answers_commands_though_it_is_idle_between_them(board):
    board.on_arm(arm(1, mode=0), 10.0)
    assert board.view(10.4).arm_words == "moving"
    board.on_arm(arm(1, mode=0), 10.5)
    assert board.view(11.0).arm_words == "idle"


def test_the_log_tells_each_event_once_and_leaves_out_the_machines_own(board):
    board.on_event(event("start", detail="episode 1 runs"), 0.0)
    board.on_event(event("start", detail="episode 1 runs"), 5.0)
    board.on_event(event("result", detail="step 1 waits for a press", source="auto"), 0.0)
    board.on_event(event("success", accepted=False, detail="no episode runs", source="joy"), 0.0)
    board.on_event(event("verdict", detail="success success pressed", step=2), 0.0)
    shown = [(row.words, row.level) for row in board.view(0.0).events]
    assert shown == [
        ("Judged a success: success pressed.", "good"),
        ("Success (pedal): refused, no episode runs", "refused"),
        ("Start (console): episode 1 runs", "plain"),
    ]


def test_another_run_forgets_what_was_known_of_the_first(board):
    board.on_episode(episode(EpisodeState.RUNNING), 0.0)
    board.on_prompt(prompt(1, 1, candidate("lift up.")), 0.0)
    board.on_buttons(buttons("success"))
    board.on_episode(episode(EpisodeState.IDLE, 0, run="another"), 1.0)
    view = board.view(1.0)
    assert (view.episode.run, view.prompt.text, view.candidates) == ("another", "", ())
    assert not any(button.armed for button in view.buttons if button.name != "hold")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("episode"), st.sampled_from(EpisodeState), st.integers(0, 4)),
            st.tuples(st.just("prompt"), st.integers(0, 4), st.integers(1, 4)),
            st.tuples(st.just("proposal"), st.integers(0, 4), st.integers(0, 4)),
            st.tuples(st.just("result"), st.integers(0, 4), st.integers(0, 4)),
            st.tuples(st.just("node"), st.booleans(), st.integers(0, 1)),
        ),
        max_size=30,
    )
)
def test_any_order_of_messages_gives_a_view(messages):
    board = GraphState(0.0)
    for now, (kind, first, second) in enumerate(messages):
        match kind:
            case "episode":
                board.on_episode(episode(first, second), float(now))
            case "prompt":
                board.on_prompt(prompt(first, second, candidate("a."), candidate("b.", 0.1, 0.1, 0.5)), 0.0)
            case "proposal":
                board.on_proposal(proposal(first, second, candidate("c.")))
            case "result":
                board.on_result(Message(key=key(first, second)))
            case "node":
                board.on_node(heartbeat("operator", ready=first, incarnation=str(second)), float(now))
        view = board.view(float(now))
        json.dumps(view.to_json(), allow_nan=False)
        assert not view.steering.awaits or view.episode.state == "RUNNING"
        assert view.episode.elapsed_s is None or view.episode.elapsed_s >= 0


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 3)) | st.none(), max_size=9))
def test_q_bars_lie_on_one_scale_that_holds_all_of_them(values):
    rows = [
        CandidateView("a.", *(value or (None, None)), probability=None, prior=None, chosen=False) for value in values
    ]
    bars = drawing.q_bars(rows)
    assert [bar is None for bar in bars] == [value is None for value in values]
    for bar in bars:
        assert bar is None or -1e-6 <= bar.low <= bar.mean <= bar.high <= 100 + 1e-6
    known = [(value[0], bar.mean) for value, bar in zip(values, bars, strict=True) if value is not None]
    assert all(first[1] <= second[1] + 1e-6 for first in known for second in known if first[0] <= second[0])


@given(st.lists(st.sampled_from(["SUCCESS", "FAILURE", "TIMEOUT"]), max_size=400))
def test_the_curve_has_a_dot_for_each_episode(outcomes):
    curve = drawing.curve(outcomes, [0.5] * len(outcomes))
    dots = {name: getattr(curve, name.lower()).count("M") for name in ("SUCCESS", "FAILURE", "TIMEOUT")}
    assert dots == {name: outcomes.count(name) for name in dots}
    assert math.isfinite(curve.dot)


class Graph:
    """Answers after `wait`, counts what it is asked."""

    def __init__(self):
        self.calls, self.arm, self.operator = [], Answer(True, "held"), Answer(True, "done")
        self.wait = asyncio.Event()
        self.wait.set()

    async def press(self, button):
        self.calls.append(button)
        await self.wait.wait()
        return self.operator

    async def stop_arm(self):
        self.calls.append("stop")
        await self.wait.wait()
        return self.arm

    async def steer(self, *call):
        self.calls.append(call)
        await self.wait.wait()
        return self.operator


def pressing(scenario):
    """Run a scenario(graph, presses, clock) with a clock that it sets."""

    async def run():
        now = [0.0]
        graph = Graph()
        await scenario(graph, Presses(graph, lambda: now[0]), now)

    asyncio.run(run())


def test_a_double_press_is_one_press_with_one_answer():
    async def scenario(graph, presses, now):
        first = await presses.press("start")
        now[0] = 0.5
        assert await presses.press("start") == first
        assert graph.calls == ["start"]
        now[0] = 1.2
        await presses.press("start")
        assert graph.calls == ["start", "start"]

    pressing(scenario)


def test_a_press_after_another_button_is_a_press_of_its_own():
    async def scenario(graph, presses, now):
        for button in ("start", "hold", "start"):
            await presses.press(button)
            now[0] += 0.25
        assert [call for call in graph.calls if call != "stop"] == ["start", "hold", "start"]

    pressing(scenario)


def test_presses_before_the_answer_are_the_same_press_however_late():
    async def scenario(graph, presses, now):
        graph.wait.clear()
        tasks = [asyncio.create_task(presses.press("success"))]
        await asyncio.sleep(0)
        now[0] = 30.0
        tasks += [asyncio.create_task(presses.press("success")) for _ in range(5)]
        await asyncio.sleep(0)
        graph.wait.set()
        assert await asyncio.gather(*tasks) == [graph.operator] * 6
        assert graph.calls == ["success"]

    pressing(scenario)


def test_different_buttons_are_different_presses():
    async def scenario(graph, presses, _):
        others = [button for button in BUTTONS if button != "hold"]
        await asyncio.gather(*(presses.press(button) for button in others))
        assert sorted(graph.calls) == sorted(others)

    pressing(scenario)


def test_a_page_that_goes_away_does_not_take_its_press_back():
    async def scenario(graph, presses, _):
        graph.wait.clear()
        task = asyncio.create_task(presses.press("abort"))
        await asyncio.sleep(0)
        task.cancel()
        again = asyncio.create_task(presses.press("abort"))
        await asyncio.sleep(0)
        graph.wait.set()
        assert await again == graph.operator
        assert graph.calls == ["abort"]

    pressing(scenario)


@pytest.mark.parametrize("arm", [True, False])
@pytest.mark.parametrize("operator", [True, False])
def test_hold_goes_to_arm_and_operator_at_once_and_one_is_enough(arm, operator):
    async def scenario(graph, presses, _):
        graph.arm, graph.operator = Answer(arm, "A", arm), Answer(operator, "O", operator)
        answer = await presses.hold()
        assert sorted(graph.calls) == ["hold", "stop"]
        assert answer.accepted == (arm or operator)
        assert ("power switch" in answer.detail) == (not arm and not operator)
        assert ("A" in answer.detail.split()) == (not arm)

    pressing(scenario)


def test_a_hold_after_an_answered_hold_is_sent_again():
    async def scenario(graph, presses, _):
        await presses.hold()
        await presses.hold()
        assert graph.calls.count("stop") == 2

    pressing(scenario)


def test_a_hold_that_waits_long_for_its_answers_keeps_no_later_hold_back():
    async def scenario(graph, presses, now):
        graph.wait.clear()
        tasks = []
        for _ in range(3):
            tasks += [asyncio.create_task(presses.hold()), asyncio.create_task(presses.hold())]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            now[0] += 0.3  # meanwhile somebody may have cleared in a terminal or by a pedal
        graph.wait.set()
        await asyncio.gather(*tasks)
        assert graph.calls.count("stop") == graph.calls.count("hold") == 3, "those of one moment are one"

    pressing(scenario)


@pytest.mark.parametrize("first", ["clear", "hold"])
def test_of_hold_and_clear_in_one_moment_hold_alone_reaches_the_graph(first):
    async def scenario(graph, presses, now):
        pressed = [presses.press(first), presses.press("hold" if first == "clear" else "clear")]
        answers = await asyncio.gather(*pressed)
        assert sorted(graph.calls) == ["hold", "stop"]
        hold, clear = answers[::-1] if first == "clear" else answers
        assert hold.accepted
        assert not clear.accepted
        assert "HOLD" in clear.detail
        now[0] += 0.25
        assert (await presses.press("clear")).accepted

    pressing(scenario)


def test_hold_takes_back_what_still_waits_and_nothing_else_goes_out_until_it_is_answered():
    async def scenario(graph, presses, now):
        graph.wait.clear()
        waiting = [asyncio.create_task(presses.press("clear")), asyncio.create_task(presses.steer(True, 1, 1, ""))]
        await asyncio.sleep(0.01)
        held = asyncio.create_task(presses.hold())
        await asyncio.sleep(0.01)
        assert [answer.accepted for answer in await asyncio.gather(*waiting)] == [False, False]
        now[0] += 5.0
        assert not (await presses.press("start")).accepted
        graph.wait.set()
        assert (await held).accepted
        assert (await presses.press("start")).accepted
        assert graph.calls == ["clear", (True, 1, 1, ""), "stop", "hold", "start"]

    pressing(scenario)


def test_unknown_buttons_and_unfit_prompts_are_refused_before_the_graph():
    async def scenario(graph, presses, _):
        for press in (
            presses.press("dance"),
            presses.steer(True, 1, 1, "two\nlines"),
            presses.steer(True, 1, 1, "x" * 401),
        ):
            with pytest.raises(ValueError, match=r"button|prompt"):
                await press
        await presses.steer(True, 1, 2, "  lift   up. ")
        assert graph.calls == [(True, 1, 2, "lift up.")]

    pressing(scenario)


def test_a_picture_is_encoded_only_when_somebody_looks_and_once():
    now, made = [0.0], []
    pictures = Pictures(("front", "wrist"), lambda: now[0])

    def make(name):
        return lambda: made.append(name) or name.encode()

    pictures.put("front", make("first"))
    pictures.put("front", make("second"))
    assert made == []
    assert not pictures.looked_at
    pictures.look()
    assert pictures.looked_at
    assert pictures.jpeg("front") == pictures.jpeg("front") == (2, b"second")
    assert pictures.jpeg("wrist") == (0, b"")
    assert made == ["second"]
    now[0] = 60.0
    assert not pictures.looked_at


def test_a_stored_picture_does_not_replace_a_live_one():
    now = [0.0]
    pictures = Pictures(("front",), lambda: now[0])
    pictures.put("front", lambda: b"live")
    now[0] = 0.5
    pictures.put("front", lambda: b"stored", unless_newer_than_s=1.0)
    assert pictures.jpeg("front") == (1, b"live")
    now[0] = 1.5
    pictures.put("front", lambda: b"stored", unless_newer_than_s=1.0)
    assert pictures.jpeg("front") == (2, b"stored")


def test_a_camera_whose_pictures_cannot_be_encoded_is_named_until_one_can():
    pictures = Pictures(("front",), lambda: 0.0)

    def broken():
        raise ValueError("image encoding 'mono16': set the camera to rgb8 or bgr8")

    pictures.put("front", broken)
    with pytest.raises(ValueError, match="mono16"):
        pictures.jpeg("front")
    assert "front" in pictures.failures
    pictures.put("front", lambda: b"good")
    pictures.jpeg("front")
    assert pictures.failures == {}
