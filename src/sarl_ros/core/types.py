"""Values of the semantic MDP, in which an action is a prompt and a step runs it for many control periods."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONTROL_PERIOD_S = 0.2


@dataclass(frozen=True, slots=True, order=True)
class StepKey:
    """Names one semantic step.

    Attributes:
        run: name of the run folder.
        episode: counts from 1 within the run.
        step: counts from 1 within the episode; 0 is the observation an episode starts from.
    """

    run: str
    episode: int
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a policy, a proposer and a critic see.

    Attributes:
        front: third-person camera, uint8 (H, W, 3) RGB.
        wrist: wrist camera, uint8 (H, W, 3) RGB.
        proprio: float32 (8,), x y z [m], roll pitch yaw [rad], 0, gripper [0 closed .. 1 open].
        stamp_ns: time of the arm state that the images are no older than.
    """

    front: NDArray[np.uint8]
    wrist: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    stamp_ns: int = 0


class EpisodeState(enum.IntEnum):
    """States of the episode machine; the numbers are those of `sarl_interfaces/Episode`."""

    IDLE = 0
    RESETTING = 1
    READY = 2
    RUNNING = 3
    SUCCESS = 4
    FAILURE = 5
    TIMEOUT = 6
    ABORTED = 7
    HELD = 8
    FINISHED = 9


class Verdict(enum.IntEnum):
    """The operator's answer to a step result; the numbers are those of `sarl_interfaces/StepVerdict`."""

    CONTINUE = 0
    SUCCESS = 1
    FAILURE = 2
    TIMEOUT = 3
    ABORTED = 4


class Ended(enum.IntEnum):
    """Why a step ended; the numbers are those of `sarl_interfaces/StepResult`."""

    START = 0
    COMPLETED = 1
    STOPPED = 2
    REFUSED = 3
    FAULT = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prompt that a decision could choose.

    Attributes:
        prompt: normalised text.
        pool_index: row of the one-hot that the critics see, -1 without a pool.
        q_mean, q_std: over the critics, NaN without critics.
        probability: of being chosen.
        prior: the proposer's weight, 0 if it gives none.
    """

    prompt: str
    pool_index: int = -1
    q_mean: float = float("nan")
    q_std: float = float("nan")
    probability: float = 0.0
    prior: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A chosen prompt and what it was chosen from.

    Attributes:
        chunk_actor: method whose actor acts inside the step, empty for none.
        chunk_actor_state: file of its weights.
    """

    key: StepKey
    candidates: tuple[Candidate, ...]
    chosen: int
    agent: str
    demonstration: bool = False
    chunk_actor: str = ""
    chunk_actor_state: str = ""

    @property
    def prompt(self) -> str:
        return self.candidates[self.chosen].prompt
