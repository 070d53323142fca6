"""The episode machine's settings, what happens to it (events), what it asks for (effects), and the journal's form.

Events carry everything that their outcome depends on, so that replaying a journal gives the same machine again.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from sarl_ros.core.types import Ended, EpisodeState, Verdict


class Button(enum.StrEnum):
    """What a person can press; each is a service of the operator node."""

    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"
    SUBGOAL = "subgoal"
    RESET_DONE = "reset_done"
    ABORT = "abort"
    HOLD = "hold"
    CLEAR = "clear"


ENDS = {
    Verdict.SUCCESS: EpisodeState.SUCCESS,
    Verdict.FAILURE: EpisodeState.FAILURE,
    Verdict.TIMEOUT: EpisodeState.TIMEOUT,
    Verdict.ABORTED: EpisodeState.ABORTED,
}
OUTCOMES = {Button.SUCCESS: Verdict.SUCCESS, Button.FAILURE: Verdict.FAILURE}


@dataclass(frozen=True, slots=True)
class EpisodeConfig:
    """Settings of a run.

    Attributes:
        max_steps: steps after which an episode times out.
        seed_base: seed of episode n is seed_base + n; None where a person resets.
        auto: the world judges and resets, nobody presses start.
        max_aborts_in_a_row: by lost nodes and faults, then the run is held.
        max_resets_in_a_row: that fail, then the run is held.
        reset_nodes: nodes that lose the reset when they restart.
    """

    max_steps: int
    seed_base: int | None = 0
    auto: bool = True
    max_aborts_in_a_row: int = 5
    max_resets_in_a_row: int = 5
    reset_nodes: frozenset[str] = frozenset({"sim_world", "arm_bridge", "widowx_bridge"})  # so called in old journals


@dataclass(frozen=True, slots=True)
class Opened:
    """The process started, for the first time or again. `episodes` may have grown since."""

    episodes: int


@dataclass(frozen=True, slots=True)
class Press:
    """A button.

    Attributes:
        blocked: why no episode can start now, or the arm cannot be cleared now; empty if it can.
        stop: identity of the stop that the arm told of when the button was pressed; empty for none.
    """

    button: Button
    source: str = "service"
    blocked: str = ""
    stop: str = ""


@dataclass(frozen=True, slots=True)
class PromptSeen:
    """The learner published the prompt of a step."""

    episode: int
    step: int


@dataclass(frozen=True, slots=True)
class Result:
    """The executor's result of a step; `stamp_ns` is that of its observation."""

    episode: int
    step: int
    ended: Ended
    stamp_ns: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """The world's judgement on the pending step, stamped at or after its result."""

    episode: int
    step: int
    success: bool
    reached: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """No press came within the press window after the pending step's result."""

    episode: int
    step: int


@dataclass(frozen=True, slots=True)
class ResetDone:
    """The services have reset arm and world."""

    attempt: int


@dataclass(frozen=True, slots=True)
class ResetFailed:
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClearRefused:
    """The arm did not leave its hold; it is not asked again before a person has looked."""

    reason: str


@dataclass(frozen=True, slots=True)
class ArmStopped:
    """The arm tells of a stop that holds it, whoever made it."""

    stop: str


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node whose state the episode depends on restarted, fell silent or stopped answering."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proceed:
    """The end state has been shown long enough."""


Event = (
    Opened
    | Press
    | PromptSeen
    | Result
    | Judged
    | WindowClosed
    | ResetDone
    | ResetFailed
    | ClearRefused
    | ArmStopped
    | NodeLost
    | Proceed
)


@dataclass(frozen=True, slots=True)
class ShowEpisode:
    """Publish the state of the machine, as `sarl_interfaces/Episode` describes it."""

    episode: int
    state: EpisodeState
    seed: int
    step: int
    outcomes: tuple[EpisodeState, ...]
    episodes: int
    reason: str


@dataclass(frozen=True, slots=True)
class GiveVerdict:
    """Publish the one verdict on a step, or the one amendment of it."""

    episode: int
    step: int
    verdict: Verdict
    subgoal: bool
    amendment: bool
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class BeginReset:
    """Reset arm and world for the episode; answer with ResetDone or ResetFailed of this attempt."""

    attempt: int
    episode: int
    seed: int


@dataclass(frozen=True, slots=True)
class StopArm:
    """Hold the arm until a person clears it, whatever becomes of this process."""


@dataclass(frozen=True, slots=True)
class PauseArm:
    """Hold the arm for a moment."""


@dataclass(frozen=True, slots=True)
class ClearArm:
    """A person has cleared: let the arm move again after `stop` and its faults, but after no later stop."""

    stop: str


@dataclass(frozen=True, slots=True)
class ResumeArm:
    """Let the arm move again after a pause, and after nothing else."""


Effect = ShowEpisode | GiveVerdict | BeginReset | StopArm | PauseArm | ClearArm | ResumeArm


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to an event.

    Attributes:
        detail: what it led to, or why it was not accepted.
        record: it belongs into the journal; False for repetitions and what is of no interest.
    """

    accepted: bool
    detail: str
    effects: tuple[Effect, ...] = ()
    record: bool = True


_NAMES: dict[type, str] = {
    Opened: "opened",
    PromptSeen: "prompt",
    Result: "result",
    Judged: "judgement",
    WindowClosed: "window_closed",
    ResetDone: "reset_finished",
    ResetFailed: "reset_failed",
    ClearRefused: "clear_refused",
    ArmStopped: "arm_stopped",
    NodeLost: "node_lost",
    Proceed: "proceed",
}
_TYPES = {name: kind for kind, name in _NAMES.items()}


def event_name(event: Event) -> str:
    """Name of an event in the journal and in EpisodeEvent: a button's own name, or what happened."""
    return event.button.value if isinstance(event, Press) else _NAMES[type(event)]


def event_to_json(event: Event) -> dict[str, Any]:
    """A flat dictionary that `event_from_json` turns back into the same event."""
    values = {name: value for name, value in asdict(event).items() if name != "button"}
    return {"event": event_name(event), **values}


def event_from_json(entry: Mapping[str, Any]) -> Event:
    """The event of a journal line; further keys are ignored. Presses of older runs name no stop.

    Raises:
        ValueError: the line holds no such event.
    """
    name = entry.get("event")
    try:
        if name in set(Button):
            stop = str(entry.get("stop", ""))
            return Press(Button(name), str(entry["source"]), str(entry["blocked"]), stop)
        kind = _TYPES[str(name)]
        values: dict[str, Any] = {item.name: entry[item.name] for item in fields(kind)}
    except KeyError as error:
        raise ValueError(f"no event of the episode machine: {dict(entry)!r} lacks or has an unknown {error}") from None
    hints = get_type_hints(kind)
    for key, value in values.items():
        if hints[key] is Ended:
            values[key] = Ended(value)
        elif isinstance(value, list):
            values[key] = tuple(value)
    return kind(**values)
