"""The training loop that perception and policy share: AdamW, cosine schedule, averaged weights, exact resume."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sarl_ros.policies.mini.weights import load_weights, save_weights

AVERAGING = 0.998


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train."""

    steps: int
    batch: int
    learning_rate: float
    seed: int = 0
    warmup: int = 150
    weight_decay: float = 1e-3
    clip: float = 5.0
    save_every: int = 100

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, cosine decay to 1 %."""
        decay = 0.5 * (1 + math.cos(math.pi * step / self.steps)) * 0.99 + 0.01
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * decay


def batch_indices(step: int, count: int, batch: int, seed: int) -> Tensor:
    """Indices of a step's batch: every epoch is a permutation fixed by the seed, so a resumed run sees the same."""
    per_epoch = max(1, count // batch)
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 100_003 + epoch))
    return order[place * batch : (place + 1) * batch]


def average(target: nn.Module, source: nn.Module, decay: float) -> None:
    """Move averaged weights (and batch statistics) towards the trained ones."""
    with torch.no_grad():
        for a, b in zip(target.state_dict().values(), source.state_dict().values(), strict=True):
            if a.dtype.is_floating_point:
                a.lerp_(b, 1 - decay)
            else:
                a.copy_(b)


def fit(
    net: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    schedule: Schedule,
    checkpoint: Path,
    on_save: Callable[[nn.Module], None],
) -> nn.Module:
    """Train `net` in place and return its averaged twin.

    Args:
        loss_of: loss of a batch given indices (B,) into the data, computed with `net`.
        count: size of the data.
        checkpoint: file to resume from and to save to every `schedule.save_every` steps.
        on_save: called with the averaged network after every save.
    """
    mean = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
    first = _resume(checkpoint, net, mean, optimizer) if checkpoint.exists() else 0
    running = float("nan")
    progress = tqdm(range(first, schedule.steps), checkpoint.stem, initial=first, total=schedule.steps, mininterval=10)
    for step in progress:
        torch.manual_seed(schedule.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        net.train()
        loss = loss_of(batch_indices(step, count, schedule.batch, schedule.seed))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), schedule.clip)
        optimizer.step()
        average(mean, net, min(AVERAGING, (step + 1) / (step + 10)))
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        progress.set_postfix_str(f"loss {running:.4f}", refresh=False)
        if (step + 1) % schedule.save_every == 0 or step + 1 == schedule.steps:
            _save(checkpoint, net, mean, optimizer, step + 1)
            on_save(mean)
    return mean.eval()


def _save(path: Path, net: nn.Module, mean: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"mean.{k}": v for k, v in mean.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
    save_weights(path, tensors, {"step": step})


def _resume(path: Path, net: nn.Module, mean: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    tensors, config = load_weights(path)
    for prefix, module in (("net.", net), ("mean.", mean)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, i, name = key.split(".")
            state.setdefault(int(i), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(config["step"])
