"""Demonstration shards: what is in them agrees with the world that they were made in."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from sarl_ros.policies.mini.keypoints import KeypointConfig, KeypointNet
from sarl_ros.policies.policy import PolicyError
from sarl_ros.policies.registry import load_policy
from sarl_ros.training.dataset import Shard, load_shard
from sarl_ros.training.demonstrations import make_shard
from sarl_ros.training.perception_training import Frames, calibrate
from sarl_ros.training.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("demos")
    for number in range(2):
        make_shard(folder / f"shard-{number}.npz", 3, number)
    return folder


@pytest.fixture(scope="module")
def shard(folder: Path) -> Shard:
    return load_shard(folder / "shard-0.npz")


@pytest.mark.slow
def test_the_same_seed_makes_the_same_shard(folder: Path, shard: Shard, tmp_path: Path) -> None:
    make_shard(tmp_path / "shard.npz", 3, 0)
    again = load_shard(tmp_path / "shard.npz")
    assert all(np.array_equal(getattr(shard, f.name), getattr(again, f.name)) for f in fields(Shard))


def test_demonstrations_never_name_the_hammer(shard: Shard) -> None:
    assert len(shard.prompts) >= 1
    assert not any("hammer" in str(prompt) for prompt in shard.prompts)
    assert "hammer" in shard.classes


def test_actions_are_within_the_arm_s_limits_and_never_turn_the_gripper(shard: Shard) -> None:
    action = shard.action[shard.acts]
    assert np.abs(action[..., :3]).max() <= 0.05
    assert (action[..., 3:6] == 0).all()
    assert set(np.unique(action[..., 6])) <= {0.0, 1.0}


def test_still_scenes_carry_no_actions_and_every_frame_has_its_row(shard: Shard) -> None:
    assert 0 < shard.acts.sum() < len(shard.acts)
    assert shard.frame_row.max() < len(shard.proprio)
    assert len(shard.front) == len(shard.wrist) == len(shard.frame_row)


def test_calibration_of_the_wrist_camera_follows_from_the_proprio(shard: Shard) -> None:
    net = KeypointNet(KeypointConfig(tuple(map(str, shard.classes))))
    calibrate(net, shard)
    at, rotation = net.wrist_pose(shard.tensor("proprio"))
    assert (at - shard.tensor("wrist_position")).abs().max() < 1e-4
    assert (rotation - shard.tensor("wrist_rotation")).abs().max() < 1e-4


def test_labels_of_the_front_camera_lie_on_the_objects(shard: Shard) -> None:
    net = KeypointNet(KeypointConfig(tuple(map(str, shard.classes))))
    calibrate(net, shard)
    frames, red = Frames(shard, net), list(shard.classes).index("pot_red")
    rows = frames.front_visible[:, red].nonzero().flatten().tolist()
    hits = []
    for i in rows:
        column, row = (((frames.front_uv[i, red] + 1) / 2) * torch.tensor([128.0, 96.0])).int().tolist()
        patch = frames.front[i, max(0, row - 6) : row + 6, max(0, column - 6) : column + 6].int()
        hits.append(((patch[..., 0] - patch[..., 1]) > 40).float().mean().item() > 0.1)
    assert len(hits) > 3
    assert np.mean(hits) > 0.7


@pytest.mark.slow
def test_a_few_steps_of_training_make_weights_that_load_and_act(folder: Path, tmp_path: Path) -> None:
    report = train(folder, tmp_path, perception_steps=2, flow_steps=2)
    policy = load_policy(tmp_path)
    assert policy.spec.identity == report["weights_hash"]
    assert report["weights_hash"] in (tmp_path / "model_card.md").read_text()
    assert np.isfinite(report["perception"]["held_out"]["position_mm_median"])


def test_training_without_demonstrations_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="sarl demos"):
        train(tmp_path / "none", tmp_path / "out")
