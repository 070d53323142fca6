"""The keypoint network: two small images and the proprio in, one 3-D point, yaw and presence for each class out.

Each view has a heat map and a null slot for every class. A windowed soft-argmax reads the pixel off the map, a head
guesses the height, the known camera turns both into a point, and a second head corrects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarl_ros.policies.mini.geometry import back_project, euler_to_matrix

WINDOW_CELLS = 3.5


@dataclass(frozen=True, slots=True)
class KeypointConfig:
    """Sizes of the network; image sizes are (width, height) in pixels, multiples of 8 and of 4."""

    classes: tuple[str, ...]
    front_size: tuple[int, int] = (128, 96)
    wrist_size: tuple[int, int] = (80, 60)
    front_channels: int = 32
    wrist_channels: int = 32
    hidden: int = 160


class Keypoints(NamedTuple):
    """Outputs for a batch of B frames and K classes.

    Attributes:
        position: (B, K, 3) in the base frame [m].
        front_position: (B, K, 3), the point before the correction [m].
        height: (B, K) [m].
        presence: (B, K) logits.
        yaw: (B, K, 2) cosine and sine, not normalised.
        front_log_probability, wrist_log_probability: (B, K, cells + 1); the last slot means "not in this image".
    """

    position: Tensor
    front_position: Tensor
    height: Tensor
    presence: Tensor
    yaw: Tensor
    front_log_probability: Tensor
    wrist_log_probability: Tensor


ViewReading = tuple[Tensor, Tensor, Tensor, Tensor]
"""What a `View` returns."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around a skip."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


class View(nn.Module):
    """Heat maps of one camera at a quarter of its resolution, with a wider and coarser branch for context."""

    grid_u: Tensor
    grid_v: Tensor

    def __init__(self, size: tuple[int, int], channels: int, classes: int, coarse_blocks: int) -> None:
        super().__init__()
        self.columns, self.rows = size[0] // 4, size[1] // 4
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels // 2, 5, 2, 2, bias=False),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 3, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.place = nn.Parameter(torch.zeros(1, channels, self.rows, self.columns))
        self.fine_in = ResidualBlock(channels)
        self.down = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * channels), nn.ReLU()
        )
        self.coarse = nn.Sequential(*[ResidualBlock(2 * channels, 1 + i % 2) for i in range(coarse_blocks)])
        self.up = nn.Conv2d(2 * channels, channels, 1)
        self.fine_out = ResidualBlock(channels)
        self.heat = nn.Conv2d(channels, classes, 1)
        v, u = torch.meshgrid(
            (torch.arange(self.rows) + 0.5) / self.rows * 2 - 1,
            (torch.arange(self.columns) + 0.5) / self.columns * 2 - 1,
            indexing="ij",
        )
        self.register_buffer("grid_u", u.reshape(-1))
        self.register_buffer("grid_v", v.reshape(-1))

    def forward(self, image: Tensor) -> ViewReading:
        """Read an image.

        Args:
            image: (B, 3, H, W), uint8 or float in 0 .. 255.

        Returns:
            log probabilities (B, K, cells + 1), u and v (B, K), and the features under each peak (B, K, channels).
        """
        x = self.stem(image.float() / 127.5 - 1.0)
        x = self.fine_in(x + self.place.to(x.dtype))
        wide = self.up(self.coarse(self.down(x)))
        x = self.fine_out(x + F.interpolate(wide, size=x.shape[-2:], mode="nearest"))
        logits, features = self.heat(x).flatten(2).float(), x.flatten(2).float()
        with torch.autocast("cpu", enabled=False):
            log_probability = F.log_softmax(torch.cat([logits, torch.zeros_like(logits[..., :1])], -1), -1)
            peak = logits.argmax(-1, keepdim=True)
            near = ((self.grid_u - self.grid_u[peak]).abs() < WINDOW_CELLS * 2 / self.columns) & (
                (self.grid_v - self.grid_v[peak]).abs() < WINDOW_CELLS * 2 / self.rows
            )
            weight = torch.softmax(logits.masked_fill(~near, -1e4), -1)
            u, v = (weight * self.grid_u).sum(-1), (weight * self.grid_v).sum(-1)
            return log_probability, u, v, weight @ features.transpose(1, 2)

    def target(self, u: Tensor, v: Tensor, visible: Tensor, sigma_cells: float = 0.8) -> Tensor:
        """A Gaussian over the cells where visible, else the null slot: (B, K) -> (B, K, cells + 1)."""
        du = (u.unsqueeze(-1) - self.grid_u) * self.columns / 2
        dv = (v.unsqueeze(-1) - self.grid_v) * self.rows / 2
        shown = visible.unsqueeze(-1).float()
        bump = torch.softmax(-(du**2 + dv**2) / (2 * sigma_cells**2), -1) * shown
        return torch.cat([bump, 1 - shown], -1)


