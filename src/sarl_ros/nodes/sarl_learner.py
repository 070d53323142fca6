"""Chooses the prompt of every semantic step and learns from what it led to; a thin cover over `learner.core`.

Callbacks put what arrives into a queue; one thread takes it out, asks the proposer, stores and publishes. Without a
proposer it waits and asks again, and so it does for the prompt of a person who steers: the graph pauses, nothing is
lost.
"""

from __future__ import annotations

import math
import queue
import threading
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup

from sarl_interfaces.msg import Episode, Judgement, LearnerStatus, Prompt, Proposal, StepResult, StepVerdict
from sarl_interfaces.msg import Observation as ObservationMessage
from sarl_interfaces.srv import ProposePrompts, Steer
from sarl_ros.core import proposal
from sarl_ros.core.learner_events import (
    EpisodeNews,
    Event,
    GroundTruth,
    ProposalRequest,
    StepAnswer,
    StepOutcome,
    TrainerLost,
    TrainerNews,
)
from sarl_ros.core.message_checks import proposals_problem
from sarl_ros.core.types import Decision, Ended, EpisodeState, StepKey, Verdict
from sarl_ros.learner.setup import LearnerError, LearnerOptions, make_learner
from sarl_ros.learner.tensorboard import Board
from sarl_ros.learner.trainer_link import TrainerLink, trainer_news
from sarl_ros.methods.method import AgentError
from sarl_ros.parameters.sarl_learner import LearnerParameters
from sarl_ros.ros import convert, topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare
from sarl_ros.store.appendfile import StoreError

STATUS_PERIOD_S = 0.5
IDLE_WAIT_S = 0.05
PROPOSER_RETRY_S = 0.5
TRAINER_RETRY_S = 1.0
MAX_TRAINER_DEATHS = 5


