"""Candidate sets: what the proposer is asked, which candidates a state got, and what the graph is told of them."""

from __future__ import annotations

from sarl_ros.core.learner_events import CandidateSet, ProposalRequest
from sarl_ros.core.proposal import PromptRequest, Proposal
from sarl_ros.core.types import Candidate, Observation, StepKey
from sarl_ros.learner.run_memory import RunMemory


class CandidateSets:
    """The candidate sets of a run, by the state they are of.

    Args:
        count: candidates that a state is to get, at most.
        closed: no prompt enters the pool.

    Attributes:
        dropped: proposed prompts that the pool had no row for.
    """

    def __init__(self, memory: RunMemory, count: int, closed: bool) -> None:
        self._memory, self._count, self._closed = memory, count, closed
        self._known: dict[StepKey, CandidateSet] = {}
        self._news: list[CandidateSet] = []
        self.dropped = 0
        # The process before may have died between storing these and telling them.
        newest = max(memory.transitions, default=None)
        if newest is not None and memory.transitions[newest].candidates:
            self.tell(self.at(newest))

    def at(self, state: StepKey) -> CandidateSet | None:
        """What a state got: as stored with the transition that led there, or as proposed; None while unknown."""
        known, stored = self._known.get(state), self._memory.transitions.get(state)
        if stored is None or not stored.candidates:
            return known
        return (
            known
            if known is not None and known.candidates == stored.candidates
            else CandidateSet(state, stored.candidates)
        )

    def request(self, state: StepKey, instruction: str, observation: Observation) -> ProposalRequest:
        pool = self._memory.pool
        return ProposalRequest(
            state,
            PromptRequest(
                task=instruction,
                observation=observation,
                history=self._memory.history(state.episode)[: state.step],
                pool=tuple(pool.prompts),
                pool_frozen=self._closed or pool.frozen,
                count=self._count,
            ),
        )

    def propose(self, state: StepKey, proposal: Proposal, seconds: float) -> None:
        """Take a proposer's answer, which took `seconds`.

        Prompts that the pool has no row for are dropped; where none is left, the pool's own replace them.

        Raises:
            StoreError: the store cannot be written.
        """
        candidates, dropped = self._memory.offer(proposal.prompts, proposal.priors, closed=self._closed)
        self.dropped += dropped
        if not candidates:
            candidates, _ = self._memory.offer(self._memory.pool.prompts[: self._count], (), closed=True)
        if candidates:
            self._known[state] = CandidateSet(state, candidates, False, proposal.model, proposal.rationale, seconds)
            self.tell(self._known[state])

    def add(self, prompt: str) -> Candidate:
        """A person's prompt as a candidate, in the pool if it was not.

        Raises:
            StoreError: the store cannot be written.
        """
        (candidate,), _ = self._memory.offer([prompt], (), closed=self._closed)
        return candidate

    def tell(self, candidates: CandidateSet | None) -> None:
        if candidates is not None:
            self._news.append(candidates)

    def news(self) -> list[CandidateSet]:
        """What is to be told since the last call, oldest first."""
        news, self._news = self._news, []
        return news

    def forget(self, before: int) -> None:
        """Drop what earlier episodes than this one got."""
        self._known = {state: offer for state, offer in self._known.items() if state.episode >= before}
