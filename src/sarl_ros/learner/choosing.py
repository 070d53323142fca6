"""One decision: by the agent, or by a person who steers it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sarl_ros.core.learner_events import CandidateSet, EpisodeNews, GroundTruth
from sarl_ros.core.types import Candidate, Decision, Observation, StepKey
from sarl_ros.learner.candidate_sets import CandidateSets
from sarl_ros.learner.ground_truth import GroundTruthLog
from sarl_ros.learner.run_memory import RunMemory
from sarl_ros.learner.steering import Steering
from sarl_ros.methods.method import Agent, AgentError, Situation
from sarl_ros.methods.steer import steered
from sarl_ros.store.replay_store import DecisionRecord, StoredObservation

GROUND_TRUTH_WAIT_S = 8.0
"""Longer than it takes to discover the judge."""


class Chooser:
    """Brings together what a decision depends on; `decide` says None until all of it is there."""

    def __init__(
        self,
        agent: Agent,
        memory: RunMemory,
        candidates: CandidateSets,
        steering: Steering,
        truth: GroundTruthLog,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agent, self._memory, self._candidates, self._steering = agent, memory, candidates, steering
        self._truth, self._steady_s = truth, steady_s
        self._waiting_since_s: dict[StepKey, float] = {}

    @property
    def needs_candidates(self) -> bool:
        """Whether the next choice is made from proposed candidates."""
        return self._agent.needs_proposals or self._steering.active

    def decide(
        self, state: StepKey, observation: Observation, news: EpisodeNews, temperature: float
    ) -> DecisionRecord | None:
        """The decision in the state that step `state` ended in, to be stored; None while it has to wait.

        Raises:
            AgentError: the agent cannot choose.
            StoreError: a person's prompt cannot be stored in the pool.
        """
        known = self._candidates.at(state) if self.needs_candidates else CandidateSet(state, ())
        if known is None:
            return None
        truth = self._truth.at(observation.stamp_ns, news.seed)
        situation = Situation(
            key=replace(state, step=state.step + 1),
            instruction=news.instruction,
            history=self._memory.history(state.episode),
            suitable=truth.suitable if truth else (),
            temperature=temperature,
        )
        if self._steering.active:
            decision = self._by_person(observation, known, situation)
        elif self._agent.needs_ground_truth and not self._is_current(truth, state, observation):
            return None
        else:
            decision = self._by_agent(observation, known.candidates, situation)
        if decision is None:
            return None
        offered = None
        if truth is not None and truth.suitable:
            offered = any(candidate.prompt in truth.suitable for candidate in decision.candidates)
        return DecisionRecord(decision, StoredObservation.of(observation), offered)

    def _is_current(self, truth: GroundTruth | None, state: StepKey, observation: Observation) -> bool:
        """Whether ground truth is of this very state, or was waited for long enough."""
        if truth is not None and truth.stamp_ns >= observation.stamp_ns:
            return True
        since_s = self._waiting_since_s.setdefault(state, self._steady_s())
        return self._steady_s() - since_s >= GROUND_TRUTH_WAIT_S

    def _by_agent(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        try:
            return self._agent.choose(observation, candidates, situation)
        except ValueError as error:
            raise AgentError(f"agent {self._agent.name}: {error}") from error

    def _by_person(self, observation: Observation, known: CandidateSet, situation: Situation) -> Decision | None:
        """The decision for what a person chose; until they have, they are shown what there is, once."""
        prompt = self._steering.choice(situation.key)
        if prompt is None:
            if self._steering.await_choice(situation.key):
                valued = self._valued(observation, known.candidates, situation)
                self._candidates.tell(replace(known, candidates=valued, awaits_person=True))
            return None
        candidates = known.candidates
        if all(each.prompt != prompt for each in candidates):
            candidates = (*candidates, self._candidates.add(prompt))
        self._steering.decided()
        return steered(situation.key, self._valued(observation, candidates, situation), prompt)

    def _valued(
        self, observation: Observation, candidates: tuple[Candidate, ...], situation: Situation
    ) -> tuple[Candidate, ...]:
        """Candidates with the agent's values, where it has any for them."""
        if not self._agent.needs_proposals:
            return candidates
        return self._by_agent(observation, candidates, situation).candidates