class SarlLearner(SarlNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("sarl_learner")
        settings = declare(self, LearnerParameters)
        options = LearnerOptions.of(settings)
        self._control_steps, self._proposer_timeout_s = settings.control_steps, settings.proposer_timeout_s
        try:
            self._learner = make_learner(options, self._on_row)
        except LearnerError as error:
            raise SetupError(f"sarl_learner: {error}") from error
        for line in self._learner.repairs:
            self.get_logger().warning(line)
        if self._learner.repairs:
            self.faults["records"] = "; ".join(self._learner.repairs)
        self._core = self._learner.core
        self._core_lock = threading.Lock()
        self._board = Board(options.run_dir)
        self._options_used = options
        self.boundary.run = options.run
        self._inbox: queue.Queue[Event | StepResult | None] = queue.Queue()
        self._observations: dict[StepKey, ObservationMessage] = {}  # as they came: the proposer gets the same bytes
        self._stopping = threading.Event()
        self._error = ""
        self._figures = self._core.figures()
        self._trainer_deaths = 0
        self._trainer_restart_s = math.inf
        self._trainer: TrainerLink | None = None
        if options.learns:
            of_run = (options.run_dir, options.agent, options.preset, options.seed, settings.keep_checkpoints_every)
            self._trainer = TrainerLink(*of_run, self._on_trainer_answer)
            self._trainer.start()
        self._connect()
        self._worker = threading.Thread(target=self._work, name="learner", daemon=True)
        self._worker.start()
        self.ready = True

    def _connect(self) -> None:
        protocol, truth = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        services = ReentrantCallbackGroup()
        self._prompts = self.create_publisher(Prompt, topics.PROMPT, topics.PROTOCOL)
        self._proposals = self.create_publisher(Proposal, topics.PROPOSAL, topics.PROTOCOL)
        self._statuses = self.create_publisher(LearnerStatus, topics.LEARNER_STATUS, topics.LATCHED)
        self._proposer = self.create_client(ProposePrompts, topics.PROPOSE_PROMPTS, callback_group=services)
        subscribe = self.create_subscription
        subscribe(Episode, topics.EPISODE, self._on_episode, topics.LATCHED, callback_group=protocol)
        subscribe(StepResult, topics.STEP_RESULT, self._inbox.put, topics.PROTOCOL, callback_group=protocol)
        subscribe(StepVerdict, topics.STEP_VERDICT, self._on_verdict, topics.PROTOCOL, callback_group=protocol)
        subscribe(Judgement, topics.JUDGEMENT, self._on_judgement, topics.STREAM, callback_group=truth)
        self.create_service(Steer, topics.STEER, self._on_steer, callback_group=services)
        self.create_steady_timer(STATUS_PERIOD_S, self._publish_status)

    # What arrives.

    def _on_episode(self, message: Episode) -> None:
        state = EpisodeState(message.state)
        news = EpisodeNews(message.run, message.episode, state, message.instruction, message.seed, message.reason)
        self._inbox.put(news)

    def _on_verdict(self, message: StepVerdict) -> None:
        key = convert.key_from(message.key)
        self._inbox.put(StepAnswer(key, Verdict(message.verdict), message.amendment, message.reason))

    def _on_judgement(self, message: Judgement) -> None:
        stamp = convert.stamp_ns(message.header.stamp)
        self._inbox.put(GroundTruth(stamp, message.seed, tuple(message.suitable_prompts)))

    def _on_steer(self, request: Steer.Request, response: Steer.Response) -> Steer.Response:
        key = convert.key_from(request.key)
        if self._error:
            response.accepted, response.detail = False, f"the learner has stopped: {self._error}"
            return response
        with self._core_lock:
            response.accepted, response.detail = self._core.steer(request.take_over, key, request.prompt)
        self._inbox.put(None)  # wake the worker
        return response

    def _on_row(self, row: dict[str, Any]) -> None:
        self._board.row(row)

    def _on_trainer_answer(self, answer: dict[str, Any]) -> None:
        """Called by the trainer link's thread."""
        if "error" in answer:
            self._error = answer["error"]
        elif "ended" in answer:
            self._inbox.put(TrainerLost())
        else:
            self._inbox.put(trainer_news(answer))

    # The worker.

    def _work(self) -> None:
        try:
            while not self._stopping.is_set() and not self._error:
                self._take_in(IDLE_WAIT_S)
                self._go_on()
        except (StoreError, AgentError) as error:
            self._error = str(error)
        if self._error:
            self.get_logger().error(self._error)
            self.faults["learner"] = self._error
            self.ready = False
            self._publish_status()

    def _take_in(self, wait_s: float) -> None:
        """Hand the core everything in the queue, waiting for the first."""
        try:
            self._handle(self._inbox.get(timeout=wait_s))
            while True:
                self._handle(self._inbox.get_nowait())
        except queue.Empty:
            pass

    def _handle(self, event: Event | StepResult | None) -> None:
        if isinstance(event, StepResult):
            key = convert.key_from(event.key)
            # An executor that saw nothing yet shows nothing; what it refused or broke off then is no transition.
            if self._core.wants_result(key) and event.observation.front.data:
                try:
                    observation = convert.observation_from(event.observation)
                except ValueError as error:
                    self.boundary.reject(topics.STEP_RESULT, f"observation: {error}")
                    return
                self._observations[key] = event.observation
                with self._core_lock:
                    records = bytes(event.chunk_records)
                    self._core.handle(StepOutcome(key, Ended(event.ended), observation, records))
        elif isinstance(event, GroundTruth):
            try:
                with self._core_lock:
                    self._core.handle(event)
            except ValueError as error:
                self.boundary.reject(topics.JUDGEMENT, f"suitable_prompts: {error}")
        elif event is not None:
            with self._core_lock:
                self._core.handle(event)
            if isinstance(event, EpisodeNews):
                kept = self._observations.items()
                self._observations = {key: seen for key, seen in kept if key.episode >= event.episode - 1}
            if isinstance(event, TrainerNews) and event.paid:
                self._trainer_deaths = 0
                self._board.trained(event)
            elif isinstance(event, TrainerLost):
                self._mourn_trainer()

    def _go_on(self) -> None:
        with self._core_lock:
            decisions, candidate_sets = self._core.advance(), self._core.candidate_sets()
            request = self._core.wanted()
        for known in candidate_sets:
            self._proposals.publish(convert.candidate_set_to(known, self._now_ns()))
        for decision in decisions:
            self._publish(decision)
        if request is not None:
            self._refresh()
            self._ask(request)
            return
        if self._trainer is not None:
            if self.steady_s() >= self._trainer_restart_s:
                self._trainer_restart_s = math.inf
                self._trainer.start()
            if math.isinf(self._trainer_restart_s):
                with self._core_lock:
                    order = self._core.order()
                if order is not None:
                    self._trainer.order(order)
        self._refresh()

    def _publish(self, decision: Decision) -> None:
        suitable = self._core.suitable_offered(decision.key)
        self._prompts.publish(convert.decision_to(decision, self._control_steps, self._now_ns(), suitable))

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _ask(self, wanted: ProposalRequest) -> None:
        """Ask the proposer once; the answer, or the next attempt, moves things on."""
        if not self._proposer.service_is_ready():
            self._complain("the proposer is away: waiting for it")
            return
        request = wanted.request
        message = ProposePrompts.Request(
            key=convert.key_to(wanted.key),
            task=request.task,
            observation=self._observations[wanted.key],
            history=list(request.history),
            pool=list(request.pool),
            pool_frozen=request.pool_frozen,
            count=request.count,
        )
        answered, asked_s = threading.Event(), self.steady_s()
        future = self._proposer.call_async(message)
        future.add_done_callback(lambda _: answered.set())
        deadline_s = asked_s + self._proposer_timeout_s
        while not answered.wait(IDLE_WAIT_S):
            gone = not self._proposer.service_is_ready()
            if self._stopping.is_set() or gone or self.steady_s() > deadline_s:
                self._proposer.remove_pending_request(future)
                self._complain("the proposer gave no answer: asking again")
                return
        response = future.result()
        problem = "no response" if response is None else response.error or proposals_problem(response)
        if problem:
            self._complain(f"the proposer failed: {problem[:200]}")
            return
        self.faults.pop("proposer", None)
        self._take_in(0.0)
        seconds = self.steady_s() - asked_s
        prompts, priors = tuple(response.prompts), tuple(response.priors)
        answer = proposal.Proposal(prompts, priors, response.rationale, response.model)
        with self._core_lock:
            self._core.propose(wanted, answer, seconds)
        if self._core.dropped_proposals:
            self.get_logger().warning("the proposer offers prompts that the full pool has no row for", once=True)

    def _complain(self, what: str) -> None:
        self.faults["proposer"] = what
        self.get_logger().warning(what, throttle_duration_sec=10.0)
        self._stopping.wait(PROPOSER_RETRY_S)

    def _mourn_trainer(self) -> None:
        self._trainer_deaths += 1
        if self._trainer_deaths > MAX_TRAINER_DEATHS:
            raise StoreError(f"the trainer died {self._trainer_deaths} times in a row: see the learner's log")
        self.get_logger().warning("the trainer process has ended: starting it again from its checkpoint")
        self._trainer_restart_s = self.steady_s() + TRAINER_RETRY_S

    # What is shown.

    def _refresh(self) -> None:
        with self._core_lock:
            figures = self._core.figures()
        if figures.finished and not self._figures.finished:
            self._board.draw(wait=True)
        changed = repr(figures) != repr(self._figures)
        self._figures = figures
        if changed:
            self._publish_status()

    def _publish_status(self) -> None:
        figures = self._figures
        message = LearnerStatus(
            run=self._options_used.run,
            episodes=figures.episodes,
            transitions=figures.transitions,
            updates_done=figures.updates_done,
            updates_owed=figures.updates_owed,
            updates_per_decision=figures.updates_per_decision,
            critic_loss=figures.loss,
            temperature=figures.temperature,
            recall=figures.recall,
            pool_size=figures.pool_size,
            pool_capacity=figures.pool_capacity,
            ready=figures.ready and not self._error,
            finished=figures.finished and not self._error,
            steering=figures.steering,
            checkpoint=figures.checkpoint,
            error=self._error,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._statuses.publish(message)

    def close(self) -> None:
        self._stopping.set()
        self._worker.join(timeout=2.0)
        if self._trainer is not None:
            self._trainer.close()
        self._board.close()
        self._learner.close()


def main() -> None:
    run_node(SarlLearner, threads=1)


if __name__ == "__main__":
    main()
