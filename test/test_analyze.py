"""The offline analysis: tables by hand-computed cases; a page that needs nothing, escapes all, and survives gaps."""

import csv
import json
import math
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from bag_fixture import STEP_NS, Tape, jpeg, write_bag
from hypothesis import given
from hypothesis import strategies as st

from sarl_interfaces import msg
from sarl_ros.analysis.analyze import analyze
from sarl_ros.analysis.failures import ABORTED as ABORTS
from sarl_ros.analysis.failures import LAST_PROMPT, OVERRATED, failures
from sarl_ros.analysis.filmstrip import make_strips
from sarl_ros.analysis.measures import calibration, calibration_error, distribution, phases, returns
from sarl_ros.analysis.report import render
from sarl_ros.analysis.rows import LatencyRow, to_csv
from sarl_ros.analysis.streams import read_streams
from sarl_ros.analysis.svg import Axis, element, seconds
from sarl_ros.analysis.tables import make_tables
from sarl_ros.analysis.thumbnails import PLANS, choose_plan, jpeg_width, thumbnail
from sarl_ros.analysis.waits import LEARNER, MACHINE, PERSON, RUNNING, subtract
from sarl_ros.core.reward import discounted_return
from sarl_ros.core.reward import reward as critic_reward
from sarl_ros.core.types import Ended, EpisodeState, Verdict
from sarl_ros.store.bag_run import read_run
from sarl_ros.store.bags import BagError, find_bags

CONTINUE, SUCCESS, TIMEOUT, ABORTED = Verdict.CONTINUE, Verdict.SUCCESS, Verdict.TIMEOUT, Verdict.ABORTED
STEP_S = STEP_NS / 1e9
NASTY = '<script>alert("x")</script>'


# Maths.


def test_returns_discount_to_the_end_and_a_cut_episode_goes_on_losing():
    assert returns([False, True], 8) == [(-1 / 8, -1 / 8), (0, 0)]
    ((first_low, first_high), (last_low, last_high)) = returns([False, False], 8)
    assert (first_low, last_low) == (pytest.approx(-1), pytest.approx(-1))
    assert last_high == pytest.approx(-1 / 8)
    assert first_high == pytest.approx(-1 / 8 - 7 / 8 / 8)
    assert returns([], 8) == []


@given(st.integers(0, 12), st.booleans(), st.integers(2, 20))
def test_returns_are_those_that_the_critics_start_from(losses, succeeds, horizon):
    flags = [False] * losses + [True] * succeeds
    found = returns(flags, horizon)
    for start, (realised, limit) in enumerate(found):
        rewards = [critic_reward(flag, horizon) for flag in flags[start:]]
        assert realised == pytest.approx(discounted_return(rewards, horizon))
        assert -1 - 1e-9 <= realised <= limit <= 0


def test_calibration_bins_hold_means_of_what_fell_into_them():
    rows = calibration("all", [(-0.5, -0.4, -0.3), (-0.45, -0.6, -0.5), (-0.01, 0.0, 0.0), (-1.0, -1.0, -0.2)])
    assert [(row.low, row.high, row.count) for row in rows] == [(-1, -0.875, 1), (-0.5, -0.375, 2), (-0.125, 0, 1)]
    assert rows[1].predicted == pytest.approx(-0.475)
    assert rows[1].realised == pytest.approx(-0.5)
    assert rows[1].realised_high == pytest.approx(-0.4)
    assert calibration_error(rows) == pytest.approx((2 * 0.025 + 0.01 + 0) / 4)
    assert calibration("all", []) == []
    assert calibration_error([]) is None


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-1, 0)), min_size=1))
def test_calibration_loses_no_decision_wherever_its_prediction_lies(points):
    rows = calibration("all", [(predicted, realised, realised) for predicted, realised in points])
    assert sum(row.count for row in rows) == len(points)
    for row in rows:
        assert row.low - 1e-9 <= row.predicted <= row.high + 1e-9


