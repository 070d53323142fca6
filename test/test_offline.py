"""Learning from bags alone: runs of one task and one policy are merged by their prompts; a run can go on from it."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from bag_fixture import Tape, TapedOperator
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_world import Chain, InlineTrainer, ToyOperator, play_episode, toy_learner, write_preset

from sarl_ros.core.learner_events import TrainerNews
from sarl_ros.core.types import Candidate, Decision, StepKey, Verdict
from sarl_ros.learner.setup import LearnerError
from sarl_ros.methods.sarl.training import Training, load_acting_critics
from sarl_ros.records.compare import Contents, compare
from sarl_ros.records.demonstrations import RUN as DEMONSTRATIONS
from sarl_ros.records.merge import MergeError, Source, merge
from sarl_ros.records.rebuild import rebuild
from sarl_ros.runs.folder import Interrupted, RunError, open_run
from sarl_ros.runs.offline import OfflineSettings, train_offline
from sarl_ros.store.bags import find_bags
from sarl_ros.store.checkpoint import read_facts
from sarl_ros.store.replay_store import DecisionRecord, NoteRecord, StoredObservation, TransitionRecord, read_entries

LEARNS = {
    "critics": 3,
    "batch": 16,
    "learning_rate": 2e-3,
    "polyak": 0.05,
    "updates_per_decision": 4,
    "anneal_episodes": 12,
    "candidates": 4,
}
QUICK = {"critics": 1, "hidden": 4, "batch": 2, "updates_per_decision": 1, "candidates": 4}


def record(folder, run, preset, episodes, agent="random", chain=(2, 0.9), **learner):
    """Play toy episodes and write their bags; the run's folder, whose store is gone."""
    folder.mkdir(exist_ok=True)
    tape = Tape(run, {"agent": agent, "preset": str(preset), "weights_hash": "aa", **learner}, preset)
    made, options = toy_learner(folder / run, preset=str(preset), agent=agent)
    operator, trainer = TapedOperator(tape, Chain(*chain)), InlineTrainer(options) if options.learns else None
    for episode in range(1, episodes + 1):
        play_episode(made.core, operator, trainer, episode)
    made.close()
    tape.write(folder / run / "bags")
    (folder / run / "replay.srl").unlink()
    return folder / run


def offline(folder, bags, preset, **options):
    return train_offline(OfflineSettings(tuple(bags), folder, str(preset), **options))


# Merging.


def observation(number):
    return StoredObservation(
        torch.full((64, 64, 3), number % 256, dtype=torch.uint8).numpy(), torch.zeros(8).numpy(), 0
    )


def step(run, episode, number, prompts, chosen, *, done=False, rows=None, demonstration=False):
    """A decision for prompts[chosen] and the transition it led to, in which the same prompts were offered."""
    rows = range(len(prompts)) if rows is None else rows
    candidates = tuple(Candidate(prompt, row) for prompt, row in zip(prompts, rows, strict=True))
    key = StepKey(run, episode, number)
    decision = Decision(key, candidates, chosen, "sarl", demonstration)
    verdict = Verdict.SUCCESS if done else Verdict.CONTINUE
    return [
        DecisionRecord(decision, observation(number)),
        TransitionRecord(
            key, verdict, 0.0 if done else -0.5, done, observation(number + 1), () if done else candidates
        ),
    ]


def source(run, entries, task="chain", policy="mini", weights="aa"):
    return Source(run, task, policy, weights, entries)


def pool_of(merged):
    (note,) = [entry for entry in merged.entries if isinstance(entry, NoteRecord)]
    return note.fields["prompts"]


