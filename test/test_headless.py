"""A run without ROS: it goes on where it stood, and what it makes can be compared with any other run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from graph_tools import make_run

from sarl_ros.analysis.records import check_records
from sarl_ros.commands.compare import compare_runs
from sarl_ros.methods.registry import METHODS
from sarl_ros.runs.folder import RunError, RunFolder
from sarl_ros.runs.headless import run_headless
from sarl_ros.runs.resume import resume_run
from sarl_ros.runtime.headless import HeadlessRun, Settings
from sarl_ros.store.replay_store import DecisionRecord, TransitionRecord, read_store

pytestmark = pytest.mark.timeout(300)


def quick_run(root, **settings) -> RunFolder:
    return make_run(root, episodes=2, record=False, **settings)


def run_until(folder: RunFolder, step: int) -> None:
    """Play a run and let it die after so many steps of this process, between a result and its verdict."""
    settings = Settings.of(folder.tree(), folder.parameters)
    steps = []

    def count(news) -> None:
        steps.append(news)
        if len(steps) == step:
            raise ZeroDivisionError

    run = HeadlessRun(folder.path, folder.name, settings, on_step=count)
    try:
        with pytest.raises(ZeroDivisionError):
            run.run()
    finally:
        run.close()


@pytest.mark.parametrize("agent", ["random", "sarl"])
def test_the_same_seed_makes_the_same_run_and_its_records_agree(agent, tmp_path, capsys):
    one, other = (quick_run(tmp_path / name, agent=agent) for name in "ab")
    for folder in (one, other):
        summary = run_headless(folder, quiet=True)
        assert summary["episodes"] == 2
        assert summary["control_steps"] == 16 * 4
        found = check_records(folder.path)
        assert (found.problems, found.completed) == ((), 2)
    figures = compare_runs(one.path, other.path)
    assert figures["identical"]
    assert figures["transitions"] == 16
    assert "identical: 16 decisions, 16 transitions" in capsys.readouterr().out


def test_a_run_that_died_in_its_first_episode_goes_on_and_completes(tmp_path):
    folder = quick_run(tmp_path, agent="sarl")
    run_until(folder, 5)
    summary = run_headless(resume_run(folder.path), quiet=True)
    found = check_records(folder.path)
    assert (found.problems, found.completed) == ((), 2)
    assert (summary["episodes"], summary["aborted"]) == (2, 1)


def test_what_a_run_does_after_a_death_repeats_itself(tmp_path):
    folders = [quick_run(tmp_path / name, agent="sarl") for name in "ab"]
    for folder in folders:
        run_until(folder, 11)
        run_headless(resume_run(folder.path), quiet=True)
    assert compare_runs(*(folder.path for folder in folders))["identical"]


def test_two_runs_of_other_seeds_differ_and_the_first_difference_is_named(tmp_path, capsys):
    folders = [quick_run(tmp_path / name, agent="random", seed=seed) for name, seed in (("a", 0), ("b", 1))]
    for folder in folders:
        run_headless(folder, quiet=True)
    with pytest.raises(SystemExit) as ended:
        compare_runs(*(folder.path for folder in folders))
    assert ended.value.code == 1
    assert "episode 1 step 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"operate": True}, "a person who operates, needs the graph"),
        ({"robot": "widowx"}, "a robot, or a person"),
        ({"time": "realtime"}, "real time need the graph"),
    ],
)
def test_what_needs_the_graph_is_refused_before_anything_is_written(settings, says, tmp_path):
    folder = quick_run(tmp_path, **settings)
    before = sorted(path.name for path in folder.path.rglob("*"))
    with pytest.raises(RunError, match=says):
        run_headless(folder, quiet=True)
    assert sorted(path.name for path in folder.path.rglob("*")) == before


def test_headless_runs_load_no_ros(tmp_path):
    folder = quick_run(tmp_path)
    code = (
        "import sys; from pathlib import Path; from sarl_ros.runs.headless import run_headless;"
        "from sarl_ros.runs.folder import open_run; run_headless(open_run(sys.argv[1]), quiet=True);"
        "print({'rclpy', 'sarl_interfaces'} & sys.modules.keys())"
    )
    answer = subprocess.run([sys.executable, "-c", code, folder.path], capture_output=True, text=True)
    assert answer.stdout.strip() == "set()", answer.stderr
    assert len([json.loads(line) for line in folder.episodes.read_text().splitlines()]) == 2


def test_what_acts_inside_a_step_is_named_by_the_decision_and_its_records_are_stored(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "halving", "halving_method")
    folder = quick_run(tmp_path, agent="halving")
    run_headless(folder, quiet=True)
    entries = read_store(folder.path / "replay.srl")
    decisions = [entry.decision for entry in entries if isinstance(entry, DecisionRecord)]
    transitions = [entry for entry in entries if isinstance(entry, TransitionRecord)]
    assert len(transitions) == 16
    assert {(each.chunk_actor, each.chunk_actor_state) for each in decisions} == {("halving", "weights-7")}
    assert {each.chunk_records for each in transitions} == {b"weights-7 2"}


def test_a_run_without_anything_inside_its_steps_stores_nothing_of_it(tmp_path):
    folder = quick_run(tmp_path)
    run_headless(folder, quiet=True)
    assert b"chunk" not in (folder.path / "replay.srl").read_bytes()