@given(st.sets(st.integers(1, 500)))
def test_training_phases_part_the_episodes_in_their_order(numbers):
    parts = list(phases(list(numbers)).values())
    assert [number for part in parts for number in part] == sorted(numbers)
    assert all(parts)
    assert max(map(len, parts), default=0) - min(map(len, parts), default=0) <= 1


def test_percentiles_interpolate():
    of = distribution([0.0, 1.0, 2.0, 3.0, 4.0])
    assert (of.count, of.mean, of.p50, of.p95, of.max) == (5, 2.0, 2.0, pytest.approx(3.8), 4.0)


intervals = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(intervals, st.lists(intervals, max_size=6))
def test_subtracting_holes_leaves_exactly_what_no_hole_covers(span, holes):
    left = subtract(span, holes)
    covered = {tick for low, high in holes for tick in range(low, high)}
    assert [tick for low, high in left for tick in range(low, high)] == [
        tick for tick in range(*span) if tick not in covered
    ]


# Tables, from bags.


def tell_node(tape, node, incarnation="a", faults=()):
    tape.tell("/sarl/node_status", msg.NodeStatus(node=node, incarnation=incarnation, ready=True, faults=list(faults)))


def tell_arm(tape, **fields):
    tape.tell("/arm/state", msg.ArmState(accepted=fields.pop("accepted", True), **fields))


def read(tape, folder, **options):
    """Run, streams and tables of a tape, by way of bags."""
    tape.write(folder / "bags", **options)
    bags = find_bags([folder])
    run = read_run(bags)
    streams = read_streams(bags, run)
    return run, streams, make_tables(run, streams)


def by_hand(tape):
    """Say in the tape's configuration that a person starts, judges and resets."""
    tape.metadata["config"] = "operator: {ros__parameters: {auto: false}}\n"
    return tape


def stages(tables, name):
    return [row for row in tables.latencies if row.stage == name]


def test_episodes_and_steps_have_their_figures(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, SUCCESS))
    tape.episode(2, (CONTINUE, CONTINUE, TIMEOUT))
    _, _, tables = read(tape, tmp_path)
    first, second = tables.episodes
    assert (first.outcome, first.decisions, first.ended_by, first.control_steps) == ("SUCCESS", 2, "auto", 48)
    assert (first.realised, first.first_q) == (pytest.approx(-1 / 8), pytest.approx(-0.5))
    assert (second.outcome, second.reason, second.realised) == ("TIMEOUT", "timeout", pytest.approx(-1))
    assert [row.reward for row in tables.steps] == [-1 / 8, 0.0, -1 / 8, -1 / 8, -1 / 8]
    assert {row.rank for row in tables.steps} == {1}
    assert len(tables.candidates) == 15
    assert [row.chosen for row in tables.candidates[:3]] == [True, False, False]
    assert [row.event for row in tables.events] == ["prompt"] * 5
    assert [(row.count, row.predicted) for row in tables.calibration] == [(5, pytest.approx(-0.5))]
    assert tables.calibration[0].realised == pytest.approx((-1 / 8 + 0 - 3) / 5)


def test_latencies_are_the_times_between_what_the_recorder_heard(tmp_path):
    tape = Tape("run")
    tape.state(1, EpisodeState.RESETTING)
    tape.state(1, EpisodeState.READY)
    tape.state(1, EpisodeState.RUNNING)
    tape.result(1, 0, Ended.START)
    tape.proposal(1, 0)
    tape.prompt(1, 1)
    for seq in range(1, 4):
        tape.tell("/arm/command", msg.ArmCommand(key=tape.key(1, 1), seq=seq))
    tape.result(1, 1)
    tape.now_ns += 5 * STEP_NS
    tape.verdict(1, 1, SUCCESS)
    tape.state(1, EpisodeState.SUCCESS)
    _, _, tables = read(tape, tmp_path)
    for stage, episode_step, expected in (
        ("reset", (1, 0), 1),
        ("result to proposal", (1, 0), 1),
        ("proposal to prompt", (1, 1), 1),
        ("result to next prompt", (1, 1), 2),
        ("prompt to first command", (1, 1), 1),
        ("step", (1, 1), 4),
        ("result to verdict", (1, 1), 6),
    ):
        (row,) = stages(tables, stage)
        assert (row.episode, row.step) == episode_step, stage
        assert row.seconds == pytest.approx(expected * STEP_S), stage
    assert [row.seconds for row in stages(tables, "control period")] == [pytest.approx(STEP_S)] * 2
    assert stages(tables, "verdict to next prompt") == []


