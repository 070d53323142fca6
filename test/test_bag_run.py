"""A run read from its bags: joined by keys, told-again messages once, cut-off bags up to their last message."""

import shutil
from collections import Counter

import pytest
from bag_fixture import Tape, serialized, type_of, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from std_msgs.msg import String

from sarl_interfaces.msg import StepKey
from sarl_ros.core.types import Ended, EpisodeState, Verdict
from sarl_ros.store import bag_run
from sarl_ros.store.bag_run import read_run
from sarl_ros.store.bag_writing import BagWriter
from sarl_ros.store.bags import BagError, find_bags

CONTINUE, SUCCESS, TIMEOUT, ABORTED = Verdict.CONTINUE, Verdict.SUCCESS, Verdict.TIMEOUT, Verdict.ABORTED


def recorded(tape, tmp_path, **options):
    tape.write(tmp_path / "bags", **options)
    return read_run(find_bags([tmp_path]))


def test_messages_with_codes_that_mean_nothing_are_left_out_and_named(tmp_path):
    tape = Tape("run")
    tape.episode(1)
    strange = [
        (topic, time_ns, type(message)())
        for topic, time_ns, message in tape.told
        if topic in (bag_run.EPISODE, bag_run.STEP_RESULT, bag_run.STEP_VERDICT)
    ]
    for topic, _, message in strange:
        if topic == bag_run.EPISODE:
            message.run, message.state = "run", 77
        else:
            message.key = StepKey(run="run", episode=1, step=1)
            setattr(message, "ended" if topic == bag_run.STEP_RESULT else "verdict", 77)
    whole = read_run([write_bag(tmp_path, "whole", tape.told, tape.metadata)])
    mixed = read_run([write_bag(tmp_path, "mixed", [*tape.told, *strange], tape.metadata)])
    assert [len(episode.steps) for episode in mixed.episodes] == [len(episode.steps) for episode in whole.episodes]
    counts = Counter(topic for topic, _, _ in strange)
    assert set(mixed.notes) == {
        f"mixed: {counts[topic]} messages on {topic} left out, the first for {field}: 77 is unknown"
        for topic, field in (
            (bag_run.EPISODE, "state"),
            (bag_run.STEP_RESULT, "ended"),
            (bag_run.STEP_VERDICT, "verdict"),
        )
    }


def test_a_torn_message_is_left_out_and_named_and_the_rest_is_read(tmp_path):
    tape = Tape("run")
    tape.episode(1)
    whole = read_run([write_bag(tmp_path, "whole", tape.told, tape.metadata)])
    writer = BagWriter(tmp_path, "mixed", tape.metadata)
    for topic, time_ns, message in tape.told:
        writer.write(topic, type_of(message), time_ns, serialized(message), [])
    writer.write(bag_run.STEP_RESULT, "sarl_interfaces/msg/StepResult", time_ns, b"\x00\x01\x00\x00torn", [])
    mixed = read_run([writer.seal()])
    assert [len(episode.steps) for episode in mixed.episodes] == [len(episode.steps) for episode in whole.episodes]
    assert mixed.notes == [
        "mixed: 1 message on /sarl/step_result left out, the first for its bytes are not of its type"
    ]


def test_a_bag_that_tells_nothing_of_a_run_is_named(tmp_path):
    tape = Tape("run")
    tape.tell("/text", String(data="a"))
    assert read_run([write_bag(tmp_path, "text", tape.told, tape.metadata)]).notes == [
        "text holds no topic that tells of a run"
    ]


def test_an_episode_without_a_bag_and_a_bag_without_a_message_are_named(tmp_path):
    tape = Tape("run")
    for episode in (1, 2, 3):
        tape.episode(episode)
    tape.write(tmp_path)
    shutil.rmtree(tmp_path / "episode-0002")
    BagWriter(tmp_path, "episode-0002", tape.metadata).leave()
    found = read_run(find_bags([tmp_path])).notes
    assert found == ["no bag tells of episode 2", "episode-0002.mcap holds no message"]


def test_steps_have_what_was_said_of_them(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, SUCCESS))
    tape.episode(2, (CONTINUE, TIMEOUT))
    run = recorded(tape, tmp_path)
    assert (run.run, [episode.outcome for episode in run.episodes]) == ("run", ["SUCCESS", "TIMEOUT"])
    first = run.episodes[0]
    assert (first.seed, first.task) == (1, "chain")
    assert first.start.result.ended == Ended.START
    assert [step.key.step for step in first.steps] == [1, 2]
    for step in first.steps:
        assert step.prompt.prompt
        assert step.result is not None
        assert len(step.verdicts) == 1
        assert step.prompt_ns < step.result_ns < step.verdict_ns
    assert first.steps[0].proposal is not None
    assert first.steps[1].proposal is None
    assert [state for _, state, _ in first.states] == [
        EpisodeState.RESETTING,
        EpisodeState.READY,
        EpisodeState.RUNNING,
        EpisodeState.SUCCESS,
    ]
    assert [event.event for _, event in first.events] == ["prompt", "prompt"]
    assert run.setting("sarl_learner", "task") == "chain"
    assert run.preset["horizon"] == 8
    assert run.gaps == []


