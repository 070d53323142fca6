"""Transitions in memory, as tensors, filled from the replay store's records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarl_ros.core.reward import discounted_return
from sarl_ros.core.types import StepKey
from sarl_ros.methods.sarl.critic import crop
from sarl_ros.store.images import CRITIC_PIXELS
from sarl_ros.store.replay_store import POOL, DecisionRecord, Entry, TransitionRecord


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B transitions; K is the size of the largest candidate set in it.

    Attributes:
        images, next_images: uint8 (B, 64, 64, 3), cropped at random.
        proprio, next_proprio: float32 (B, 8).
        rows: int64 (B,), of the chosen prompts.
        next_rows, offered: int64 and bool (B, K), A_{t+1}; a state without any has one row, its value is not used.
        reward, done: float32 (B,).
    """

    images: Tensor
    proprio: Tensor
    rows: Tensor
    reward: Tensor
    done: Tensor
    next_images: Tensor
    next_proprio: Tensor
    next_rows: Tensor
    offered: Tensor


@dataclass(slots=True, eq=False)
class _Row:
    key: StepKey
    image: Tensor
    proprio: NDArray[np.float32]
    row: int
    reward: float
    done: bool
    next_image: Tensor
    next_proprio: NDArray[np.float32]
    next_rows: tuple[int, ...]
    demonstrated: bool


class _PaddedImages:
    """Images with a margin of repeated edges, in blocks of many.

    Each alone would lie between the megabytes that come and go with an update, and the heap would grow by its holes.
    """

    BLOCK = 512

    def __init__(self, margin: int) -> None:
        self._margin = ((margin, margin), (margin, margin), (0, 0))
        self._block = torch.empty(0)
        self._used = 0

    def add(self, image: NDArray[np.uint8]) -> Tensor:
        """The padded image: a view of its block, uint8 (H + 2 margin, W + 2 margin, 3)."""
        padded = torch.from_numpy(np.pad(image, self._margin, mode="edge"))
        if self._used == len(self._block):
            self._block, self._used = torch.empty((self.BLOCK, *padded.shape), dtype=torch.uint8), 0
        place = self._block[self._used]
        self._used += 1
        return place.copy_(padded)


class ReplayBuffer:
    """Every transition of a run, in the store's order; an amendment replaces the transition it amends.

    Attributes:
        prompts: of the pool, by row.
    """

    def __init__(self, margin: int) -> None:
        self._margin, self._images = margin, _PaddedImages(margin)
        self._rows: list[_Row] = []
        self._position: dict[StepKey, int] = {}
        self._open: dict[StepKey, DecisionRecord] = {}
        self.prompts: list[str] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take over new records of the store, oldest first."""
        for entry in entries:
            if isinstance(entry, DecisionRecord):
                self._open[entry.key] = entry
            elif isinstance(entry, TransitionRecord):
                self._add(entry)
            elif entry.kind == POOL:
                self.prompts += entry.fields["prompts"]

    def _add(self, entry: TransitionRecord) -> None:
        next_rows = tuple(each.pool_index for each in entry.candidates if each.pool_index >= 0)
        if not entry.done and not next_rows:
            raise ValueError(f"transition {entry.key} bootstraps from a state without candidates")
        known = self._position.get(entry.key)
        if known is not None:
            row = self._rows[known]
            row.reward, row.done, row.next_rows = entry.reward, entry.done, next_rows
            return
        record = self._open.pop(entry.key)
        decision = record.decision
        self._position[entry.key] = len(self._rows)
        self._rows.append(
            _Row(
                key=entry.key,
                image=self._images.add(record.observation.image),
                proprio=record.observation.proprio,
                row=decision.candidates[decision.chosen].pool_index,
                reward=entry.reward,
                done=entry.done,
                next_image=self._images.add(entry.observation.image),
                next_proprio=entry.observation.proprio,
                next_rows=next_rows,
                demonstrated=decision.demonstration,
            )
        )

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        """Draw `size` transitions with replacement, uniformly, each image with a crop of its own."""
        picks = torch.randint(len(self._rows), (size,), generator=generator).tolist()
        shifts = torch.randint(2 * self._margin + 1, (2, size, 2), generator=generator).tolist()
        rows = [self._rows[pick] for pick in picks]
        widest = max(1, *(len(row.next_rows) for row in rows))
        next_rows = torch.zeros((size, widest), dtype=torch.int64)
        offered = torch.zeros((size, widest), dtype=torch.bool)
        for index, row in enumerate(rows):
            count = len(row.next_rows)
            next_rows[index, :count] = torch.tensor(row.next_rows, dtype=torch.int64)
            offered[index, : max(1, count)] = True
        return Batch(
            images=crop([row.image for row in rows], shifts[0], CRITIC_PIXELS),
            proprio=torch.from_numpy(np.stack([row.proprio for row in rows])),
            rows=torch.tensor([row.row for row in rows]),
            reward=torch.tensor([row.reward for row in rows]),
            done=torch.tensor([float(row.done) for row in rows]),
            next_images=crop([row.next_image for row in rows], shifts[1], CRITIC_PIXELS),
            next_proprio=torch.from_numpy(np.stack([row.next_proprio for row in rows])),
            next_rows=next_rows,
            offered=offered,
        )

    def demonstration_return(self, horizon: int) -> float | None:
        """Mean over demonstrated steps of the discounted return from there; None without demonstrations.

        Only episodes that came to their success count: how another would have gone on is not known.
        """
        episodes: dict[tuple[str, int], list[_Row]] = {}
        for row in self._rows:
            episodes.setdefault((row.key.run, row.key.episode), []).append(row)
        returns = [
            discounted_return([row.reward for row in rows[start:]], horizon)
            for rows in episodes.values()
            if rows[-1].done
            for start, row in enumerate(rows)
            if row.demonstrated
        ]
        return sum(returns) / len(returns) if returns else None