def test_what_a_restarted_recorder_was_told_at_once_is_no_latency(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, SUCCESS))
    tape.state(2, EpisodeState.RUNNING)
    tape.result(2, 0, Ended.START)
    split = len(tape.told)
    tape.now_ns += 3_000_000_000
    tape.prompt(2, 1)
    tape.result(2, 1)
    tape.verdict(2, 1, CONTINUE)
    tape.now_ns += 20_000_000_000
    tape.prompt(2, 2)
    tape.result(2, 2)
    _, _, tables = read(tape, tmp_path, split=[split])
    assert len(tables.gaps) == 1
    assert [(row.episode, row.step) for row in stages(tables, "step")] == [(1, 1), (1, 2), (2, 2)]


def test_messages_that_came_in_the_wrong_order_were_too_close_to_tell(tmp_path):
    tape = Tape("run")
    tape.state(1, EpisodeState.RUNNING)
    tape.prompt(1, 1)
    tape.verdict(1, 1, SUCCESS)
    tape.result(1, 1)
    _, _, tables = read(tape, tmp_path)
    assert [row.seconds for row in stages(tables, "result to verdict")] == [0]


def test_an_amendment_counts_and_is_told(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, TIMEOUT))
    tape.verdict(1, 2, SUCCESS, amendment=True)
    tape.state(1, EpisodeState.SUCCESS, "success pressed")
    _, _, tables = read(tape, tmp_path)
    (episode,) = tables.episodes
    assert (episode.outcome, episode.amended, episode.reason) == ("SUCCESS", True, "success pressed")
    assert [row.realised for row in tables.steps] == [pytest.approx(-1 / 8), 0]


def test_a_dropped_step_has_no_reward_and_an_aborted_episode_no_return(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, ABORTED))
    _, _, tables = read(tape, tmp_path)
    assert [row.reward for row in tables.steps] == [-1 / 8, None]
    assert [row.realised for row in tables.steps] == [None, None]
    assert tables.calibration == []
    assert tables.episodes[0].decisions == 1
    assert [(row.kind, row.episodes) for row in tables.failures] == [(ABORTS, "1")]


def test_returns_are_counted_only_after_a_hole_in_the_record(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, CONTINUE, CONTINUE, SUCCESS))
    tape.told = [told for told in tape.told if not (hasattr(told[2], "key") and told[2].key.step == 2)]
    run, streams, tables = read(tape, tmp_path)
    assert [(row.step, row.realised) for row in tables.steps] == [(1, None), (3, -1 / 8), (4, 0)]
    page = render(run, streams, tables, make_strips(run, streams, tables), {})
    assert "episode 1 step 2" in page


def test_an_episode_whose_last_verdict_is_not_in_the_record_has_no_returns(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, SUCCESS))
    tape.told = [told for told in tape.told if not (isinstance(told[2], msg.StepVerdict) and told[2].key.step == 2)]
    run, streams, tables = read(tape, tmp_path)
    assert [row.outcome for row in tables.episodes] == ["SUCCESS"]
    assert [(row.step, row.realised) for row in tables.steps] == [(1, None), (2, None)]
    assert "episode 1 step 2" in render(run, streams, tables, make_strips(run, streams, tables), {})


def test_prompts_are_counted_with_what_they_achieved(tmp_path):
    tape = Tape("run")
    for episode in range(1, 10):
        tape.episode(episode, (CONTINUE, SUCCESS if episode > 6 else TIMEOUT))
    _, _, tables = read(tape, tmp_path)
    first, *others = tables.prompts
    assert (first.offered, first.chosen, first.episodes, first.successes, first.succeeded) == (18, 18, 9, 3, 3)
    assert (first.share_early, first.share_late) == (1, 1)
    assert first.success_low < 3 / 9 < first.success_high
    assert all((row.chosen, row.offered, row.success_low) == (0, 18, None) for row in others)