def test_an_episode_is_joined_from_the_bags_of_a_recorder_that_restarted_and_heard_everything_again(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, CONTINUE, SUCCESS))
    whole = read_run(tape.write(tmp_path / "whole"))
    split = len(tape.told) // 2
    retained = [told for told in tape.told[:split] if told[0] != bag_run.EPISODE]
    metadata = tape.metadata | {"episode": "1"}
    again = [(topic, tape.told[split][1] - 1, message) for topic, _, message in retained]
    write_bag(tmp_path / "bags", "episode-0001", tape.told[: split - 2], metadata, sealed=False)
    write_bag(tmp_path / "bags", "episode-0001-2", [*again, *tape.told[split:]], metadata)
    run = read_run(find_bags([tmp_path / "bags"]))
    (episode,), (expected,) = run.episodes, whole.episodes
    assert summary(episode) == summary(expected)
    (gap,) = run.gaps
    assert gap.end_ns > gap.begin_ns
    assert "cut off" in gap.missing


def summary(episode):
    return (
        episode.outcome,
        [
            (step.key, step.prompt.prompt, step.result.ended, [v.verdict for v in step.verdicts])
            for step in episode.steps
        ],
        [event.event for _, event in episode.events],
        [state for _, state, _ in episode.states],
    )


@settings(max_examples=15, deadline=None)
@given(
    first=st.integers(1, 40),
    away=st.integers(0, 6),
    repeats=st.lists(st.integers(0, 39), max_size=12),
)
def test_whatever_is_told_again_counts_once(tmp_path_factory, first, away, repeats):
    """A recorder that is away for some messages hears all protocol messages of before again, in their order."""
    folder = tmp_path_factory.mktemp("bags")
    tape = Tape("run")
    tape.episode(1, (CONTINUE, CONTINUE, SUCCESS))
    first = min(first, len(tape.told))
    metadata = tape.metadata | {"episode": "1"}
    lost = tape.told[first : first + away]
    protocol = [told for told in tape.told[: first + away] if told[0] != bag_run.EPISODE]
    wanted = {index for index in repeats if index < first} | {protocol.index(told) for told in lost if told in protocol}
    begin_ns = tape.told[min(first + away, len(tape.told) - 1)][1] - 1
    again = [(topic, begin_ns, message) for index, (topic, _, message) in enumerate(protocol) if index in wanted]
    write_bag(folder, "episode-0001", tape.told[:first], metadata)
    if rest := [*again, *tape.told[first + away :]]:
        write_bag(folder, "episode-0001-2", rest, metadata)
    (episode,) = read_run(find_bags([folder])).episodes
    assert [(step.key.step, len(step.verdicts)) for step in episode.steps] == [(1, 1), (2, 1), (3, 1)]
    assert len(episode.events) == 3
    assert episode.outcome == "SUCCESS"


def test_equal_presses_in_one_bag_are_different_events(tmp_path):
    tape = Tape("run")
    tape.state(1, EpisodeState.RUNNING)
    tape.event(1, 0, "hold")
    tape.told.append((tape.told[-1][0], tape.now_ns + 5, tape.told[-1][2]))
    assert len(recorded(tape, tmp_path).episodes[0].events) == 2


def test_a_bag_that_is_still_open_is_read_to_its_last_message(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, SUCCESS))
    tape.state(2, EpisodeState.RUNNING)
    tape.result(2, 0, Ended.START)
    tape.prompt(2, 1)
    run = recorded(tape, tmp_path, sealed=False)
    assert [episode.outcome for episode in run.episodes] == ["SUCCESS", "OPEN"]
    assert run.episodes[1].steps[0].result is None
    assert run.gaps[-1].end_ns == 0


def test_an_amendment_is_in_effect_and_comes_after_what_it_amends(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, TIMEOUT))
    tape.verdict(1, 2, SUCCESS, amendment=True)
    tape.verdict(1, 2, TIMEOUT)
    (episode,) = recorded(tape, tmp_path).episodes
    step = episode.steps[-1]
    assert [(v.verdict, v.amendment) for v in step.verdicts] == [(TIMEOUT, False), (SUCCESS, True)]
    assert (step.verdict, episode.outcome) == (SUCCESS, "SUCCESS")


def test_an_aborted_episode_keeps_its_finished_steps(tmp_path):
    tape = Tape("run")
    tape.episode(1, (CONTINUE, ABORTED))
    (episode,) = recorded(tape, tmp_path).episodes
    assert (episode.outcome, [step.verdict for step in episode.steps]) == ("ABORTED", [CONTINUE, ABORTED])
    assert episode.states[-1][2] == "aborted"


def test_an_episode_without_a_start_and_verdicts_without_results_are_told_as_far_as_they_are_known(tmp_path):
    tape = Tape("run")
    tape.prompt(3, 2)
    tape.verdict(3, 2, CONTINUE)
    (episode,) = recorded(tape, tmp_path).episodes
    assert (episode.episode, episode.outcome, episode.start.result) == (3, "OPEN", None)
    (step,) = episode.steps
    assert (step.key.step, step.result, step.verdict) == (2, None, CONTINUE)


def test_the_last_proposal_of_a_state_counts_also_when_an_older_one_is_told_again(tmp_path):
    tape = Tape("run")
    tape.proposal(1, 0, ("old.",), stamp_ns=1)
    tape.proposal(1, 0, ("new.",), stamp_ns=2)
    tape.proposal(1, 0, ("old.",), stamp_ns=1)
    (episode,) = recorded(tape, tmp_path).episodes
    assert episode.start.proposal.candidates[0].prompt == "new."


def test_bags_of_two_runs_are_refused_by_name(tmp_path):
    for name in ("one", "two"):
        tape = Tape(name)
        tape.episode(1)
        tape.write(tmp_path / name)
    with pytest.raises(BagError, match=r"is of run two, others are of one"):
        read_run(find_bags([tmp_path / "one", tmp_path / "two"]))


def test_a_run_of_no_episodes_has_none(tmp_path):
    tape = Tape("run")
    tape.state(0, EpisodeState.IDLE)
    assert recorded(tape, tmp_path).episodes == []
