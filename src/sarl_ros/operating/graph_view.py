"""What is known of the graph: its messages in, one immutable value out. Knows no ROS.

The operator's page, the terminal and scripts all read it. Messages are those of sarl_interfaces, or anything else with
their fields; topics come in any order among each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import Candidate, EpisodeState, StepKey

ENDS = (EpisodeState.SUCCESS, EpisodeState.FAILURE, EpisodeState.TIMEOUT, EpisodeState.ABORTED)


@dataclass(frozen=True, slots=True)
class GraphView:
    """The newest of what the graph says; times on the steady clock [s].

    Attributes:
        run: name of the run, empty before anything is known of it.
        task: name of its task.
        step: the last step of the episode with a verdict.
        completed: episodes that ended in success, failure or time-out, of `episodes` (0: no limit).
        outcomes: of the completed episodes, oldest first.
        prompt: the newest of this episode, in words with its step and its agent.
        why: of each button, why it is not armed; empty for armed ones.
        awaited: the decision that a person's prompt is waited for, None if none is.
        candidates: what it can be chosen from.
        operator_s: when the operator was heard last, None if never.
    """

    run: str = ""
    task: str = ""
    state: EpisodeState = EpisodeState.IDLE
    episode: int = 0
    step: int = 0
    max_steps: int = 0
    completed: int = 0
    episodes: int = 0
    outcomes: tuple[EpisodeState, ...] = ()
    instruction: str = ""
    reason: str = ""
    prompt: str = ""
    why: Mapping[Button, str] = field(default_factory=dict)
    steering: bool = False
    awaited: StepKey | None = None
    candidates: tuple[Candidate, ...] = ()
    operator_s: float | None = None

    def armed(self, button: Button) -> bool:
        """Whether the operator would take this press now, by what it said last."""
        return not self.why.get(button, "not heard yet")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a press or a prompt.

    Attributes:
        sent: whether the node that answers was there to be asked.
        reached: whether it answered.
        detail: what it led to, or why not.
    """

    accepted: bool
    detail: str
    reached: bool = True
    sent: bool = True

    def __str__(self) -> str:
        return f"no: {self.detail}" if self.reached and not self.accepted else self.detail


@dataclass(frozen=True, slots=True)
class EndedEpisode:
    """An episode that has ended.

    Attributes:
        steps: with a verdict.
        prompts: of these steps, in their order.
        seconds: it ran for, on the steady clock; None if it began before anybody listened.
        reason: of its end, in words.
    """

    run: str
    number: int
    outcome: EpisodeState
    steps: int
    prompts: tuple[str, ...]
    seconds: float | None
    reason: str


@dataclass(slots=True)
class _End:
    run: str
    number: int
    outcome: EpisodeState
    steps: int
    seconds: float | None
    reason: str


class EpisodeLog:
    """Episodes and prompts in, in any order among each other; ended episodes out, each once and oldest first."""

    def __init__(self) -> None:
        self._prompts: dict[tuple[str, int], dict[int, str]] = {}
        self._begun_s: dict[tuple[str, int], float | None] = {}
        self._ended: set[tuple[str, int]] = set()
        self._waiting: list[_End] = []
        self._heard = False

    def prompt(self, key: StepKey, prompt: str) -> None:
        """The decision of a step; told again, it is the same one."""
        self._prompts.setdefault((key.run, key.episode), {})[key.step] = prompt

    def episode(self, view: GraphView, now_s: float) -> None:
        """The episode's state. An end that is the first thing heard is an old one."""
        name, first = (view.run, view.episode), not self._heard
        self._heard = True
        if view.state == EpisodeState.RUNNING:
            self._begun_s.setdefault(name, None if first else now_s)
        if view.state not in ENDS or name in self._ended:
            return
        self._ended.add(name)
        begun_s = self._begun_s.pop(name, None)
        if not first:
            seconds = None if begun_s is None else now_s - begun_s
            self._waiting.append(_End(*name, view.state, view.step, seconds, view.reason))

    @property
    def has_ended(self) -> bool:
        """Whether an episode has ended that was not taken yet."""
        return bool(self._waiting)

    @property
    def is_whole(self) -> bool:
        """Whether the prompts of the oldest one are all known."""
        end = self._waiting[0]
        return len(self._prompts_of(end)) == end.steps

    def _prompts_of(self, end: _End) -> tuple[str, ...]:
        prompts = self._prompts.get((end.run, end.number), {})
        return tuple(prompts[step] for step in sorted(prompts) if step <= end.steps)

    def take(self) -> EndedEpisode:
        """The oldest that was not taken yet."""
        end = self._waiting.pop(0)
        prompts = self._prompts_of(end)
        self._prompts.pop((end.run, end.number), None)
        return EndedEpisode(end.run, end.number, end.outcome, end.steps, prompts, end.seconds, end.reason)