def test_failures_are_grouped_by_their_last_prompt_and_by_the_most_overrated_choice():
    def step(episode, number, prompt, q, realised):
        return SimpleNamespace(
            episode=episode, step=number, prompt=prompt, q_mean=q, realised=realised, ended="", suitable_offered=None
        )

    def episode(number):
        return SimpleNamespace(episode=number, outcome="TIMEOUT", subgoals=0, recall=None, reason="")

    steps = [
        step(1, 1, "a.", -0.2, -1.0),
        step(1, 2, "b.", -0.9, -1.0),
        step(2, 1, "a.", -0.1, -1.0),
        step(2, 2, "b.", -0.5, -1.0),
    ]
    found = {(row.kind, row.group): row.episodes for row in failures([episode(1), episode(2)], steps, [], [])}
    assert found[LAST_PROMPT, "b."] == "1 2"
    assert found[OVERRATED, "a."] == "1 2"


def test_waiting_is_told_from_running_and_the_persons_part_of_a_reset_from_the_arms(tmp_path):
    tape = by_hand(Tape("run"))
    tape.state(1, EpisodeState.RESETTING, "reset for the next episode")
    tape.now_ns += 100 * STEP_NS
    tape.event(1, 0, "reset_finished")
    tape.now_ns += 400 * STEP_NS
    tape.state(1, EpisodeState.READY)
    tell_node(tape, "operator", faults=["waiting for the learner, which owes 5 updates"])
    tape.now_ns += 100 * STEP_NS
    tell_node(tape, "operator", faults=["waiting for the learner, which owes 1 updates"])
    tape.now_ns += 99 * STEP_NS
    tell_node(tape, "operator")
    tape.now_ns += 300 * STEP_NS
    tape.state(1, EpisodeState.RUNNING)
    tape.now_ns += 50 * STEP_NS
    tape.state(1, EpisodeState.HELD, "held by a person")
    tape.now_ns += 70 * STEP_NS
    tape.state(1, EpisodeState.ABORTED, "held by a person")
    _, _, tables = read(tape, tmp_path)
    spent = Counter()
    for row in tables.spans:
        spent[row.state, row.waits_for] += round(row.seconds / STEP_S)
    assert spent["RESETTING", MACHINE] == 101
    assert spent["RESETTING", PERSON] == 401
    assert spent["READY", LEARNER] == 201
    assert spent["READY", PERSON] == 1 + 301
    assert spent["RUNNING", RUNNING] == 51
    assert spent["HELD", PERSON] == 71
    assert tables.episodes[0].person_s == pytest.approx((401 + 302 + 71) * STEP_S, abs=1e-6)


def test_time_without_a_recorder_counts_as_nobodys(tmp_path):
    tape = by_hand(Tape("run"))
    tape.episode(1)
    tape.state(2, EpisodeState.RESETTING)
    tape.event(2, 0, "reset_finished")
    split = len(tape.told)
    tape.now_ns += 3600 * 1_000_000_000
    tape.state(2, EpisodeState.READY)
    tape.episode(2)
    run, _, tables = read(tape, tmp_path, split=[split])
    assert len(run.gaps) == 1
    assert sum(row.seconds for row in tables.spans) < 60
    assert tables.gaps[0].to_s - tables.gaps[0].from_s == pytest.approx(3600, abs=1)


