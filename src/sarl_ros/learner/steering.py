"""A person chooses the prompts: from when until when, which decision waits for one, and what was chosen for it.

A take-over holds from the next decision to the end of that decision's episode, or until it is handed back. What the
person chooses is stored as a demonstration; so the store tells a learner that restarts whether to go on waiting.
"""

from __future__ import annotations

from sarl_ros.core.learner_events import EpisodeNews
from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.types import EpisodeState, StepKey
from sarl_ros.learner.run_memory import RunMemory

OVER = (
    EpisodeState.SUCCESS,
    EpisodeState.FAILURE,
    EpisodeState.TIMEOUT,
    EpisodeState.ABORTED,
    EpisodeState.FINISHED,
)


class Steering:
    """See the module.

    Args:
        memory: of the run; its pool decides which prompts are usable.
        refused: why nobody may steer this run; empty if they may.

    Attributes:
        active: a person chooses from the next decision on.
    """

    def __init__(self, memory: RunMemory, refused: str) -> None:
        self._memory, self._refused = memory, refused
        self.active = False
        self._episode = 0
        self._awaited: StepKey | None = None
        self._chosen: tuple[StepKey, str] | None = None
        self._hands_back = False
        self._news: EpisodeNews | None = None

    def see(self, news: EpisodeNews) -> None:
        """The operator's state: a take-over begins with an episode that runs, and is over with it."""
        first, self._news = self._news is None, news
        if first and not self._refused and news.state not in OVER and self._memory.steered(news.episode):
            self.active, self._episode = True, news.episode
        if self._episode and (news.episode > self._episode or news.state in OVER):
            self._end()
        elif self.active and not self._episode and news.state is EpisodeState.RUNNING:
            self._episode = news.episode

    def _end(self) -> None:
        self.active, self._episode, self._awaited, self._hands_back = False, 0, None, False

    def ask(self, take_over: bool, key: StepKey, prompt: str) -> tuple[bool, str]:
        """A person's wish, see `sarl_interfaces/Steer`; returns whether it is granted, and what it led to or why not.

        A wish that is refused changes nothing.
        """
        news = self._news
        if self._refused:
            return False, self._refused
        if news is None or news.state is EpisodeState.FINISHED:
            return False, "no run goes on: there is nothing to steer"
        if prompt:
            accepted, detail = self._choose(key, prompt)
            if accepted and not take_over:
                self._hands_back = True
            return accepted, detail
        if take_over:
            again, self.active, self._hands_back = self.active and not self._hands_back, True, False
            if news.state is EpisodeState.RUNNING:
                self._episode = news.episode
            return True, "you steer already" if again else "you choose the prompts from the next decision on"
        was_active = self.active
        self._end()
        return True, "the agent chooses the prompts from now on" if was_active else "the agent chooses already"

    def _choose(self, key: StepKey, prompt: str) -> tuple[bool, str]:
        try:
            text = normalise(prompt)
        except ValueError as error:
            return False, str(error)
        named = f"step {key.step} of episode {key.episode}"
        if self._chosen == (key, text):
            return True, f"{named}: {text}"
        if self._awaited is None:
            return False, "no decision waits for a prompt: take over, and choose when the next decision asks for one"
        if key != self._awaited:
            due = f"step {self._awaited.step} of episode {self._awaited.episode}"
            return False, f"that prompt is for {named}, but {due} waits for one: choose again"
        pool = self._memory.pool
        if text not in pool and pool.frozen:
            return (
                False,
                f"the pool is full, its {pool.capacity} prompts are all there will be: '{text}' is none of them",
            )
        self._chosen, self._awaited = (key, text), None
        return True, f"{named}: {text}"

    def choice(self, key: StepKey) -> str | None:
        """What the person chose for a decision; None while they have not."""
        return self._chosen[1] if self._chosen is not None and self._chosen[0] == key else None

    def await_choice(self, key: StepKey) -> bool:
        """Wait for the prompt of this decision; returns whether that is new."""
        new, self._awaited = self._awaited != key, key
        return new

    def decided(self) -> None:
        """A chosen prompt has become a decision."""
        if self._hands_back:
            self._end()
