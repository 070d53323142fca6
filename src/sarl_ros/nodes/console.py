"""Serves the operator's page: topics into the board, presses into the operator's services, HOLD to the arm as well.

A client like any other: when a page or this process stalls, nothing else does.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.client import Client
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from sarl_interfaces.msg import (
    ArmState,
    Buttons,
    Episode,
    EpisodeEvent,
    LearnerStatus,
    NodeStatus,
    Prompt,
    Proposal,
    StepResult,
)
from sarl_interfaces.srv import Press, Steer
from sarl_ros.console.access import AccessError, Hosts, load_access
from sarl_ros.console.address import AddressError, bind, shown_address
from sarl_ros.console.graph_state import GraphState
from sarl_ros.console.page import add_page
from sarl_ros.console.pictures import Pictures
from sarl_ros.console.presses import HOLD, Answer, Presses
from sarl_ros.console.server import Server
from sarl_ros.console.view import View
from sarl_ros.core.processes import end_process
from sarl_ros.parameters.console import ConsoleParameters
from sarl_ros.ros import cdr, topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare

WATCH_S = 0.2
LIVE_PICTURE_S = 1.0
ANSWER_S = 4.0
HOLD_ANSWER_S = 1.0
FIND_S = 0.02
JPEG_QUALITY = 82


class RosGraph:
    """The calls of `console.presses.Graph` as services; awaited on the server's loop, answered by the executor."""

    def __init__(self, node: SarlNode, board: GraphState) -> None:
        self._board = board
        self._press = node.create_client(Press, topics.PRESS)
        self._stop = node.create_client(Trigger, topics.ARM_STOP)
        self._steer = node.create_client(Steer, topics.STEER)

    async def press(self, button: str) -> Answer:
        request = Press.Request(button=button, source="console")
        answer = await _call(self._press, request, "the operator node", HOLD_ANSWER_S if button == HOLD else ANSWER_S)
        return answer if isinstance(answer, Answer) else Answer(answer.accepted, answer.detail)

    async def stop_arm(self) -> Answer:
        answer = await _call(self._stop, Trigger.Request(), "the arm", HOLD_ANSWER_S)
        return answer if isinstance(answer, Answer) else Answer(answer.success, answer.message)

    async def steer(self, take_over: bool, episode: int, step: int, prompt: str) -> Answer:
        request = Steer.Request(take_over=take_over, prompt=prompt)
        request.key.episode, request.key.step = episode, step
        request.key.run = self._board.run
        answer = await _call(self._steer, request, "the learner", ANSWER_S)
        return answer if isinstance(answer, Answer) else Answer(answer.accepted, answer.detail)


