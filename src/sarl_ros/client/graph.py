"""A running graph as an object: press, steer, wait for an episode, watch. For scripts and notebooks."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import StepKey
from sarl_ros.operating.graph_view import Answer, EndedEpisode, GraphView
from sarl_ros.ros.operator_client import OperatorClient, open_operator_client
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunFolder
from sarl_ros.runs.running import find_running

SILENT_S = 2.0
AGAIN_S = 0.2
PROMPTS_S = 2.0
"""How long the prompts of an episode that has ended are waited for: they come on a topic of their own."""


class GraphError(RuntimeError):
    """The graph does not do what was asked, or is heard no more."""


class GraphTimeout(GraphError):
    """Something did not come in time; the message says what was missing."""


class Refused(GraphError):
    """The operator or the learner said no; the message is its reason."""


class Graph:
    """A running graph; use it as a context manager. Each object has a ROS context and a node of its own.

    It may be used from several threads. Nodes of the graph may restart meanwhile: what is known stays, and calls wait
    until their time-out for the node that they ask. What nobody answered is not sent again: it may have counted.

    Args:
        domain: the graph's ROS domain; None for what ROS_DOMAIN_ID says.
        run: take only what is said of the run of this name; empty for any.
        source: who presses, as the operator's journal shows it.
    """

    def __init__(self, domain: int | None = None, *, run: str = "", source: str = "script") -> None:
        self._domain, self._run, self._source = domain, run, source
        self._stack = ExitStack()
        self._opened: OperatorClient | None = None

    @classmethod
    def of_run(cls, folder: str | os.PathLike[str]) -> Graph:
        """The graph of a run folder on this machine.

        Raises:
            RunError: the folder has no graph that is up.
        """
        found = find_running(Path(folder), Path(folder).parent)
        return cls(found.domain, run=RunFolder(found.folder).name)

    def __enter__(self) -> Graph:
        with _environment_of(self._domain):
            client = open_operator_client(self._source, self._run, self._domain)
            self._opened = self._stack.enter_context(client)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = None
        self._stack.close()

    @property
    def _client(self) -> OperatorClient:
        if self._opened is None:
            raise GraphError("the graph is not open: use `with Graph() as graph:`")
        return self._opened

    @property
    def view(self) -> GraphView:
        """What is known now; an immutable value."""
        return self._client.view

    def wait_ready(self, timeout_s: float = 60.0) -> GraphView:
        """Wait until the operator is heard and has told the episode and its buttons.

        Raises:
            GraphTimeout: what was not heard.
        """
        return self.wait_until(lambda view: not _missing(view), timeout_s, _missing)

    def wait_until(
        self,
        condition: Callable[[GraphView], bool],
        timeout_s: float,
        missing: Callable[[GraphView], str] = lambda view: f"the episode is {view.state.name}",
    ) -> GraphView:
        """Wait until the view fulfils a condition, and return it. `missing` puts in words what a time-out lacked.

        Raises:
            GraphTimeout: it did not in time.
            GraphError: the graph is heard no more.
        """
        client = self._client
        with client.changed:
            if not client.changed.wait_for(lambda: client.failure or condition(client.view), timeout_s):
                raise GraphTimeout(f"after {timeout_s:g} s: {missing(client.view)}")
            self._check(client)
            return client.view

    def wait_armed(self, button: str | Button, timeout_s: float = 60.0) -> GraphView:
        """Wait until the operator would take a press. Raises as `wait_until`, with why it would not."""
        wanted = Button(button)

        def why_not(view: GraphView) -> str:
            return f"{wanted} is not possible: {view.why.get(wanted, 'the operator is not heard')}"

        return self.wait_until(lambda view: view.armed(wanted), timeout_s, why_not)

    def press(self, button: str | Button, timeout_s: float = 10.0) -> str:
        """Press a button, and return what it led to.

        Raises:
            ValueError: there is no such button.
            Refused: the operator's reason.
            GraphTimeout: the operator gave no answer.
        """
        pressed, client = Button(button), self._client
        return self._ask(lambda tell: client.press(pressed, tell), timeout_s)

    def hold(self, timeout_s: float = 10.0) -> str:
        """Stop the arm, also directly where there is no operator. Raises as `press`."""
        return self.press(Button.HOLD, timeout_s)

    def clear(self, timeout_s: float = 10.0) -> str:
        """Let the arm go on after a hold. Raises as `press`."""
        return self.press(Button.CLEAR, timeout_s)

    def steer(self, prompt: str = "", *, take_over: bool = True, timeout_s: float = 10.0) -> str:
        """Choose the prompt of the decision that waits for one; without a prompt, take over or hand back the choice.

        Raises:
            Refused: the learner's reason.
            GraphTimeout: no decision waited for a prompt, or the learner gave no answer.
        """
        client, key, until_s = self._client, None, time.monotonic() + timeout_s
        if prompt:
            key = self._wait_awaited(timeout_s)
        left_s = until_s - time.monotonic()
        return self._ask(lambda tell: client.steer(take_over, key, prompt, tell), left_s)

    def _wait_awaited(self, timeout_s: float) -> StepKey | None:
        what = "no decision waits for a prompt: take over first with steer()"
        return self.wait_until(lambda view: view.awaited is not None, timeout_s, lambda _: what).awaited

    def wait_episode(self, timeout_s: float = 600.0) -> EndedEpisode:
        """The next episode that ends, each once, in order; those since the graph was opened count.

        Raises:
            GraphTimeout: none ended in time.
            GraphError: the graph is heard no more.
        """
        client = self._client
        with client.changed:
            if not client.changed.wait_for(lambda: client.failure or client.log.has_ended, timeout_s):
                view = client.view
                raise GraphTimeout(f"no episode ended in {timeout_s:g} s: {_missing(view) or _where(view)}")
            self._check(client)
            client.changed.wait_for(lambda: not client.log.has_ended or client.log.is_whole, PROMPTS_S)
            if client.log.has_ended:
                return client.log.take()
        return self.wait_episode(timeout_s)  # another thread took it

    def changes(self) -> Iterator[GraphView]:
        """The view at each change, the present one first; some are left out where the reader is slower."""
        client, last = self._client, None
        while self._opened is client:
            view = self._next_change(client, last)
            if view is not last:
                yield view
            last = view

    def _next_change(self, client: OperatorClient, last: GraphView | None) -> GraphView:
        with client.changed:
            client.changed.wait_for(lambda: client.failure or client.view is not last, AGAIN_S)
            self._check(client)
            return client.view

    def watch(self, callback: Callable[[GraphView], object]) -> threading.Thread:
        """Call back at each change, from a thread of its own that ends with the graph; returns the thread."""

        def follow() -> None:
            for view in self.changes():
                callback(view)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        return thread

    def _ask(self, ask: Callable[[Callable[[Answer], None]], None], timeout_s: float) -> str:
        """Send once, as soon as there is somebody to ask: what was sent may count although its answer was lost."""
        until_s, detail = time.monotonic() + timeout_s, "nobody was asked"
        while (left_s := until_s - time.monotonic()) > 0:
            answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
            ask(answers.put)
            try:
                answer = answers.get(timeout=left_s)
            except queue.Empty:
                break
            if answer.reached and not answer.accepted:
                raise Refused(answer.detail)
            if answer.reached:
                return answer.detail
            self._check(self._client)
            detail = answer.detail
            if answer.sent:
                break
            with self._client.changed:
                self._client.changed.wait(min(AGAIN_S, left_s))
        raise GraphTimeout(f"no answer in {timeout_s:g} s: {detail}")

    @staticmethod
    def _check(client: OperatorClient) -> None:
        if client.failure:
            raise GraphError(client.failure)


def _missing(view: GraphView) -> str:
    if view.operator_s is None or time.monotonic() - view.operator_s > SILENT_S:
        return "the operator is not heard: is the graph up, and in this ROS domain?"
    if not view.run:
        return "the operator has told no episode yet"
    return "" if view.why else "the operator has told no buttons yet"


def _where(view: GraphView) -> str:
    return f"episode {view.episode} of {view.run} is {view.state.name} {view.reason}".rstrip()


@contextmanager
def _environment_of(domain: int | None) -> Iterator[None]:
    """What the nodes of a run in that domain have in their environment, while the client's node is made."""
    if domain is None:
        yield
        return
    outside = dict(os.environ)
    os.environ.update(bringup.environment(domain))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(outside)
