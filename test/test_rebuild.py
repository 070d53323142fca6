"""The replay store made again from bags says what the live one says, whatever happened in the run."""

import dataclasses
import json
import random

import pytest
from bag_fixture import Tape, TapedOperator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_world import Chain, InlineTrainer, play_episode, toy_learner, write_preset

from sarl_ros.analysis.analyze import analyze
from sarl_ros.core.types import Ended, EpisodeState, StepKey, Verdict
from sarl_ros.records.compare import Contents, compare
from sarl_ros.records.demonstrations import export_demonstrations
from sarl_ros.records.initial_entries import BEGUN_WITH
from sarl_ros.records.rebuild import RebuildError, opening_of, rebuild, rebuild_run
from sarl_ros.runs.folder import RunError
from sarl_ros.runs.rebuild import rebuild_command
from sarl_ros.store.bag_run import key_of, read_run
from sarl_ros.store.bags import find_bags
from sarl_ros.store.playback import Playback
from sarl_ros.store.replay_store import DecisionRecord, NoteRecord, TransitionRecord, read_entries, write_entries


class Recording:
    """A toy run of which every message is taped."""

    def __init__(self, folder, agent="sarl", reliability=0.8, horizon=6, stages=2, **learner):
        self.folder = folder / "run"
        preset = write_preset(folder, updates_per_decision=1, critics=1, hidden=4, batch=2)
        self.learner, options = toy_learner(self.folder, preset=str(preset), agent=agent, seed=3, **learner)
        parameters = {key: value for key, value in dataclasses.asdict(options).items() if key != "run_dir"}
        self.tape = Tape("run", parameters, preset)
        self.operator = TapedOperator(self.tape, Chain(stages, reliability), horizon)
        self.trainer = InlineTrainer(options) if options.learns else None
        self.core = self.learner.core
        if self.trainer is not None:
            self.trainer.greet(self.core)

    def play(self, episodes):
        for episode in episodes:
            play_episode(self.core, self.operator, self.trainer, episode)
        return self

    def live(self):
        self.learner.close()
        path = self.folder / "replay.srl"
        return read_entries(path, 0, path.stat().st_size)[0]

    def bags(self, **options):
        self.tape.write(self.folder / "bags", **options)
        return find_bags([self.folder])


def transitions(entries):
    return [entry for entry in entries if isinstance(entry, TransitionRecord)]


@pytest.mark.parametrize("agent", ["sarl", "random", "zero_shot"])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reliability=st.floats(0, 1), horizon=st.integers(1, 6))
def test_the_rebuilt_store_of_any_run_equals_the_live_one(tmp_path_factory, agent, reliability, horizon):
    run = Recording(tmp_path_factory.mktemp("run"), agent, reliability, horizon).play((1, 2, 3))
    bags, live = run.bags(), run.live()
    rebuilt = rebuild(bags)
    found = compare(live, rebuilt)
    assert found.difference is None
    assert found.live == found.rebuilt
    assert found.live.transitions == len(transitions(live)) > 2
    assert [type(entry) for entry in rebuilt] == [type(entry) for entry in live], "also the order is the live one's"


def test_the_rebuilt_store_is_one_that_a_learner_goes_on_with(tmp_path):
    run = Recording(tmp_path).play((1, 2))
    bags, live = run.bags(), run.live()
    (run.folder / "replay.srl").unlink()
    write_entries(run.folder / "replay.srl", rebuild(bags))
    again, _ = toy_learner(run.folder, preset=str(tmp_path / "toy.yaml"), agent="sarl", seed=3)
    assert again.core.figures().transitions == len(transitions(live))
    assert len(again.core._memory.pool) == 8


def test_amendments_aborted_steps_and_a_first_verdict_of_success_are_rebuilt(tmp_path):
    run = Recording(tmp_path, reliability=1.0, horizon=99, stages=1)
    core, operator = run.core, run.operator
    run.play((1,))
    last = StepKey("run", 1, max(key.step for key in operator.answers))
    assert operator.answers[last].verdict is Verdict.SUCCESS
    operator.amend(core, last, Verdict.FAILURE)
    core.advance()
    operator.propose(core)
    core.advance()
    run.play((2,))
    operator.begin(core, 3)
    run.trainer.carry_out(core)
    operator.start(core, 3)
    operator.propose(core)
    operator.chain.stages = 2
    operator.execute(core, core.advance()[0])
    operator.propose(core)
    operator.stop(core, core.advance()[0])
    operator.tell_state(core, 3, EpisodeState.ABORTED)
    core.advance()
    run.play((4,))
    bags, live = run.bags(), run.live()
    rebuilt = rebuild(bags)
    assert compare(live, rebuilt).difference is None
    assert (
        sum(entry.amendment for entry in transitions(live))
        == sum(entry.amendment for entry in transitions(rebuilt))
        == 1
    )
    assert [entry.key.step for entry in transitions(rebuilt) if entry.key.episode == 3] == [1]
    assert {entry.key for entry in rebuilt if isinstance(entry, DecisionRecord)} >= {StepKey("run", 3, 2)}


