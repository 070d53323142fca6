"""What the learner is told and what it asks: values without any middleware."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sarl_ros.core.proposal import PromptRequest
from sarl_ros.core.types import Candidate, Ended, EpisodeState, Observation, StepKey, Verdict


@dataclass(frozen=True, slots=True)
class EpisodeNews:
    """The operator's latched state."""

    run: str
    episode: int
    state: EpisodeState
    instruction: str
    seed: int
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class StepOutcome:
    """What a prompt did; `observation` is that at the end of the step, `chunk_records` those of its chunk actor."""

    key: StepKey
    ended: Ended
    observation: Observation
    chunk_records: bytes = b""


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """The operator's verdict of a step, or an amendment of it."""

    key: StepKey
    verdict: Verdict
    amendment: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What an oracle would choose at a time; for records and for the oracle alone."""

    stamp_ns: int
    seed: int
    suitable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainerNews:
    """An answer of the trainer; `greeting` opens, `paid` closes an order. It holds `resident_mb` of memory then."""

    updates: int
    greeting: bool = False
    paid: bool = False
    loss: float = math.nan
    value: float = math.nan
    checkpoint: str = ""
    resident_mb: float = math.nan


@dataclass(frozen=True, slots=True)
class TrainerLost:
    """The trainer process has ended."""


Event = EpisodeNews | StepOutcome | StepAnswer | GroundTruth | TrainerNews | TrainerLost


@dataclass(frozen=True, slots=True, eq=False)
class ProposalRequest:
    """A wish for candidates in the state that `key` ended in."""

    key: StepKey
    request: PromptRequest


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSet:
    """The candidates that the state which `key` ended in got; see `sarl_interfaces/Proposal`."""

    key: StepKey
    candidates: tuple[Candidate, ...]
    awaits_person: bool = False
    model: str = ""
    rationale: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """Updates owed in all, and what they are to learn from; see `learner.trainer`. `save` asks for a checkpoint."""

    updates: int
    offset: int
    episodes: int
    temperature: float
    save: bool


@dataclass(frozen=True, slots=True)
class LearnerFigures:
    """What is shown of the learner; see `sarl_interfaces/LearnerStatus`."""

    episodes: int
    transitions: int
    updates_done: int
    updates_owed: int
    updates_per_decision: float
    loss: float
    temperature: float
    recall: float
    pool_size: int
    pool_capacity: int
    ready: bool
    finished: bool
    steering: bool
    checkpoint: str