def test_pools_are_joined_by_prompt_and_every_row_means_its_prompt():
    one = source("one", step("one", 1, 1, ("a.", "b."), 0))
    two = source("two", step("two", 1, 1, ("b.", "c.", "a."), 1))
    merged = merge([one, two], 8, 8)
    pool = pool_of(merged)
    assert set(pool) == {"a.", "b.", "c."}
    for entry in merged.entries[1:]:
        for candidate in entry.decision.candidates if isinstance(entry, DecisionRecord) else entry.candidates:
            assert pool[candidate.pool_index] == candidate.prompt
    contents = Contents(merged.entries)
    assert {key.run: record.decision.prompt for key, record in contents.decisions.items()} == {
        "offline:one": "a.",
        "offline:two": "c.",
    }


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(
        st.lists(st.tuples(st.permutations("abcdef"), st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    ),
    capacity=st.integers(1, 7),
)
def test_whatever_is_merged_fits_the_pool_keeps_what_was_chosen_and_counts_what_is_left_out(runs, capacity):
    sources, total = [], 0
    for number, steps in enumerate(runs):
        entries = []
        for episode, (letters, count, chosen) in enumerate(steps, 1):
            prompts = tuple(f"{letter}." for letter in letters[:count])
            entries += step(f"r{number}", episode, 1, prompts, chosen % count)
            total += 1
        sources.append(source(f"r{number}", entries))
    merged = merge(sources, capacity, 8)
    pool, contents = pool_of(merged), Contents(merged.entries)
    assert len(pool) == len(set(pool)) == merged.prompts <= capacity
    assert merged.transitions + merged.without_row + merged.without_candidates == total
    assert merged.transitions == len(contents.transitions)
    for key, record_ in contents.decisions.items():
        original = Contents(sources[int(key.run[-1])].entries).decisions[dataclasses.replace(key, run=key.run[8:])]
        assert record_.decision.prompt == original.decision.prompt
        assert all(pool[each.pool_index] == each.prompt for each in record_.decision.candidates)
        assert contents.transitions[key].reward == -1 / 8


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"task": "sweep"}, "run two is of task sweep, run one of chain"),
        ({"weights": "bb"}, "run two was made with policy weights bb, run one with aa"),
        ({"weights": "", "policy": "elsewhere"}, "run two was made with policy weights elsewhere, run one with mini"),
    ],
)
def test_runs_of_another_task_or_other_weights_are_refused_in_words(other, complaint):
    sources = [source(run, step(run, 1, 1, ("a.",), 0), **(other if run == "two" else {})) for run in ("one", "two")]
    with pytest.raises(MergeError, match=complaint):
        merge(sources, 8, 8)


def test_demonstrations_that_several_runs_began_with_are_learned_from_once_and_others_beside_them():
    def demonstration(prompt):
        return step(DEMONSTRATIONS, 1, 1, (prompt, "x."), 0, done=True, demonstration=True)

    sources = [
        source("one", [*demonstration("a."), *step("one", 1, 1, ("a.",), 0)]),
        source("two", [*demonstration("a."), *step("two", 1, 1, ("a.",), 0)]),
        source("three", [*demonstration("b."), *step("three", 1, 1, ("b.",), 0)]),
    ]
    merged = merge(sources, 8, 8)
    assert (merged.transitions, merged.demonstrated) == (5, 2)
    demonstrated = [key for key in Contents(merged.entries).transitions if key.run == DEMONSTRATIONS]
    assert demonstrated == [StepKey(DEMONSTRATIONS, 1, 1), StepKey(DEMONSTRATIONS, 2, 1)]
    assert pool_of(merged)[:2] == ["a.", "b."], "demonstrated prompts come first"


def test_nothing_to_learn_from_is_said():
    with pytest.raises(MergeError, match="not one transition"):
        merge([source("one", [])], 8, 8)


# Learning.


@pytest.mark.slow
def test_critics_learned_from_the_bags_of_random_runs_act_better_than_these_did(tmp_path):
    preset = write_preset(tmp_path, **LEARNS)
    runs = [record(tmp_path, run, preset, 12) for run in ("monday", "tuesday")]
    figures = offline(tmp_path / "off", runs, preset, updates=450)
    assert figures["runs"] == ["monday", "tuesday"]
    assert json.loads((tmp_path / "off" / "offline.json").read_text()) == figures
    assert (tmp_path / "off" / "offline.png").read_bytes().startswith(b"\x89PNG")
    checkpoint = (tmp_path / "off" / "checkpoints" / "latest").resolve()
    shares = {}
    for agent, critics in (("sarl", str(checkpoint)), ("random", "")):
        held_out, _ = toy_learner(tmp_path / agent, preset=str(preset), agent=agent, evaluate=True, checkpoint=critics)
        world = ToyOperator(agent, Chain(2, 0.9), seed_base=1000, horizon=4)
        wins = [play_episode(held_out.core, world, None, episode) is Verdict.SUCCESS for episode in range(1, 21)]
        shares[agent] = sum(wins) / len(wins)
    assert shares["sarl"] >= 0.85
    assert shares["random"] <= 0.5


