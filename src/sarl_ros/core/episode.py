"""The episode state machine: events in, effects out, no clock and no input or output of its own.

IDLE -> RESETTING -> READY -> RUNNING -> (SUCCESS | FAILURE | TIMEOUT | ABORTED) -> RESETTING ... -> FINISHED, and HELD
from any state, left only by clear. A stop of the arm, whoever made it, is a hold that only a person clears. Whoever
runs it journals each event before acting on its effects; the same events give the same machine, so a journal is all
that a restart needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sarl_ros.core import episode_events as ev
from sarl_ros.core.episode_buttons import amendment_refusal, refusal
from sarl_ros.core.episode_events import ENDS, OUTCOMES, Button, Effect, EpisodeConfig, Event, Outcome, Press
from sarl_ros.core.types import Ended, EpisodeState, Verdict
from sarl_ros.core.verdicts import Verdicts


def _ignored(detail: str) -> Outcome:
    return Outcome(False, detail, record=False)


@dataclass(slots=True)
class EpisodeMachine:
    """See the module. `handle` is the only way to change it; the attributes are for reading.

    Attributes:
        step: last step of the episode with a verdict other than ABORTED.
        open: the episode has run and has not ended, also while held.
        over: the episode has ended; the next one gets the next number.
        outcomes: SUCCESS, FAILURE or TIMEOUT of each completed episode, oldest first.
        prompted: newest step of the episode whose prompt was seen.
        pending: result that waits for a judgement, or for the press window to close.
        pressed: outcome noted for the step that runs.
        subgoal_late: a subgoal was pressed between steps; it amends the last one when the next begins or nothing more
            can be pressed, so that an outcome pressed meanwhile goes into the same amendment.
        verdicts: all that were given.
        held_by: person, arm, restart or limit.
        arm_stopped: the arm is stopped or paused, and waits for being cleared or resumed.
        cleared_stop: the stop that a person has cleared last, which the arm may still tell of for a moment.
    """

    config: EpisodeConfig
    state: EpisodeState = EpisodeState.IDLE
    episode: int = 0
    step: int = 0
    episodes: int = 0
    outcomes: list[EpisodeState] = field(default_factory=list)
    reason: str = ""
    open: bool = False
    over: bool = True
    prompted: int = 0
    pending: ev.Result | None = None
    pressed: Press | None = None
    subgoal_pressed: bool = False
    subgoal_late: Press | None = None
    reached: tuple[bool, ...] = ()
    verdicts: Verdicts = field(default_factory=Verdicts)
    held_by: str = ""
    arm_stopped: bool = False
    cleared_stop: str = ""
    attempt: int = 0
    services_done: bool = False
    person_done: bool = False
    resets_failed: int = 0
    aborts_in_a_row: int = 0
    opened: bool = False
    _effects: list[Effect] = field(default_factory=list)

    @classmethod
    def replay(cls, config: EpisodeConfig, events: Iterable[Event]) -> EpisodeMachine:
        """The machine after these events; their effects are taken as done."""
        machine = cls(config)
        for event in events:
            machine.handle(event)
        return machine

    @property
    def seed(self) -> int:
        return -1 if self.config.seed_base is None else self.config.seed_base + self.episode

    @property
    def completed(self) -> int:
        return len(self.outcomes)

    @property
    def complete(self) -> bool:
        """The run has all its episodes and none is open."""
        return self.over and 0 < self.episodes <= self.completed

    @property
    def awaits_result(self) -> bool:
        """The newest prompt seen has no result yet."""
        return self.prompted > self.step and self.pending is None and not self.answered(self.episode, self.prompted)

    @property
    def step_open(self) -> bool:
        """A step runs or waits for its verdict; otherwise a press belongs to the last finished one."""
        return self.pending is not None or self.prompted > self.step

    def answered(self, episode: int, step: int) -> bool:
        return self.verdicts.of(episode, step) is not None

    def show(self) -> ev.ShowEpisode:
        """What the latched state says now."""
        return ev.ShowEpisode(
            self.episode, self.state, self.seed, self.step, tuple(self.outcomes), self.episodes, self.reason
        )

    def handle(self, event: Event) -> Outcome:
        """Take an event; the effects are to be carried out in their order."""
        match event:
            case ev.Press():
                outcome = self._press(event)
            case ev.Result():
                outcome = self._result(event)
            case ev.Judged():
                outcome = self._judged(event)
            case ev.WindowClosed():
                outcome = self._window_closed(event)
            case ev.PromptSeen():
                outcome = self._prompt_seen(event)
            case ev.ResetDone():
                outcome = self._reset_done(event)
            case ev.ResetFailed():
                outcome = self._reset_failed(event)
            case ev.ClearRefused():
                outcome = self._clear_refused(event)
            case ev.ArmStopped():
                outcome = self._arm_told_stop(event)
            case ev.NodeLost():
                outcome = self._node_lost(event)
            case ev.Proceed():
                outcome = self._proceed()
            case ev.Opened():
                outcome = self._open(event)
        effects, self._effects = tuple(self._effects), []
        return Outcome(outcome.accepted, outcome.detail, effects, outcome.record)

    # Steps.

    def _prompt_seen(self, event: ev.PromptSeen) -> Outcome:
        runs = self.state == EpisodeState.RUNNING and event.episode == self.episode
        if not runs or event.step != self.step + 1 or event.step <= self.prompted:
            return _ignored(f"the prompt of step {event.step} was seen before or is not of this episode")
        self._settle_late_subgoal()
        self.prompted = event.step
        return Outcome(True, f"step {event.step} runs")

    def _result(self, event: ev.Result) -> Outcome:
        waiting = self.pending
        if event.step == 0:
            return _ignored("the observation that opens the episode")
        if self.answered(event.episode, event.step) or (
            waiting is not None and (waiting.episode, waiting.step) == (event.episode, event.step)
        ):
            return _ignored(f"step {event.step} has its verdict or waits for it")
        if self.state != EpisodeState.RUNNING or event.episode != self.episode:
            self._verdict(event.episode, event.step, Verdict.ABORTED, False, "auto", "the episode does not run")
            return Outcome(True, f"step {event.step} dropped: the episode does not run")
        if event.step != self.step + 1:
            why = f"a result of step {event.step} came while step {self.step + 1} was due"
            self._verdict(event.episode, event.step, Verdict.ABORTED, False, "auto", why)
            return self._abort(why)
        press = self.pressed
        if event.ended == Ended.REFUSED and press is not None and self.step >= 1:
            self._verdict(event.episode, event.step, Verdict.ABORTED, False, "auto", "refused unexecuted")
            outcome = self._amend(press)
            return outcome if outcome.accepted else self._abort(outcome.detail)
        self._settle_late_subgoal()
        if press is not None and event.ended != Ended.REFUSED:
            return self._conclude(event.step, OUTCOMES[press.button], press.source, f"{press.button} pressed")
        if event.ended != Ended.COMPLETED:
            why = f"step {event.step} ended in {event.ended.name}" + (f": {event.reason}" if event.reason else "")
            self._verdict(event.episode, event.step, Verdict.ABORTED, False, "auto", why)
            return self._abort(why)
        self.pending = event
        return Outcome(True, f"step {event.step} waits for {'its judgement' if self.config.auto else 'a press'}")

    def _judged(self, event: ev.Judged) -> Outcome:
        if not self.config.auto or not self._is_pending(event.episode, event.step):
            return _ignored("no step waits for this judgement")
        before = self.reached + (False,) * len(event.reached)
        subgoal = any(now and not then for now, then in zip(event.reached, before, strict=False))
        self.reached = event.reached
        self.subgoal_pressed = subgoal
        verdict = Verdict.SUCCESS if event.success else Verdict.CONTINUE
        return self._conclude(event.step, verdict, "auto", "judged by the world" if event.success else "")

    def _window_closed(self, event: ev.WindowClosed) -> Outcome:
        if self.config.auto or not self._is_pending(event.episode, event.step):
            return _ignored("no step waits for a press")
        return self._conclude(event.step, Verdict.CONTINUE, "auto", "")

    def _is_pending(self, episode: int, step: int) -> bool:
        return self.pending is not None and (self.pending.episode, self.pending.step) == (episode, step)

    def _conclude(self, step: int, verdict: Verdict, source: str, reason: str) -> Outcome:
        """Give a finished step its verdict, which may end the episode."""
        if verdict == Verdict.CONTINUE and step >= self.config.max_steps:
            verdict, reason = Verdict.TIMEOUT, f"no success in {self.config.max_steps} steps"
        self.pending, self.step = None, step
        self._verdict(self.episode, step, verdict, self.subgoal_pressed, source, reason)
        self.subgoal_pressed = False
        detail = f"step {step}: {verdict.name.lower()}"
        if verdict == Verdict.CONTINUE:
            self.reason = detail
            self._effects.append(self.show())
        else:
            self._end(ENDS[verdict], reason)
        return Outcome(True, detail)

    def _verdict(
        self, episode: int, step: int, verdict: Verdict, subgoal: bool, source: str, reason: str, amends: bool = False
    ) -> None:
        given = ev.GiveVerdict(episode, step, verdict, subgoal, amends, source, reason)
        self.verdicts.add(given)
        self._effects.append(given)

    def _settle_late_subgoal(self) -> None:
        press, self.subgoal_late = self.subgoal_late, None
        old = self.verdicts.of(self.episode, self.step)
        if press is not None and old is not None:
            self._verdict(self.episode, self.step, old.verdict, True, press.source, "subgoal pressed", amends=True)

    def _drop_pending(self, why: str) -> None:
        self._settle_late_subgoal()
        if self.pending is not None:
            self._verdict(self.episode, self.pending.step, Verdict.ABORTED, False, "auto", why)
        self.pending, self.pressed, self.subgoal_pressed = None, None, False

    # Ends and resets.

    def _end(self, state: EpisodeState, reason: str) -> None:
        self.state, self.reason, self.open, self.over = state, reason, False, True
        self.pressed, self.subgoal_pressed = None, False
        if state != EpisodeState.ABORTED:
            self.outcomes.append(state)
            self.aborts_in_a_row = 0
        self._resume_arm()
        self._effects.append(self.show())

    def _abort(self, why: str, counts: bool = True) -> Outcome:
        self._drop_pending(why)
        self.aborts_in_a_row += counts
        self._end(EpisodeState.ABORTED, why)
        return Outcome(True, f"episode {self.episode} aborted: {why}")

    def _proceed(self) -> Outcome:
        if self.state not in ENDS.values():
            return _ignored("no episode has just ended")
        if self.state == EpisodeState.ABORTED and self.aborts_in_a_row >= self.config.max_aborts_in_a_row:
            why = f"{self.aborts_in_a_row} episodes in a row were aborted, the last because {self.reason}"
            self._hold("limit", f"{why}: mend that, then clear", ev.StopArm())
            return Outcome(True, self.reason)
        return self._go_on()

    def _go_on(self) -> Outcome:
        """From an end, a clear or a start to what comes next."""
        if self.complete:
            self.state, self.reason = EpisodeState.FINISHED, f"{self.completed} episodes completed"
            self._effects.append(self.show())
            return Outcome(True, self.reason)
        if self.over:
            self.episode += 1
            self.over, self.step, self.prompted, self.reached, self.person_done = False, 0, 0, (), False
        self._begin_reset("reset for the next episode")
        return Outcome(True, f"resetting for episode {self.episode}")

    def _begin_reset(self, why: str) -> None:
        self.state, self.reason = EpisodeState.RESETTING, why
        self.attempt += 1
        self.services_done = False
        self._effects += [self.show(), ev.BeginReset(self.attempt, self.episode, self.seed)]

    def _reset_done(self, event: ev.ResetDone) -> Outcome:
        if self.state != EpisodeState.RESETTING or event.attempt != self.attempt:
            return _ignored("that reset is not wanted any more")
        self.services_done, self.resets_failed = True, 0
        return self._reset_progress("waiting for reset_done: put the objects back and press it")

    def _reset_progress(self, missing: str) -> Outcome:
        ready = self.services_done and (self.config.auto or self.person_done)
        if ready:
            self.state = EpisodeState.READY
        self.reason = f"episode {self.episode} can start" if ready else missing
        self._effects.append(self.show())
        return Outcome(True, self.reason)

    def _reset_failed(self, event: ev.ResetFailed) -> Outcome:
        if self.state != EpisodeState.RESETTING or event.attempt != self.attempt:
            return _ignored("that reset is not wanted any more")
        self.resets_failed += 1
        if self.resets_failed >= self.config.max_resets_in_a_row:
            why = f"{self.resets_failed} resets in a row failed, the last because {event.reason}"
            self._hold("limit", why, ev.StopArm())
        else:
            self._begin_reset(f"the reset failed, trying again: {event.reason}")
        return Outcome(True, self.reason)

    def _node_lost(self, event: ev.NodeLost) -> Outcome:
        why = f"{event.node} {event.reason}"
        if self.state == EpisodeState.RUNNING:
            return self._abort(why)
        if self.state in (EpisodeState.RESETTING, EpisodeState.READY) and event.node in self.config.reset_nodes:
            self._begin_reset(f"{why}: reset again")
            return Outcome(True, self.reason)
        return Outcome(True, f"{why}; nothing had to stop")

    # The arm, and restarts.

    def _hold(self, by: str, why: str, stop: ev.StopArm | ev.PauseArm) -> None:
        """Hold everything; `stop` where only a person may end that."""
        self._drop_pending(why)
        self.person_done = False  # whoever made it safe may have moved the objects
        self.state, self.held_by, self.reason, self.arm_stopped = EpisodeState.HELD, by, why, True
        self._effects += [stop, self.show()]

    def _clear_refused(self, event: ev.ClearRefused) -> Outcome:
        why = f"the arm does not go on ({event.reason}): clear again when that is mended"
        self._hold("arm", why, ev.StopArm())
        return Outcome(True, self.reason)

    def _arm_told_stop(self, event: ev.ArmStopped) -> Outcome:
        held_for_a_person = self.state == EpisodeState.HELD and not self.clears_itself
        if held_for_a_person or event.stop == self.cleared_stop:
            return _ignored("a person clears it, or has cleared it")
        self._hold("person", "the arm was stopped: clear when it is safe", ev.PauseArm())
        return Outcome(True, self.reason)

    @property
    def clears_itself(self) -> bool:
        """Held by nothing but a restart, where nobody need be there to clear."""
        return self.held_by == "restart" and self.config.auto

    def _resume_arm(self) -> None:
        """End a pause of our own."""
        if self.arm_stopped:
            self.arm_stopped = False
            self._effects.append(ev.ResumeArm())

    def _open(self, event: ev.Opened) -> Outcome:
        first, self.opened, self.episodes, self.cleared_stop = not self.opened, True, event.episodes, ""
        if self.complete and self.state != EpisodeState.HELD:
            self._resume_arm()
            self.state, self.reason = EpisodeState.FINISHED, f"{self.completed} episodes completed"
        elif self.episode and not (self.state == EpisodeState.HELD and self.held_by != "restart"):
            stop = ev.PauseArm() if self.config.auto else ev.StopArm()
            self._hold("restart", "the operator restarted: clear to go on", stop)
            return Outcome(True, self.reason)
        elif self.state == EpisodeState.HELD:
            self._effects.append(ev.StopArm())
        self._effects.append(self.show())
        return Outcome(True, "a new run" if first else "reopened")

    # Buttons.

    def _press(self, press: Press) -> Outcome:
        if why := refusal(self, press.button, press.blocked):
            return Outcome(False, why)
        match press.button:
            case Button.HOLD:
                self._hold("person", "held by a person: clear when it is safe", ev.StopArm())
                return Outcome(True, "the arm holds")
            case Button.CLEAR:
                return self._clear(press)
            case Button.START:
                return self._start(press)
            case Button.ABORT:
                return self._abort(f"aborted by {press.source}", counts=False)
            case Button.RESET_DONE:
                self.person_done = True
                return self._reset_progress("reset_done is noted; the arm still resets")
            case _:
                return self._outcome_pressed(press)

    def _clear(self, press: Press) -> Outcome:
        why, _, _ = self.reason.partition(": clear")
        if press.source == "auto":
            self._resume_arm()
        else:
            self.arm_stopped, self.cleared_stop = False, press.stop
            self._effects.append(ev.ClearArm(press.stop))
        self.held_by, self.aborts_in_a_row, self.resets_failed = "", 0, 0
        if self.open:
            return self._abort(why, counts=False)
        if self.episode == 0:
            self.state, self.reason = EpisodeState.IDLE, "cleared"
            self._effects.append(self.show())
            return Outcome(True, "cleared")
        return self._go_on()

    def _start(self, press: Press) -> Outcome:
        if self.state == EpisodeState.IDLE:
            return self._go_on()
        self.state, self.open, self.reason = EpisodeState.RUNNING, True, f"started by {press.source}"
        self._effects.append(self.show())
        return Outcome(True, f"episode {self.episode} runs")

    def _outcome_pressed(self, press: Press) -> Outcome:
        """Success, failure and subgoal: on the pending step, the running one, or by amendment the last finished one."""
        button = press.button
        if self.state != EpisodeState.RUNNING or not self.step_open:
            return self._amend(press)
        if button == Button.SUBGOAL:
            self.subgoal_pressed = True
            return Outcome(True, f"subgoal noted for step {self.step + 1}")
        if self.pending is not None:
            return self._conclude(self.pending.step, OUTCOMES[button], press.source, f"{button} pressed")
        if self.pressed is not None:
            return Outcome(True, f"{button} is noted for step {self.step + 1} already")
        self.pressed, self.arm_stopped = press, True
        self._effects.append(ev.PauseArm())
        return Outcome(True, f"{button} noted for step {self.step + 1}, which is cut short")

    def _amend(self, press: Press) -> Outcome:
        """Replace the last step's verdict, once; what the press says already changes nothing."""
        old, why = self.verdicts.of(self.episode, self.step), amendment_refusal(self, press.button)
        if why or old is None:
            return Outcome(False, why)
        verdict = OUTCOMES.get(press.button, old.verdict)
        subgoal = old.subgoal or self.subgoal_late is not None or press.button == Button.SUBGOAL
        if press.button == Button.SUBGOAL and subgoal != old.subgoal and self.state == EpisodeState.RUNNING:
            self.subgoal_late = press
            return Outcome(True, f"subgoal noted for step {self.step}")
        self.subgoal_late = None
        if (verdict, subgoal) == (old.verdict, old.subgoal):
            return Outcome(True, f"step {self.step} has that already")
        self._verdict(self.episode, self.step, verdict, subgoal, press.source, f"{press.button} pressed", amends=True)
        if verdict != Verdict.CONTINUE and verdict != old.verdict:
            reason = f"{press.button} pressed"
            if self.state == EpisodeState.RUNNING:
                self._end(ENDS[verdict], reason)
            else:
                self.state, self.reason, self.outcomes[-1] = ENDS[verdict], reason, ENDS[verdict]
                self._effects.append(self.show())
        return Outcome(True, f"step {self.step} amended: {verdict.name.lower()}{', subgoal' if subgoal else ''}")