def test_an_amendment_that_came_before_the_transition_was_stored_is_equal_in_effect(tmp_path):
    run = Recording(tmp_path, reliability=0.0)
    core, operator = run.core, run.operator
    operator.begin(core, 1)
    run.trainer.carry_out(core)
    operator.start(core, 1)
    operator.propose(core)
    decision = core.advance()[0]
    operator.execute(core, decision)
    operator.amend(core, decision.key, Verdict.SUCCESS)
    operator.tell_state(core, 1, EpisodeState.SUCCESS)
    core.advance()
    bags, live = run.bags(), run.live()
    found = compare(live, rebuild(bags))
    assert [(entry.verdict, entry.amendment) for entry in transitions(live)] == [(Verdict.SUCCESS, False)]
    assert found.difference is None


def demonstrations(folder):
    steer = folder / "steer"
    steer.mkdir()
    prompts = steer / "prompts.txt"
    prompts.write_text("press button a > press button b\n")
    run = Recording(steer, "steer", reliability=1.0, prompts=str(prompts)).play((1, 2))
    return run, prompts


def test_steered_runs_are_rebuilt_with_what_else_was_offered(tmp_path):
    run, _ = demonstrations(tmp_path)
    bags, live = run.bags(), run.live()
    rebuilt = rebuild(bags)
    assert compare(live, rebuilt).difference is None
    assert any(entry.candidates for entry in transitions(rebuilt))


def test_demonstrations_that_seeded_the_store_come_from_the_file_that_the_configuration_names(tmp_path):
    steered, _ = demonstrations(tmp_path)
    steered.live()
    file = tmp_path / "chain.demos"
    assert export_demonstrations(steered.folder, file, task="chain", weights_hash="") == 2
    run = Recording(tmp_path, demos=str(file), demo_count=2).play((1,))
    bags, live = run.bags(), run.live()
    assert compare(live, rebuild(bags)).difference is None
    assert any(entry.key.run == "demonstrations" for entry in transitions(live))
    recorded = read_run(bags)
    recorded.metadata[BEGUN_WITH] = opening_of(recorded).digest()
    assert compare(live, rebuild_run(recorded).entries).difference is None
    export_demonstrations(steered.folder, file, task="chain", weights_hash="other")
    with pytest.raises(RebuildError, match="is not what run run began with"):
        rebuild_run(recorded)
    file.unlink()
    with pytest.raises(Exception, match="no demonstration file"):
        rebuild(bags)


def test_evaluation_keeps_no_candidates(tmp_path):
    trained = Recording(tmp_path).play((1, 2))
    trained.live()
    checkpoint = trained.folder / "checkpoints" / "latest"
    other = tmp_path / "eval"
    other.mkdir()
    run = Recording(other, evaluate=True, checkpoint=str(checkpoint)).play((1,))
    bags, live = run.bags(), run.live()
    rebuilt = rebuild(bags)
    assert compare(live, rebuilt).difference is None
    assert not any(entry.candidates for entry in transitions(rebuilt))


@settings(max_examples=10, deadline=None)
@given(index=st.integers(0, 10**6), field=st.sampled_from(["reward", "verdict", "image", "chosen", "prior", "stamp"]))
def test_any_changed_value_is_found_and_named(tmp_path_factory, index, field):
    run = Recording(tmp_path_factory.mktemp("run"), reliability=0.0, horizon=3).play((1,))
    bags, live = run.bags(), run.live()
    rebuilt = rebuild(bags)
    kind = DecisionRecord if field in ("chosen",) else TransitionRecord
    places = [number for number, entry in enumerate(rebuilt) if isinstance(entry, kind)]
    place = places[index % len(places)]
    rebuilt[place] = changed(rebuilt[place], field)
    difference = compare(live, rebuilt).difference
    assert difference is not None
    assert f"episode 1 step {rebuilt[place].key.step}" in difference.key
    assert {"image": "image sha256", "prior": "candidate 0 prior", "stamp": "stamp_ns"}.get(
        field, field
    ) == difference.field
    assert difference.live != difference.rebuilt


