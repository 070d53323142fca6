"""Which buttons the episode machine would accept now, and why not the others.

One pure function decides it, for a press as for what is shown beforehand, so that the two can never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sarl_ros.core.episode_events import ENDS, OUTCOMES, Button, EpisodeConfig, Press, Result
from sarl_ros.core.types import EpisodeState
from sarl_ros.core.verdicts import Verdicts


class Machine(Protocol):
    """What decides about buttons: attributes of `core.episode.EpisodeMachine`, which see."""

    config: EpisodeConfig
    state: EpisodeState
    episode: int
    step: int
    pending: Result | None
    pressed: Press | None
    verdicts: Verdicts
    person_done: bool

    @property
    def step_open(self) -> bool: ...


def refusals(machine: Machine, blocked: str = "") -> Mapping[Button, str]:
    """Why each button would be refused now; empty for those that are armed."""
    return {button: refusal(machine, button, blocked) for button in Button}


def refusal(machine: Machine, button: Button, blocked: str = "") -> str:
    """Why a press of `button` would be refused now, with what to do; empty if it would be accepted.

    Args:
        blocked: why no episode can start now, or the arm cannot be cleared now; empty if it can.
    """
    state = machine.state
    refused = f"{button} is not possible in {state.name}"
    match button:
        case Button.HOLD:
            return ""
        case Button.CLEAR:
            if state != EpisodeState.HELD:
                return f"{refused}: nothing is held"
            return f"clear is not possible: {blocked}" if blocked else ""
        case _ if state == EpisodeState.HELD:
            return f"{refused}: clear first"
        case Button.START:
            return _start(machine, refused, blocked)
        case Button.ABORT:
            return "" if state == EpisodeState.RUNNING else f"{refused}: no episode runs"
        case _ if machine.config.auto:
            return f"{refused}: in auto mode the world judges and resets"
        case Button.RESET_DONE:
            return _reset_done(machine, refused)
        case _:
            return _outcome(machine, button, refused)


def amendment_refusal(machine: Machine, button: Button) -> str:
    """Why success, failure or subgoal cannot amend the last finished step; empty if it can."""
    key = (machine.episode, machine.step)
    given = machine.verdicts.of(*key)
    if given is None:
        return f"{button} is not possible: no step has run; abort ends the episode"
    changes = OUTCOMES.get(button, given.verdict) != given.verdict or (button == Button.SUBGOAL and not given.subgoal)
    if changes and machine.verdicts.amended(*key):
        return f"step {machine.step} was amended already: press after the next step, or abort"
    return ""


def _start(machine: Machine, refused: str, blocked: str) -> str:
    match machine.state:
        case EpisodeState.IDLE:
            return ""
        case EpisodeState.READY:
            return f"start is not possible: {blocked}" if blocked else ""
        case EpisodeState.RUNNING:
            return f"{refused}: the episode runs already"
        case EpisodeState.FINISHED:
            return f"{refused}: the run has all its episodes; begin another run"
        case _:
            return f"{refused}: wait for READY"


def _reset_done(machine: Machine, refused: str) -> str:
    if machine.state != EpisodeState.RESETTING:
        return f"{refused}: no reset is going on"
    return "reset_done is noted already: the arm still resets" if machine.person_done else ""


def _outcome(machine: Machine, button: Button, refused: str) -> str:
    state = machine.state
    if state != EpisodeState.RUNNING:
        ended_here = state in ENDS.values() and state != EpisodeState.ABORTED
        return amendment_refusal(machine, button) if ended_here else f"{refused}: no episode runs"
    if not machine.step_open:
        return amendment_refusal(machine, button)
    if button == Button.SUBGOAL or machine.pending is not None or machine.pressed is None:
        return ""
    noted = machine.pressed.button
    return "" if noted == button else f"{noted} is noted for step {machine.step + 1} already"
