"""What is known of the graph: messages in, one view of everything out.

Messages are those of sarl_interfaces, or anything else with their fields. Times are seconds on a steady clock, except
the time of day of an event, which is for reading.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sarl_ros.analysis.curve import running_mean
from sarl_ros.console import view as seen
from sarl_ros.console import words
from sarl_ros.console.node_list import NodeList
from sarl_ros.console.presses import BUTTONS, HOLD
from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import EpisodeState
from sarl_ros.operating.graph_view import ENDS, GraphModel, GraphView

EVENTS_KEPT = 200
EVENTS_SHOWN = 40
MOVING_S = 0.6
WANTED = {
    EpisodeState.IDLE: ("start",),
    EpisodeState.RESETTING: ("reset_done",),
    EpisodeState.READY: ("start",),
    EpisodeState.RUNNING: ("success", "failure"),
    EpisodeState.HELD: ("clear",),
}


@dataclass(slots=True)
class _Running:
    """Since when the episode runs, or how long it ran."""

    episode: tuple[str, int]
    since_s: float
    is_least: bool
    ran_s: float | None = None


@dataclass(slots=True)
class _Known:
    graph: GraphModel = field(default_factory=GraphModel)
    learner: Any = None
    arm: Any = None
    result_key: tuple[str, int, int] = ("", 0, -1)
    running: _Running | None = None
    control_steps: int = 0
    last_seq: int = -1
    answered_s: float = -math.inf


def _key(message: Any) -> tuple[str, int, int]:
    return message.key.run, message.key.episode, message.key.step


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


class GraphState:
    """Put messages in from any thread; `view` may be called as often as anybody looks.

    Args:
        opened_s: when the console started, on the same clock as all `now_s`.
    """

    def __init__(self, opened_s: float) -> None:
        self._programs = NodeList(opened_s)
        self._known = _Known()
        self._events: deque[seen.EventView] = deque(maxlen=EVENTS_KEPT)
        self._event_keys: deque[tuple[Any, ...]] = deque(maxlen=EVENTS_KEPT)
        self._count = 0
        self._lock = threading.Lock()

    # What comes in.

    def on_episode(self, message: Any, now_s: float) -> None:
        with self._lock:
            known, state = self._known, EpisodeState(message.state)
            heard = bool(known.graph.view.run)
            if heard and known.graph.view.run != message.run:
                self._known = known = _Known(arm=known.arm)
            name = (message.run, message.episode)
            if state == EpisodeState.RUNNING:
                if known.running is None or known.running.episode != name:
                    known.running = _Running(name, now_s, is_least=not heard)
            elif known.running is not None and known.running.ran_s is None:
                known.running.ran_s = now_s - known.running.since_s
            if state in (EpisodeState.READY, EpisodeState.RESETTING):
                known.running = None
            known.graph.on_episode(message, now_s)

    def on_buttons(self, message: Any) -> None:
        with self._lock:
            self._known.graph.on_buttons(message)

    def on_prompt(self, message: Any, time_of_day_s: float) -> None:
        """A decision; told again after a restart, it is the same one."""
        with self._lock:
            before = self._known.graph.prompt
            self._known.graph.on_prompt(message)
            newest = self._known.graph.prompt is message
            if newest and (before is None or _key(message) != _key(before)):
                self._known.control_steps = 0
                chooser = "You say" if message.demonstration else "Prompt"
                self._tell(message.key, f"{chooser}: {message.prompt}", "prompt", time_of_day_s)

    def on_proposal(self, message: Any) -> None:
        with self._lock:
            self._known.graph.on_proposal(message)

    def on_result(self, message: Any) -> None:
        with self._lock:
            self._known.result_key = _key(message)

    def on_learner(self, message: Any) -> None:
        with self._lock:
            self._known.learner = message
            self._known.graph.on_learner(message)

    def on_arm(self, message: Any, now_s: float) -> None:
        with self._lock:
            if message.seq and message.seq != self._known.last_seq and message.accepted:
                self._known.last_seq, self._known.answered_s = message.seq, now_s
                self._known.control_steps += 1
            self._known.arm = message

    def on_node(self, message: Any, now_s: float) -> None:
        with self._lock:
            self._programs.heartbeat(message, now_s)

    def on_diagnostics(self, message: Any, now_s: float) -> None:
        with self._lock:
            self._programs.diagnostics(message, now_s)

    def on_event(self, message: Any, time_of_day_s: float) -> None:
        """A line of the operator's journal; told again after a restart, it is not shown again."""
        key = (*_key(message), message.event, message.source, message.detail, str(message.header.stamp))
        with self._lock:
            if key in self._event_keys:
                return
            self._event_keys.append(key)
            text = words.event_words(message.event, message.source, message.accepted, message.detail)
            level = "plain" if message.accepted else "refused"
            if message.event in ("hold", "arm_stopped", "node_lost") and message.accepted:
                level = "bad"
            elif message.event == "verdict" and message.detail.startswith("success"):
                level = "good"
            if text:
                self._tell(message.key, text, level, time_of_day_s)

    def _tell(self, key: Any, text: str, level: str, time_of_day_s: float) -> None:
        self._count += 1
        where = f"{key.episode}.{key.step}" if key.episode else ""
        clock = time.strftime("%H:%M:%S", time.localtime(time_of_day_s))
        self._events.append(seen.EventView(self._count, clock, where, text, level))

    # What is shown.

    @property
    def run(self) -> str:
        """Name of the run, empty before anything is known of it."""
        return self._graph.run

    def view(self, now_s: float) -> seen.View:
        with self._lock:
            steering, replay = self._steering(), self._programs.replay(now_s)
            return seen.View(
                silent=self._programs.silent(now_s),
                replay=replay,
                episode=self._episode(now_s, steering),
                prompt=self._prompt(),
                candidates=self._candidates(),
                candidates_of=self._candidates_of(),
                steering=steering,
                buttons=self._buttons(self._why_none(replay, now_s)),
                learner=self._learner(),
                arm_mode=self._arm(now_s)[0],
                arm_words=self._arm(now_s)[1],
                nodes=self._programs.rows(now_s),
                events=tuple(self._events)[: -EVENTS_SHOWN - 1 : -1],
            )

    @property
    def _graph(self) -> GraphView:
        return self._known.graph.view

    def _armed(self) -> frozenset[str]:
        return frozenset(str(name) for name, why in self._graph.why.items() if not why)

    def _episode(self, now_s: float, steering: seen.SteeringView) -> seen.EpisodeView:
        graph, running = self._graph, self._known.running
        state = graph.state
        if not graph.run:
            waiting = "Waiting for the operator node."
            return seen.EpisodeView(
                "", "", "", 0, "WAITING", "Waiting", "", waiting, "", 0, 0, None, False, 0, 0, (), ()
            )
        elapsed_s = None
        if running is not None and running.episode == (graph.run, graph.episode):
            elapsed_s = running.ran_s if running.ran_s is not None else now_s - running.since_s
        outcomes = tuple(outcome.name for outcome in graph.outcomes)
        return seen.EpisodeView(
            run=graph.run,
            task=graph.task,
            instruction=graph.instruction,
            number=graph.episode,
            state=state.name,
            title=words.TITLES[state],
            reason=graph.reason,
            hint="The operator node is silent. HOLD still stops the arm."
            if self._programs.operator_silent(now_s)
            else words.hint(
                state, self._armed(), graph.reason, steering.awaits, words.short_why(graph.why.get(Button.START, ""))
            ),
            outcome=state.name if state in ENDS else "",
            step=graph.step,
            max_steps=graph.max_steps,
            elapsed_s=elapsed_s,
            elapsed_is_least=bool(running and running.is_least),
            completed=graph.completed,
            episodes=graph.episodes,
            outcomes=outcomes,
            rolling=tuple(running_mean([float(outcome == "SUCCESS") for outcome in outcomes])),
        )

    def _prompt(self) -> seen.PromptView:
        message = self._known.graph.prompt_here
        if message is None:
            return seen.PromptView("", 0, 0, False, 0.0, "", False)
        running = self._graph.state == EpisodeState.RUNNING and self._known.result_key != _key(message)
        done = self._known.control_steps / message.control_steps if message.control_steps else 0.0
        return seen.PromptView(
            text=message.prompt,
            episode=message.key.episode,
            step=message.key.step,
            running=running,
            progress=min(1.0, done) if running else 1.0,
            agent=message.agent,
            by_person=message.demonstration,
        )

    def _candidates(self) -> tuple[seen.CandidateView, ...]:
        proposal = self._known.graph.awaited_proposal
        message = proposal if proposal is not None else self._known.graph.prompt
        if message is None or (proposal is None and not self._prompt().text):
            return ()
        chosen = -1 if proposal is not None else message.chosen
        rows = [
            seen.CandidateView(
                prompt=candidate.prompt,
                q_mean=_number(candidate.q_mean),
                q_std=_number(candidate.q_std),
                probability=_number(candidate.probability),
                prior=_number(candidate.prior) or None,
                chosen=index == chosen,
            )
            for index, candidate in enumerate(message.candidates)
        ]
        return tuple(sorted(rows, key=lambda row: (-(row.probability or 0.0), -(row.q_mean or -math.inf), row.prompt)))

    def _candidates_of(self) -> str:
        message = self._known.graph.awaited_proposal or self._known.graph.prompt
        if message is None:
            return ""
        return f"{message.key.episode}.{message.key.step}{'?' if message is not self._known.graph.prompt else ''}"

    def _steering(self) -> seen.SteeringView:
        learner, proposal = self._known.learner, self._known.graph.awaited_proposal
        on = bool(learner is not None and learner.steering)
        if proposal is not None:
            step = proposal.key.step + 1
            return seen.SteeringView(True, True, proposal.key.episode, step, f"Step {step} waits for your prompt.")
        said = "You choose the prompts." if on else "The agent chooses the prompts."
        return seen.SteeringView(on, False, 0, 0, said)

    def _why_none(self, replay: bool, now_s: float) -> str:
        """Why no button but HOLD is armed whatever the operator node said last; empty if that counts."""
        if replay:
            return "this is a replay"
        return "the operator node is silent" if self._programs.operator_silent(now_s) else ""

    def _buttons(self, none: str) -> tuple[seen.ButtonView, ...]:
        rows = []
        for name in BUTTONS:
            why = none or self._graph.why.get(Button(name), "waiting for the operator node")
            armed = name == HOLD or not why
            wanted = armed and name in WANTED.get(self._graph.state, ())
            rows.append(seen.ButtonView(name, armed, "" if armed else words.short_why(why), wanted))
        return tuple(rows)

    def _learner(self) -> seen.LearnerView:
        message = self._known.learner
        if message is None:
            return seen.LearnerView(False, "not heard yet", 0, 0, 0, None, None, 0, 0)
        said = "paying its updates" if message.updates_owed else "ready" if message.ready else "learns as it goes"
        if message.finished:
            said = "everything is saved"
        return seen.LearnerView(
            known=True,
            words=message.error or said,
            transitions=message.transitions,
            updates_done=message.updates_done,
            updates_owed=message.updates_owed,
            temperature=_number(message.temperature),
            recall=_number(message.recall),
            pool=message.pool_size,
            pool_capacity=message.pool_capacity,
        )

    def _arm(self, now_s: float) -> tuple[str, str]:
        """Mode and words. Between the periods of a motion the arm says that it is idle, which nobody wants to read."""
        arm = self._known.arm
        if arm is None:
            return "unknown", "not heard yet"
        name, said = words.ARM_MODES.get(arm.mode, ("unknown", f"mode {arm.mode}"))
        if name == "idle" and now_s - self._known.answered_s < MOVING_S:
            name = said = "moving"
        why = [fault.replace("_", " ").lower() for fault in arm.faults] or ([arm.refusal] if arm.refusal else [])
        return name, f"{said}: {', '.join(why)}" if why and name in ("hold", "fault") else said