class GraphModel:
    """Put messages in, one at a time; `view` is a new value after each.

    Attributes:
        view: the newest of what is known.
        log: the episodes that end.
        prompt: the message of the newest decision, None before the first.
    """

    def __init__(self) -> None:
        self.view, self.log = GraphView(), EpisodeLog()
        self.prompt: Any = None
        self._proposal: Any = None

    def on_episode(self, message: Any, now_s: float) -> None:
        self._show(
            run=message.run,
            task=message.task,
            episode=message.episode,
            state=EpisodeState(message.state),
            step=message.step,
            max_steps=message.max_steps,
            completed=message.completed,
            episodes=message.episodes,
            outcomes=tuple(EpisodeState(outcome) for outcome in message.outcomes),
            instruction=message.instruction,
            reason=message.reason,
        )
        self.log.episode(self.view, now_s)

    def on_buttons(self, message: Any) -> None:
        self._show(why={Button(name): why for name, why in zip(message.name, message.why, strict=True)})

    def on_prompt(self, message: Any) -> None:
        if self.prompt is None or _key(message).run != _key(self.prompt).run or _key(message) >= _key(self.prompt):
            self.prompt = message
        self.log.prompt(_key(message), message.prompt)
        self._show()

    def on_proposal(self, message: Any) -> None:
        known = self._proposal
        if known is None or _key(message).run != _key(known).run or _key(message) >= _key(known):
            self._proposal = message
        self._show()

    def on_learner(self, message: Any) -> None:
        self._show(steering=message.steering)

    def on_operator(self, now_s: float) -> None:
        """A heartbeat of the operator."""
        self._show(operator_s=now_s)

    @property
    def prompt_here(self) -> Any:
        """The message of the decision that runs, or ran last, in this episode; None before its first."""
        here = (self.view.run, self.view.episode)
        prompt = self.prompt
        return prompt if prompt is not None and (prompt.key.run, prompt.key.episode) == here else None

    @property
    def awaited_proposal(self) -> Any:
        """The message of the candidates that a person is to choose from now, else None."""
        view, proposal, prompt = self.view, self._proposal, self.prompt_here
        if proposal is None or not proposal.awaits_person or view.state != EpisodeState.RUNNING:
            return None
        here = (proposal.key.run, proposal.key.episode) == (view.run, view.episode)
        answered = prompt is not None and _key(prompt) > _key(proposal)
        return proposal if here and not answered else None

    def _show(self, **values: Any) -> None:
        self.view = replace(self.view, **values)
        prompt, proposal = self.prompt_here, self.awaited_proposal
        chosen = f"{prompt.prompt} (step {prompt.key.step}, {prompt.agent})" if prompt is not None else ""
        if proposal is None or not self.view.steering:
            self.view = replace(self.view, prompt=chosen, awaited=None, candidates=())
            return
        awaited = replace(_key(proposal), step=proposal.key.step + 1)
        offered = tuple(_candidate(each) for each in proposal.candidates)
        self.view = replace(self.view, prompt=chosen, awaited=awaited, candidates=offered)


def _key(message: Any) -> StepKey:
    return StepKey(message.key.run, message.key.episode, message.key.step)


def _candidate(message: Any) -> Candidate:
    return Candidate(
        message.prompt, message.pool_index, message.q_mean, message.q_std, message.probability, message.prior
    )
