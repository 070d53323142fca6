"""Real sim_world and arm_bridge processes, and a client that commands the arm, for the tests of both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import Trigger

from sarl_interfaces.msg import ArmCommand, ArmState, Judgement, NodeStatus
from sarl_interfaces.srv import ArmReset, ArmResume, SimReset
from sarl_ros.ros import topics
from sarl_ros.ros.cdr import ImageHead
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.fast_subscription import FastSubscriptions
from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs import bringup

DISCOVERY_S = 20.0
MODULES = {
    "sim_world": "sarl_ros.nodes.sim_world.node",
    "arm_bridge": "widowx_bridge.node",
    "dry_arm": "sarl_ros.nodes.dry_arm",
}
STILL = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def spawn(node: str, domain: int, *parameters: str) -> subprocess.Popen[str]:
    """A node's process with parameters as "name:=value"; its output is read with `communicate`."""
    arguments = [part for parameter in parameters for part in ("-p", parameter)]
    return subprocess.Popen(
        [sys.executable, "-m", MODULES[node], "--ros-args", *arguments],
        env=bringup.environment(domain),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> int:
    """Its exit status after SIGINT."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode


class ArmSide:
    """A client of everything that the two nodes offer. Lists hold what arrived, in order.

    Subscriptions have a thread of their own: joint states come at 100 Hz, and a slow reader would lose answers.
    """

    def __init__(self, domain: int) -> None:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(bringup.SHARED_MEMORY_PROFILE)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        node = self.node = CheckedNode("arm_client", context=self.context)
        self.changed = threading.Condition()
        self.states: list[ArmState] = []
        self._answers: dict[int, list[ArmState]] = {}
        self.judgements: list[Judgement] = []
        self.joint_states: list[JointState] = []
        self.image_stamps: dict[str, list[int]] = {"front": [], "wrist": []}
        self.infos: dict[str, CameraInfo] = {}
        self.ready: dict[str, bool] = {}
        self.incarnations: dict[str, str] = {}
        self.seq = 0
        self.fast = FastSubscriptions(node)
        self.commands = node.create_publisher(ArmCommand, topics.ARM_COMMAND, topics.STREAM)
        listen = {
            topics.ARM_STATE: (ArmState, self._on_state, topics.STREAM),
            topics.JUDGEMENT: (Judgement, self.judgements.append, topics.STREAM),
            "/wx250s/joint_states": (JointState, self.joint_states.append, topics.STREAM),
            topics.NODE_STATUS: (NodeStatus, self._on_status, topics.STREAM),
        }
        for camera in self.image_stamps:
            listen[topics.camera_info(camera)] = (CameraInfo, self._info_listener(camera), topics.IMAGE)
        for topic, (kind, take, quality) in listen.items():
            self.listen(kind, topic, take, quality)
        for camera in self.image_stamps:
            self.listen(Image, topics.camera_image(camera), self._image_listener(camera), topics.IMAGE, raw=True)
        self.services = {
            topic: node.create_client(kind, topic)
            for topic, kind in (
                (topics.ARM_RESET, ArmReset),
                (topics.ARM_STOP, Trigger),
                (topics.ARM_CLEAR, Trigger),
                (topics.ARM_PAUSE, Trigger),
                (topics.ARM_RESUME, ArmResume),
                (topics.ARM_SLEEP, Trigger),
                (topics.SIM_RESET, SimReset),
            )
        }
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), node)
        self.fast.start()

    def listen(self, kind: type, topic: str, take: Callable, quality: QoSProfile, raw: bool = False) -> None:
        """`take` each message of a topic and wake who waits."""
        self.fast.subscribe(kind, topic, lambda message: self._take(take, message), quality, raw)

    def _take(self, take: Callable, message) -> None:
        with self.changed:
            take(message)
            self.changed.notify_all()

    def _on_state(self, state: ArmState) -> None:
        self.states.append(state)
        self._answers.setdefault(state.seq, []).append(state)

    def _on_status(self, status: NodeStatus) -> None:
        self.ready[status.node] = status.ready
        self.incarnations[status.node] = status.incarnation

    def _image_listener(self, camera: str) -> Callable[[bytes], None]:
        return lambda image: self.image_stamps[camera].append(ImageHead.read(image).stamp_ns)

    def _info_listener(self, camera: str) -> Callable[[CameraInfo], None]:
        return lambda info: self.infos.update({camera: info})

    def wait(self, condition: Callable[[], object], timeout_s: float = DISCOVERY_S) -> bool:
        with self.changed:
            return bool(self.changed.wait_for(condition, timeout_s))

    def wait_ready(self, *nodes: str) -> None:
        assert self.wait(lambda: all(self.ready.get(node) for node in nodes)), f"not ready: {self.ready}"
        assert self.wait(lambda: self.states or "arm_bridge" not in nodes)
        deadline = time.monotonic() + DISCOVERY_S
        while "arm_bridge" in nodes and not self.commands.get_subscription_count():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def call(self, topic: str, request=None, timeout_s: float = 60.0):
        """The response of a service."""
        client = self.services[topic]
        assert client.wait_for_service(DISCOVERY_S), f"no service {topic}"
        answered = threading.Event()
        future = client.call_async(client.srv_type.Request() if request is None else request)
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(timeout_s), f"{topic} did not answer"
        return future.result()

    def clear(self) -> None:
        """As a person does, who looks what the matter is and clears again."""
        deadline = time.monotonic() + DISCOVERY_S
        while not (answer := self.call(topics.ARM_CLEAR)).success:
            assert time.monotonic() < deadline, answer.message
            time.sleep(0.05)

    def send(self, action=STILL) -> int:
        self.seq += 1
        self.commands.publish(ArmCommand(seq=self.seq, action=[float(value) for value in action]))
        return self.seq

    def answers(self, seq: int) -> list[ArmState]:
        return self._answers.get(seq, [])

    def step(self, action=STILL, timeout_s: float = 20.0) -> ArmState:
        """The state that answers a command."""
        seq = self.send(action)
        assert self.wait(lambda: self.answers(seq), timeout_s), f"command {seq} got no answer"
        return self.answers(seq)[0]

    def wait_for_another(self, node: str, incarnation: str) -> None:
        """Until a killed node's successor is ready; what its predecessor had said last may have come late."""
        assert self.wait(lambda: self.incarnations[node] != incarnation, DISCOVERY_S)
        with self.changed:
            self.ready.pop(node)
            self.states.clear()
        self.wait_ready(node)

    def close(self) -> None:
        self.fast.close()
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
