"""SARL's learning half: critics, their targets and the optimizer, fed from a replay store and saved as checkpoints."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.core.reward import discount
from sarl_ros.methods.method import Figures
from sarl_ros.methods.preset import Preset
from sarl_ros.methods.sarl.adam import Adam
from sarl_ros.methods.sarl.buffer import Batch, ReplayBuffer
from sarl_ros.methods.sarl.critic import CriticEnsemble, critic_loss, soft_value, td_target
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.checkpoint import (
    FOLDER,
    REMEDY,
    Checkpoint,
    latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from sarl_ros.store.replay_store import FILE_NAME, read_entries

NETWORK, TARGET, FIRST_MOMENT, SECOND_MOMENT, RANDOM = "network/", "target/", "moment1/", "moment2/", "random"


def make_critics(preset: Preset, bias: float) -> CriticEnsemble:
    """Critics of the preset's sizes, drawn from torch's global generator."""
    return CriticEnsemble(preset.pool_capacity, preset.critics, preset.hidden, preset.strides, bias)


def load_acting_critics(path: Path) -> tuple[CriticEnsemble, PromptPool]:
    """The critics of a checkpoint, ready to act, and the pool that gives their rows meaning.

    Raises:
        StoreError: the file is no checkpoint, or one of another method.
    """
    checkpoint = read_checkpoint(path)
    if not any(name.startswith(NETWORK) for name in checkpoint.tensors):
        raise StoreError(f"{path}: no checkpoint of agent sarl, it has no critics: choose one of a run of that agent")
    fields = dict(checkpoint.facts["preset"])
    preset = Preset(**{**fields, "strides": tuple(fields["strides"])})
    critics = make_critics(preset, 0.0)
    critics.load_state_dict(_named(checkpoint, NETWORK))
    pool = PromptPool(preset.pool_capacity, checkpoint.facts["prompts"])
    return critics.eval(), pool


class Training:
    """The learner of one run folder. Everything it does follows from the store, the preset and the seed.

    Going on from a checkpoint gives the same numbers as never having stopped, on the same machine.

    Attributes:
        updates: done so far.
        checkpoint: path of the newest, None before the first.

    Raises:
        StoreError: the newest checkpoint does not fit the preset, or a file is damaged.
    """

    def __init__(self, run_folder: Path, preset: Preset, seed: int, keep_every: int = 0) -> None:
        self._run_folder, self._preset, self._keep_every = run_folder, preset, keep_every
        self._store, self._offset = run_folder / FILE_NAME, 0
        self._buffer = ReplayBuffer(preset.crop_pixels)
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        self.updates = 0
        self.checkpoint = latest_checkpoint(run_folder / FOLDER)
        torch.manual_seed(seed)
        self.critics = make_critics(preset, preset.start_bias)
        self._targets = copy.deepcopy(self.critics).requires_grad_(False)
        self._parameters: list[torch.Tensor] = list(self.critics.parameters())
        self._optimizer = Adam(self._parameters, preset.learning_rate)
        if self.checkpoint is not None:
            self._restore(self.checkpoint)

    def observe(self, offset: int) -> None:
        """Take over the store's records up to a byte offset, where one ends; critics without updates start near them.

        Raises:
            StoreError: none ends there any more.
        """
        if offset > self._offset:
            entries, self._offset = read_entries(self._store, self._offset, offset)
            if self._offset != offset:
                raise StoreError(f"{self._store} is damaged at byte {self._offset}: restore it from a copy")
            self._buffer.add(entries)
        self._start_near_demonstrations()

    def _start_near_demonstrations(self) -> None:
        """Set the start value of critics without updates to the demonstrations' mean return, if there are any."""
        mean = self._buffer.demonstration_return(self._preset.horizon)
        if mean is not None and self.updates == 0:
            with torch.no_grad():
                self.critics.last_bias.fill_(mean)
                self._targets.last_bias.fill_(mean)

    def update(self, count: int, temperature: float) -> Figures:
        """Do `count` updates on the transitions read so far."""
        losses, values = [], []
        for _ in range(count):
            loss, value = self._update(self._buffer.sample(self._preset.batch, self._generator), temperature)
            losses.append(loss)
            values.append(value)
        self.updates += count
        return Figures(sum(losses) / count, sum(values) / count) if count else Figures()

    def _update(self, batch: Batch, temperature: float) -> tuple[float, float]:
        with torch.no_grad():
            next_values = self._targets(batch.next_images, batch.next_proprio, batch.next_rows)
            value = soft_value(next_values, batch.offered, temperature)
            target = td_target(batch.reward, batch.done, value, discount(self._preset.horizon))
        values = self.critics(batch.images, batch.proprio, batch.rows[:, None])[..., 0]
        loss = critic_loss(values, target)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.update()
        with torch.no_grad():
            torch._foreach_lerp_(list(self._targets.parameters()), self._parameters, self._preset.polyak)
        return float(loss.detach()) / self._preset.critics, float(values.detach().mean())

    def save(self, episodes: int) -> Path:
        """Write a checkpoint named after the number of completed episodes.

        Raises:
            StoreError: it could not be written.
        """
        tensors = {RANDOM: self._generator.get_state()}
        for prefix, network in ((NETWORK, self.critics), (TARGET, self._targets)):
            tensors |= {prefix + name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        names = [name for name, _ in self.critics.named_parameters()]
        for prefix, moments in ((FIRST_MOMENT, self._optimizer.first), (SECOND_MOMENT, self._optimizer.second)):
            tensors |= {prefix + name: moment.contiguous() for name, moment in zip(names, moments, strict=True)}
        facts = {
            "updates": self.updates,
            "episodes": episodes,
            "transitions": len(self._buffer),
            "store_offset": self._offset,
            "prompts": list(self._buffer.prompts),
            "preset": self._preset.model_dump(),
            "seed": self._seed,
        }
        folder = self._run_folder / FOLDER
        self.checkpoint = write_checkpoint(folder, episodes, Checkpoint(tensors, facts), self._keep_every)
        return self.checkpoint

    def _restore(self, path: Path) -> None:
        checkpoint = read_checkpoint(path)
        stored = {**checkpoint.facts["preset"], "strides": tuple(checkpoint.facts["preset"]["strides"])}
        if stored != self._preset.model_dump():
            raise StoreError(f"{path}: made with other preset values: resume with those, or begin a new run")
        try:
            self.critics.load_state_dict(_named(checkpoint, NETWORK))
            self._targets.load_state_dict(_named(checkpoint, TARGET))
            self._generator.set_state(checkpoint.tensors[RANDOM])
            self.updates = int(checkpoint.facts["updates"])
            self._optimizer.step = self.updates
            first, second = _named(checkpoint, FIRST_MOMENT), _named(checkpoint, SECOND_MOMENT)
            for index, (name, _) in enumerate(self.critics.named_parameters()):
                self._optimizer.first[index].copy_(first[name])
                self._optimizer.second[index].copy_(second[name])
        except (KeyError, RuntimeError) as error:  # of a version without digests, which reading would have told
            raise StoreError(f"{path}: is damaged ({' '.join(str(error).split())}): {REMEDY}") from error


def _named(checkpoint: Checkpoint, prefix: str) -> dict[str, torch.Tensor]:
    named = checkpoint.tensors.items()
    return {name.removeprefix(prefix): tensor for name, tensor in named if name.startswith(prefix)}
