"""Trains the keypoint network on simulator frames with their true positions, and measures it on frames held out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarl_ros.policies.mini.geometry import euler_to_matrix, project
from sarl_ros.policies.mini.keypoints import KeypointConfig, KeypointNet, Keypoints, View
from sarl_ros.policies.mini.perception import Perception
from sarl_ros.training.dataset import Shard
from sarl_ros.training.fitting import Schedule, fit

FALLEN_M = -0.03
CENTIMETRES = 100.0
JPEG_SHARE = 0.1
NOISE_IMAGES = 8


class Frames:
    """Frames and their labels as tensors; see `Shard` for the shapes."""

    def __init__(self, shard: Shard, net: KeypointNet) -> None:
        row = shard.tensor("frame_row")
        self.front, self.wrist = shard.tensor("front"), shard.tensor("wrist")
        self.proprio, self.position = shard.tensor("proprio")[row], shard.tensor("position")[row]
        self.heading, self.held = shard.tensor("heading")[row], shard.tensor("held")[row]
        self.present = shard.tensor("present")[row] & (self.position[..., 2] > FALLEN_M)
        self.position = torch.where(self.present[..., None], self.position, 0.0)
        u, v, depth = project(self.position, net.front_at, net.front_rotation, net.front_tangent)
        self.front_uv, self.front_visible = self._inside(u, v, depth)
        at, rotation = shard.tensor("wrist_position")[row, None], shard.tensor("wrist_rotation")[row, None]
        self.wrist_uv, self.wrist_visible = self._inside(*project(self.position, at, rotation, net.wrist_tangent))

    def _inside(self, u: Tensor, v: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        visible = self.present & (u.abs() < 1) & (v.abs() < 1) & (depth > 0.02)
        return torch.stack([u, v], -1).clamp(-3, 3), visible

    def __len__(self) -> int:
        return len(self.front)


def calibrate(net: KeypointNet, shard: Shard) -> None:
    """Write the calibration into the network: the front camera as is, the wrist camera against the gripper."""
    net.front_at.copy_(shard.tensor("front_position"))
    net.front_rotation.copy_(shard.tensor("front_rotation"))
    net.front_tangent.copy_(shard.tensor("front_tangent"))
    net.wrist_tangent.copy_(shard.tensor("wrist_tangent"))
    gripper = euler_to_matrix(shard.tensor("proprio")[:, 3:6]).transpose(1, 2)
    offset = shard.tensor("wrist_position") - shard.tensor("proprio")[:, :3]
    net.wrist_offset.copy_((gripper @ offset[..., None])[..., 0].median(0).values)
    net.wrist_rotation.copy_((gripper @ shard.tensor("wrist_rotation")).median(0).values)


def augment(images: Tensor) -> Tensor:
    """Vary light, colour and noise of uint8 (B, 3, H, W), and put some through JPEG: float (B, 3, H, W)."""
    batch = len(images)
    x = images.float()
    light = torch.empty(batch, 1, 1, 1).uniform_(0.65, 1.35) * torch.empty(batch, 3, 1, 1).uniform_(0.88, 1.12)
    contrast = torch.empty(batch, 1, 1, 1).uniform_(0.8, 1.2)
    middle = x[:, :, ::8, ::8].mean((1, 2, 3), keepdim=True)
    shift = middle * (1 - contrast) * light + torch.empty(batch, 1, 1, 1).uniform_(-15, 15)
    x.mul_(contrast * light).add_(shift)
    noise = torch.randn(NOISE_IMAGES, *x.shape[1:])[torch.arange(batch) % NOISE_IMAGES]
    x.addcmul_(noise, torch.rand(batch, 1, 1, 1) ** 2 * 12).clamp_(0, 255)
    for i in (torch.rand(batch) < JPEG_SHARE).nonzero().flatten().tolist():
        quality = int(torch.randint(35, 96, ()))
        pixels = np.ascontiguousarray(x[i].permute(1, 2, 0).byte().numpy())
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        x[i] = torch.from_numpy(cv2.imdecode(coded, cv2.IMREAD_COLOR)).permute(2, 0, 1)
    return x


def keypoint_loss(net: KeypointNet, out: Keypoints, frames: Frames, index: Tensor) -> Tensor:
    """Cross-entropy of both heat maps, smooth L1 of the points in centimetres, heading, presence."""
    shown = frames.present[index].float()
    count = shown.sum().clamp(min=1)

    def heat(view: View, log_probability: Tensor, uv: Tensor, visible: Tensor) -> Tensor:
        return -(view.target(uv[..., 0], uv[..., 1], visible) * log_probability).sum(-1).mean()

    def near(guess: Tensor, truth: Tensor) -> Tensor:
        error = F.smooth_l1_loss(guess * CENTIMETRES, truth * CENTIMETRES, beta=0.3, reduction="none")
        return (error * shown[..., None]).sum() / count

    position = frames.position[index]
    front = heat(net.front, out.front_log_probability, frames.front_uv[index], frames.front_visible[index])
    wrist = heat(net.wrist, out.wrist_log_probability, frames.wrist_uv[index], frames.wrist_visible[index])
    points = near(out.position, position) + 0.3 * near(out.front_position, position)
    height = 0.3 * near(out.height[..., None], position[..., 2:])
    heading = (((out.yaw - frames.heading[index]) ** 2).sum(-1) * shown).sum() / count
    presence = F.binary_cross_entropy_with_logits(out.presence, shown)
    return 2 * front + wrist + points + height + heading + 2 * presence


def train_perception(shard: Shard, folder: Path, schedule: Schedule) -> Perception:
    """Train on a shard's frames; weights and the checkpoint to resume from are kept in `folder`."""
    torch.manual_seed(schedule.seed)
    config = KeypointConfig(tuple(map(str, shard.classes)))
    net = KeypointNet(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    calibrate(net, shard)
    frames = Frames(shard, net)
    codes = shard.tensor("codes")

    def loss_of(index: Tensor) -> Tensor:
        front, wrist = (augment(x[index].permute(0, 3, 1, 2)) for x in (frames.front, frames.wrist))
        return keypoint_loss(net, net(front, wrist, frames.proprio[index]), frames, index)

    def on_save(mean: nn.Module) -> None:
        assert isinstance(mean, KeypointNet)
        Perception(mean, codes).save(folder)

    fit(net, loss_of, len(frames), schedule, folder / "perception.checkpoint", on_save)
    return Perception.load(folder)


@torch.inference_mode()
def locate_frames(net: KeypointNet, frames: Frames, batch: int = 128) -> tuple[Tensor, Tensor, Tensor]:
    """Run the network over all frames: position (M, K, 3) [m], yaw (M, K) [rad], presence logit (M, K)."""
    parts = []
    for i in range(0, len(frames), batch):
        front, wrist = (x[i : i + batch].permute(0, 3, 1, 2) for x in (frames.front, frames.wrist))
        out = net(front, wrist, frames.proprio[i : i + batch])
        parts.append((out.position, torch.atan2(out.yaw[..., 1], out.yaw[..., 0]), out.presence))
    position, yaw, presence = (torch.cat(x) for x in zip(*parts, strict=True))
    return position, yaw, presence


def measure_perception(perception: Perception, shard: Shard) -> dict[str, float]:
    """Errors on a shard: median and 90th percentile of the position [mm], held and free, yaw [deg], presence."""
    frames = Frames(shard, perception.net)
    position, yaw, presence = locate_frames(perception.net, frames)
    error = (position - frames.position).norm(dim=-1) * 1000
    held = F.one_hot(frames.held.clamp(min=0), error.shape[1]).bool() & (frames.held >= 0)[:, None]
    free = frames.present & ~held
    truth = torch.atan2(frames.heading[..., 1], frames.heading[..., 0])
    turn = torch.rad2deg(torch.atan2(torch.sin(yaw - truth), torch.cos(yaw - truth)).abs())
    near = free & ((frames.position - frames.proprio[:, None, :3])[..., :2].norm(dim=-1) < 0.04)

    def quantile(values: Tensor, q: float) -> float:
        return round(float(np.quantile(values.numpy(), q)), 2) if len(values) else float("nan")

    return {
        "frames": float(len(frames)),
        "position_mm_median": quantile(error[free], 0.5),
        "position_mm_p90": quantile(error[free], 0.9),
        "near_gripper_mm_median": quantile(error[near], 0.5),
        "near_gripper_mm_p90": quantile(error[near], 0.9),
        "held_mm_median": quantile(error[held], 0.5),
        "held_mm_p90": quantile(error[held], 0.9),
        "yaw_deg_median": quantile(turn[frames.present], 0.5),
        "presence_accuracy": round(float(((presence > 0) == frames.present).float().mean()), 4),
        "missed": round(float((presence <= 0)[frames.present].float().mean()), 4),
        "imagined": round(float((presence > 0)[~frames.present].float().mean()), 4),
    }
