"""Children end with whoever started them, at whatever moment; no process lives on without one of its threads."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from types import SimpleNamespace

import pytest
from domains import domain_of
from graph_tools import make_run

from sarl_ros.core.processes import ending_with_us
from sarl_ros.operating import screen
from sarl_ros.operating.terminal import Terminal
from sarl_ros.ros import operator_client
from sarl_ros.runs import run
from sarl_ros.runs.folder import RunError
from sarl_ros.runs.monitor import Monitor
from sarl_ros.runs.progress import Progress

pytestmark = pytest.mark.timeout(120)

WAIT_S = 60.0
NODE = """
import os, sys, threading, time
from sarl_ros.core import processes
from sarl_ros.ros.node import SarlNode, run_node

processes.GRACE_S = 1

class Fragile(SarlNode):
    def __init__(self):
        super().__init__("fragile")
        {how}

    def fail(self):
        raise ValueError("a bug")

    def close(self):
        {close}

run_node(Fragile, threads={threads})
"""


def script(text: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def assert_ends(pid: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while lives(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


def assert_ends_with(owner: subprocess.Popen[str]) -> None:
    """The process whose id `owner` prints ends when `owner` is killed."""
    child = int(owner.stdout.readline())
    assert lives(child)
    with owner:  # closes its pipes as well
        owner.kill()
    assert_ends(child)


def test_a_child_that_knows_nothing_yet_is_killed_with_its_parent():
    owner = script(
        "import subprocess, sys, time\n"
        "from sarl_ros.core.processes import ending_with_us\n"
        "child = subprocess.Popen(ending_with_us([sys.executable, '-c', 'import time; time.sleep(600)']))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    assert_ends_with(owner)


def test_a_child_whose_parent_was_gone_before_the_kernel_knew_does_not_begin():
    command = ending_with_us(["echo", "begun"])
    assert subprocess.run(command, capture_output=True, text=True).stdout == "begun\n"
    stranger = ["sh", "-c", '"$@"; exit $?', "stranger", *command]
    done = subprocess.run(stranger, capture_output=True, text=True)
    assert done.stdout == ""
    assert done.returncode != 0


def test_without_setpriv_nothing_is_started_and_the_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="install package util-linux"):
        ending_with_us(["true"])


def test_a_worker_of_a_pool_ends_with_its_parent(tmp_path):
    (tmp_path / "jobs.py").write_text("import os, time\ndef work():\n    return os.getpid()\n")
    (tmp_path / "owner.py").write_text(
        "import multiprocessing, os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from jobs import work\n"
        "from sarl_ros.core.processes import be_killed_with\n"
        "if __name__ == '__main__':\n"
        "    spawn = multiprocessing.get_context('spawn')\n"
        "    with ProcessPoolExecutor(1, spawn, initializer=be_killed_with, initargs=(os.getpid(),)) as pool:\n"
        "        print(pool.submit(work).result(), flush=True)\n"
        "        time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, tmp_path / "owner.py"], stdout=subprocess.PIPE, text=True)
    assert_ends_with(owner)


def test_a_trainer_that_still_imports_ends_with_its_learner(tmp_path):
    owner = script(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from sarl_ros.learner.trainer_link import TrainerLink\n"
        "trainer = TrainerLink(Path(sys.argv[1]), 'sarl', 'sim', 0, 0, print)\n"
        "trainer.start()\n"
        "print(trainer.pid, flush=True)\n"
        "time.sleep(600)\n",
        tmp_path,
    )
    assert_ends_with(owner)


@pytest.mark.parametrize("how", ["while True: time.sleep(1)", "pass"], ids=["while it is made", "while it spins"])
def test_a_node_whose_supervisor_is_gone_before_it_looks_ends(how):
    gone = subprocess.Popen(["true"])
    gone.wait()
    node = script(
        NODE.format(how=how, close="pass", threads=1),
        SARL_PARENT_PID=str(gone.pid),
        ROS_DOMAIN_ID=str(domain_of(__name__)),
    )
    _, errors = node.communicate(timeout=WAIT_S)
    assert node.returncode in (1, -signal.SIGTERM)
    assert f"process {gone.pid}, which started this one, is gone" in errors


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "how",
    ["threading.Thread(target=self.fail, name='steps').start()", "self.create_steady_timer(0.01, self.fail)"],
    ids=["a thread", "a callback"],
)
def test_a_node_one_of_whose_threads_dies_ends_with_a_code_and_its_traceback(how, threads):
    node = script(NODE.format(how=how, close="pass", threads=threads), ROS_DOMAIN_ID=str(domain_of(__name__)))
    _, errors = node.communicate(timeout=WAIT_S)
    assert node.returncode in (1, -signal.SIGTERM)  # the thread may die before the node is made
    assert "ValueError: a bug" in errors
    assert "died by ValueError: ending" in errors


def test_a_node_that_hangs_at_its_end_is_ended_by_the_kernel():
    how = "self.create_steady_timer(0.01, self.fail)"
    node = script(NODE.format(how=how, close="time.sleep(600)", threads=1), ROS_DOMAIN_ID=str(domain_of(__name__)))
    node.communicate(timeout=WAIT_S)
    assert node.returncode == -signal.SIGALRM


class BrokenExecutor:
    """Stands in for rclpy's: a callback raises once `watched` is set."""

    watched = threading.Event()

    def __init__(self, context=None) -> None:
        pass

    def add_node(self, node) -> None:
        pass

    def spin_once(self, timeout_sec: float | None) -> None:
        self.watched.wait(WAIT_S)
        raise ValueError("a bug")

    def shutdown(self, timeout_sec: float | None = None) -> None:
        pass


def test_a_run_that_nobody_watches_any_more_ends_at_once_with_the_reason(tmp_path):
    monitor = SimpleNamespace(failure="", progress=Progress(), ended=deque())
    folder = make_run(tmp_path)
    Monitor.fail(monitor, ValueError("a bug"))
    with pytest.raises(RunError, match=r"watching the run failed \(ValueError: a bug\)"):
        run._watch(monitor, run.Console(), threading.Event(), lambda: None, folder, f"--run {folder.path}")


def test_an_operator_client_that_has_gone_deaf_is_left_with_the_reason(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "26")
    monkeypatch.setattr(operator_client, "SingleThreadedExecutor", BrokenExecutor)
    BrokenExecutor.watched.clear()
    keyboard, slave = os.openpty()
    with os.fdopen(slave) as stdin, operator_client.open_operator_client("test") as mine:
        monkeypatch.setattr(screen.sys, "stdin", stdin)
        assert not mine.failure
        BrokenExecutor.watched.set()
        screen.run(Terminal(lambda: mine.view, mine), lambda: bool(mine.failure))
        assert mine.failure == "listening to the graph failed (ValueError: a bug)"
    os.close(keyboard)