def changed(entry, field):
    seen = entry.observation
    if field == "reward":
        return dataclasses.replace(entry, reward=entry.reward + 1e-9)
    if field == "verdict":
        return dataclasses.replace(entry, verdict=Verdict.FAILURE)
    if field == "chosen":
        return dataclasses.replace(
            entry, decision=dataclasses.replace(entry.decision, chosen=entry.decision.chosen ^ 1)
        )
    if field == "prior":
        first, *rest = entry.candidates
        return dataclasses.replace(entry, candidates=(dataclasses.replace(first, prior=0.5), *rest))
    if field == "stamp":
        return dataclasses.replace(entry, observation=dataclasses.replace(seen, stamp_ns=seen.stamp_ns + 1))
    image = seen.image.copy()
    image[0, 0, 0] ^= 1
    return dataclasses.replace(entry, observation=dataclasses.replace(seen, image=image))


def test_a_lost_transition_and_an_invented_one_are_differences(tmp_path):
    run = Recording(tmp_path).play((1,))
    bags, live = run.bags(), run.live()
    rebuilt = rebuild(bags)
    gone = [entry for entry in rebuilt if entry is not transitions(rebuilt)[0]]
    assert compare(live, gone).difference.rebuilt == "not there"
    assert compare(gone, rebuilt).difference.live == "not there"


def test_a_decision_that_was_never_published_is_said_not_to_be_compared(tmp_path):
    run = Recording(tmp_path)
    core, operator = run.core, run.operator
    operator.begin(core, 1)
    run.trainer.carry_out(core)
    operator.start(core, 1)
    operator.propose(core)
    assert core.advance()
    bags, live = run.bags(), run.live()
    found = compare(live, rebuild(bags))
    assert found.difference is None
    assert any("run episode 1 step 1" in note for note in found.notes)


def test_what_the_bags_do_not_tell_is_said_and_the_rest_is_rebuilt(tmp_path):
    tape = Tape("run", {"agent": "sarl"})
    tape.episode(1, (Verdict.CONTINUE, Verdict.CONTINUE, Verdict.SUCCESS))
    tape.told = [told for told in tape.told if not (type(told[2]).__name__ == "Prompt" and told[2].key.step == 2)]
    tape.episode(2, (Verdict.CONTINUE, Verdict.SUCCESS))
    rebuilt = rebuild_run(read_run(tape.write(tmp_path)))
    assert [(entry.key.episode, entry.key.step) for entry in transitions(rebuilt.entries)] == [
        (1, 1),
        (1, 3),
        (2, 1),
        (2, 2),
    ]
    assert rebuilt.missing == ["episode 1 step 2: its prompt is not in the bags"]


def test_candidates_of_a_lost_proposal_are_those_of_the_next_decision(tmp_path):
    tape = Tape("run", {"agent": "sarl"})
    tape.episode(1, (Verdict.CONTINUE, Verdict.TIMEOUT))
    tape.told = [told for told in tape.told if type(told[2]).__name__ != "Proposal"]
    rebuilt = rebuild_run(read_run(tape.write(tmp_path)))
    (first,) = transitions(rebuilt.entries)
    assert [each.pool_index for each in first.candidates] == [0, 1, 2]
    assert rebuilt.missing == ["episode 1 step 2: what could have been chosen after it is not in the bags"]


def test_refused_steps_are_no_transitions(tmp_path):
    tape = Tape("run", {"agent": "random"})
    tape.state(1, EpisodeState.RUNNING)
    tape.result(1, 0, Ended.START)
    tape.prompt(1, 1)
    tape.result(1, 1, Ended.REFUSED)
    tape.verdict(1, 1, Verdict.CONTINUE)
    assert transitions(rebuild(tape.write(tmp_path))) == []


def test_bags_without_a_preset_are_refused(tmp_path):
    tape = Tape("run", {"agent": "random"})
    tape.metadata["preset"] = ""
    tape.episode(1)
    with pytest.raises(RebuildError, match="no preset"):
        rebuild(tape.write(tmp_path))