def test_restarts_silence_faults_and_refusals_are_found(tmp_path):
    tape = Tape("run")
    tape.state(1, EpisodeState.RUNNING)
    tell_node(tape, "vla_executor")
    tell_node(tape, "vla_executor", faults=["camera front is away: check its cable"])
    tell_node(tape, "vla_executor")
    tape.now_ns += 5_000_000_000
    tell_node(tape, "vla_executor")
    tell_node(tape, "vla_executor", incarnation="b")
    tell_arm(tape, accepted=False, refusal="outside the workspace")
    tell_arm(tape, accepted=False, refusal="outside the workspace")
    tell_arm(tape, faults=["overload: waist"], mode=3)
    tell_arm(tape, faults=["overload: waist"], mode=3)
    tell_arm(tape)
    _, streams, tables = read(tape, tmp_path)
    found = [(row.who, row.what) for row in tables.troubles]
    assert found == [
        ("vla_executor", "fault"),
        ("vla_executor", "silent"),
        ("vla_executor", "restart"),
        ("arm", "refusal"),
        ("arm", "fault"),
    ]
    assert tables.troubles[0].seconds == pytest.approx(STEP_S)
    assert tables.troubles[4].seconds == pytest.approx(2 * STEP_S)
    assert [(life.node, life.incarnation) for life in streams.lives] == [("vla_executor", "a"), ("vla_executor", "b")]


def test_a_silence_that_a_restarted_recorder_explains_is_no_nodes_fault(tmp_path):
    tape = Tape("run")
    tape.state(1, EpisodeState.RUNNING)
    tell_node(tape, "vla_executor")
    split = len(tape.told)
    tape.now_ns += 4_000_000_000
    tape.result(1, 0, Ended.START)
    tape.now_ns += 2_000_000_000
    tell_node(tape, "vla_executor")
    _, _, tables = read(tape, tmp_path, split=[split])
    assert len(tables.gaps) == 1
    assert tables.troubles == []


def test_the_frame_nearest_to_the_middle_of_a_step_is_taken_and_none_from_another_step(tmp_path):
    topic = "/camera/front/color/image_raw/compressed"
    tape = Tape("run")
    tape.state(1, EpisodeState.RUNNING)
    tape.result(1, 0, Ended.START)
    tape.prompt(1, 1)
    shown = []
    for size in (4, 5, 6, 7, 8):
        shown.append(jpeg(0, size))
        tape.tell(topic, shown[-1])
    tape.result(1, 1)
    tape.verdict(1, 1, CONTINUE)
    tape.prompt(1, 2)
    tape.now_ns += 20 * STEP_NS
    tape.result(1, 2)
    _, streams, _ = read(tape, tmp_path)
    assert streams.cameras == {"front"}
    assert streams.frames == {(1, 1): {"front": bytes(shown[2].data)}}


def test_tables_are_written_with_their_columns():
    text = to_csv(LatencyRow, [LatencyRow("a, b", 1, 2, 0.25)])
    assert text == 'stage,episode,step,seconds\n"a, b",1,2,0.25\n'


# Pictures.


