"""Trains the flow policy by imitation on object tokens: true positions with perception-like errors, and, where frames
exist, the positions that the trained perception reports for them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sarl_ros.policies.mini.flow import ActionScale, FlowConfig, FlowNet, object_tokens, state_features
from sarl_ros.policies.mini.perception import Perception
from sarl_ros.policies.mini.policy import load_flow, save_flow
from sarl_ros.policies.mini.text import TextEncoder
from sarl_ros.training.dataset import Shard
from sarl_ros.training.fitting import Schedule, fit
from sarl_ros.training.perception_training import Frames, locate_frames

ERROR_SIGMAS_M = (0.001, 0.003, 0.010)
ERROR_SHARES = (0.75, 0.20, 0.05)
DROP_SHARE = 0.01
YAW_SIGMA_RAD = 0.06
TEXT_SIGMA = 0.02
SEEN_SHARE = 0.6


def perception_errors(position: Tensor) -> Tensor:
    """Random position errors (B, K, 3) [m] like those of the keypoint network: mostly millimetres, rarely more."""
    kind = torch.multinomial(torch.tensor(ERROR_SHARES), position[..., 0].numel(), replacement=True)
    sigma = torch.tensor(ERROR_SIGMAS_M)[kind].view(position.shape[:-1])
    return torch.randn_like(position) * sigma[..., None]


def keep_present(tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Move the tokens (B, K, T) of present (B, K) objects to the front and drop what is absent in all of the batch."""
    order = (~present).long().argsort(dim=1, stable=True)[:, : int(present.sum(1).max())]
    return tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[2])), present.gather(1, order)


class Demonstrations:
    """Rows with actions as tensors, the prompts embedded."""

    def __init__(self, shard: Shard, perception: Perception | None) -> None:
        rows = shard.tensor("acts").nonzero().flatten()
        self.proprio, self.position = shard.tensor("proprio")[rows], shard.tensor("position")[rows]
        heading = shard.tensor("heading")[rows]
        self.yaw = torch.atan2(heading[..., 1], heading[..., 0])
        self.present, self.action = shard.tensor("present")[rows], shard.tensor("action")[rows]
        encoder = TextEncoder()
        self.text = torch.stack([encoder(str(p)) for p in shard.prompts])
        self.prompt = shard.tensor("prompt")[rows]
        self.codes = shard.tensor("codes")
        self.seen = torch.zeros(len(rows), dtype=torch.bool)
        self.seen_position, self.seen_yaw, self.seen_present = self.position, self.yaw, self.present
        if perception is not None:
            self._look(shard, perception)

    def _look(self, shard: Shard, perception: Perception) -> None:
        position, yaw, presence = locate_frames(perception.net, Frames(shard, perception.net))
        place = torch.full((len(shard.proprio),), -1)
        acts = shard.tensor("acts")
        place[acts] = torch.arange(int(acts.sum()))
        target = place[shard.tensor("frame_row")]
        use = target >= 0
        self.seen[target[use]] = True
        self.seen_position, self.seen_yaw = self.position.clone(), self.yaw.clone()
        self.seen_present = self.present.clone()
        self.seen_position[target[use]], self.seen_yaw[target[use]] = position[use], yaw[use]
        self.seen_present[target[use]] = presence[use] > 0

    def __len__(self) -> int:
        return len(self.proprio)

    def inputs(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Text (B, 384), tokens (B, K, T), absent (B, K) and state (B, S) of a batch, with fresh errors."""
        position = self.position[index] + perception_errors(self.position[index])
        yaw = self.yaw[index] + torch.randn(self.yaw[index].shape) * YAW_SIGMA_RAD
        present = self.present[index] & (torch.rand(self.present[index].shape) >= DROP_SHARE)
        seen = self.seen[index] & (torch.rand(len(index)) < SEEN_SHARE)
        position = torch.where(seen[:, None, None], self.seen_position[index], position)
        yaw = torch.where(seen[:, None], self.seen_yaw[index], yaw)
        present = torch.where(seen[:, None], self.seen_present[index], present)
        proprio = self.proprio[index]
        tokens = object_tokens(position, yaw, self.codes, proprio[:, :3])
        tokens, present = keep_present(tokens, present)
        text = self.text[self.prompt[index]]
        return text + torch.randn_like(text) * TEXT_SIGMA, tokens, ~present, state_features(proprio)


def train_flow(shard: Shard, folder: Path, schedule: Schedule, perception: Perception | None = None) -> None:
    """Train on a shard's actions; weights and the checkpoint to resume from are kept in `folder`.

    With `perception`, the network in `folder` is trained further, and the rows that have frames are shown as
    perception sees them for a part of the batches; without it, a new one is trained on true positions with errors.

    Raises:
        PolicyError: with `perception`, and there is no network to start from.
    """
    torch.manual_seed(schedule.seed)
    demonstrations = Demonstrations(shard, perception)
    if perception is None:
        net, scale = FlowNet(FlowConfig(chunk_size=demonstrations.action.shape[1])), ActionScale()
        scale.fit(demonstrations.action.flatten(0, 1))
    else:
        net, scale = load_flow(folder)
    actions = scale.normalise(demonstrations.action).flatten(1)

    def loss_of(index: Tensor) -> Tensor:
        return net.loss(net.context(*demonstrations.inputs(index)), actions[index])

    def on_save(mean: nn.Module) -> None:
        assert isinstance(mean, FlowNet)
        save_flow(folder, mean, scale)

    stage = "flow" if perception is None else "flow-seen"
    fit(net, loss_of, len(demonstrations), schedule, folder / f"{stage}.checkpoint", on_save)
