"""The policy proper: a transformer over object tokens, prompt and proprio, and a flow-matching head for the actions.

Objects reach it as position, yaw and an appearance code (colour and size), never as a name: which of them a noun means
is learned from demonstrations. Flow matching as in pi0 (arXiv 2410.24164): a straight path from noise to the actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CODE_SIZE = 6
TOKEN_SIZE = 3 + 3 + 3 + 2 + CODE_SIZE
STATE_SIZE = 9
ACTION_SIZE = 7
TIME_FREQUENCIES = 8


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """Sizes of the network."""

    chunk_size: int = 4
    text_size: int = 384
    width: int = 128
    layers: int = 3
    heads: int = 4
    hidden: int = 256


def object_tokens(position: Tensor, yaw: Tensor, codes: Tensor, gripper: Tensor) -> Tensor:
    """Describe objects to the policy.

    Args:
        position: (B, K, 3) [m]; yaw: (B, K) [rad]; codes: (K, 6) appearance; gripper: (B, 3) position [m].

    Returns:
        (B, K, TOKEN_SIZE): offset from the gripper, coarse and fine, position on the table, yaw, appearance.
    """
    offset = position - gripper[:, None]
    centre = torch.tensor([0.3, 0.0, 0.0])
    turn = torch.stack([torch.sin(yaw), torch.cos(yaw)], -1)
    look = codes.expand(len(position), -1, -1)
    return torch.cat([offset * 5, torch.tanh(offset * 30), (position - centre) * 5, turn, look], -1)


def state_features(proprio: Tensor) -> Tensor:
    """Proprio (B, 8) to (B, STATE_SIZE): scaled position, rotation, fine height, opening and its two extremes."""
    centre = torch.tensor([0.3, 0.0, 0.1])
    height, opening = proprio[:, 2:3], proprio[:, 7:8]
    return torch.cat(
        [
            (proprio[:, :3] - centre) * 5,
            proprio[:, 5:6],
            torch.tanh((height - 0.03) * 30),
            opening,
            torch.tanh((opening - 0.95) * 20),
            torch.tanh(opening * 10),
            torch.ones_like(opening),
        ],
        -1,
    )


def time_waves(time: Tensor) -> Tensor:
    """Describe times of the flow (..., 1) in 0 .. 1 to the network: sines and cosines (..., 16)."""
    phase = time * torch.arange(1, TIME_FREQUENCIES + 1) * (torch.pi / 2)
    return torch.cat([torch.sin(phase), torch.cos(phase)], -1)


class FlowNet(nn.Module):
    """Velocity field over action chunks, conditioned on what the policy sees and reads."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.text = nn.Sequential(nn.Linear(config.text_size, width), nn.GELU(), nn.Linear(width, width))
        self.state = nn.Linear(STATE_SIZE, width)
        self.object = nn.Sequential(nn.Linear(TOKEN_SIZE, width), nn.GELU(), nn.Linear(width, width))
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        layer = nn.TransformerEncoderLayer(
            width, config.heads, 2 * width, 0.0, batch_first=True, norm_first=True, activation="gelu"
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        actions, hidden = config.chunk_size * ACTION_SIZE, config.hidden
        self.head = nn.Sequential(
            nn.Linear(width + actions + 2 * TIME_FREQUENCIES, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, actions),
        )

    def context(self, text: Tensor, tokens: Tensor, absent: Tensor, state: Tensor) -> Tensor:
        """Summarise the situation.

        Args:
            text: (B, 384) sentence embeddings; tokens: (B, K, TOKEN_SIZE); absent: (B, K) bool, True where there is
                no object; state: (B, STATE_SIZE).

        Returns:
            (B, width).
        """
        words = self.text(text)[:, None]
        batch = len(text)
        x = torch.cat([self.query.expand(batch, -1, -1) + words, words, self.state(state)[:, None]], 1)
        x = torch.cat([x, self.object(tokens)], 1)
        mask = torch.cat([torch.zeros(batch, 3, dtype=torch.bool), absent], 1)
        return self.encoder(x, src_key_padding_mask=mask)[:, 0]

    def velocity(self, context: Tensor, actions: Tensor, waves: Tensor) -> Tensor:
        """Velocity of the flow at `actions` (B, chunk * 7) and the times whose `time_waves` (B, 16) are given."""
        return self.head(torch.cat([context, actions, waves], -1))

    def loss(self, context: Tensor, actions: Tensor, draws: int = 4) -> Tensor:
        """Flow-matching loss for normalised actions (B, chunk * 7), several noise draws for each context."""
        context, actions = context.repeat(draws, 1), actions.repeat(draws, 1)
        noise, time = torch.randn_like(actions), torch.rand(len(actions), 1)
        mixed = (1 - time) * noise + time * actions
        return F.mse_loss(self.velocity(context, mixed, time_waves(time)), actions - noise)

    def sample(self, context: Tensor, noise: Tensor, steps: int = 8) -> Tensor:
        """Integrate the flow from noise (B, chunk * 7) by Euler steps to normalised actions (B, chunk, 7)."""
        x = noise
        for waves in time_waves(torch.arange(steps)[:, None] / steps):
            x = x + self.velocity(context, x, waves.expand(len(x), -1)) / steps
        return x.view(len(x), self.config.chunk_size, ACTION_SIZE)


class ActionScale(nn.Module):
    """Normalises action chunks; a dimension that the demonstrations never move comes back as its constant."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(ACTION_SIZE))
        self.register_buffer("std", torch.ones(ACTION_SIZE))

    def fit(self, actions: Tensor) -> None:
        """Take mean and standard deviation from actions (N, 7); the gripper keeps 0 .. 1 as -1 .. 1."""
        self.mean.copy_(actions.mean(0))
        self.std.copy_(actions.std(0))
        self.std[self.std < 1e-5] = 0.0
        self.mean[6], self.std[6] = 0.5, 0.5

    def normalise(self, actions: Tensor) -> Tensor:
        """(..., 7) actions to about unit scale, 0 where the dimension never moves."""
        return torch.where(self.std > 0, (actions - self.mean) / self.std.clamp(min=1e-5), 0.0)

    def denormalise(self, actions: Tensor) -> Tensor:
        """Inverse of `normalise`, with the gripper set to fully open or closed."""
        out = actions * self.std + self.mean
        return torch.cat([out[..., :6], (out[..., 6:] > 0.5).float()], -1)
