"""Records every topic of the graph as it is on the wire, one bag an episode, and camera images as JPEG.

It asks the graph again and again which topics there are, and subscribes with the quality of service that is offered,
as `ros2 bag record -a` does.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import NoTypeSupportImportedException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.type_support import check_for_type_support
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from sarl_interfaces.msg import Episode, Prompt, Proposal, StepResult, StepVerdict
from sarl_ros.nodes.recorder.disk import MB, DiskLimits, DiskWatch
from sarl_ros.nodes.recorder.images import IMAGE, ImageCompressor
from sarl_ros.nodes.recorder.recording import Recording, Stream
from sarl_ros.parameters.recorder import RecorderParameters
from sarl_ros.records.provenance import describe_run
from sarl_ros.ros import topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.message_definitions import DefinitionError, message_definition, type_hash

NICENESS = 5  # it gives way to the control loop, and goes before training
DISCOVERY_PERIOD_S = 0.5
RECHECK_PERIODS = 10
STATUS_PERIOD_S = 0.5
CLOSE_TIMEOUT_S = 2.0
DEPTH = 500
IMAGE_DEPTH = 32
KEPT_DEPTH = 64  # what a player of the bag should offer; discovery does not tell it


class Recorder(SarlNode):
    def __init__(self) -> None:
        super().__init__("recorder")
        cv2.setNumThreads(1)
        settings = declare(self, RecorderParameters)
        self._excluded = set(filter(None, settings.exclude))
        limits_mb = (settings.warn_below_mb, settings.no_images_below_mb, settings.close_below_mb)
        self._compressor = None if settings.raw_images else ImageCompressor(settings.jpeg_quality)
        folder = Path(settings.run_dir) / "bags"
        try:
            disk = DiskWatch(folder, DiskLimits(*(round(limit * MB) for limit in limits_mb)))
            described, backlog = describe_run(Path(settings.run_dir)), round(settings.backlog_mb * MB)
            self._recording = Recording(folder, described, disk, backlog, self.get_logger().warning)
        except (OSError, ValueError, StoreError) as error:
            raise SetupError(f"recorder: {error}") from error
        self._subscriptions_by_topic: dict[str, tuple[Subscription, QoSProfile]] = {}
        self._unrecorded: dict[str, str] = {}
        self._names: set[str] = set()
        self._polls = 0
        self.create_steady_timer(DISCOVERY_PERIOD_S, self._discover)
        self.create_steady_timer(STATUS_PERIOD_S, self._report)
        self._report()

    def _report(self) -> None:
        self.ready = self._recording.ready
        self.faults = self._recording.faults() | self._unrecorded

    def _discover(self) -> None:
        """Subscribe to what is new; then, and every few times, look whether what is known is offered otherwise."""
        names = dict(self.get_topic_names_and_types())
        recheck = self._polls % RECHECK_PERIODS == 0 or names.keys() != self._names
        self._polls += 1
        self._names = set(names)
        for topic, types in names.items():
            hidden = any(part.startswith("_") for part in topic.split("/"))
            known = topic in self._subscriptions_by_topic or topic in self._unrecorded
            if hidden or topic in self._excluded or (known and not recheck):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._follow(topic, types, publishers, names)

    def _follow(
        self, topic: str, types: Sequence[str], publishers: Sequence[TopicEndpointInfo], names: dict[str, Any]
    ) -> None:
        compressed_by_others = (
            self._compressor is not None
            and types[0] == IMAGE
            and f"{topic}/compressed" in names
            and self.count_publishers(f"{topic}/compressed") > 0
        )
        request = _request([publisher.qos_profile for publisher in publishers], types[0] == IMAGE)
        subscription, current = self._subscriptions_by_topic.get(topic, (None, None))
        if subscription is not None and (compressed_by_others or request != current):
            self.destroy_subscription(subscription)
            del self._subscriptions_by_topic[topic]
        if compressed_by_others or request == current:
            return
        try:
            if len(types) > 1:
                raise DefinitionError(f"it has more than one type ({', '.join(types)}): end the wrong publisher")
            message_definition(types[0])
            type_hash(types[0])
            kind = _message_class(types[0])
        except DefinitionError as error:
            self._unrecorded[topic] = f"{topic} is not recorded: {error}"
            self.get_logger().warning(self._unrecorded[topic])
            return
        self._unrecorded.pop(topic, None)
        stream = self._stream(topic, types[0], request, publishers)
        # Past the boundary: a record tells what was on the wire, whatever it was.
        subscription = Node.create_subscription(
            self,
            kind,
            topic,
            partial(self._recording.take, stream),
            request,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=True,
        )
        self._subscriptions_by_topic[topic] = (subscription, request)

    def _stream(self, topic: str, type: str, request: QoSProfile, publishers: Sequence[TopicEndpointInfo]) -> Stream:
        offered = {_offered(publisher.qos_profile) for publisher in publishers}
        return Stream(
            topic,
            type,
            offered=tuple(sorted(offered, key=str)),
            kept=request.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            image=type == IMAGE or topic.endswith(("/compressed", "/compressedDepth")),
            compress=self._compressor if type == IMAGE else None,
            begins=self._beginning(topic) if topic in BEGINNINGS else None,
        )

    def _beginning(self, topic: str) -> Callable[[bytes], int | None]:
        """The episode of a message that can be taken; what cannot is recorded as it came, and begins nothing."""
        kind, episode = BEGINNINGS[topic]
        read = self.boundary.reader(kind, topic)

        def begins(data: bytes) -> int | None:
            message = read(data)
            return None if message is None else episode(message)

        return begins

    def close(self) -> None:
        self._recording.close(CLOSE_TIMEOUT_S)
        images, messages = self._recording.dropped_images, self._recording.dropped_messages
        if images or messages:
            self.get_logger().warning(f"{images} images and {messages} other messages were not recorded")


def _running_episode(message: Episode) -> int | None:
    return message.episode if message.state == Episode.RUNNING else None


def _episode_of_key(message: Any) -> int:
    return message.key.episode


# A bag begins with the RUNNING of its episode; a message of the episode may overtake that on the wire.
BEGINNINGS: dict[str, tuple[Any, Callable[[Any], int | None]]] = {
    topics.EPISODE: (Episode, _running_episode),
    topics.PROMPT: (Prompt, _episode_of_key),
    topics.STEP_RESULT: (StepResult, _episode_of_key),
    topics.STEP_VERDICT: (StepVerdict, _episode_of_key),
    topics.PROPOSAL: (Proposal, _episode_of_key),
}


def _message_class(type: str) -> Any:
    package, kind, name = type.split("/")
    try:
        found = getattr(importlib.import_module(f"{package}.{kind}"), name)
        check_for_type_support(found)
    except (ImportError, AttributeError, NoTypeSupportImportedException) as error:
        raise DefinitionError(f"{type}: its Python type is missing: install package {package}") from error
    return found


def _request(offers: Sequence[QoSProfile], image: bool) -> QoSProfile:
    """The most that all publishers offer."""
    reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    kept = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=IMAGE_DEPTH if image else DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
    )


def _offered(profile: QoSProfile) -> Qos:
    """What a publisher offers, as a bag keeps it."""
    kept = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    never = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST,
        profile.depth or (KEPT_DEPTH if kept else topics.STREAM.depth),
        QosReliability(int(profile.reliability)),
        QosDurability(int(profile.durability)),
        never,
        never,
        QosLiveliness.AUTOMATIC,
        never,
        False,
    )


def main() -> None:
    os.nice(NICENESS)  # before there are threads, which inherit it
    run_node(Recorder, threads=1)


if __name__ == "__main__":
    main()
