"""Decides what runs: the episode state machine with its journal, its buttons as services, and its watch over the nodes.

In auto mode a judge says what a step achieved, and episodes start and reset by themselves; otherwise a person does.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path

import rclpy
from builtin_interfaces.msg import Time
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_srvs.srv import Trigger

from sarl_interfaces.msg import (
    ArmState,
    Judgement,
    LearnerStatus,
    NodeStatus,
    Prompt,
    StepResult,
)
from sarl_interfaces.srv import ArmReset, ArmResume, SimReset
from sarl_ros.core import episode_events as ev
from sarl_ros.core.episode_buttons import refusals
from sarl_ros.core.episode_events import ENDS, Button, Outcome, Press
from sarl_ros.core.node_watch import NodeWatch
from sarl_ros.core.task import Task, TaskError, load_task
from sarl_ros.core.types import CONTROL_PERIOD_S, EpisodeState
from sarl_ros.nodes.operator.panel import Panel
from sarl_ros.nodes.operator.publishers import Publishers
from sarl_ros.nodes.operator.service_calls import ARM_NODE, WORLD_NODE, ServiceCalls
from sarl_ros.parameters.operator import OperatorParameters
from sarl_ros.records.episode_journal import EpisodeJournal
from sarl_ros.ros import convert, topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare
from sarl_ros.store.appendfile import StoreError

TICK_S = 0.05
REPUBLISHED_VERDICTS = 64
STRAGGLER_S = 1.0
STALE_STATUS_S = 2.0
PAUSING = ("sarl_learner", "prompt_proposer")


class Operator(SarlNode):
    """See the module. One lock around the machine; whatever comes in ends in `_apply` or `_tick`."""

    def __init__(self) -> None:
        super().__init__("operator")
        self._lock = threading.RLock()
        self._settings = declare(self, OperatorParameters)
        self._run = self.boundary.run = self._settings.run_name
        self._task = self._load_task()
        self._config = self._settings.episode_config(self._task)
        self._open_journal()
        self._watch = NodeWatch(self._settings.required_nodes, self._settings.silence_s, self._settings.optional_nodes)
        self._learner: LearnerStatus | None = None
        self._learner_s = 0.0
        self._judgement: Judgement | None = None
        self._stop = ""
        self._stopped_s = self._arm_heard_s = -math.inf
        self._changed_s = self._complete_s = self._ended_s = self.steady_s()
        self._waits_for: object = None
        self._connect()
        for verdict in self._machine.verdicts.given[-REPUBLISHED_VERDICTS:]:
            self._outputs.verdict(verdict, None)
        self._apply(ev.Opened(self._settings.episodes))
        if self.failure:
            raise SetupError(self.failure)
        self.ready = True
        self.create_steady_timer(TICK_S, self._tick)

    # Setting up.

    def _load_task(self) -> Task:
        try:
            return load_task(self._settings.task)
        except TaskError as error:
            raise SetupError(str(error)) from None

    def _open_journal(self) -> None:
        """Rebuild the machine from the journal of this run, or start a new one."""
        settings = {
            "run": self._run,
            "task": self._task.name,
            "max_steps": self._config.max_steps,
            "seed_base": self._config.seed_base,
            "auto": self._settings.auto,
            "wide": self._settings.wide,
        }
        try:
            self._journal = EpisodeJournal(Path(self._settings.run_dir), self._run, self._config, settings)
        except StoreError as error:
            raise SetupError(str(error)) from None
        self._machine = self._journal.machine
        if self._journal.repair:
            self.get_logger().warning(self._journal.repair)
            self.faults["records"] = self._journal.repair

    def _connect(self) -> None:
        inputs, heartbeats, calls = (MutuallyExclusiveCallbackGroup() for _ in range(3))
        self._outputs = Publishers(self, self._run, self._task, self._config.max_steps)
        self._calls = ServiceCalls(
            self.create_client(Trigger, topics.ARM_STOP, callback_group=calls),
            self.create_client(Trigger, topics.ARM_PAUSE, callback_group=calls),
            self.create_client(ArmResume, topics.ARM_RESUME, callback_group=calls),
            self.create_client(ArmReset, topics.ARM_RESET, callback_group=calls),
            self.create_client(SimReset, topics.SIM_RESET, callback_group=calls) if self._settings.sim else None,
            self._tick,
            lambda node: node not in self._watch.missing(),
            self._on_reset,
            lambda reason: self._apply(ev.ClearRefused(reason)),
            self.faults,
        )
        for kind, topic, callback, quality, group in (
            (Prompt, topics.PROMPT, self._on_prompt, topics.PROTOCOL, inputs),
            (StepResult, topics.STEP_RESULT, self._on_result, topics.PROTOCOL, inputs),
            (Judgement, topics.JUDGEMENT, self._on_judgement, topics.STREAM, inputs),
            (LearnerStatus, topics.LEARNER_STATUS, self._on_learner, topics.STREAM, inputs),
            (ArmState, topics.ARM_STATE, self._on_arm, topics.STREAM, inputs),
            (NodeStatus, topics.NODE_STATUS, self._on_heartbeat, topics.STREAM, heartbeats),
        ):
            self.create_subscription(kind, topic, callback, quality, callback_group=group)
        self._panel = Panel(
            self,
            self._run,
            list(self._settings.joy_buttons),
            self._settings.double_press_s,
            self._on_button,
            lambda: self._machine.state == EpisodeState.HELD,
            self.steady_s,
            MutuallyExclusiveCallbackGroup(),
        )

    # What comes in.

    def _on_button(self, button: Button, source: str, blocked: str) -> tuple[bool, str]:
        with self._lock:
            if button in (Button.START, Button.CLEAR):
                blocked = blocked or self._blocked()
            outcome = self._apply(Press(button, source, blocked, self._stop))
            self._show_buttons()
        return outcome.accepted, outcome.detail

    def _on_prompt(self, message: Prompt) -> None:
        self._apply(ev.PromptSeen(message.key.episode, message.key.step))

    def _on_result(self, message: StepResult) -> None:
        stamp_ns = convert.stamp_ns(message.observation.header.stamp)
        ended = ev.Ended(message.ended)
        self._apply(ev.Result(message.key.episode, message.key.step, ended, stamp_ns, message.reason))
        self._tick()

    def _on_judgement(self, message: Judgement) -> None:
        with self._lock:
            self._judgement = message
            self._settle_pending()

    def _on_learner(self, message: LearnerStatus) -> None:
        with self._lock:
            self._learner, self._learner_s = message, self.steady_s()

    def _on_arm(self, message: ArmState) -> None:
        with self._lock:
            self._arm_heard_s = self.steady_s()
            if message.stop and message.stop != self._stop:
                self._stopped_s = self._arm_heard_s
            self._stop = message.stop
            if message.stop:
                self._apply(ev.ArmStopped(message.stop))

    def _on_heartbeat(self, message: NodeStatus) -> None:
        with self._lock:
            why = self._watch.heartbeat(
                message.node, message.incarnation, message.ready, self.steady_s(), message.faults
            )
            if why is not None:
                self._lose(message.node, why)

    def _lose(self, node: str, why: str) -> None:
        self.get_logger().warning(f"{node} {why}")
        if node in PAUSING:
            return
        if node in (ARM_NODE, WORLD_NODE):
            self._calls.resend()
        self._apply(ev.NodeLost(node, why))

    def _abort_for_unready(self) -> None:
        """A camera that has lost its device beats on, and so does an arm that cannot move: no episode goes on then."""
        for node, why in self._watch.unready():
            if self._machine.state == EpisodeState.RUNNING and node not in PAUSING:
                self._apply(ev.NodeLost(node, why))

    def _on_reset(self, attempt: int, failure: str) -> None:
        self._apply(ev.ResetFailed(attempt, failure) if failure else ev.ResetDone(attempt))

    # What follows from time and from what is there.

    def _tick(self) -> None:
        with self._lock:
            now_s = self.steady_s()
            for node, why in self._watch.silent(now_s):
                self._lose(node, why)
            self._abort_for_unready()
            self._calls.advance()
            self._settle_pending()
            machine, shown_s = self._machine, now_s - self._changed_s
            state = machine.state
            blocked = self._blocked() if state == EpisodeState.READY else ""
            self._note_blocked(blocked)
            if state in ENDS.values():
                straggler = machine.awaits_result and shown_s < STRAGGLER_S
                if shown_s >= self._settings.end_shown_s and not straggler:
                    self._apply(ev.Proceed())
            elif state == EpisodeState.RUNNING and machine.awaits_result and shown_s > self._settings.answer_timeout_s:
                why = f"gave no result of step {machine.prompted} in {self._settings.answer_timeout_s:g} s"
                self._apply(ev.NodeLost("vla_executor", why))
            elif self._settings.auto and (state == EpisodeState.IDLE or (state == EpisodeState.READY and not blocked)):
                self._apply(Press(Button.START, "auto"))
            elif state == EpisodeState.HELD and machine.clears_itself and self._may_clear(now_s):
                self._apply(Press(Button.CLEAR, "auto"))
            self._show_buttons()

    def _may_clear(self, now_s: float) -> bool:
        """Once all nodes are there for a while: those that do not hear us yet would miss how the episode ended.

        The arm must have told of itself as well: it may have been stopped while no operator was there to hear it.
        """
        if self._watch.missing() or self._clear_blocked():
            self._complete_s = now_s
        return 0 < self._settings.auto_clear_s <= now_s - self._complete_s

    def _settle_pending(self) -> None:
        """Give the waiting result what decides it: a judgement no older than it, or the end of the press window."""
        pending = self._machine.pending
        if pending is None:
            return
        waited_s = self.steady_s() - self._changed_s
        if not self._settings.auto:
            if waited_s >= self._settings.press_window_s:
                self._apply(ev.WindowClosed(pending.episode, pending.step))
            return
        judgement = self._judgement
        if (
            judgement is not None
            and judgement.seed == self._machine.seed
            and convert.stamp_ns(judgement.header.stamp) >= pending.stamp_ns
        ):
            reached = tuple(bool(flag) for flag in judgement.reached)
            self._apply(ev.Judged(pending.episode, pending.step, bool(judgement.success), reached))
        elif waited_s > self._settings.answer_timeout_s:
            why = f"gave no judgement on step {pending.step} in {self._settings.answer_timeout_s:g} s"
            self._apply(ev.NodeLost(self._settings.judge, why))

    def _show_buttons(self) -> None:
        may_be_blocked = self._machine.state in (EpisodeState.READY, EpisodeState.HELD)
        self._panel.show(refusals(self._machine, self._blocked() if may_be_blocked else ""))

    def _blocked(self) -> str:
        """Why no episode can start now, or while held the arm cannot be cleared; empty if it can."""
        if self._machine.state == EpisodeState.HELD:
            return self._clear_blocked()
        if missing := self._watch.missing_words():
            return f"waiting for {missing}"
        if complaints := self._watch.complaints():
            return complaints[0]
        if not self._settings.wait_for_learner:
            return ""
        status = self._learner
        if status is None:
            return "waiting for the learner's status"
        if status.error:
            return f"the learner has stopped: {status.error}"
        # A status from before the end of the last episode does not yet count the updates that it owes.
        fresh = self._learner_s > self._ended_s or self.steady_s() - self._ended_s > STALE_STATUS_S
        if not fresh:
            return "waiting for news of the learner"
        return "" if status.ready else f"waiting for the learner, which owes {status.updates_owed} updates"

    def _clear_blocked(self) -> str:
        """A clear names the stop that the person has seen: there is none to name before the arm has told of it."""
        if self.steady_s() - self._stopped_s < CONTROL_PERIOD_S:
            return "stopped just now: clear again when it is safe"
        if self._calls.stopping:
            return "the arm has not answered the stop yet"
        if self._arm_heard_s == -math.inf:
            return "the arm has told nothing yet: see that its driver runs"
        if self._arm_heard_s < self._calls.stop_answered_s:
            return "the arm has told nothing since it was stopped: see that its driver runs"
        return ""

    def _note_blocked(self, why: str) -> None:
        if why:
            self.faults["blocked"] = why
        else:
            self.faults.pop("blocked", None)

    # Acting.

    def _apply(self, event: ev.Event) -> Outcome:
        """Take an event: into the machine, onto the disk, then out as its effects."""
        with self._lock:
            if self.failure:
                return Outcome(False, self.failure, record=False)
            outcome = self._machine.handle(event)
            if not outcome.record:
                return outcome
            try:
                self._journal.record(event, outcome)
            except StoreError as error:
                self._fail(str(error), stop=any(isinstance(effect, ev.StopArm) for effect in outcome.effects))
                return Outcome(False, self.failure, record=False)
            self._note_change()
            source = event.source if isinstance(event, Press) else "auto"
            machine, name = self._machine, ev.event_name(event)
            answer = (outcome.accepted, outcome.detail)
            self._outputs.event(name, machine.episode, machine.step, source, *answer, self._stamp())
            for effect in outcome.effects:
                self._carry_out(effect)
            return outcome

    def _note_change(self) -> None:
        """Waiting begins anew where the machine waits for something new, not with whatever was pressed meanwhile."""
        machine = self._machine
        waits_for = machine.state, machine.episode, machine.prompted, machine.pending
        if waits_for != self._waits_for:
            self._waits_for, self._changed_s = waits_for, self.steady_s()

    def _fail(self, why: str, stop: bool) -> None:
        """What cannot be journaled does not happen, but for a stop: hold the arm and end the process."""
        self.failure = why
        self.get_logger().fatal(why)
        self._calls.stop() if stop else self._calls.pause()
        threading.Timer(0.3, rclpy.try_shutdown).start()

    def _carry_out(self, effect: ev.Effect) -> None:
        match effect:
            case ev.ShowEpisode():
                if effect.state in ENDS.values():
                    self._ended_s = self.steady_s()
                self._outputs.episode(effect, self._stamp())
            case ev.GiveVerdict():
                self._outputs.verdict(effect, self._stamp())
                detail = f"{effect.verdict.name.lower()} {effect.reason}".strip()
                self._outputs.event("verdict", effect.episode, effect.step, effect.source, True, detail, self._stamp())
            case ev.StopArm():
                self._stopped_s = self.steady_s()
                self._calls.stop()
            case ev.PauseArm():
                self._calls.pause()
            case ev.ClearArm():
                self._calls.resume(effect.stop)
            case ev.ResumeArm():
                self._calls.resume()
            case ev.BeginReset():
                self._judgement = None
                request = SimReset.Request(task=self._settings.task, seed=effect.seed, wide=self._settings.wide)
                again = self._machine.resets_failed > 0
                self._calls.reset(effect.attempt, request if self._settings.sim else None, again)

    def _stamp(self) -> Time | None:
        """Time of the newest judgement on this episode, so that all that came of its reset is as new; else None."""
        judgement = self._judgement
        if judgement is not None and judgement.seed == self._machine.seed:
            return judgement.header.stamp
        return None

    def close(self) -> None:
        self._journal.close()


def main() -> None:
    run_node(Operator, threads=1)


if __name__ == "__main__":
    main()
