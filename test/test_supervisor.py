"""The supervisor restarts what dies, reports it by name with its last words, and ends everything in time."""

import os
import signal
import time

import pytest

from sarl_ros.runs import supervisor as supervisor_module
from sarl_ros.runs.bringup import NodeSpec
from sarl_ros.runs.folder import RunError, RunFolder
from sarl_ros.runs.supervisor import Supervisor

FAKE = NodeSpec("fake", "fake_process", "the arm holds")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    (tmp_path / "config.yaml").write_text("{}")
    monkeypatch.setenv("PYTHONPATH", os.path.join(os.path.dirname(__file__), "fakes"))
    return RunFolder(tmp_path)


def wait_until(condition, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def started(folder, behaviour):
    (folder.path / "behaviour").write_text(behaviour)
    lines = []
    supervisor = Supervisor([FAKE], folder, 99, lines.append)
    supervisor.start()
    return supervisor, lines


def says(folder, text):
    return wait_until(lambda: text in folder.log("fake").read_text())


def test_a_killed_process_is_reported_by_name_with_its_log_and_started_again(folder):
    supervisor, lines = started(folder, "run")
    try:
        assert says(folder, "running")
        first = supervisor.pid("fake")
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: supervisor.pid("fake") is None)
        supervisor.poll()
        assert supervisor.pid("fake") not in (None, first)
        assert lines[0].startswith("fake died (SIGKILL): the arm holds")
        assert any("running" in line for line in lines[1:])
    finally:
        supervisor.stop()


def test_a_process_that_refuses_its_settings_ends_the_run_with_its_own_message(folder):
    supervisor, _ = started(folder, "refuse")
    assert wait_until(lambda: supervisor.pid("fake") is None)
    with pytest.raises(RunError, match="fake: the thing is missing: make it with the remedy"):
        supervisor.poll()
    assert (folder.path / "starts").read_text() == "x"


def test_a_crash_loop_ends_the_run_and_names_the_log(folder):
    supervisor, _ = started(folder, "crash")

    def gave_up():
        try:
            supervisor.poll()
        except RunError as error:
            return "keeps dying" in str(error) and "fake.log" in str(error)
        return False

    assert wait_until(gave_up)
    assert len((folder.path / "starts").read_text()) == supervisor_module.CRASH_LOOP_DEATHS


def test_a_process_that_ignores_sigint_is_killed(folder, monkeypatch):
    monkeypatch.setattr(supervisor_module, "STOP_S", 0.3)
    supervisor, _ = started(folder, "stubborn")
    assert says(folder, "running")
    supervisor.stop()
    assert supervisor.pid("fake") is None


def test_a_run_folder_has_one_run_at_a_time(folder):
    with folder.lock(), pytest.raises(RunError, match="in use by another run"):
        folder.lock()
