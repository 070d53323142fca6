"""Which reset seeds belong to what: training, evaluation and steering never share one.

The reset seed of episode n is base + n. A range holds a million episodes.
"""

from __future__ import annotations

RANGE = 1_000_000
EVALUATION = 900 * RANGE
STEERING = 800 * RANGE


def training(seed: int) -> int:
    """Base of the reset seeds of the training run with this seed.

    Raises:
        ValueError: the seed is outside 0 .. 799.
    """
    if not 0 <= seed < STEERING // RANGE:
        raise ValueError(f"seed {seed}: choose one from 0 to {STEERING // RANGE - 1}")
    return seed * RANGE