class KeypointNet(nn.Module):
    """Both views and the two heads. The calibration of the cameras is part of the weights (buffers)."""

    front_at: Tensor
    front_rotation: Tensor
    front_tangent: Tensor
    wrist_offset: Tensor
    wrist_rotation: Tensor
    wrist_tangent: Tensor

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__()
        self.config = config
        classes, hidden = len(config.classes), config.hidden
        self.front = View(config.front_size, config.front_channels, classes, 3)
        self.wrist = View(config.wrist_size, config.wrist_channels, classes, 2)
        inputs = config.front_channels + config.wrist_channels + 6 + 8 + classes
        self.height = mlp(inputs, hidden, 1)
        self.correction = mlp(inputs + 7, hidden, 6)
        self.register_buffer("front_at", torch.zeros(3))
        self.register_buffer("front_rotation", torch.eye(3))
        self.register_buffer("front_tangent", torch.ones(2))
        self.register_buffer("wrist_offset", torch.zeros(3))
        self.register_buffer("wrist_rotation", torch.eye(3))
        self.register_buffer("wrist_tangent", torch.ones(2))

    def wrist_pose(self, proprio: Tensor) -> tuple[Tensor, Tensor]:
        """Pose of the wrist camera from the proprio: (B, 8) -> position (B, 3) [m], rotation (B, 3, 3)."""
        gripper = euler_to_matrix(proprio[:, 3:6])
        return proprio[:, :3] + gripper @ self.wrist_offset, gripper @ self.wrist_rotation

    def forward(self, front: Tensor, wrist: Tensor, proprio: Tensor) -> Keypoints:
        """Read frames.

        Args:
            front: (B, 3, 96, 128), wrist: (B, 3, 60, 80), uint8 or float in 0 .. 255, RGB.
            proprio: (B, 8) as `Observation.proprio`.
        """
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training):
            views = self.front(front), self.wrist(wrist)
        return self.merge(*views, proprio)

    def merge(self, front: ViewReading, wrist: ViewReading, proprio: Tensor) -> Keypoints:
        """Make points of what each `View` read."""
        batch, classes = len(proprio), len(self.config.classes)
        front_log, u, v, front_features = front
        wrist_log, wrist_u, wrist_v, wrist_features = wrist
        front_null, wrist_null = (x[..., -1].clamp(min=-8) / 4 for x in (front_log, wrist_log))
        state = proprio_inputs(proprio)[:, None].expand(-1, classes, -1)
        one_hot = torch.eye(classes).expand(batch, -1, -1)
        pixels = torch.stack([u, v, front_null, wrist_u, wrist_v, wrist_null], -1)
        x = torch.cat([front_features, wrist_features, pixels, state, one_hot], -1)
        height = self.height(x)[..., 0] * 0.1
        front_point = back_project(u, v, height, self.front_at, self.front_rotation, self.front_tangent)
        at, rotation = self.wrist_pose(proprio)
        wrist_point = back_project(wrist_u, wrist_v, height, at[:, None], rotation[:, None], self.wrist_tangent)
        gripper = proprio[:, None, :3]
        offsets = [(front_point - gripper) * 10, (wrist_point - gripper).clamp(-0.4, 0.4) * 10, height[..., None] * 10]
        out = self.correction(torch.cat([x, *offsets], -1))
        position = front_point + out[..., :3] * 0.03
        return Keypoints(position, front_point, height, out[..., 3], out[..., 4:6], front_log, wrist_log)


def proprio_inputs(proprio: Tensor) -> Tensor:
    """Proprio (..., 8) with its position [m] brought to about -1 .. 1."""
    centre = torch.tensor([0.3, 0.0, 0.1])
    return torch.cat([(proprio[..., :3] - centre) * 5, proprio[..., 3:]], -1)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers with GELU."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, outputs)
    )