def test_a_pool_row_that_no_message_names_is_filled_and_said(tmp_path):
    tape = Tape("run", {"agent": "random"})
    tape.episode(1, (Verdict.SUCCESS,))
    prompt = next(message for _, _, message in tape.told if type(message).__name__ == "Prompt")
    prompt.candidates[2].pool_index = 5
    rebuilt = rebuild_run(read_run(tape.write(tmp_path)))
    pool = [
        text for entry in rebuilt.entries if isinstance(entry, NoteRecord) for text in entry.fields.get("prompts", ())
    ]
    assert len(pool) == 6
    assert pool[5] == "press button c."
    assert len(rebuilt.missing) == 3


def test_the_command_prints_identical_or_the_first_difference(tmp_path, capsys):
    run = Recording(tmp_path).play((1, 2))
    run.bags()
    live = run.live()
    figures = rebuild_command(run.folder)
    printed = capsys.readouterr().out
    assert printed.endswith("identical\n")
    assert figures["sha256"] in printed
    assert figures["identical"]
    assert len(figures["sha256_of_transition"]) == figures["transitions"] == len(transitions(live))
    json.dumps(figures)
    store = run.folder / "replay.srl"
    write_entries(store, [changed(entry, "reward") if entry is transitions(live)[1] else entry for entry in live])
    with pytest.raises(
        RunError, match=r"first in transition of run episode 1 step 2, reward: live -0\.1.*rebuilt -0\.1"
    ):
        rebuild_command(run.folder)


def test_steps_that_only_the_live_store_has_are_named_and_it_is_to_be_kept(tmp_path, capsys):
    run = Recording(tmp_path, reliability=0.0).play((1, 2))
    live = run.live()
    lost = transitions(live)[0].key
    # The recorder was away, and the executor died before it was back: nobody tells the result again.
    run.tape.told = [
        told for told in run.tape.told if not (type(told[2]).__name__ == "StepResult" and key_of(told[2]) == lost)
    ]
    run.bags()
    store = (run.folder / "replay.srl").read_bytes()
    with pytest.raises(RunError, match=r"replay.srl has what the bags lack \(episode 1 step 1, .*keep it"):
        rebuild_command(run.folder)
    assert "missing: episode 1 step 1: its result is not in the bags" in capsys.readouterr().out
    assert (run.folder / "replay.srl").read_bytes() == store


def test_what_must_be_known_of_a_bag_is_said_where_it_is_used(tmp_path, capsys):
    run = Recording(tmp_path).play((1,))
    (bag, *_), _ = run.bags(), run.live()
    (bag / "metadata.yaml").write_text("")
    rebuild_command(run.folder)
    assert f"note: {bag.name}: its metadata.yaml is not as it was written" in capsys.readouterr().out
    figures = analyze([run.folder], tmp_path / "report")
    assert any(f"{bag.name[1:]}: its metadata.yaml" in warning for warning in figures["warnings"])
    assert "metadata.yaml" in Playback([bag]).notes[0]


def test_no_damage_of_a_bag_gives_another_store_in_silence(tmp_path, capsys):
    run = Recording(tmp_path).play((1, 2))
    files = [file for bag in run.bags() for file in bag.iterdir()]
    run.live()
    (run.folder / "replay.srl").unlink()
    whole = rebuild_command(run.folder)["sha256"]
    rng = random.Random(0)
    refused = 0
    for number in range(60):
        file = rng.choice(files)
        data = file.read_bytes()
        place = rng.randrange(len(data))
        flipped = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        file.write_bytes(flipped if number % 3 else data[:place])
        capsys.readouterr()
        try:
            same = rebuild_command(run.folder)["sha256"] == whole
        except RunError:
            refused += 1
        else:
            assert same or "was cut off" in capsys.readouterr().out
        file.write_bytes(data)
    assert refused > 10


def test_a_store_that_is_gone_is_restored_and_one_that_is_there_is_not_overwritten(tmp_path, capsys):
    run = Recording(tmp_path).play((1,))
    run.bags()
    digest = Contents(run.live()).digest()
    before = (run.folder / "replay.srl").read_bytes()
    for target in ({"restore": True}, {"output": run.folder / "replay.srl"}):
        with pytest.raises(RunError, match="is there: move it away"):
            rebuild_command(run.folder, **target)
    assert (run.folder / "replay.srl").read_bytes() == before
    (run.folder / "replay.srl").unlink()
    assert rebuild_command(run.folder)["identical"] is None
    assert "--restore" in capsys.readouterr().out
    assert rebuild_command(run.folder, output=tmp_path / "other.srl")["sha256"] == digest.total
    rebuild_command(run.folder, restore=True)
    assert rebuild_command(run.folder)["identical"]
    assert (run.folder / "replay.srl").read_bytes() == (tmp_path / "other.srl").read_bytes()
