"""The prompt_proposer as a real process over DDS."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from domains import domain_of

from sarl_interfaces.msg import NodeStatus
from sarl_interfaces.srv import ProposePrompts
from sarl_ros.core.types import Observation
from sarl_ros.policies.mini.files import PERCEPTION_FILE, SHIPPED
from sarl_ros.ros import convert, topics
from sarl_ros.runs import bringup

FAKE = Path(__file__).parent / "fakes" / "proposer_with_fake_eyes.py"
DISCOVERY_S = 20.0
HAMMER = "move the hammer to the plate, then grasp the mushroom"


def spawn(domain, *command):
    return subprocess.Popen([sys.executable, *command], env=bringup.environment(domain))


class Client:
    """Asks the service and follows the heartbeat."""

    def __init__(self, domain):
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(bringup.SHARED_MEMORY_PROFILE)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("asker", context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.service = self.node.create_client(ProposePrompts, topics.PROPOSE_PROMPTS)
        self.statuses = []
        self.node.create_subscription(NodeStatus, topics.NODE_STATUS, self.statuses.append, topics.STREAM)

    def ask(self, **fields):
        assert self.service.wait_for_service(DISCOVERY_S), "no prompt_proposer within the time for discovery"
        future = self.service.call_async(request(**fields))
        self.executor.spin_until_future_complete(future, timeout_sec=DISCOVERY_S)
        assert future.done(), "the proposer did not answer"
        return future.result()

    def wait_for_status(self, wanted):
        """The first heartbeat from now on that is as wanted."""
        self.statuses.clear()
        end = time.monotonic() + DISCOVERY_S
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.1)
            for status in self.statuses:
                if wanted(status):
                    return status
        raise AssertionError(f"no such heartbeat; the last one was {self.statuses[-1:]}")

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


def request(brightness=90, opening=1.0, **fields):
    observation = Observation(
        front=np.full((480, 640, 3), brightness, np.uint8),
        wrist=np.full((240, 320, 3), brightness, np.uint8),
        proprio=np.array([0.30, 0.0, 0.13, 0, 0, 0, 0, opening], np.float32),
    )
    return ProposePrompts.Request(
        **{"task": HAMMER, "observation": convert.observation_to(observation), "count": 8, **fields}
    )


@pytest.fixture(scope="module")
def client():
    process = spawn(domain_of(__name__), FAKE)
    client = Client(domain_of(__name__))
    yield client
    client.close()
    assert process.poll() is None, "the proposer died"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


def test_a_request_is_answered_with_weighted_prompts(client):
    answer = client.ask()
    assert answer.error == ""
    assert answer.prompts[0] == "grasp the hammer."
    assert len(answer.prompts) == len(answer.priors) == 8
    assert sum(answer.priors) == pytest.approx(1, abs=1e-5)
    assert answer.model == "scene"
    assert "hammer" in answer.rationale


def test_the_same_request_gets_the_same_answer(client):
    assert client.ask(history=["lift."]) == client.ask(history=["lift."])


def test_a_frozen_pool_is_chosen_from(client):
    pool = ["lift.", "grasp the hammer.", "reset to home."]
    assert sorted(client.ask(pool=pool, pool_frozen=True).prompts) == sorted(pool)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"task": ""}, "task is empty"),
        ({"task": "a" * 10_000}, "shorten"),
        ({"count": 0}, "at least 1"),
        ({"pool_frozen": True}, "frozen and empty"),
        ({"pool": ["x" * 10_000], "pool_frozen": True}, "shorten"),
        ({"pool": ["lift\x07."], "pool_frozen": True}, "control character"),
        ({"opening": float("nan")}, "8 finite numbers"),
        ({"observation": ProposePrompts.Request().observation}, "no front image"),
        ({"brightness": 255}, "dazzled"),
    ],
)
def test_a_bad_request_is_answered_with_its_reason_and_the_next_one_served(client, fields, says):
    answer = client.ask(**fields)
    assert says in answer.error
    assert "\n" not in answer.error
    assert len(answer.error) < 300
    assert list(answer.prompts) == []
    assert client.ask().error == ""


def test_a_failing_perception_is_a_fault_until_it_works_again(client):
    client.ask(brightness=255)
    assert "dazzled" in client.wait_for_status(lambda status: status.faults).faults[0]
    client.ask()
    assert client.wait_for_status(lambda status: not status.faults).ready


def test_a_damaged_image_is_answered_with_its_reason(client):
    damaged = request()
    damaged.observation.front.data = damaged.observation.front.data[:1] * 100
    answer = client.ask(observation=damaged.observation)
    assert "decoded" in answer.error
    assert client.ask().error == ""


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        ("proposer:=oracle", "proposer oracle: there is none"),
        ("proposer:=scene:/nowhere", "/nowhere/perception.safetensors is missing"),
    ],
)
def test_a_wrong_setting_ends_the_node_with_one_line(parameter, says):
    command = [sys.executable, "-m", "sarl_ros.nodes.prompt_proposer", "--ros-args", "-p", parameter]
    environment = bringup.environment(domain_of(__name__, 1))
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(not (SHIPPED / PERCEPTION_FILE).is_file(), reason="needs the shipped weights")
def test_the_shipped_perception_sees_the_task():
    from sarl_ros.sim.env import TabletopEnv
    from sarl_ros.sim.tasks import load_sim_task

    env = TabletopEnv()
    env.reset(load_sim_task("hammer"), seed=5)
    observation = convert.observation_to(env.observe())
    env.close()
    process = spawn(domain_of(__name__, 1), "-m", "sarl_ros.nodes.prompt_proposer")
    client = Client(domain_of(__name__, 1))
    try:
        answer = client.ask(observation=observation)
    finally:
        client.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert answer.error == ""
    assert {"move down and grasp.", "grasp the hammer."} <= set(answer.prompts)
    assert "plate" in answer.rationale
    assert "banana" not in answer.rationale
