"""A run goes on where its folder lies, and only with records that tell one story; what a death leaves is no lie."""

import errno
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from unittest.mock import Mock

import pytest
import yaml
from played_run import Moments, play
from toy_world import toy_learner

from sarl_ros.learner.setup import LearnerError
from sarl_ros.records.demonstrations import export_demonstrations
from sarl_ros.records.provenance import describe_run
from sarl_ros.runs.evaluation import checkpoint as find_checkpoint
from sarl_ros.runs.folder import RunError, RunFolder, open_run
from sarl_ros.runs.resume import resume_run, settle_records
from sarl_ros.store import frames
from sarl_ros.store.checkpoint import latest_checkpoint
from sarl_ros.store.journal import read_journal, write_journal
from sarl_ros.store.replay_store import DecisionRecord, NoteRecord, read_store, write_entries


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A finished run, to be copied."""
    return play(tmp_path_factory.mktemp("played") / "run").path


@pytest.fixture
def run(played, tmp_path):
    shutil.copytree(played, tmp_path / "run", symlinks=True)
    return RunFolder(tmp_path / "run")


# What a death leaves to say; nothing of it is lost but the last transition of an episode.
HONEST = ("never whole", "has no row of", "has no transition of", "the newest checkpoint is")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(folder, *words):
    """Resuming is refused in one line with these words, and not a byte is changed."""
    before = contents(folder)
    with pytest.raises(RunError) as caught:
        resume_run(folder, say=lambda _: None)
    for word in (*words, str(folder)):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    after = contents(folder)
    assert {name: data for name, data in after.items() if name in before} == before
    assert not [name for name in after if ".cut-" in name.name]


def said(folder):
    lines = []
    resume_run(folder, lines.append)
    return lines


def test_a_whole_run_has_nothing_to_say(played):
    assert said(played) == []


def test_whatever_the_moment_of_a_power_cut_the_run_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        moments = Moments(tmp_path / "run", tmp_path / "copies", patch)
        play(tmp_path / "run", episodes=2)
    assert len(moments.found) > 60
    repaired = 0
    for copy in moments.found:
        words = said(copy)
        repaired += sum("were never whole" in word for word in words)
        assert [word for word in words if not any(part in word for part in HONEST)] == []
        config = open_run(copy).tree()["sarl_learner"]["ros__parameters"]
        learner, _ = toy_learner(copy, preset=config["preset"], agent="sarl", run="run")
        learner.close()
        assert [word for word in said(copy) if "never whole" in word] == [], "once is enough"
    assert repaired > 20


def test_a_copied_run_goes_on_where_it_lies_and_leaves_the_original_alone(run, tmp_path):
    before = contents(run.path)
    shutil.copytree(run.path, tmp_path / "else" / "copy", symlinks=True)
    copy = resume_run(tmp_path / "else" / "copy")
    assert copy.path == tmp_path / "else" / "copy"
    assert copy.name == "run", "its records go on under the name they have"
    for node in ("operator", "sarl_learner"):
        assert copy.setting(node, "run_dir") == str(copy.path)
    assert copy.setting("sarl_learner", "prompts") == str(copy.path / "prompts.txt")
    assert contents(run.path) == before
    assert open_run(copy.path).tree() == copy.tree()


def test_what_a_copied_run_records_and_exports_is_of_the_run_that_it_is(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy", symlinks=True)
    copy = resume_run(tmp_path / "copy")
    assert describe_run(copy.path)["run"] == "run"
    assert str(copy.path) in describe_run(copy.path)["config"]
    assert find_checkpoint(copy, None).parent == copy.path / "checkpoints"
    steered = [
        replace(each, decision=replace(each.decision, demonstration=True)) if isinstance(each, DecisionRecord) else each
        for each in read_store(run.path / "replay.srl")
    ]
    write_entries(copy.path / "replay.srl", steered)
    succeeded = sum(row["outcome"] == "SUCCESS" for row in rows(run))
    assert export_demonstrations(copy.path, tmp_path / "x.demos", task="chain", weights_hash="") == succeeded > 0


@pytest.mark.parametrize("simulated", [True, False])
def test_a_run_from_before_stops_were_kept_on_disk_keeps_them_when_it_goes_on(run, simulated):
    tree = run.tree() | {"arm_bridge": {"ros__parameters": {"robot_name": "wx250s"}}}
    tree |= {"sim_world": {"ros__parameters": {"time": "lockstep"}}} if simulated else {}
    run.write(tree)
    kept = resume_run(run.path).setting("arm_bridge", "stop_file")
    assert kept == (str(run.path / "arm.stop") if simulated else "~/.local/state/sarl_ros/wx250s.stop")
    run.set("arm_bridge", "stop_file", "")
    assert resume_run(run.path).setting("arm_bridge", "stop_file") == "", "a person's own word counts"


def test_a_moved_run_goes_on_with_what_it_has(run, tmp_path):
    run.path.rename(tmp_path / "moved")
    moved = resume_run(tmp_path / "moved")
    learner = moved.tree()["sarl_learner"]["ros__parameters"]
    made, _ = toy_learner(moved.path, preset=learner["preset"], agent="sarl", run=learner["run"])
    with made.store:
        assert made.core.figures().transitions > 3
    assert not run.path.exists()


@pytest.mark.parametrize("damage", [b"", bytes(900), "cut", "zeros at the end", "flipped"])
def test_a_damaged_configuration_is_one_line(run, damage):
    whole = run.parameters.read_bytes()
    if damage == "cut":
        damage = whole[: whole.index(b"sarl_learner")]
    elif damage == "zeros at the end":
        damage = whole[:200] + bytes(len(whole) - 200)
    elif damage == "flipped":
        damage = whole.replace(b"evaluate: false", b"evaluate: falsd")
    run.parameters.write_bytes(damage)
    refused(run.path, "config.yaml", "restore it")


def test_a_configuration_that_a_person_changed_and_meant_to_is_taken(run):
    lines = run.parameters.read_text().replace("episodes: 3", "episodes: 4").splitlines(keepends=True)
    run.parameters.write_text("".join(lines))
    refused(run.path, "config.yaml", "delete its first line if you meant to")
    run.parameters.write_text("".join(lines[1:]))
    assert resume_run(run.path).setting("operator", "episodes") == 4
    run.parameters.write_text("".join(lines[1:]).replace("seed_base: 0", "seed_base: 1o"))
    refused(run.path, "config.yaml", "operator: seed_base is '1o': input should be a valid integer")
    run.parameters.write_text(yaml.safe_dump({"operator": [1]}))
    refused(run.path, "config.yaml", "no ROS parameter file")


def test_a_store_that_is_gone_or_emptied_is_named(run):
    (run.path / "replay.srl").write_bytes(b"")
    refused(run.path, "replay.srl lacks the decision of step 1 of episode 1", "sarl replay --rebuild")
    (run.path / "replay.srl").unlink()
    refused(run.path, "replay.srl is gone", "sarl replay --rebuild")
    assert not (run.path / "replay.srl").exists()


def test_a_store_that_was_cut_anywhere_is_refused_or_said(run):
    path = run.path / "replay.srl"
    whole = path.read_bytes()
    ends = [0, *(end for end, _ in frames.decode(whole))]
    for end in ends[1:-1]:
        for size in (end, end - 1, end + 20):
            path.write_bytes(whole[:size])
            refused(run.path, "replay.srl")
    path.write_bytes(whole[:-1])
    refused(run.path, "counts")


def test_a_learner_that_comes_back_refuses_a_store_that_was_cut_below_its_journal(run):
    path = run.path / "replay.srl"
    path.write_bytes(path.read_bytes()[:-2000])
    before = contents(run.path)
    preset = run.setting("sarl_learner", "preset")
    with pytest.raises(LearnerError, match=r"replay.srl"):
        toy_learner(run.path, preset=preset, agent="sarl")
    assert {name: data for name, data in contents(run.path).items() if name in before} == before


def test_a_journal_that_is_gone_emptied_or_cut_is_named(run):
    path = run.path / "operator.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"")
    refused(run.path, "operator.jsonl knows of 0 episodes, but replay.srl of 3")
    path.unlink()
    refused(run.path, "operator.jsonl knows of 0 episodes, but replay.srl of 3")
    last_verdict = max(number for number, line in enumerate(lines) if b'"judgement"' in line)
    for number in range(1, last_verdict + 1):
        path.write_bytes(b"".join(lines[:number]))
        refused(run.path, "operator.jsonl")
        path.write_bytes(b"".join(lines[:number]) + lines[number][:-3])
        refused(run.path, "operator.jsonl")


def test_records_of_two_runs_are_told_apart(run, tmp_path):
    other = play(tmp_path / "other" / "run", episodes=3, horizon=1)
    (run.path / "operator.jsonl").write_bytes((other.path / "operator.jsonl").read_bytes())
    refused(run.path, "operator.jsonl")


def test_bags_of_episodes_that_the_journal_does_not_know_are_named(run):
    (run.path / "bags" / "episode-0004").mkdir(parents=True)
    (word,) = said(run.path)
    assert "has a bag of episode 4, operator.jsonl knows of 3 episodes" in word
    for name in ("operator.jsonl", "replay.srl", "episodes.jsonl"):
        (run.path / name).unlink()
    shutil.rmtree(run.path / "checkpoints")
    refused(run.path, "has a bag of episode 4, operator.jsonl knows of 0 episodes", "from a copy")


def test_a_checkpoint_that_has_learned_from_more_than_the_store_has_is_named(run):
    newest = latest_checkpoint(run.path / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-1])
    refused(run.path, newest.name, "delete it: a run that goes on does its updates again")
    newest.unlink()
    (word,) = said(run.path)
    assert "the newest checkpoint is episode-000002" in word
    assert "what it lacks is done again from the replay store" in word
    shutil.rmtree(run.path / "checkpoints")
    assert "the newest checkpoint is none" in "".join(said(run.path))


def test_a_pool_of_other_prompts_is_named(run):
    entries = read_store(run.path / "replay.srl")
    index = next(i for i, each in enumerate(entries) if isinstance(each, NoteRecord) and each.kind == "pool")
    prompts = list(entries[index].fields["prompts"])
    entries[index] = NoteRecord("pool", {"prompts": [*prompts[:-1], "fly away."]})
    write_entries(run.path / "replay.srl", entries)
    refused(run.path, "'fly away.'", "row")


def rows(run):
    return read_journal(run.episodes)


@pytest.mark.parametrize("summed", [True, False])
def test_rows_that_do_not_say_what_the_store_says_are_put_right_with_a_word(run, summed):
    whole = rows(run)
    changed = [dict(row) for row in whole]
    changed[1] |= {"outcome": "FAILURE", "return": 7.5}
    if summed:
        write_journal(run.episodes, changed)
    else:
        run.episodes.write_text("".join(json.dumps(row) + "\n" for row in changed))
    (word,) = said(run.path)
    assert f"outcome of episode 2 was 'FAILURE', is {whole[1]['outcome']!r} by the store" in word
    assert rows(run) == whole
    assert said(run.path) == []


def test_rows_that_are_missing_are_written_again_with_a_word(run):
    whole = rows(run)
    for kept in ([whole[0], whole[2]], whole[:2], []):
        write_journal(run.episodes, kept)
        missing = ", ".join(str(row["index"]) for row in whole if row not in kept)
        assert f"has no row of episode {missing}: the learner writes it again" in "".join(said(run.path))


def test_rows_that_are_none_are_named(run):
    lines = run.episodes.read_text().splitlines(keepends=True)
    row = rows(run)[0]
    for damaged in (
        [lines[0].replace('"index"', '"indes"'), *lines[1:]],
        [json.dumps({"indes" if name == "index" else name: value for name, value in row.items()}) + "\n"],
        [lines[0], lines[0], *lines[1:]],
        [lines[0].replace("recall", "recoil"), *lines[1:]],
    ):
        run.episodes.write_text("".join(damaged))
        refused(run.path, "episodes.jsonl", "delete it: it is written again")
    write_journal(run.episodes, [*rows_of(lines), {**row, "index": 9}])
    refused(run.path, "has a row of episode 9")


def rows_of(lines):
    return [{name: value for name, value in json.loads(line).items() if name != "crc"} for line in lines]


def test_a_run_that_another_process_plays_is_not_touched(run):
    with run.lock(), pytest.raises(RunError, match="in use by another run"):
        resume_run(run.path)


def test_a_run_that_a_launch_plays_is_held_as_long_as_that_lives(run):
    launch = (
        "import sys, time\n"
        "from sarl_ros.runs.folder import open_run\n"
        "from sarl_ros.runs.running import keep_folder\n"
        "keep_folder(open_run(sys.argv[1]))\n"
        "print('held', flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", launch, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        refused(run.path, "in use by another run")
        process.kill()
    assert said(run.path) == []


def test_a_full_disk_is_named_as_such_and_the_run_goes_on_when_there_is_space(run, tmp_path, monkeypatch):
    moved = run.path.rename(tmp_path / "moved")
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr("sarl_ros.store.sealed_text.replace_file", Mock(side_effect=full))
        refused(moved, "the disk is full: free some space and start again")
    assert said(moved) == []


def test_settling_is_for_runs_that_a_graph_plays(run):
    tree = run.tree()
    del tree["operator"]
    run.write(tree)
    refused(run.path, "config.yaml", "was cut, it has no node operator")
    (run.path / "operator.jsonl").unlink()
    refused(run.path, "learned offline")


def test_a_store_that_was_restored_with_gaps_goes_on_and_says_so(run):
    path = run.path / "replay.srl"
    write_entries(path, [*read_store(path)[:-3], NoteRecord("restored", {"lacks": 3})])
    assert "made again from bags that lack some of the run" in "".join(settle_records(run))