def test_learning_offline_twice_gives_the_same_critics(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    run = record(tmp_path, "run", preset, 3)
    made = []
    for name in ("a", "b"):
        offline(tmp_path / name, [run], preset, updates=30, seed=4)
        critics, pool = load_acting_critics((tmp_path / name / "checkpoints" / "latest").resolve())
        made.append((pool.prompts, [parameter.tolist() for parameter in critics.parameters()]))
    assert made[0] == made[1]


def test_without_a_number_as_many_updates_are_done_as_a_run_would_pay_for(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    figures = offline(tmp_path / "off", [record(tmp_path, "run", preset, 2)], preset)
    assert figures["updates"] == figures["transitions"]


def test_a_folder_that_is_there_is_not_overwritten(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    run = record(tmp_path, "run", preset, 1)
    with pytest.raises(RunError, match="is there already"):
        offline(run, [run], preset)


def test_what_was_not_finished_leaves_nothing(tmp_path, monkeypatch):
    preset = write_preset(tmp_path, **QUICK)
    run = record(tmp_path, "run", preset, 1)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "update", interrupted)
    with pytest.raises(Interrupted, match="nothing was kept"):
        offline(tmp_path / "off", [run], preset)
    assert not (tmp_path / "off").exists()


def test_bags_of_two_tasks_are_refused_before_anything_is_made(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    runs = [record(tmp_path, "one", preset, 1), record(tmp_path, "two", preset, 1, task="other")]
    with pytest.raises(RunError, match="of task other, run one of chain"):
        offline(tmp_path / "off", runs, preset)
    assert not (tmp_path / "off").exists()


def test_nothing_is_learned_from_the_seeds_of_an_evaluation(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    run = record(tmp_path, "held-out", preset, 1, evaluate=True)
    with pytest.raises(RunError, match="held-out is an evaluation"):
        offline(tmp_path / "off", [run], preset)


def test_bags_without_a_message_are_said(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    (tmp_path / "episode-0001.mcap").touch()
    with pytest.raises(RunError, match="no message in any"):
        offline(tmp_path / "off", [tmp_path / "episode-0001.mcap"], preset)
    run = record(tmp_path, "run", preset, 1)
    assert offline(tmp_path / "off", [run, tmp_path / "episode-0001.mcap"], preset)["runs"] == ["run"]


# Going on online.


def warm_run(tmp_path, **learner):
    """An offline folder, and a new run that begins with it, of the same name as the run that was learned from."""
    preset = write_preset(tmp_path, **QUICK)
    bags = record(tmp_path / "earlier", "run", preset, 3)
    offline(tmp_path / "off", [bags], preset, updates=25)
    settings_ = {"preset": str(preset), "agent": "sarl", "warm_start": str(tmp_path / "off")} | learner
    return toy_learner(tmp_path / "run", **settings_)


def test_a_warm_run_begins_with_critics_pool_and_transitions_and_owes_nothing_for_them(tmp_path):
    made, options = warm_run(tmp_path)
    trainer = InlineTrainer(options)
    trainer.greet(made.core)
    figures = made.core.figures()
    assert (figures.transitions, figures.episodes, figures.updates_owed, figures.updates_done) == (0, 0, 0, 0)
    operator = ToyOperator("run", Chain(2, 0.9))
    operator.begin(made.core, 1)
    assert made.core.figures().ready
    operator.start(made.core, 1)
    operator.propose(made.core)
    (decision,) = made.core.advance()
    critics, pool = load_acting_critics((tmp_path / "off" / "checkpoints" / "latest").resolve())
    assert [each.prompt for each in decision.candidates] == [
        pool.prompts[each.pool_index] for each in decision.candidates
    ]
    seen = made.store.entries[-1].observation
    rows = torch.tensor([[each.pool_index for each in decision.candidates]])
    with torch.no_grad():
        values = critics(torch.from_numpy(seen.image)[None], torch.from_numpy(seen.proprio)[None], rows)[:, 0].mean(0)
    assert [each.q_mean for each in decision.candidates] == pytest.approx(values.tolist())


def test_a_warm_run_learns_on_from_old_and_new_transitions(tmp_path):
    made, options = warm_run(tmp_path)
    trainer, operator = InlineTrainer(options), ToyOperator("run", Chain(2, 0.9))
    trainer.greet(made.core)
    for episode in (1, 2):
        play_episode(made.core, operator, trainer, episode)
    operator.begin(made.core, 3)
    trainer.carry_out(made.core)
    figures = made.core.figures()
    assert figures.updates_done == figures.transitions
    assert figures.updates_owed == 0
    old = Contents(
        read_entries(tmp_path / "off" / "replay.srl", 0, (tmp_path / "off" / "replay.srl").stat().st_size)[0]
    )
    learned = read_facts(Path(figures.checkpoint))["transitions"]
    assert learned == len(old.transitions) + figures.transitions


def test_a_warm_run_that_is_killed_goes_on(tmp_path):
    made, options = warm_run(tmp_path)
    operator, trainer = ToyOperator("run", Chain(2, 0.9)), InlineTrainer(options)
    trainer.greet(made.core)
    play_episode(made.core, operator, trainer, 1)
    before = made.core.figures()
    made.close()
    again, _ = toy_learner(options.run_dir, preset=options.preset, agent="sarl", warm_start=options.warm_start)
    again.core.handle(TrainerNews(25, greeting=True, checkpoint="x"))
    assert again.core.figures().transitions == before.transitions
    assert again.core.figures().updates_owed == before.transitions


def test_the_store_of_a_warm_run_is_rebuilt_from_its_bags(tmp_path):
    made, options = warm_run(tmp_path)
    parameters = {key: value for key, value in dataclasses.asdict(options).items() if key != "run_dir"}
    tape = Tape("run", parameters, Path(options.preset))
    operator, trainer = TapedOperator(tape, Chain(2, 0.9)), InlineTrainer(options)
    trainer.greet(made.core)
    play_episode(made.core, operator, trainer, 1)
    made.close()
    tape.write(options.run_dir / "bags")
    path = options.run_dir / "replay.srl"
    live, _ = read_entries(path, 0, path.stat().st_size)
    found = compare(live, rebuild(find_bags([options.run_dir])))
    assert found.difference is None
    assert {key.run for key in Contents(live).transitions} == {"run", "offline:run"}


def test_another_method_learns_from_the_same_bags_and_a_run_of_it_goes_on(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    bags = record(tmp_path / "earlier", "run", preset, 3)
    figures = offline(tmp_path / "off", [bags], preset, agent="bandit")
    assert (figures["agent"], figures["updates"]) == ("bandit", figures["transitions"])
    warm = {"agent": "bandit", "preset": str(preset), "warm_start": str(tmp_path / "off")}
    made, options = toy_learner(tmp_path / "new", **warm)
    trainer, operator = InlineTrainer(options), ToyOperator("new", Chain(2, 0.9))
    trainer.greet(made.core)
    play_episode(made.core, operator, trainer, 1)
    operator.begin(made.core, 2)
    trainer.carry_out(made.core)
    done = made.core.figures()
    assert done.updates_done == done.transitions > 0
    assert read_facts(Path(done.checkpoint))["transitions"] == figures["transitions"] + done.transitions
    made.close()


def test_what_learns_nothing_learns_nothing_offline(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    with pytest.raises(RunError, match="agent random learns nothing: choose one of sarl, bandit"):
        offline(tmp_path / "off", [record(tmp_path, "run", preset, 1)], preset, agent="random")
    assert not (tmp_path / "off").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"agent": "bandit"}, "learned with agent sarl, not bandit"),
        ({"weights_hash": "bb"}, "learned with policy weights aa, not bb"),
        ({"warm_start": "/nowhere"}, "no replay.srl in it"),
    ],
)
def test_what_was_learned_otherwise_is_no_beginning(tmp_path, change, complaint):
    with pytest.raises(LearnerError, match=complaint):
        warm_run(tmp_path, **change)


def test_other_preset_values_are_named(tmp_path):
    (tmp_path / "other").mkdir()
    other = write_preset(tmp_path / "other", **QUICK | {"hidden": 8})
    with pytest.raises(LearnerError, match="learned with another hidden"):
        warm_run(tmp_path, preset=str(other))


def test_what_was_learned_offline_can_be_evaluated_but_not_resumed(tmp_path):
    preset = write_preset(tmp_path, **QUICK)
    offline(tmp_path / "off", [record(tmp_path, "run", preset, 1)], preset, updates=1, seed=9)
    assert open_run(tmp_path / "off").setting("sarl_learner", "seed") == 9
    with pytest.raises(RunError, match="--warm-start"):
        open_run(tmp_path / "off", played=True)
