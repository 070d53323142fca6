"""The graph of a real robot where there is no hardware: it stands as far as it can and says what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
import rclpy
from graph_tools import finish
from rclpy.executors import SingleThreadedExecutor

from sarl_interfaces.msg import Buttons, NodeStatus
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs.domains import claim_domain

WAIT_S = 90.0
SOUND = ("vla_executor", "prompt_proposer", "operator", "sarl_learner")
LACKING = {
    "camera_front": ("no RealSense camera is connected", "plug it into a USB 3 port"),
    "camera_wrist": ("no RealSense camera is connected", "plug it into a USB 3 port"),
    "arm_bridge": ("xs_sdk driver", "start"),
}


class Listener:
    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("listener", context=self.context)
        self.changed = threading.Condition()
        self.newest: dict[str, NodeStatus] = {}
        self.start = "not told yet"
        self.node.create_subscription(NodeStatus, topics.NODE_STATUS, self.on_status, topics.STREAM)
        self.node.create_subscription(Buttons, topics.BUTTONS, self.on_buttons, topics.LATCHED)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), self.node)

    def on_status(self, message: NodeStatus) -> None:
        with self.changed:
            self.newest[message.node] = message
            self.changed.notify_all()

    def on_buttons(self, message: Buttons) -> None:
        with self.changed:
            self.start = dict(zip(message.name, message.why, strict=True))["start"]
            self.changed.notify_all()

    def wait(self, condition) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, WAIT_S)

    def close(self) -> None:
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`sarl train --robot widowx` as a person starts it, and a listener in its domain."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    domain, lock = claim_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    lock.close()  # the run claims it
    command = [sys.executable, "-m", "sarl_ros.cli", "train", "--robot", "widowx", "--policy", "still"]
    process = subprocess.Popen(
        [*command, "--agent", "random", "--episodes", "1", "--runs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    listener = Listener(domain)
    yield process, listener
    listener.close()
    if process.poll() is None:
        process.terminate()
        finish(process, 30)


def test_each_node_without_its_device_says_what_is_missing_and_what_to_do(run):
    process, listener = run
    newest = listener.newest

    def told(node: str) -> str:
        return " ".join(newest[node].faults) if node in newest and not newest[node].ready else ""

    assert listener.wait(lambda: all(node in newest and newest[node].ready for node in SOUND)), newest
    for node, words in LACKING.items():
        assert listener.wait(lambda node=node, words=words: all(word in told(node) for word in words)), newest.get(node)
        assert all("\n" not in fault for fault in newest[node].faults)
    assert process.poll() is None, "the graph waits for its hardware"
    process.send_signal(signal.SIGINT)
    output = finish(process, 30)
    assert process.returncode == 130
    assert f"ROS domain {os.environ['ROS_DOMAIN_ID']}" in output
    assert "go on with: sarl train --resume" in output
    assert "Traceback" not in output
