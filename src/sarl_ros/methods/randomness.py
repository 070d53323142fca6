"""Random numbers that belong to a step: whoever makes the decision again, after a restart too, draws the same."""

from __future__ import annotations

import numpy as np

from sarl_ros.core.types import StepKey


def step_generator(seed: int, key: StepKey) -> np.random.Generator:
    """A generator for this seed, episode and step; the run's name plays no part, so that equal runs are equal."""
    return np.random.default_rng((seed, key.episode, key.step))
