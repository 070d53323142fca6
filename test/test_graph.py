"""The whole graph, six processes over DDS, on a trivial policy: it ends by itself, and survives any death."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from graph_tools import MODULES, RUN_NODES, finish, kill_node, make_run, node_pid, start

from sarl_ros.analysis.records import check_records
from sarl_ros.commands.compare import compare_runs
from sarl_ros.runs.domains import claim_domain
from sarl_ros.runs.headless import run_headless

pytestmark = pytest.mark.timeout(300)


def rows(folder):
    path = folder.episodes
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for_rows(folder, count, process, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while len(rows(folder)) < count:
        assert process.poll() is None, finish(process, 1)
        assert time.monotonic() < deadline, "no episode ended in time"
        time.sleep(0.2)


def test_two_episodes_run_to_the_end_and_their_records_agree(tmp_path):
    folder = make_run(tmp_path, episodes=2)
    process = start(folder)
    output = finish(process, 200)
    assert process.returncode == 0, output
    found = check_records(folder.path)
    assert found.problems == ()
    assert found.completed == 2
    assert [row["outcome"] for row in rows(folder)] == ["TIMEOUT", "TIMEOUT"]
    assert found.transitions == sum(row["decisions"] for row in rows(folder)) == 16
    assert "last-20 0.00" in output
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["control_steps"] == 16 * 4
    assert not [name for name in MODULES if node_pid(folder, name)]
    twin = make_run(tmp_path / "headless", episodes=2)
    run_headless(twin, quiet=True)
    assert compare_runs(folder.path, twin.path)["identical"]


def test_the_mini_policy_under_the_oracle_succeeds_and_headless_makes_the_same_run(tmp_path):
    graph, headless = (
        make_run(tmp_path / name, control_steps=24, episodes=1, agent="oracle", policy="mini", record=False)
        for name in ("graph", "headless")
    )
    process = start(graph)
    output = finish(process, 200)
    assert process.returncode == 0, output
    assert [row["outcome"] for row in rows(graph)] == ["SUCCESS"]
    run_headless(headless, quiet=True)
    assert compare_runs(graph.path, headless.path)["identical"]


@pytest.mark.parametrize("name", sorted(RUN_NODES))
def test_a_killed_node_costs_no_transition_and_the_run_ends_with_all_its_episodes(name, tmp_path):
    folder = make_run(tmp_path, episodes=2, agent="sarl")
    process = start(folder)
    wait_for_rows(folder, 1, process)
    kill_node(folder, name)
    output = finish(process, 200)
    assert process.returncode == 0, output
    assert f"{name} died (SIGKILL)" in output
    found = check_records(folder.path)
    assert found.problems == ()
    assert found.completed == 2


def test_ctrl_c_ends_every_process_and_the_run_goes_on_later(tmp_path):
    folder = make_run(tmp_path, episodes=2, agent="sarl")
    process = start(folder)
    wait_for_rows(folder, 1, process)
    process.send_signal(signal.SIGINT)
    output = finish(process, 30)
    assert process.returncode == 130, output
    assert f"sarl train --resume {folder.path}" in output
    assert not [name for name in MODULES if node_pid(folder, name)]
    again = start(folder)
    output = finish(again, 200)
    assert again.returncode == 0, output
    found = check_records(folder.path)
    assert found.problems == ()
    assert found.completed == 2


def test_a_second_run_on_the_same_folder_is_refused_in_one_line(tmp_path):
    folder = make_run(tmp_path, episodes=1)
    with folder.lock():
        done = subprocess.run(
            [sys.executable, "-m", "sarl_ros.cli", "train", "--resume", str(folder.path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        f"error: {folder.path} is in use by another run: wait for it, or choose another folder"
    ]


def test_missing_weights_end_the_run_with_one_line_that_names_the_remedy(tmp_path):
    folder = make_run(tmp_path, episodes=1, policy=str(tmp_path / "no_weights"))
    process = start(folder)
    output = finish(process, 120)
    assert process.returncode == 1
    last = output.strip().splitlines()[-1]
    assert last.startswith(("error: vla_executor: ", "error: prompt_proposer: "))  # whichever looked first
    assert "no_weights" in last


def processes_of(folder) -> list[str]:
    """Command lines of whatever lives and names this run, but for the process that runs it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder.path) in command and "sarl_ros.cli" not in command:
            found.append(command)
    return found


def assert_no_process_is_left(folder) -> None:
    deadline = time.monotonic() + 40
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.parametrize("after_s", [0.0, 0.3, 1.5])
def test_no_node_that_still_starts_outlives_a_killed_supervisor(after_s, tmp_path):
    folder = make_run(tmp_path)
    process = start(folder)
    deadline = time.monotonic() + 30
    while not processes_of(folder):
        assert time.monotonic() < deadline, "nothing was started"
        time.sleep(0.005)
    time.sleep(after_s)
    with process:  # closes its pipes as well
        process.kill()
    assert_no_process_is_left(folder)


def test_a_run_whose_supervisor_was_killed_goes_on_at_once_and_loses_nothing(tmp_path):
    """Also where a node had just been started again."""
    folder = make_run(tmp_path, episodes=2, agent="sarl")
    process = start(folder)
    wait_for_rows(folder, 1, process)
    killed = kill_node(folder, "sarl_learner")
    deadline = time.monotonic() + 30
    while node_pid(folder, "sarl_learner") in (None, killed):
        assert time.monotonic() < deadline, "the learner was not started again"
        time.sleep(0.005)
    with process:  # closes its pipes as well
        process.kill()
    again = start(folder)
    output = finish(again, 200)
    assert again.returncode == 0, output
    assert_no_process_is_left(folder)
    found = check_records(folder.path)
    assert found.problems == ()
    assert found.completed == 2


def test_a_second_run_in_an_exported_domain_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    number, claim = claim_domain()
    with claim:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        done = subprocess.run(
            [sys.executable, "-m", "sarl_ros.cli", "train", "--policy", "still", "--runs", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: ROS domain {number} is in use by process {os.getpid()}: ")
