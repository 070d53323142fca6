"""Publishes recorded bags again, byte for byte and at the times they had, in a graph without robot or learner.

Commands to an arm are never published. Should a node of a real run turn up in the same ROS domain, it stops: that node
would take the past for the present.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
import traceback
from pathlib import Path
from typing import Any

from rclpy.duration import Duration
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import QosDurability
from rosbags.rosbag2.metadata import parse_qos

from sarl_ros.core.processes import end_process
from sarl_ros.parameters.bag_player import BagPlayerParameters
from sarl_ros.ros import topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare
from sarl_ros.runs import bringup
from sarl_ros.store.bags import BagError, find_bags
from sarl_ros.store.playback import Playback

KEPT = (
    topics.EPISODE_EVENT,
    topics.PROMPT,
    topics.STEP_RESULT,
    topics.STEP_VERDICT,
    topics.PROPOSAL,
)
LATCHED = (topics.EPISODE, topics.LEARNER_STATUS, topics.BUTTONS)
# Nodes that listen and drive nothing; any other node of a run must not hear a replay.
LISTENERS = (bringup.CONSOLE.name,)
WATCH_PERIOD_S = 0.5
SETTLED_S = 1.0
DELIVERY = Duration(seconds=2)


class BagPlayer(SarlNode):
    """See the module.

    Attributes:
        playback: what is played.
        position_s: recorded seconds played so far, of this round.
        rounds: how often all was played.
        done: all is played, or `problem` says why not.
    """

    def __init__(self) -> None:
        super().__init__("bag_player")
        settings = declare(self, BagPlayerParameters)
        self.rate, self._listener_s = settings.rate, settings.wait_s
        self._loop, self._ends = settings.loop, settings.ends
        try:
            bags = find_bags([Path(path) for path in settings.bags if path])
            self.playback = Playback(bags, KEPT, LATCHED, settings.episode or None, settings.start_s)
        except BagError as error:
            raise SetupError(str(error)) from error
        self.position_s = 0.0
        self.rounds = 0
        self.problem = ""
        self.done = threading.Event()
        self._stopping = threading.Event()
        self._topics: dict[str, Publisher] = {}
        for topic, kind in self.playback.topics.items():
            self._topics[topic] = self.create_publisher(message_class(kind), topic, self._quality(topic))
        self.create_steady_timer(WATCH_PERIOD_S, self._watch)
        self._thread = threading.Thread(target=self._play, name="player", daemon=True)
        self._thread.start()
        self.faults["replay"] = "this is a replay: what you see is past, and nobody answers the buttons"
        self.ready = True

    def _quality(self, topic: str) -> QoSProfile:
        """As in the graph; for topics of others, as it was offered when they were recorded."""
        if topic in KEPT:
            return topics.PROTOCOL
        if topic in LATCHED:
            return topics.LATCHED
        offered = parse_qos(self.playback.offered_qos(topic))
        if not offered:
            return topics.STREAM
        kept = offered[0].durability == QosDurability.TRANSIENT_LOCAL
        return QoSProfile(
            depth=max(1, min(int(offered[0].depth) or topics.STREAM.depth, 1000)),
            history=HistoryPolicy.KEEP_LAST,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
        )

    def _watch(self) -> None:
        if self.done.is_set():
            if self._ends and self.problem:
                end_process(self.problem)
            elif self._ends:
                os.kill(os.getpid(), signal.SIGTERM)
            return
        if found := robot_nodes(self.get_node_names()):
            self.problem = (
                f"a run is on in this ROS domain ({', '.join(found)}): its nodes would take the replay for the present;"
                " play it in another domain"
            )
            self.faults["domain"] = self.problem
            self.get_logger().error(self.problem)
            self._stopping.set()

    def _play(self) -> None:
        try:
            self._await_listeners()
            while not self._stopping.is_set():
                self._play_once()
                self.rounds += 1
                if not self._loop:
                    return
        except BagError as error:
            self.problem = str(error)
            self.get_logger().error(self.problem)
        except Exception as error:
            self.problem = f"playing failed ({type(error).__name__}: {error}), see the lines above"
            raise
        finally:
            for publisher in self._topics.values():
                if not self._stopping.is_set():
                    publisher.wait_for_all_acked(DELIVERY)
            self.done.set()

    def _await_listeners(self) -> None:
        """Until no more come: what is not kept would be lost on those that the first message finds on their way."""
        deadline_s, changed_s, count = self.steady_s() + self._listener_s, self.steady_s(), 0
        while (now_s := self.steady_s()) < deadline_s and not self._stopping.wait(0.05):
            found = sum(publisher.get_subscription_count() for publisher in self._topics.values())
            if found != count:
                count, changed_s = found, now_s
            elif count and now_s - changed_s > SETTLED_S:
                return

    def _play_once(self) -> None:
        begun_s = self.steady_s()
        for cue in self.playback.cues():
            left_s = begun_s + cue.due_s / self.rate - self.steady_s()
            if self._stopping.wait(left_s) if left_s > 0 else self._stopping.is_set():
                return
            self.position_s = cue.due_s
            self._topics[cue.message.topic].publish(cue.message.data)

    def fail(self, error: Exception) -> None:
        """Nothing is played any more, since a callback raised `error`."""
        traceback.print_exception(error)
        self.problem = f"the replay failed ({type(error).__name__}: {error}), see the lines above"
        self.done.set()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=2.0)


def message_class(kind: str) -> Any:
    """The Python class of a type such as "sarl_interfaces/msg/Prompt"."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def robot_nodes(names: list[str]) -> list[str]:
    """Those of a graph's nodes that belong to a run."""
    run = {spec.name for spec in bringup.NODES} - set(LISTENERS)
    return sorted(run & set(names))


def _make() -> BagPlayer:
    player = BagPlayer()
    for note in player.playback.notes:
        player.get_logger().warning(note)
    for topic, why in sorted(player.playback.left_out.items()):
        player.get_logger().info(f"not played: {topic}, {why}")
    return player


def main() -> None:
    run_node(_make, threads=1)


if __name__ == "__main__":
    main()