async def _call(client: Client, request: Any, who: str, patience_s: float) -> Any:
    """The response, or an Answer that says why there is none."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience_s
    while not client.service_is_ready():
        if loop.time() > until_s:
            return Answer(False, f"{who} is not there; a run restarts it by itself: try in a moment", reached=False)
        await asyncio.sleep(FIND_S)
    answered: asyncio.Future[Any] = loop.create_future()

    def finish(future: Future) -> None:
        if not answered.done():
            answered.set_result(future.result())

    future = client.call_async(request)
    future.add_done_callback(lambda done: loop.call_soon_threadsafe(finish, done))
    try:
        return await asyncio.wait_for(answered, max(FIND_S, until_s - loop.time()))
    except asyncio.CancelledError:
        client.remove_pending_request(future)
        raise
    except TimeoutError:
        client.remove_pending_request(future)
        return Answer(False, f"{who} did not answer in {patience_s:g} s", reached=False)


class Console(SarlNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("console")
        settings = declare(self, ConsoleParameters)
        self._host = host = settings.host
        cameras = (settings.front_camera, settings.wrist_camera)
        try:
            access = load_access(host, settings.token_file, settings.view_token_file)
            self._bound = bind(host, settings.port)
        except (AccessError, AddressError) as error:
            raise SetupError(str(error)) from None
        self._board = GraphState(self.steady_s())
        self._pictures = Pictures(cameras, self.steady_s)
        self._cameras: dict[str, Subscription] = {}
        self._listen()

        def view() -> View:
            return self._board.view(self.steady_s())

        self._server = Server(
            self._bound,
            access,
            Hosts(host, [name.strip() for name in settings.names.split(",") if name.strip()]),
            Presses(RosGraph(self, self._board)),
            view,
            self._pictures,
            partial(add_page, view=view, cameras=cameras),
        )
        self._server.start()
        self.create_steady_timer(WATCH_S, self._watch)

    def _listen(self) -> None:
        board, now_s = self._board, self.steady_s
        for kind, topic, callback, quality in (
            (Episode, topics.EPISODE, lambda message: board.on_episode(message, now_s()), topics.LATCHED),
            (Buttons, topics.BUTTONS, board.on_buttons, topics.LATCHED),
            (LearnerStatus, topics.LEARNER_STATUS, board.on_learner, topics.LATCHED),
            (Prompt, topics.PROMPT, lambda message: board.on_prompt(message, time.time()), topics.PROTOCOL),
            (Proposal, topics.PROPOSAL, board.on_proposal, topics.PROTOCOL),
            (StepResult, topics.STEP_RESULT, self._on_result, topics.PROTOCOL),
            (EpisodeEvent, topics.EPISODE_EVENT, lambda message: board.on_event(message, time.time()), topics.PROTOCOL),
            (ArmState, topics.ARM_STATE, lambda message: board.on_arm(message, now_s()), topics.STREAM),
            (NodeStatus, topics.NODE_STATUS, lambda message: board.on_node(message, now_s()), topics.STREAM),
            (DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, topics.STREAM),
        ):
            self.create_subscription(kind, topic, callback, quality)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._board.on_diagnostics(message, self.steady_s())

    def _on_result(self, message: StepResult) -> None:
        self._board.on_result(message)
        seen = (message.observation.front, message.observation.wrist)
        for camera, image in zip(self._pictures.cameras, seen, strict=True):
            if image.data:
                self._pictures.put(camera, partial(_stored, image), unless_newer_than_s=LIVE_PICTURE_S)

    def _watch(self) -> None:
        """Follow the cameras while somebody looks, end with the server."""
        if self._server.has_ended:
            end_process("the web server has ended")
            return
        if not self.ready and self._server.is_serving:
            self.ready = True
            print(f"console {shown_address(self._host, self._bound.getsockname()[1])}", flush=True)
        for camera in self._pictures.cameras:
            self.faults.pop(camera, None)
        self.faults.update(self._pictures.failures)
        if self._pictures.looked_at:
            for camera in self._pictures.cameras:
                self._follow(camera)
        else:
            for subscription in self._cameras.values():
                self.destroy_subscription(subscription)
            self._cameras.clear()

    def _follow(self, camera: str) -> None:
        """Subscribe to the compressed images of a camera where there are any, else to the raw ones."""
        raw = topics.camera_image(camera)
        compressed = f"{raw}/compressed"
        topic = compressed if self.count_publishers(compressed) else raw
        current = self._cameras.get(camera)
        if current is not None:
            if current.topic_name == topic:
                return
            self.destroy_subscription(current)
        put = partial(self._pictures.put, camera)

        def compressed_came(message: CompressedImage) -> None:
            put(partial(_stored, message))

        def raw_came(serialized: Any) -> None:
            put(partial(_encoded, serialized))

        self._cameras[camera] = (
            self.create_subscription(CompressedImage, topic, compressed_came, topics.IMAGE)
            if topic == compressed
            else self.create_subscription(Image, topic, raw_came, topics.IMAGE, raw=True)
        )

    def close(self) -> None:
        self._server.close()


def _stored(message: CompressedImage) -> bytes:
    return bytes(message.data)


def _encoded(serialized: bytes) -> bytes:
    pixels = cdr.image_rgb(serialized)
    ok, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise ValueError(f"an image of shape {pixels.shape} cannot be encoded as JPEG")
    return encoded.tobytes()


def main() -> None:
    run_node(Console, threads=1)


if __name__ == "__main__":
    main()
