"""Pinhole cameras in torch: where a point of the base frame lies in an image, and where a pixel's ray meets a height.

Camera axes are MuJoCo's: columns of a rotation are the image's right, the image's up, and backwards out of the scene.
Pixels are (u, v) in -1 .. 1 over the image, u to the right, v down.
"""

from __future__ import annotations

import torch
from torch import Tensor


def euler_to_matrix(rpy: Tensor) -> Tensor:
    """Rotation Rz(yaw) Ry(pitch) Rx(roll): (..., 3) rad -> (..., 3, 3)."""
    (sr, sp, sy), (cr, cp, cy) = torch.sin(rpy).unbind(-1), torch.cos(rpy).unbind(-1)
    rows = (
        torch.stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr], -1),
        torch.stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr], -1),
        torch.stack([-sp, cp * sr, cp * cr], -1),
    )
    return torch.stack(rows, -2)


def project(points: Tensor, position: Tensor, rotation: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Project points into a camera.

    Args:
        points: (..., 3) in the base frame [m].
        position: (..., 3) of the camera [m].
        rotation: (..., 3, 3) of the camera.
        tangent: (2,) tangents of half the horizontal and half the vertical field of view.

    Returns:
        u, v (in -1 .. 1 when inside the image) and depth [m], each (...).
    """
    seen = ((points - position).unsqueeze(-2) @ rotation).squeeze(-2)
    depth = -seen[..., 2]
    safe = depth.clamp(min=1e-3)
    return seen[..., 0] / safe / tangent[0], -seen[..., 1] / safe / tangent[1], depth


def back_project(u: Tensor, v: Tensor, height: Tensor, position: Tensor, rotation: Tensor, tangent: Tensor) -> Tensor:
    """Meet the ray through (u, v) with the horizontal plane at `height` [m]: (...) -> (..., 3).

    Rays that do not go down are cut at 2 m, so the result is finite for any input.
    """
    ray = torch.stack([u * tangent[0], -v * tangent[1], -torch.ones_like(u)], -1)
    ray = (rotation @ ray.unsqueeze(-1)).squeeze(-1)
    distance = (height - position[..., 2]) / ray[..., 2].clamp(max=-0.05)
    return position + ray * distance.clamp(0.0, 2.0).unsqueeze(-1)
