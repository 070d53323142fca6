"""What the page shows, as values: made by the board, drawn by the page, sent as JSON to scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ButtonView:
    """A button: `armed` when the operator node would take it now, else `why` not; `wanted`: next to be pressed."""

    name: str
    armed: bool
    why: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A prompt that was, or can be, chosen. None where the agent has no such value."""

    prompt: str
    q_mean: float | None
    q_std: float | None
    probability: float | None
    prior: float | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """The episode; `elapsed_s` since it began to run, None before, a lower bound where the console came later."""

    run: str
    task: str
    instruction: str
    number: int
    state: str
    title: str
    reason: str
    hint: str
    outcome: str
    step: int
    max_steps: int
    elapsed_s: float | None
    elapsed_is_least: bool
    completed: int
    episodes: int
    outcomes: tuple[str, ...]
    rolling: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PromptView:
    """The decision that runs, or ran last; `progress` of its control steps, 0 to 1."""

    text: str
    episode: int
    step: int
    running: bool
    progress: float
    agent: str
    by_person: bool


@dataclass(frozen=True, slots=True)
class SteeringView:
    """Whether a person chooses prompts, and the decision (episode, step) that waits for one now."""

    on: bool
    awaits: bool
    episode: int
    step: int
    words: str


@dataclass(frozen=True, slots=True)
class LearnerView:
    """The learner in numbers, None where unknown."""

    known: bool
    words: str
    transitions: int
    updates_done: int
    updates_owed: int
    temperature: float | None
    recall: float | None
    pool: int
    pool_capacity: int


@dataclass(frozen=True, slots=True)
class NodeView:
    """A process of the graph; `level` is ok, wait or bad, `words` what is the matter with it."""

    name: str
    title: str
    level: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventView:
    """A line of the log; `level` is prompt, plain, good, bad or refused."""

    number: int
    clock: str
    where: str
    words: str
    level: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything. `silent` is empty or says loudly that nothing comes from the graph.

    `replay`: what is shown is played from bags, so no button does anything.
    """

    silent: str
    replay: bool
    episode: EpisodeView
    prompt: PromptView
    candidates: tuple[CandidateView, ...]
    candidates_of: str
    steering: SteeringView
    buttons: tuple[ButtonView, ...]
    learner: LearnerView
    arm_mode: str
    arm_words: str
    nodes: tuple[NodeView, ...]
    events: tuple[EventView, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
