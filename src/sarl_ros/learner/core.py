"""The learner without middleware: what arrives goes in as events, what is to be sent comes out.

One thread calls it. Its memory is the replay store: a decision is stored before it is returned for publishing, a
transition before the next decision; after any death, the same events told again lead to the same place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sarl_ros.core.learner_events import (
    CandidateSet,
    EpisodeNews,
    Event,
    GroundTruth,
    LearnerFigures,
    ProposalRequest,
    StepAnswer,
    StepOutcome,
    TrainerLost,
    TrainerNews,
    TrainingOrder,
)
from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.core.proposal import Proposal
from sarl_ros.core.reward import reward
from sarl_ros.core.types import Candidate, Decision, Ended, EpisodeState, StepKey, Verdict
from sarl_ros.learner.candidate_sets import CandidateSets
from sarl_ros.learner.choosing import Chooser
from sarl_ros.learner.episode_log import EpisodeLedger
from sarl_ros.learner.ground_truth import GroundTruthLog
from sarl_ros.learner.run_memory import RunMemory
from sarl_ros.learner.steering import Steering
from sarl_ros.learner.update_schedule import UpdateSchedule
from sarl_ros.methods.method import Agent, Method
from sarl_ros.methods.preset import Preset
from sarl_ros.store.replay_store import DecisionRecord, Entry, ReplayStore, StoredObservation, TransitionRecord

ENDS = (EpisodeState.SUCCESS, EpisodeState.FAILURE, EpisodeState.TIMEOUT, EpisodeState.ABORTED)
# An episode may end without an answer to its open step; what is only late is waited for this long.
LATE_VERDICT_S = 3.0
LATE_RESULT_S = 15.0


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """Of one run.

    Attributes:
        run: name; events of other runs are ignored.
        learns: transitions are learned from by a trainer.
        evaluate: choices are greedy.
        closed_pool: no prompt enters the pool, which is that of a checkpoint.
    """

    run: str
    learns: bool
    evaluate: bool
    closed_pool: bool = False


class LearnerCore:
    """See the module.

    Call `handle` with everything that arrives, then `advance` for decisions to publish, `candidate_sets` for what is
    told of states, `wanted` for the proposal it waits for (answer: `propose`), `order` for work to give to the trainer.

    Raises:
        StoreError, AgentError: from any call; the learner must stop, nothing recorded is lost.
    """

    def __init__(
        self,
        store: ReplayStore,
        method: Method,
        agent: Agent,
        preset: Preset,
        pool: PromptPool,
        ledger: EpisodeLedger,
        settings: LearnerSettings,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._agent, self._preset, self._ledger = store, agent, preset, ledger
        self._settings, self._steady_s = settings, steady_s
        self._memory = RunMemory(settings.run, store, pool)
        self._truth = GroundTruthLog()
        self._news = EpisodeNews("", 0, EpisodeState.IDLE, "", -1)
        self._over_since_s = steady_s()
        self._results: dict[StepKey, StepOutcome] = {}
        self._answers: dict[StepKey, StepAnswer] = {}
        self._candidates = CandidateSets(self._memory, preset.candidates, settings.closed_pool)
        self._steering = Steering(self._memory, _why_not_steered(agent, settings))
        self._chooser = Chooser(agent, self._memory, self._candidates, self._steering, self._truth, steady_s)
        self._republished: set[StepKey] = set()
        self._schedule = UpdateSchedule(method, preset, self._memory)

    # What arrives.

    def handle(self, event: Event) -> None:
        match event:
            case EpisodeNews():
                self._on_episode(event)
            case StepOutcome():
                if self.wants_result(event.key):
                    self._results[event.key] = event
            case StepAnswer():
                if event.key.run == self._settings.run and (event.amendment or event.key not in self._answers):
                    self._answers[event.key] = event
            case GroundTruth():
                self._truth.add(event)
            case TrainerNews():
                self._schedule.told(event)
            case TrainerLost():
                self._schedule.lost()

    def wants_result(self, key: StepKey) -> bool:
        """Whether this result is of use; saves decoding those that are told again."""
        newest = max(self._news.episode, self._memory.last_episode)
        if key.run != self._settings.run or key in self._results or key.episode < newest - 1:
            return False
        followed = replace(key, step=key.step + 1) in self._memory.decisions
        return not (followed and (key.step == 0 or key in self._memory.transitions))

    def _on_episode(self, news: EpisodeNews) -> None:
        if news.run != self._settings.run:
            return
        if (news.episode, news.state) != (self._news.episode, self._news.state):
            self._over_since_s = self._steady_s()
        if news.episode > self._news.episode:
            self._results = {key: value for key, value in self._results.items() if key.episode >= news.episode - 1}
            self._candidates.forget(before=news.episode - 1)
        self._news = news
        self._ledger.see(news)
        self._steering.see(news)

    def steer(self, take_over: bool, key: StepKey, prompt: str) -> tuple[bool, str]:
        """A person's wish to choose prompts, or to leave it to the agent again; see `Steering.ask`."""
        return self._steering.ask(take_over, key, prompt)

    # What follows from it.

    def advance(self) -> list[Decision]:
        """Store what is finished and decide what can be decided; returns decisions to publish, stored already."""
        finished = [self._transition(key) for key in self._unfinished()]
        finished += [self._transition(key, amendment=True) for key in self._amended()]
        self._keep([record for record in finished if record is not None])
        if self._news.state != EpisodeState.RUNNING:
            self._may_act(first=True)
        published = self._left_open()
        decided = self._decide()
        if decided is not None:
            self._keep([decided])
            published.append(decided.decision)
        self._log_episodes()
        return published

    def _keep(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._store.append(*entries)
            self._memory.add(entries)

    def _unfinished(self) -> list[StepKey]:
        """Steps that have both halves and are not stored yet, oldest first."""
        return [
            key
            for key in self._memory.open_decisions()
            if (result := self._results.get(key)) is not None
            and result.ended not in (Ended.START, Ended.REFUSED)
            and (answer := self._answers.get(key)) is not None
            and answer.verdict is not Verdict.ABORTED
        ]

    def _amended(self) -> list[StepKey]:
        """Stored steps whose verdict was replaced afterwards."""
        return [
            key
            for key, answer in self._answers.items()
            if answer.amendment
            and answer.verdict is not Verdict.ABORTED
            and (stored := self._memory.transitions.get(key)) is not None
            and not stored.amendment
            and stored.verdict is not answer.verdict
        ]

    def _bootstraps(self, key: StepKey) -> bool:
        """Whether the step's transition needs the candidates of the state it ended in."""
        used = self._settings.learns or self._memory.decisions[key].decision.demonstration
        return used and self._answers[key].verdict is not Verdict.SUCCESS

    def _transition(self, key: StepKey, amendment: bool = False) -> TransitionRecord | None:
        verdict = self._answers[key].verdict
        stored = self._memory.transitions.get(key)
        candidates: tuple[Candidate, ...] = ()
        if self._bootstraps(key):
            known = self._candidates.at(key)
            if known is None:
                return None
            candidates = known.candidates
        success = verdict is Verdict.SUCCESS
        observation = stored.observation if stored else StoredObservation.of(self._results[key].observation)
        value = reward(success, self._preset.horizon)
        records = stored.chunk_records if stored else self._results[key].chunk_records
        return TransitionRecord(key, verdict, value, success, observation, candidates, amendment, records)

    def _left_open(self) -> list[Decision]:
        """Decisions of the running episode that an earlier process stored and perhaps did not publish."""
        if self._news.state != EpisodeState.RUNNING:
            return []
        keys = [
            key
            for key in self._memory.found_open
            if key.episode == self._news.episode
            and key not in self._results
            and key not in self._republished
            and self._continues(replace(key, step=key.step - 1))
        ]
        self._republished.update(keys)
        return [self._memory.decisions[key].decision for key in keys]

    def _state_to_decide(self) -> StepKey | None:
        """The last step of the running episode, if the next one is to be decided and what it saw is known."""
        news, memory = self._news, self._memory
        if news.state != EpisodeState.RUNNING:
            return None
        step = memory.last_step(news.episode)
        state = StepKey(self._settings.run, news.episode, step)
        following = replace(state, step=step + 1)
        if state not in self._results or following in memory.decisions:
            return None
        if step == 0 and self._results[state].ended is not Ended.START:
            return None
        return state if self._continues(state) else None

    def _continues(self, state: StepKey) -> bool:
        """Whether the episode went on after this step, as far as is known."""
        if state.step == 0:
            return True
        answer, stored = self._answers.get(state), self._memory.transitions.get(state)
        if answer is not None and answer.amendment:
            return answer.verdict is Verdict.CONTINUE
        return stored is not None and stored.verdict is Verdict.CONTINUE

    def _decide(self) -> DecisionRecord | None:
        state = self._state_to_decide()
        if state is None or not self._may_act(first=state.step == 0):
            return None
        return self._chooser.decide(state, self._results[state].observation, self._news, self._temperature())

    def _may_act(self, first: bool) -> bool:
        """What acts is changed before an episode's first decision, and after a restart."""
        return not self._settings.learns or self._schedule.refresh(self._agent, first)

    def _temperature(self) -> float:
        return self._temperature_after(self._learned_episodes())

    def _temperature_after(self, episodes: int) -> float:
        return 0.0 if self._settings.evaluate else self._preset.temperature_after(episodes)

    def _learned_episodes(self) -> int:
        """Episodes with transitions, without the one that runs."""
        running = self._news.episode if self._news.state == EpisodeState.RUNNING else 0
        return self._memory.episodes_with_transitions(without=running)

    # Proposals.

    def wanted(self) -> ProposalRequest | None:
        """The proposal that the next step forward waits for, if any."""
        for key in [*self._unfinished(), *self._amended()]:
            if self._bootstraps(key) and key in self._results and self._candidates.at(key) is None:
                return self._request(key)
        state = self._state_to_decide()
        if state is not None and self._chooser.needs_candidates and self._candidates.at(state) is None:
            return self._request(state)
        return None

    def _request(self, key: StepKey) -> ProposalRequest:
        return self._candidates.request(key, self._news.instruction, self._results[key].observation)

    def propose(
        self,
        wanted: ProposalRequest,
        proposal: Proposal,
        seconds: float = 0.0,
    ) -> None:
        """Take the answer to what was wanted, which took `seconds`."""
        self._candidates.propose(wanted.key, proposal, seconds)

    def candidate_sets(self) -> list[CandidateSet]:
        """Candidate sets to tell the graph of, since the last call."""
        return self._candidates.news()

    def suitable_offered(self, key: StepKey) -> bool | None:
        """Whether ground truth found a suitable prompt among the candidates of a decision; None where unknown."""
        return self._memory.decisions[key].suitable_offered

    @property
    def dropped_proposals(self) -> int:
        return self._candidates.dropped

    # Training.

    def order(self) -> TrainingOrder | None:
        """Work for the trainer; to be given to it, since it counts as given.

        Each transition is learned from as soon as it is stored. In simulation what comes of it does not depend on when
        the trainer gets to it: critics act from an episode's first decision on, once everything before is paid.
        """
        if not self._settings.learns or (
            self._steering.active and not self._settled() and not self._schedule.news.updates
        ):
            return None  # critics that have learned nothing yet start near a first demonstration, once it is whole
        temperature = self._preset.temperature_after(self._memory.episodes_with_transitions())
        give = self._schedule.order if self._settled() else self._schedule.portion
        return give(self._store.size, self._ledger.completed, temperature)

    def _settled(self) -> bool:
        """No episode runs, and every step of the last one is stored or dropped."""
        news = self._news
        if not news.run or news.state in (EpisodeState.RUNNING, EpisodeState.HELD):
            return False
        if self._unfinished() or self._amended():
            return False
        return all(self._dropped(key) for key in self._memory.open_decisions(news.episode - 1))

    def _dropped(self, key: StepKey) -> bool:
        """Whether an open decision of an episode that is over never becomes a transition."""
        answer, result = self._answers.get(key), self._results.get(key)
        if answer is not None and answer.verdict is Verdict.ABORTED:
            return True
        if result is not None and result.ended is Ended.REFUSED:
            return True
        patience_s = LATE_VERDICT_S if answer is None else LATE_RESULT_S
        return self._steady_s() - self._over_since_s >= patience_s

    # What is shown.

    def _log_episodes(self) -> None:
        news, memory = self._news, self._memory
        if not self._settled():
            return
        over = news.state in (*ENDS, EpisodeState.FINISHED) or memory.has_decisions(news.episode)
        for episode in range(min(self._ledger.next_episode, news.episode), news.episode + (1 if over else 0)):
            temperature = self._temperature_after(memory.episodes_with_transitions(without=episode))
            self._ledger.log(episode, memory.steps(episode), self._schedule.news.updates, temperature)

    @property
    def acting_updates(self) -> int:
        """Updates of what acts now."""
        return self._schedule.acting[1]

    def figures(self) -> LearnerFigures:
        learns, trainer = self._settings.learns, self._schedule.news
        ready = self._settled() and (not learns or self._schedule.paid)
        return LearnerFigures(
            episodes=self._memory.episodes_with_transitions(),
            transitions=self._memory.count,
            updates_done=max(0, trainer.updates - self._memory.updates_before),
            updates_owed=self._schedule.owed if learns else 0,
            updates_per_decision=float(self._schedule.per_decision if learns else 0),
            loss=trainer.loss,
            temperature=self._temperature(),
            recall=self._memory.recall(),
            pool_size=len(self._memory.pool),
            pool_capacity=self._memory.pool.capacity,
            ready=ready,
            finished=ready and self._news.state == EpisodeState.FINISHED,
            steering=self._steering.active,
            checkpoint=trainer.checkpoint,
        )


def _why_not_steered(agent: Agent, settings: LearnerSettings) -> str:
    if settings.evaluate:
        return "this run evaluates: its prompts are the agent's own; steer a training run"
    return "this run plays a script of prompts: steer one that does not" if agent.demonstration else ""