def test_thumbnails_keep_the_shape_and_refuse_what_is_no_image():
    import cv2

    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    assert jpeg_width(data) == 640
    small = cv2.imdecode(np.frombuffer(thumbnail(data, 160), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (120, 160, 3)
    assert thumbnail(b"not an image", 160) is None
    assert thumbnail(b"", 160) is None
    assert thumbnail(data[:100], 160) is None


def test_a_page_gives_up_frames_before_it_grows_too_large():
    import cv2

    data = cv2.imencode(".jpg", np.zeros((480, 640, 3), np.uint8))[1].tobytes()
    assert choose_plan([data], 900, 800, 20_000_000) == PLANS[0]
    assert choose_plan([], 0, 0, 20_000_000) == PLANS[0]
    tight = choose_plan([data], 1000, 1000, 100_000)
    assert tight.limit is not None
    assert 0 < tight.limit < 1000
    assert "older episodes have none" in tight.note


@given(st.text(), st.text())
def test_whatever_is_drawn_is_escaped(words, title):
    class Inside(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.words = [], ""

        def handle_starttag(self, tag, attrs):
            self.tags.append((tag, dict(attrs)))

        def handle_data(self, data):
            self.words += data

    parser = Inside()
    parser.feed(str(element("text", words, title, class_=words or "x")))
    parser.close()
    assert [tag for tag, _ in parser.tags] == ["text", "title"][: 1 + bool(title)]
    assert parser.words.replace("\r", "\n") == (title + words).replace("\r", "\n") or "\x00" in title + words


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_has_round_ticks_inside_its_range(log):
    axis = Axis(0.001, 8, 0, 100, log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 9
    assert all(0.001 <= tick <= 8 for tick in ticks)
    assert axis(0.001) == 0
    assert axis(8) == pytest.approx(100)


def test_durations_are_written_for_people():
    assert [seconds(value) for value in (0.0031, 0.25, 12, 250, 7500)] == [
        "3.1 ms",
        "0.25 s",
        "12 s",
        "4 min 10 s",
        "2 h 5 min",
    ]


# The page.


class Page(HTMLParser):
    """What a page refers to, and whether its elements close."""

    VOID = {"meta", "link", "img", "br", "input", "hr"}  # noqa: RUF012 - never changed

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.tags, self.open, self.words = [], set(), [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [values[name] for name in ("src", "href", "srcset", "data", "action") if values.get(name)]
        self.links += ["handler"] * any(name.startswith("on") for name in values)
        if "id" in values:
            assert values["id"] not in self.ids
            self.ids.add(values["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def analyzed(tape, folder):
    tape.write(folder / "bags")
    figures = analyze([folder], folder / "report")
    return figures, Page((folder / "report" / "index.html").read_text(encoding="utf-8"))


def check_self_contained(page):
    assert page.open == []
    assert page.tags.count("script") == 1
    for link in page.links:
        assert link.startswith(("data:", "#")), link
        if link.startswith("#"):
            assert link[1:] in page.ids
    style = "".join(page.words)
    assert "url(" not in style
    assert "@import" not in style


def full_tape():
    """Two episodes with everything: frames, an arm, nodes, a learner, presses."""
    tape = by_hand(Tape("run"))
    for node in ("operator", "sarl_learner"):
        tell_node(tape, node)
    for episode, verdicts in ((1, (CONTINUE, TIMEOUT)), (2, (CONTINUE, CONTINUE, SUCCESS))):
        tape.episode(episode, verdicts)
        tape.tell("/camera/front/color/image_raw/compressed", jpeg(0))
        tape.tell(
            "/sarl/episode_event",
            msg.EpisodeEvent(key=tape.key(episode, 2), event="success", source="joy", accepted=episode == 2),
        )
        tape.tell(
            "/sarl/learner_status",
            msg.LearnerStatus(
                run="run", episodes=episode, transitions=2 * episode, critic_loss=0.1 / episode, temperature=0.05,
                recall=math.nan, updates_done=10 * episode, pool_size=3, pool_capacity=8,
            ),
        )  # fmt: skip
        tell_arm(tape)
    return tape


def test_the_page_is_self_contained_and_answers_from_bags_alone(tmp_path):
    figures, page = analyzed(full_tape(), tmp_path)
    check_self_contained(page)
    assert {"episode-1", "episode-2", "success", "calibration", "latency", "operator", "failures"} <= page.ids
    assert page.tags.count("img") >= 7
    assert (figures["successes"], figures["completed"], figures["presses"]) == (1, 2, 2)
    assert figures["page_bytes"] < 300_000
    for name, rows in (("episodes", 2), ("steps", 5), ("candidates", 15), ("learner", 2)):
        with (tmp_path / "report" / "tables" / f"{name}.csv").open() as file:
            assert len(list(csv.DictReader(file))) == rows
    assert json.loads(json.dumps(figures))["latency_s"]["step"]["count"] == 5


def test_words_of_a_model_a_person_or_the_arm_cannot_become_markup(tmp_path):
    tape = full_tape()
    tape.state(3, EpisodeState.RUNNING, NASTY)
    tape.result(3, 0, Ended.START)
    tape.prompt(3, 1, [NASTY, '"><img src=x onerror=alert(1)>', "</style></svg>"], chosen=1)
    tape.result(3, 1, Ended.FAULT)
    tape.told[-1][2].reason = NASTY
    tape.verdict(3, 1, ABORTED)
    tape.told[-1][2].reason = NASTY
    tell_arm(tape, faults=[NASTY], mode=3)
    tell_node(tape, NASTY, faults=[NASTY])
    tape.tell("/sarl/episode_event", msg.EpisodeEvent(key=tape.key(3, 1), event="abort", source=NASTY, detail=NASTY))
    tape.state(3, EpisodeState.ABORTED, NASTY)
    _, page = analyzed(tape, tmp_path)
    check_self_contained(page)
    assert NASTY in "".join(page.words)
    assert "handler" not in page.links


def bare_tape():
    """Prompts of an agent without values, neither cameras nor arm, an episode that never ends, no configuration."""
    tape = Tape("")
    tape.metadata = {}
    tape.state(1, EpisodeState.RUNNING)
    tape.prompt(1, 1)
    for candidate in tape.told[-1][2].candidates:
        candidate.q_mean = candidate.q_std = math.nan
    return tape


def test_missing_data_leaves_a_page_that_says_so(tmp_path):
    figures, page = analyzed(bare_tape(), tmp_path)
    check_self_contained(page)
    words = " ".join("".join(page.words).split())
    assert figures["outcomes"] == {"OPEN": 1}
    assert figures["success"] is None
    for sentence in (
        "no completed episode",
        "the first observation is not in the record",
        "No predicted values",
        "There is nothing to compare",
        "without an end in the record",
        "Nobody pressed a button",
    ):
        assert sentence in words


def test_a_bag_that_says_nothing_of_any_episode_still_gives_a_page(tmp_path):
    tape = Tape("run")
    tell_node(tape, "operator")
    _, page = analyzed(tape, tmp_path)
    check_self_contained(page)


def test_an_episode_that_was_only_prepared_is_shown_as_that(tmp_path):
    tape = Tape("run")
    tape.episode(1)
    tape.state(2, EpisodeState.RESETTING)
    figures, page = analyzed(tape, tmp_path)
    check_self_contained(page)
    assert figures["episodes"] == 1
    assert "never started" in "".join(page.words)
    assert figures["warnings"] == []


def test_an_image_that_is_none_is_reported_and_left_out(tmp_path):
    tape = Tape("run")
    tape.episode(1)
    next(told[2] for told in tape.told if told[0] == "/sarl/step_result").observation.front.data = b"broken"
    _, page = analyzed(tape, tmp_path)
    assert "1 frame could not be decoded" in "".join(page.words)


def test_a_bag_that_was_cut_off_is_named(tmp_path):
    tape = Tape("run")
    tape.episode(1)
    tape.episode(2)
    tape.write(tmp_path / "bags", sealed=False)
    (tmp_path / "bags" / "episode-0003.mcap").touch()
    (tmp_path / "bags" / "episode-0004.mcap").write_bytes(bytes(4096))
    figures = analyze([tmp_path], tmp_path / "report")
    assert any("cut off" in warning and "episode-0002" in warning for warning in figures["warnings"])


def test_bags_of_two_runs_are_refused_by_name(tmp_path):
    for name in ("morning", "evening"):
        tape = Tape(name)
        tape.episode(1)
        write_bag(tmp_path / name, "episode-0001", tape.told, tape.metadata)
    with pytest.raises(BagError, match=r"morning.*evening.*once for each"):
        analyze([tmp_path / "morning", tmp_path / "evening"], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_the_command_says_what_it_found_and_what_it_lacks(tmp_path):
    tape = Tape("run")
    tape.episode(1)
    tape.write(tmp_path / "bags")

    def sarl(*arguments):
        command = [sys.executable, "-m", "sarl_ros.cli", "analyze", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)

    done = sarl(tmp_path, "-o", tmp_path / "out", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 completed episodes succeeded" in done.stdout
    assert json.loads((tmp_path / "figures.json").read_text())["run"] == "run"
    missing = sarl(tmp_path / "nowhere")
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: ")
    assert "nowhere" in missing.stderr
