"""A client of the operator and the learner: what they say as one view, and presses and prompts for them."""

from __future__ import annotations

import itertools
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from sarl_interfaces.msg import Buttons, Episode, LearnerStatus, NodeStatus, Prompt, Proposal
from sarl_interfaces.srv import Press, Steer
from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import StepKey
from sarl_ros.operating.graph_view import Answer, EpisodeLog, GraphModel, GraphView
from sarl_ros.ros import convert, topics
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.spinning import SpinThread

OPERATOR = "operator"
ANSWER_S = 2.0
CHECK_S = 0.2
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Call:
    future: Any
    client: Client
    until_s: float
    who: str
    tell: Callable[[Answer], None]


class OperatorClient(CheckedNode):
    """Keeps `view` up to date, of the run of that name or of any; presses carry `source`. Nothing here waits.

    Attributes:
        view: the newest of what is known; a new value at each change.
        changed: notified at each change, and when listening has failed; hold it to use `log`.
        log: the episodes that end.
        failure: why nothing is heard any more, in one line; empty while all is well.
    """

    def __init__(self, source: str, run: str, context: rclpy.Context) -> None:
        name = f"operator_client_{source}_{os.getpid()}_{next(_numbers)}"
        super().__init__(name, start_parameter_services=False, context=context)
        self.boundary.run = run
        self._source = source
        self._model, self.failure = GraphModel(), ""
        self.changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._lock = threading.Lock()
        subscribe = self.create_subscription
        subscribe(Episode, topics.EPISODE, self._on_episode, topics.PROTOCOL)
        subscribe(Buttons, topics.BUTTONS, self._on_buttons, topics.LATCHED)
        subscribe(Prompt, topics.PROMPT, self._on_prompt, topics.PROTOCOL)
        subscribe(Proposal, topics.PROPOSAL, self._on_proposal, topics.PROTOCOL)
        subscribe(LearnerStatus, topics.LEARNER_STATUS, self._on_learner, topics.LATCHED)
        subscribe(NodeStatus, topics.NODE_STATUS, self._on_heartbeat, topics.STREAM)
        self._press = self.create_client(Press, topics.PRESS)
        self._steer = self.create_client(Steer, topics.STEER)
        self._stop = self.create_client(Trigger, topics.ARM_STOP)
        self.create_timer(CHECK_S, self._give_up)

    # What arrives.

    @property
    def view(self) -> GraphView:
        return self._model.view

    @property
    def log(self) -> EpisodeLog:
        return self._model.log

    def _take(self, take: Callable[..., None], *arguments: Any) -> None:
        with self.changed:
            take(*arguments)
            self.changed.notify_all()

    def _on_episode(self, message: Episode) -> None:
        self._take(self._model.on_episode, message, time.monotonic())

    def _on_buttons(self, message: Buttons) -> None:
        self._take(self._model.on_buttons, message)

    def _on_prompt(self, message: Prompt) -> None:
        self._take(self._model.on_prompt, message)

    def _on_proposal(self, message: Proposal) -> None:
        self._take(self._model.on_proposal, message)

    def _on_learner(self, message: LearnerStatus) -> None:
        self._take(self._model.on_learner, message)

    def _on_heartbeat(self, message: NodeStatus) -> None:
        if message.node == OPERATOR:
            self._take(self._model.on_operator, time.monotonic())

    # What a person does.

    def press(self, button: Button, tell: Callable[[Answer], None]) -> None:
        """Press a button; a hold also stops the arm directly, whether or not there is an operator."""
        if button == Button.HOLD and self._stop.service_is_ready():
            self._stop.call_async(Trigger.Request())
        self._call(self._press, Press.Request(button=str(button), source=self._source), "the operator", tell)

    def steer(self, take_over: bool, key: StepKey | None, prompt: str, tell: Callable[[Answer], None]) -> None:
        """Take over the choice of prompts, hand it back, or choose."""
        request = Steer.Request(take_over=take_over, prompt=prompt)
        if key is not None:
            request.key = convert.key_to(key)
        self._call(self._steer, request, "the learner", tell)

    def _call(self, client: Client, request: Any, who: str, tell: Callable[[Answer], None]) -> None:
        if not client.service_is_ready():
            tell(Answer(False, f"{who} is not there", reached=False, sent=False))
            return
        future = client.call_async(request)

        def answered(done: Any) -> None:
            response = done.result()
            if response is not None:
                tell(Answer(response.accepted, response.detail))

        future.add_done_callback(answered)
        with self._lock:
            self._waiting.append(_Call(future, client, time.monotonic() + ANSWER_S, who, tell))

    def _give_up(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            late = [call for call in self._waiting if not call.future.done() and now_s > call.until_s]
            self._waiting = [call for call in self._waiting if not call.future.done() and now_s <= call.until_s]
        for call in late:
            call.client.remove_pending_request(call.future)
            call.tell(Answer(False, f"{call.who} gives no answer: try again", reached=False))


@contextmanager
def open_operator_client(source: str, run: str = "", domain: int | None = None) -> Iterator[OperatorClient]:
    """A client of the operator, with a context of its own, served by a thread of its own until the end of the block.

    Args:
        run: name of the run that is operated; empty for any.
        domain: the ROS domain; None for what ROS_DOMAIN_ID says.
    """
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    client = OperatorClient(source, run, context)

    def failed(error: Exception) -> None:
        traceback.print_exc()
        client.failure = f"listening to the graph failed ({type(error).__name__}: {error})"
        with client.changed:
            client.changed.notify_all()

    spinner = SpinThread(SingleThreadedExecutor(context=context), client, failed)
    try:
        yield client
    finally:
        spinner.stop(timeout_s=1.0)
        client.destroy_node()
        context.try_shutdown()
